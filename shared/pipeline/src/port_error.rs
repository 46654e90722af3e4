//! Failed calls to an outside system.

/// A call to an outside system that did not succeed.
#[derive(Debug, thiserror::Error)]
#[error("{operation} failed: {message}")]
pub struct PortError {
    /// What was asked, such as `sqs SendMessage`.
    pub operation: &'static str,
    /// What came back, on one line, with no body or secret in it.
    pub message: String,
    /// Whether the call may have taken effect all the same: it was sent, and no answer was understood.
    pub may_have_taken_effect: bool,
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
        Self { operation, message, may_have_taken_effect: false }
    }

    /// An error of this operation with the given message.
    #[must_use]
    pub fn of(operation: &'static str, message: impl Into<String>) -> Self {
        Self { operation, message: message.into(), may_have_taken_effect: false }
    }

    /// The same error of a call that may have taken effect.
    #[must_use]
    pub fn undecided(self) -> Self {
        Self { may_have_taken_effect: true, ..self }
    }
}
