//! lapin's errors as failures of the broker.

use std::io;

use intake_pipeline::drain::broker::{BrokerError, BrokerFailure};
use lapin::protocol::{AMQPError, AMQPErrorKind, AMQPHardError, AMQPSoftError};
use lapin::{Error, ErrorKind};

/// Maximum length of the broker's message that is repeated, in characters.
const MAX_MESSAGE_CHARACTERS: usize = 240;

/// The operation in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Connecting {
        tls: bool,
    },
    /// Opening a channel and a consumer on it.
    Consuming,
    /// Consuming and acknowledging.
    Running,
}

pub(crate) fn broker_error(phase: Phase, error: &Error) -> BrokerError {
    let failure = match (phase, error.kind()) {
        (Phase::Connecting { .. }, ErrorKind::ProtocolError(error)) => match error.kind() {
            AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED) => BrokerFailure::VirtualHostRefused,
            AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) => BrokerFailure::LoginRefused,
            _ => BrokerFailure::ConnectionLost,
        },
        (Phase::Connecting { tls: true }, ErrorKind::IOError(error)) if is_of_tls(error) => BrokerFailure::Tls,
        (Phase::Connecting { .. }, _) => BrokerFailure::Unreachable,
        (Phase::Consuming, ErrorKind::ProtocolError(error)) => refused_consumer(error),
        (Phase::Running, ErrorKind::ProtocolError(error)) if matches!(error.kind(), AMQPErrorKind::Soft(_)) => {
            BrokerFailure::ChannelClosed
        }
        (_, ErrorKind::InvalidChannelState(..)) => BrokerFailure::ChannelClosed,
        _ => BrokerFailure::ConnectionLost,
    };
    BrokerError { failure, message: on_one_line(&error.to_string()) }
}

fn refused_consumer(error: &AMQPError) -> BrokerFailure {
    match error.kind() {
        AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND) => BrokerFailure::UnknownQueue,
        AMQPErrorKind::Soft(AMQPSoftError::RESOURCELOCKED) => BrokerFailure::InUse,
        // RabbitMQ uses one code for a missing permission and for a queue that already has a consumer; its message for the latter is
        // "queue '...' in vhost '...' in exclusive use".
        AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) => {
            if error.get_message().as_str().contains("in exclusive use") {
                BrokerFailure::InUse
            } else {
                BrokerFailure::AccessRefused
            }
        }
        AMQPErrorKind::Soft(_) => BrokerFailure::ChannelClosed,
        AMQPErrorKind::Hard(_) => BrokerFailure::ConnectionLost,
    }
}

/// rustls reports problems as invalid data; a broker without TLS ends the connection when it receives a TLS handshake.
fn is_of_tls(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof)
}

/// An error with our own message.
pub(crate) fn described(failure: BrokerFailure, message: &str) -> BrokerError {
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

    fn protocol_error(kind: impl Into<AMQPErrorKind>, message: &str) -> Error {
        ErrorKind::ProtocolError(AMQPError::new(kind.into(), message.into())).into()
    }

    fn io(kind: io::ErrorKind) -> Error {
        ErrorKind::IOError(Arc::new(io::Error::from(kind))).into()
    }

    #[test]
    fn each_error_becomes_the_failure_that_names_its_remedy() {
        let connecting = Phase::Connecting { tls: false };
        let in_use = "ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use";
        let no_permission = "ACCESS_REFUSED - read access to queue 'q' in vhost '/' refused for user 'u'";
        for (phase, error, expected) in [
            (
                connecting,
                protocol_error(AMQPSoftError::ACCESSREFUSED, "Login was refused"),
                BrokerFailure::LoginRefused,
            ),
            (
                connecting,
                protocol_error(AMQPHardError::NOTALLOWED, "vhost not found"),
                BrokerFailure::VirtualHostRefused,
            ),
            (connecting, io(io::ErrorKind::ConnectionRefused), BrokerFailure::Unreachable),
            (connecting, io(io::ErrorKind::InvalidData), BrokerFailure::Unreachable),
            (Phase::Connecting { tls: true }, io(io::ErrorKind::InvalidData), BrokerFailure::Tls),
            (Phase::Connecting { tls: true }, io(io::ErrorKind::ConnectionRefused), BrokerFailure::Unreachable),
            (Phase::Consuming, protocol_error(AMQPSoftError::NOTFOUND, "no queue"), BrokerFailure::UnknownQueue),
            (Phase::Consuming, protocol_error(AMQPSoftError::ACCESSREFUSED, in_use), BrokerFailure::InUse),
            (
                Phase::Consuming,
                protocol_error(AMQPSoftError::ACCESSREFUSED, no_permission),
                BrokerFailure::AccessRefused,
            ),
            (Phase::Consuming, protocol_error(AMQPSoftError::RESOURCELOCKED, "locked"), BrokerFailure::InUse),
            (
                Phase::Running,
                protocol_error(AMQPSoftError::PRECONDITIONFAILED, "unknown tag"),
                BrokerFailure::ChannelClosed,
            ),
            (
                Phase::Running,
                protocol_error(AMQPHardError::CONNECTIONFORCED, "shutdown"),
                BrokerFailure::ConnectionLost,
            ),
            (Phase::Running, io(io::ErrorKind::ConnectionReset), BrokerFailure::ConnectionLost),
            (Phase::Running, ErrorKind::MissingHeartbeatError.into(), BrokerFailure::ConnectionLost),
        ] {
            assert_eq!(broker_error(phase, &error).failure, expected, "{phase:?} {error:?}");
        }
    }

    #[test]
    fn the_brokers_message_is_kept_on_one_line_and_truncated() {
        let error = protocol_error(AMQPSoftError::NOTFOUND, &format!("no queue\n{}", "q".repeat(240)));
        let message = broker_error(Phase::Consuming, &error).message;
        assert!(message.contains("no queue q") && message.chars().count() == MAX_MESSAGE_CHARACTERS, "{message}");
    }
}
