//! The steps of `demo`, and what each should come to.

use std::fmt;

use bytes::Bytes;
use intake_pipeline::ledger::Outcome;
use intake_pipeline::ledger::entity::Change;

use crate::signed_delivery::SignedDelivery;
use crate::token::TokenRequest;

/// One request of the demo.
#[derive(Debug)]
pub struct Step {
    /// What it shows.
    pub what: String,
    /// What is sent.
    pub sent: Sent,
    /// What it should come to.
    pub expected: Expected,
}

impl Step {
    /// A step with a delivery that is complete.
    pub(crate) fn delivery(what: impl Into<String>, delivery: SignedDelivery, expected: Expected) -> Self {
        Self { what: what.into(), sent: Sent::Delivery(delivery), expected }
    }

    /// A step with a body that is sent with the last token.
    pub(crate) fn with_token(what: impl Into<String>, body: Bytes, expected: Expected) -> Self {
        Self { what: what.into(), sent: Sent::WithToken(body), expected }
    }
}

/// What is sent.
#[derive(Debug)]
pub enum Sent {
    /// A delivery that is complete.
    Delivery(SignedDelivery),
    /// A request for a token.
    TokenRequest(TokenRequest),
    /// A body, with the last token that was issued.
    WithToken(Bytes),
}

/// What a step should come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The answer's status code.
    pub status: u16,
    /// What becomes of it.
    pub result: StepResult,
    /// What its events changed about their entities, for a provider whose events are about some.
    pub changes: Vec<Change>,
}

impl Expected {
    /// A token is issued.
    pub(crate) const fn token() -> Self {
        Self { status: 200, result: StepResult::Token, changes: Vec::new() }
    }

    /// The request is refused with this status.
    pub(crate) const fn refused(status: u16) -> Self {
        Self { status, result: StepResult::Refused, changes: Vec::new() }
    }

    /// The delivery's one event is recorded so.
    pub(crate) fn recorded(outcome: Outcome) -> Self {
        Self::all_recorded([outcome])
    }

    /// The delivery's events are recorded so.
    pub(crate) fn all_recorded<const EVENTS: usize>(outcomes: [Outcome; EVENTS]) -> Self {
        Self { status: 200, result: StepResult::Recorded(outcomes.to_vec()), changes: Vec::new() }
    }

    /// The same, with what the events change about their entities.
    pub(crate) fn changing<const EVENTS: usize>(self, changes: [Change; EVENTS]) -> Self {
        Self { changes: changes.to_vec(), ..self }
    }
}

/// Such as `200, stored ×2, created, changed`.
impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.status, self.result)?;
        self.changes.iter().try_for_each(|change| write!(f, ", {}", change.as_str()))
    }
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepResult {
    /// It is refused.
    Refused,
    /// It is answered with a token.
    Token,
    /// It is accepted, and each of its events is recorded so.
    Recorded(Vec<Outcome>),
}

/// Such as `stored ×2, quarantined`.
impl fmt::Display for StepResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("refused"),
            Self::Token => f.write_str("token"),
            Self::Recorded(outcomes) => {
                let alike =
                    outcomes.chunk_by(|one, next| one == next).filter_map(|alike| Some((alike.first()?, alike.len())));
                let words = alike.map(|(outcome, count)| match count {
                    1 => outcome.as_str().to_owned(),
                    count => format!("{} ×{count}", outcome.as_str()),
                });
                f.write_str(&words.collect::<Vec<_>>().join(", "))
            }
        }
    }
}
