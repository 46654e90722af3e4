//! Errors of the SDK as errors of a port.

use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use intake_pipeline::port_error::PortError;

use crate::throttling::throttled_by;

/// Maximum length of a service's own message that is repeated, in characters.
const MAX_MESSAGE_CHARACTERS: usize = 240;

/// The error of a call, on one line: the service's error code and message, or how the call failed in transit.
pub(crate) fn port_error<E>(operation: &'static str, error: &SdkError<E>) -> PortError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    match error {
        SdkError::ServiceError(context) => {
            let status = context.raw().status().as_u16();
            let mut error = match (context.err().code(), context.err().message()) {
                (Some(code), Some(message)) => {
                    let message = message_without_quotations(message);
                    PortError::of(operation, format!("{}: {message} (HTTP status {status})", printable(code)))
                }
                (Some(code), None) => PortError::of(operation, format!("{} (HTTP status {status})", printable(code))),
                (None, _) => unreadable(operation, status),
            };
            if let Some(reasons) = throttled_by(context.err()) {
                error.message.push_str("; throttled by ");
                error.message.push_str(&printable(&reasons));
            }
            // A service that fails does not say how far it came.
            if status >= 500 { error.undecided() } else { error }
        }
        SdkError::ResponseError(context) => unreadable(operation, context.raw().status().as_u16()).undecided(),
        SdkError::TimeoutError(_) => PortError::new(operation, error).undecided(),
        // The connection may have broken before or after the request was sent.
        SdkError::DispatchFailure(failure) if !failure.is_user() => PortError::new(operation, error).undecided(),
        _ => PortError::new(operation, error),
    }
}

/// The causes are left out: they may quote what was found in place of the expected value, possibly a secret.
fn unreadable(operation: &'static str, status: u16) -> PortError {
    PortError::of(operation, format!("the answer could not be read (HTTP status {status})"))
}

/// A service's message up to its first quotation, which may repeat what we sent.
pub(crate) fn message_without_quotations(message: &str) -> String {
    let characters: Vec<char> = message.chars().collect();
    let is_letter = |index: Option<usize>| {
        index.and_then(|index| characters.get(index)).is_some_and(|character| character.is_alphabetic())
    };
    let quotation = characters.iter().enumerate().position(|(index, character)| match character {
        // An apostrophe, as in "can't", is not a quotation mark.
        '\'' | '’' => !(is_letter(index.checked_sub(1)) && is_letter(index.checked_add(1))),
        '"' | '`' | '“' | '‘' | '«' | '(' | '[' | '{' | '<' => true,
        _ => false,
    });
    match quotation {
        None => printable(message),
        Some(end) => printable(characters.iter().take(end).collect::<String>().trim_end()) + " …",
    }
}

/// Collapses a text to one line of limited length.
fn printable(text: &str) -> String {
    let mut printable: String = text
        .chars()
        .take(MAX_MESSAGE_CHARACTERS)
        .map(|character| if character.is_control() { ' ' } else { character })
        .collect();
    if text.chars().nth(MAX_MESSAGE_CHARACTERS).is_some() {
        printable.push('…');
    }
    printable
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_cut_where_it_starts_to_quote() {
        for (message, expected) in [
            ("Secrets Manager can't find the specified secret.", "Secrets Manager can't find the specified secret."),
            (
                "1 validation error detected: Value 'body' at 'messageBody' failed",
                "1 validation error detected: Value …",
            ),
            ("Value (body) for parameter MessageBody is invalid.", "Value …"),
            ("Value body: {\"amount\": 5}", "Value body: …"),
            ("two\nlines", "two lines"),
        ] {
            assert_eq!(message_without_quotations(message), expected);
        }
    }

    #[test]
    fn a_long_message_is_cut() {
        assert_eq!(message_without_quotations(&"a".repeat(1_000)).chars().count(), MAX_MESSAGE_CHARACTERS + 1);
    }
}
