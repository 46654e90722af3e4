//! What a run did, and its lines in the log.

use std::fmt;
use std::time::Duration;

use http::StatusCode;
use intake_providers::nurturecloud::resync::{SyncAnswer, SyncCall};
use intake_providers::timestamp::Timestamp;
use strum::IntoStaticStr;

use super::resume_point::ResumePointError;
use crate::counters::Counter;
use crate::port_error::PortError;

/// Why a call was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Reason {
    /// 4xx: this call is wrong.
    Refused,
    /// A redirect, or a success other than 202.
    UnexpectedAnswer,
    /// 429, in every attempt or for too long.
    Throttled,
    /// 5xx, in every attempt.
    ServerError,
    /// No answer, in every attempt.
    NoAnswer,
    /// 401 or 403.
    CredentialsWrong,
}

impl Reason {
    /// The reason as logs name it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// What follows from an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The call is done.
    Accepted,
    /// The call is abandoned.
    NotAccepted {
        /// Why.
        reason: Reason,
        /// How long no other call may be made.
        hold: Duration,
    },
    /// The call is retried.
    Again {
        /// Why.
        reason: Reason,
        /// Minimum time until then.
        wait: Duration,
    },
    /// The run ends, because every other call would be refused too.
    CredentialsWrong,
    /// The run ends, because the wait is too long.
    ToldToWait {
        /// How long it is.
        wait: Duration,
    },
}

/// One answer to one attempt of a call, or that there was none.
#[derive(Debug)]
pub struct Answered<'a> {
    /// The call.
    pub call: &'a SyncCall,
    /// Which attempt it was, counted from 1.
    pub attempt: u32,
    /// What came back.
    pub answer: &'a Result<SyncAnswer, PortError>,
    /// What follows.
    pub next: Next,
}

impl Answered<'_> {
    /// The status code, if an answer came.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        self.answer.as_ref().ok().map(|answer| answer.status)
    }

    pub(super) fn log(&self) {
        let (outcome, reason, wait) = match self.next {
            Next::Accepted => ("accepted", None, None),
            Next::NotAccepted { reason, .. } => ("not_accepted", Some(reason), None),
            Next::Again { reason, wait } => ("again", Some(reason), Some(wait)),
            Next::CredentialsWrong => ("not_accepted", Some(Reason::CredentialsWrong), None),
            Next::ToldToWait { wait } => ("not_accepted", Some(Reason::Throttled), Some(wait)),
        };
        tracing::info!(
            business_id = self.call.business_id.as_str(),
            component = self.call.component.as_str(),
            asked = %self.call.what,
            attempt = self.attempt,
            status = self.status().map(|status| status.as_u16()),
            outcome,
            reason = reason.map(Reason::as_str),
            wait_seconds = wait.map(|wait| wait.as_secs()),
            error = self.answer.as_ref().err().map(tracing::field::display),
            "resync call"
        );
    }
}

/// A call that was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAccepted {
    /// The call.
    pub call: SyncCall,
    /// The status code of the last answer, if one came.
    pub status: Option<StatusCode>,
    /// Why.
    pub reason: Reason,
}

/// How a run ended.
#[derive(Debug, Default, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum RunOutcome {
    /// Every call was accepted.
    Complete,
    /// Every call was made, and some were not accepted.
    Incomplete,
    /// The deadline was reached; the next run continues.
    #[default]
    OutOfTime,
    /// NurtureCloud asked for a longer wait than [`MAX_WAIT`](super::MAX_WAIT); the next run continues.
    ToldToWait {
        /// How long.
        wait: Duration,
    },
    /// The credentials are wrong.
    CredentialsWrong,
    /// Another run has claimed the resume point, and continues.
    TakenOver,
    /// The resume point can't be read or saved.
    ResumePoint(ResumePointError),
}

impl RunOutcome {
    /// The outcome as logs and summaries name it.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        self.into()
    }

    /// The counter of a run that is complete, if it was about everything, or that failed. A run that ran out of time or was
    /// throttled is neither: the next one continues it.
    pub(super) const fn counter(&self, is_about_everything: bool) -> Option<Counter> {
        match self {
            Self::Complete if is_about_everything => Some(Counter::ResyncCompleted),
            Self::Incomplete | Self::CredentialsWrong | Self::ResumePoint(_) => Some(Counter::ResyncFailed),
            Self::Complete | Self::OutOfTime | Self::ToldToWait { .. } | Self::TakenOver => None,
        }
    }
}

impl fmt::Display for RunOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Complete => f.write_str("every call was accepted"),
            Self::Incomplete => f.write_str("some calls were not accepted"),
            Self::OutOfTime => f.write_str("deadline reached before every call was made; the next run continues"),
            Self::ToldToWait { wait } => {
                write!(f, "nurturecloud asked to wait for {} s; the next run continues", wait.as_secs())
            }
            Self::CredentialsWrong => f.write_str(
                "nurturecloud refused the credentials; correct client id and secret, and the next run continues",
            ),
            Self::TakenOver => f.write_str("another run has begun meanwhile, and continues"),
            Self::ResumePoint(error) => error.fmt(f),
        }
    }
}

/// What a run did.
#[derive(Debug, Default)]
pub struct RunReport {
    /// When the run began, which may have been in an earlier execution. `None` when single entities were asked for.
    pub began_at: Option<Timestamp>,
    /// When the last complete run began.
    pub last_complete_run_began_at: Option<Timestamp>,
    /// Number of calls that were accepted in this execution.
    pub accepted: usize,
    /// The calls that were not accepted in this execution.
    pub not_accepted: Vec<NotAccepted>,
    /// The calls that are left because the run ended early.
    pub not_asked: Vec<SyncCall>,
    /// How it ended.
    pub outcome: RunOutcome,
}

impl RunReport {
    /// Whether an operator has to act: the run achieved nothing, or can't continue by itself.
    #[must_use]
    pub const fn needs_attention(&self) -> bool {
        match self.outcome {
            RunOutcome::Complete | RunOutcome::TakenOver => false,
            RunOutcome::CredentialsWrong | RunOutcome::ResumePoint(_) => true,
            RunOutcome::Incomplete | RunOutcome::OutOfTime | RunOutcome::ToldToWait { .. } => self.accepted == 0,
        }
    }

    pub(super) fn log(&self, duration: Duration) {
        let error = match &self.outcome {
            RunOutcome::ResumePoint(error) => Some(tracing::field::display(error)),
            _ => None,
        };
        tracing::info!(
            outcome = self.outcome.as_str(),
            began_at = self.began_at.map(tracing::field::display),
            last_complete_run_began_at = self.last_complete_run_began_at.map(tracing::field::display),
            accepted = self.accepted,
            not_accepted = self.not_accepted.len(),
            not_asked = self.not_asked.len(),
            error,
            duration_milliseconds = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
            "resync run"
        );
    }
}
