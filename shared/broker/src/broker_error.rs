//! lapin's errors as failures of the broker.

use std::io;

use intake_pipeline::drain::broker::{BrokerError, BrokerFailure};
use lapin::protocol::{AMQPError, AMQPErrorKind, AMQPHardError, AMQPSoftError};
use lapin::{Error, ErrorKind};

/// Maximum length of the broker's own words that are repeated, in characters.
const MAX_MESSAGE_CHARACTERS: usize = 240;

/// What was in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Connecting {
        tls: bool,
    },
    /// Opening a channel and a consumer on it.
    Consuming,
    /// Everything after that.
    Running,
}

pub(crate) fn broker_error(phase: Phase, error: &Error) -> BrokerError {
    let failure = match (phase, error.kind()) {
        (Phase::Connecting { .. }, ErrorKind::ProtocolError(refusal)) => match refusal.kind() {
            AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED) => BrokerFailure::VirtualHostRefused,
            AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) => BrokerFailure::LoginRefused,
            _ => BrokerFailure::ConnectionLost,
        },
        (Phase::Connecting { tls: true }, ErrorKind::IOError(error)) if is_of_tls(error) => BrokerFailure::Tls,
        (Phase::Connecting { .. }, _) => BrokerFailure::Unreachable,
        (Phase::Consuming, ErrorKind::ProtocolError(refusal)) => refused_consumer(refusal),
        (Phase::Running, ErrorKind::ProtocolError(refusal)) if matches!(refusal.kind(), AMQPErrorKind::Soft(_)) => {
            BrokerFailure::ChannelClosed
        }
        (_, ErrorKind::InvalidChannelState(..)) => BrokerFailure::ChannelClosed,
        _ => BrokerFailure::ConnectionLost,
    };
    BrokerError { failure, message: on_one_line(&error.to_string()) }
}

fn refused_consumer(refusal: &AMQPError) -> BrokerFailure {
    match refusal.kind() {
        AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND) => BrokerFailure::UnknownQueue,
        AMQPErrorKind::Soft(AMQPSoftError::RESOURCELOCKED) => BrokerFailure::InUse,
        // RabbitMQ has one code for a missing permission and for a queue that has a consumer already; its words for the latter are
        // "queue '...' in vhost '...' in exclusive use".
        AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) => {
            if refusal.get_message().as_str().contains("in exclusive use") {
                BrokerFailure::InUse
            } else {
                BrokerFailure::AccessRefused
            }
        }
        AMQPErrorKind::Soft(_) => BrokerFailure::ChannelClosed,
        AMQPErrorKind::Hard(_) => BrokerFailure::ConnectionLost,
    }
}

/// What rustls finds wrong comes as invalid data; a plain broker ends the connection when it meets TLS.
fn is_of_tls(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof)
}

/// An error in our own words.
pub(crate) fn in_words(failure: BrokerFailure, message: &str) -> BrokerError {
    BrokerError { failure, message: on_one_line(message) }
}

fn on_one_line(text: &str) -> String {
    text.chars()
        .take(MAX_MESSAGE_CHARACTERS)
        .map(|character| if character.is_control() { ' ' } else { character })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn refusal(kind: impl Into<AMQPErrorKind>, message: &str) -> Error {
        ErrorKind::ProtocolError(AMQPError::new(kind.into(), message.into())).into()
    }

    fn io(kind: io::ErrorKind) -> Error {
        ErrorKind::IOError(Arc::new(io::Error::from(kind))).into()
    }

    #[test]
    fn each_refusal_comes_to_what_can_be_done_about_it() {
        let connecting = Phase::Connecting { tls: false };
        let in_use = "ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use";
        let no_permission = "ACCESS_REFUSED - read access to queue 'q' in vhost '/' refused for user 'u'";
        for (phase, error, expected) in [
            (connecting, refusal(AMQPSoftError::ACCESSREFUSED, "Login was refused"), BrokerFailure::LoginRefused),
            (connecting, refusal(AMQPHardError::NOTALLOWED, "vhost not found"), BrokerFailure::VirtualHostRefused),
            (connecting, io(io::ErrorKind::ConnectionRefused), BrokerFailure::Unreachable),
            (connecting, io(io::ErrorKind::InvalidData), BrokerFailure::Unreachable),
            (Phase::Connecting { tls: true }, io(io::ErrorKind::InvalidData), BrokerFailure::Tls),
            (Phase::Connecting { tls: true }, io(io::ErrorKind::ConnectionRefused), BrokerFailure::Unreachable),
            (Phase::Consuming, refusal(AMQPSoftError::NOTFOUND, "no queue"), BrokerFailure::UnknownQueue),
            (Phase::Consuming, refusal(AMQPSoftError::ACCESSREFUSED, in_use), BrokerFailure::InUse),
            (Phase::Consuming, refusal(AMQPSoftError::ACCESSREFUSED, no_permission), BrokerFailure::AccessRefused),
            (Phase::Consuming, refusal(AMQPSoftError::RESOURCELOCKED, "locked"), BrokerFailure::InUse),
            (Phase::Running, refusal(AMQPSoftError::PRECONDITIONFAILED, "unknown tag"), BrokerFailure::ChannelClosed),
            (Phase::Running, refusal(AMQPHardError::CONNECTIONFORCED, "shutdown"), BrokerFailure::ConnectionLost),
            (Phase::Running, io(io::ErrorKind::ConnectionReset), BrokerFailure::ConnectionLost),
            (Phase::Running, ErrorKind::MissingHeartbeatError.into(), BrokerFailure::ConnectionLost),
        ] {
            assert_eq!(broker_error(phase, &error).failure, expected, "{phase:?} {error:?}");
        }
    }

    #[test]
    fn the_brokers_words_are_kept_on_one_line_and_short() {
        let error = refusal(AMQPSoftError::NOTFOUND, &format!("no queue\n{}", "q".repeat(240)));
        let message = broker_error(Phase::Consuming, &error).message;
        assert!(message.contains("no queue q") && message.chars().count() == MAX_MESSAGE_CHARACTERS, "{message}");
    }
}
