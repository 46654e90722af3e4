//! Failed calls to an outside system.

/// A call to an outside system that did not succeed.
#[derive(Debug, thiserror::Error)]
#[error("{operation} failed: {message}")]
pub struct PortError {
    /// What was asked, such as `sqs SendMessage`.
    pub operation: &'static str,
    /// What came back, on one line, with no body or secret in it.
    pub message: String,
    /// What is known of the call.
    pub failure: CallFailure,
}

/// What is known of a call that did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallFailure {
    /// It had no effect.
    WithoutEffect,
    /// It may have taken effect: it was sent, and no answer says what became of it.
    Undecided,
    /// What was asked for is not there, or not for this caller. The same call fails until somebody changes that.
    Missing,
}

impl PortError {
    /// An error of this operation, with an error and all its causes on one line.
    #[must_use]
    pub fn new(operation: &'static str, error: &(dyn std::error::Error + 'static)) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let text = error.to_string();
            // Many errors repeat their cause in their own words.
            if !message.contains(&text) {
                message.push_str(": ");
                message.push_str(&text);
            }
            cause = error.source();
        }
        Self { operation, message, failure: CallFailure::WithoutEffect }
    }

    /// An error of this operation with the given message.
    #[must_use]
    pub fn of(operation: &'static str, message: impl Into<String>) -> Self {
        Self { operation, message: message.into(), failure: CallFailure::WithoutEffect }
    }

    /// The same error of a call that may have taken effect.
    #[must_use]
    pub fn undecided(self) -> Self {
        Self { failure: CallFailure::Undecided, ..self }
    }

    /// The same error of a call for what is not there.
    #[must_use]
    pub fn missing(self) -> Self {
        Self { failure: CallFailure::Missing, ..self }
    }

    /// Whether the call may have taken effect all the same.
    #[must_use]
    pub fn may_have_taken_effect(&self) -> bool {
        self.failure == CallFailure::Undecided
    }
}
