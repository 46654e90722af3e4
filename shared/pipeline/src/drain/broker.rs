//! The broker that a drain consumes from.

use std::fmt;
use std::future::Future;

use intake_providers::amqp::{Connection, Message, QueueName};
use strum::IntoStaticStr;

/// A broker of AMQP. Nothing here declares, binds, purges or deletes: the queues belong to the provider.
pub trait Broker: Send + Sync + 'static {
    /// A connection.
    type Session: Session;

    /// Connects and logs in.
    fn connect(&self, connection: &Connection) -> impl Future<Output = Result<Self::Session, BrokerError>> + Send;
}

/// A connection to a broker.
pub trait Session: Send + Sync {
    /// The messages of one queue.
    type Messages: Messages;

    /// Consumes a queue as its only consumer. At most `prefetch` unacknowledged messages are in flight.
    fn consume(
        &self,
        queue: &QueueName,
        prefetch: u16,
    ) -> impl Future<Output = Result<Self::Messages, BrokerError>> + Send;

    /// Closes the connection in an orderly way. What was acknowledged before is then known to the broker.
    fn close(&self) -> impl Future<Output = Result<(), BrokerError>> + Send;
}

/// The messages of one queue, as the broker sends them.
pub trait Messages: Send {
    /// What acknowledges a message.
    type Receipt: Receipt;

    /// The next message; nothing once the consumer is cancelled, by us or by the broker, and all that had been sent was
    /// taken. Giving up the wait loses no message.
    fn next(&mut self) -> impl Future<Output = Result<Option<Received<Self::Receipt>>, BrokerError>> + Send;

    /// Asks the broker to send no more.
    fn cancel(&mut self) -> impl Future<Output = Result<(), BrokerError>> + Send;

    /// Consumes the queue again, after the consumer was cancelled and all that had been sent was taken. At most `prefetch`
    /// messages are in flight beside those that the cancelled consumer left unacknowledged.
    ///
    /// RabbitMQ keeps a consumer's prefetch as it was when the consumer began, so another prefetch takes another consumer.
    fn consume_again(&mut self, prefetch: u16) -> impl Future<Output = Result<(), BrokerError>> + Send;
}

/// A message, and what acknowledges it.
#[derive(Debug)]
pub struct Received<R> {
    /// The message.
    pub message: Message,
    /// What acknowledges it.
    pub receipt: R,
}

/// Acknowledges or requeues one message.
pub trait Receipt: Send + Sync {
    /// Acknowledges the message (`basic.ack`).
    fn acknowledge(&self) -> impl Future<Output = Result<(), BrokerError>> + Send;

    /// Requeues the message (`basic.nack` with requeue).
    fn requeue(&self) -> impl Future<Output = Result<(), BrokerError>> + Send;
}

/// A failure of the broker.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{failure}: {message}")]
pub struct BrokerError {
    /// The kind of failure.
    pub failure: BrokerFailure,
    /// The error message, on one line, without a password.
    pub message: String,
}

/// The kinds of failure. `Display` says what to do about each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum BrokerFailure {
    /// No answer from the address, or not in time.
    #[strum(serialize = "broker-unreachable")]
    Unreachable,
    /// No TLS connection: no agreement, or a certificate that is not the host's.
    #[strum(serialize = "tls-failed")]
    Tls,
    /// The login is refused.
    LoginRefused,
    /// The virtual host does not exist, or this login may not use it.
    VirtualHostRefused,
    /// The queue does not exist.
    UnknownQueue,
    /// Another consumer has the queue.
    #[strum(serialize = "queue-in-use")]
    InUse,
    /// The login may not read the queue.
    AccessRefused,
    /// The broker ended the consumer.
    ConsumerCancelled,
    /// The broker closed the channel.
    ChannelClosed,
    /// The connection broke, or the broker closed it.
    ConnectionLost,
}

impl BrokerFailure {
    /// The reason as logs name it.
    #[must_use]
    pub fn reason(self) -> &'static str {
        self.into()
    }
}

impl fmt::Display for BrokerFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreachable => "the broker cannot be reached; check host and port in the secret, and the network",
            Self::Tls => {
                "no tls connection to the broker; check tls and host in the secret, and the broker's certificate"
            }
            Self::LoginRefused => "the broker refuses the login; check username and password in the secret",
            Self::VirtualHostRefused => {
                "the broker refuses the virtual host; check virtualHost in the secret, and the login's permissions"
            }
            Self::UnknownQueue => "the broker knows no such queue; check queue and replay_queue in the secret",
            Self::InUse => "somebody else consumes the queue",
            Self::AccessRefused => "the login may not read the queue; ask the provider for the permission",
            Self::ConsumerCancelled => "the broker ended the consumer; the queue was deleted or moved",
            Self::ChannelClosed => "the broker closed the channel",
            Self::ConnectionLost => "the connection to the broker is lost",
        })
    }
}
