//! The resync: NurtureCloud is asked to send everything again, or single entities.
//!
//! Calls are made one after the other, at even distances. After every call that is settled the progress is saved, so a run
//! that is cut off (by its deadline, a crash, a failure) continues where it was, with the same `since`. A call that isn't
//! accepted doesn't stop the others, but then the run isn't complete, and the next one asks for the same again.
//!
//! Two runs at once would double the rate. Each claims the resume point before its first call, and a run that
//! finds the claim of another one ends.

use std::num::NonZeroU32;
use std::time::Duration;

use intake_providers::nurturecloud::resync::{ResyncPlan, SyncAnswer, SyncCall, Verdict};
use tokio::time::Instant;

use crate::clock::Clock;
use crate::counters::Counter;
use crate::port_error::PortError;
use crate::rate_limiter::RateLimiter;

mod report;
mod resume_point;
mod sync_api;

pub use report::{Answered, Next, NotAccepted, Reason, RunOutcome, RunReport};
pub use resume_point::{ResumePointError, ResumePoints, Saved};
pub use sync_api::SyncApi;

use resume_point::{ResumePoint, Wanted};

/// Maximum duration of a call.
pub const MAX_CALL_TIME: Duration = Duration::from_secs(10);

/// Maximum wait between attempts that NurtureCloud can ask for. If it asks for more, the run ends, and the next one continues.
pub const MAX_WAIT: Duration = Duration::from_secs(5 * 60);

/// Maximum number of attempts of a call that is throttled, fails on their side, or gets no answer.
pub const MAX_ATTEMPTS: u32 = 4;

/// Pause before such a call is retried. It triples with each attempt.
pub const FIRST_PAUSE: Duration = Duration::from_secs(2);

/// Settings of the flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResyncSettings {
    /// Maximum number of calls per minute.
    pub calls_per_minute: NonZeroU32,
    /// Number of days that the first call of a pair looks back.
    pub lookback_days: u16,
}

impl Default for ResyncSettings {
    /// 30 calls per minute, and a week.
    fn default() -> Self {
        Self { calls_per_minute: NonZeroU32::MIN.saturating_add(29), lookback_days: 7 }
    }
}

/// Asks for everything again.
pub struct Resync<A, R, E> {
    api: A,
    resume_points: R,
    clock: E,
    service: String,
    settings: ResyncSettings,
}

/// What a call came to, after all its attempts.
enum Settled {
    Accepted,
    NotAccepted(NotAccepted),
    Ended {
        outcome: RunOutcome,
        /// Whether the call was attempted without success, so that others go first next time.
        in_vain: bool,
    },
}

/// The resume point together with the text that was seen last.
struct Kept {
    point: ResumePoint,
    seen: Option<String>,
}

impl<A: SyncApi, R: ResumePoints, E: Clock> Resync<A, R, E> {
    /// A resync on these ports. `service` names the API; progress at one says nothing about another.
    pub const fn new(api: A, resume_points: R, clock: E, service: String, settings: ResyncSettings) -> Self {
        Self { api, resume_points, clock, service, settings }
    }

    /// Carries out a plan. No call starts after `stop_at`, which leaves [`MAX_CALL_TIME`] and the time to save for what
    /// is under way. `watch` is called with every answer.
    pub async fn run(
        &self,
        plan: &ResyncPlan,
        stop_at: Option<Instant>,
        watch: &(dyn Fn(&Answered<'_>) + Sync),
    ) -> RunReport {
        let started = Instant::now();
        let mut rate_limiter = RateLimiter::per_minute(self.settings.calls_per_minute, stop_at);
        let mut report = RunReport::default();
        report.outcome = match plan {
            ResyncPlan::Entities(calls) => self.run_entities(calls, &mut rate_limiter, &mut report, watch).await,
            ResyncPlan::Everything { pairs, since } => {
                let wanted =
                    Wanted { service: &self.service, pairs, since: *since, lookback_days: self.settings.lookback_days };
                self.run_everything(wanted, &mut rate_limiter, &mut report, watch)
                    .await
                    .unwrap_or_else(|outcome| outcome)
            }
        };
        if let Some(counter) = report.outcome.counter(matches!(plan, ResyncPlan::Everything { .. })) {
            counter.count();
        }
        report.log(started.elapsed());
        report
    }

    async fn run_entities(
        &self,
        calls: &[SyncCall],
        rate_limiter: &mut RateLimiter,
        report: &mut RunReport,
        watch: &(dyn Fn(&Answered<'_>) + Sync),
    ) -> RunOutcome {
        report.not_asked = calls.to_vec();
        for call in calls {
            match self.settle(call, rate_limiter, watch).await {
                Settled::Accepted => report.accepted += 1,
                Settled::NotAccepted(call) => report.not_accepted.push(call),
                Settled::Ended { outcome, .. } => return outcome,
            }
            report.not_asked.retain(|left| left != call);
        }
        if report.not_accepted.is_empty() { RunOutcome::Complete } else { RunOutcome::Incomplete }
    }

    /// Goes through the pairs. An error is an outcome, too.
    async fn run_everything(
        &self,
        wanted: Wanted<'_>,
        rate_limiter: &mut RateLimiter,
        report: &mut RunReport,
        watch: &(dyn Fn(&Answered<'_>) + Sync),
    ) -> Result<RunOutcome, RunOutcome> {
        let mut kept = self.claim(wanted).await?;
        report.began_at = kept.point.began_at();
        report.last_complete_run_began_at = kept.point.last_complete_run_began_at();
        let calls = kept.point.calls();
        report.not_asked = calls.iter().map(|(_, call)| call.clone()).collect();
        for (position, call) in calls {
            match self.settle(&call, rate_limiter, watch).await {
                Settled::Accepted => {
                    kept.point.accepted(position);
                    report.accepted += 1;
                }
                Settled::NotAccepted(call) => {
                    kept.point.not_accepted(position);
                    report.not_accepted.push(call);
                }
                Settled::Ended { outcome, in_vain } => {
                    if in_vain {
                        kept.point.not_accepted(position);
                        // A pair that always ends the run must not keep it open, or no other pair would be asked for again.
                        if kept.point.is_all_tried() {
                            kept.point.close();
                        }
                        self.save(&mut kept).await?;
                    }
                    return Ok(outcome);
                }
            }
            report.not_asked.retain(|left| *left != call);
            self.save(&mut kept).await?;
        }
        let is_complete = kept.point.close();
        self.save(&mut kept).await?;
        report.last_complete_run_began_at = kept.point.last_complete_run_began_at();
        Ok(if is_complete { RunOutcome::Complete } else { RunOutcome::Incomplete })
    }

    /// Reads the resume point and makes it this execution's own.
    async fn claim(&self, wanted: Wanted<'_>) -> Result<Kept, RunOutcome> {
        let unusable = |error: ResumePointError| RunOutcome::ResumePoint(error);
        let seen = self.resume_points.load().await.map_err(|error| unusable(error.into()))?;
        let stored = seen.as_deref().map(ResumePoint::read).transpose().map_err(unusable)?;
        let now = self.clock.now();
        let claim = self.clock.new_delivery_id(now).to_string();
        let mut kept = Kept { point: ResumePoint::claimed(stored, wanted, claim, now), seen };
        self.save(&mut kept).await?;
        Ok(kept)
    }

    async fn save(&self, kept: &mut Kept) -> Result<(), RunOutcome> {
        let text = kept.point.text().map_err(RunOutcome::ResumePoint)?;
        match self.resume_points.save(kept.seen.as_deref(), &text).await {
            Ok(Saved::Done) => {
                kept.seen = Some(text);
                Ok(())
            }
            Ok(Saved::ChangedMeanwhile) => Err(RunOutcome::TakenOver),
            Err(error) => Err(RunOutcome::ResumePoint(error.into())),
        }
    }

    /// Makes a call, and retries it where that may help.
    async fn settle(
        &self,
        call: &SyncCall,
        rate_limiter: &mut RateLimiter,
        watch: &(dyn Fn(&Answered<'_>) + Sync),
    ) -> Settled {
        let mut pause = FIRST_PAUSE;
        let mut attempt = 0;
        loop {
            if !rate_limiter.turn().await {
                return Settled::Ended { outcome: RunOutcome::OutOfTime, in_vain: attempt > 0 };
            }
            attempt += 1;
            let answer = self.api.call(call).await;
            let next = self.next(&answer, attempt, pause);
            let answered = Answered { call, attempt, answer: &answer, next };
            answered.log();
            watch(&answered);
            let status = answered.status();
            match next {
                Next::Accepted => {
                    Counter::ResyncAccepted.count();
                    return Settled::Accepted;
                }
                Next::NotAccepted { reason, hold } => {
                    Counter::ResyncRefused.count();
                    rate_limiter.hold(hold);
                    return Settled::NotAccepted(NotAccepted { call: call.clone(), status, reason });
                }
                Next::Again { wait, .. } => rate_limiter.hold(wait),
                Next::CredentialsWrong => {
                    Counter::ResyncRefused.count();
                    return Settled::Ended { outcome: RunOutcome::CredentialsWrong, in_vain: true };
                }
                Next::ToldToWait { wait } => {
                    Counter::ResyncRefused.count();
                    return Settled::Ended { outcome: RunOutcome::ToldToWait { wait }, in_vain: true };
                }
            }
            pause = pause.saturating_mul(3);
        }
    }

    /// What follows from an answer.
    fn next(&self, answer: &Result<SyncAnswer, PortError>, attempt: u32, pause: Duration) -> Next {
        let again = |reason, wait, hold| {
            if attempt < MAX_ATTEMPTS { Next::Again { reason, wait } } else { Next::NotAccepted { reason, hold } }
        };
        let refused = |reason| Next::NotAccepted { reason, hold: Duration::ZERO };
        match answer.as_ref().map(|answer| answer.verdict(self.clock.now())) {
            Ok(Verdict::Accepted) => Next::Accepted,
            Ok(Verdict::CredentialsWrong) => Next::CredentialsWrong,
            Ok(Verdict::Throttled { wait }) if wait > MAX_WAIT => Next::ToldToWait { wait },
            // A requested wait also applies to the next call.
            Ok(Verdict::Throttled { wait }) => again(Reason::Throttled, wait, wait),
            Ok(Verdict::ServerError) => again(Reason::ServerError, pause, Duration::ZERO),
            Err(_) => again(Reason::NoAnswer, pause, Duration::ZERO),
            Ok(Verdict::Refused) => refused(Reason::Refused),
            Ok(Verdict::Unexpected) => refused(Reason::UnexpectedAnswer),
        }
    }
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
