//! Connections, consumers and receipts.

use std::sync::Mutex;
use std::time::Duration;

use futures_util::StreamExt as _;
use intake_pipeline::drain::broker::{Broker, BrokerError, BrokerFailure, Messages, Receipt, Received, Session};
use intake_providers::amqp::{Connection, QueueName};
use lapin::options::{BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use lapin::{Acker, Channel, ConnectionProperties, Consumer};
use tokio::time::timeout;

use crate::broker_error::{Phase, broker_error, described};
use crate::message::message;

/// Timeout of a connection, TLS and login included.
const CONNECT: Duration = Duration::from_secs(10);

/// Both sides treat a connection as broken when nothing arrives for twice this time.
const HEARTBEAT_SECONDS: u16 = 10;

/// Name of the connection, shown to the broker's operators.
const CONNECTION_NAME: &str = "webhook-intake";

const SUCCESS: u16 = 200;

/// Brokers of AMQP 0-9-1.
#[derive(Clone, Copy, Debug)]
pub struct AmqpBroker;

impl Broker for AmqpBroker {
    type Session = AmqpSession;

    async fn connect(&self, connection: &Connection) -> Result<Self::Session, BrokerError> {
        let properties = ConnectionProperties::default().with_connection_name(CONNECTION_NAME.into());
        let runtime = lapin::runtime::default_runtime()
            .map_err(|error| broker_error(Phase::Connecting { tls: connection.tls }, &error))?;
        let connecting = lapin::Connection::connect_uri_with_runtime(uri(connection), properties, runtime);
        match timeout(CONNECT, connecting).await {
            Ok(Ok(connection)) => Ok(AmqpSession { connection, channels: Mutex::default() }),
            Ok(Err(error)) => Err(broker_error(Phase::Connecting { tls: connection.tls }, &error)),
            Err(_elapsed) => {
                let message = format!("no answer within {} s", CONNECT.as_secs());
                Err(described(BrokerFailure::Unreachable, &message))
            }
        }
    }
}

fn uri(connection: &Connection) -> AMQPUri {
    let Connection { host, port, virtual_host, username, password, tls } = connection;
    AMQPUri {
        scheme: if *tls { AMQPScheme::AMQPS } else { AMQPScheme::AMQP },
        authority: AMQPAuthority {
            userinfo: AMQPUserInfo { username: username.clone(), password: password.reveal().to_owned() },
            host: host.clone(),
            port: *port,
        },
        vhost: virtual_host.clone(),
        query: AMQPQueryString { heartbeat: Some(HEARTBEAT_SECONDS), ..AMQPQueryString::default() },
    }
}

/// A connection to a broker.
pub struct AmqpSession {
    connection: lapin::Connection,
    channels: Mutex<Vec<Channel>>,
}

impl Session for AmqpSession {
    type Messages = AmqpMessages;

    async fn consume(&self, queue: &QueueName, prefetch: u16) -> Result<Self::Messages, BrokerError> {
        let error = |error| broker_error(Phase::Consuming, &error);
        let channel = self.connection.create_channel().await.map_err(error)?;
        let consumer = consumer(&channel, queue, prefetch).await.map_err(error)?;
        if let Ok(mut channels) = self.channels.lock() {
            channels.push(channel.clone());
        }
        Ok(AmqpMessages { channel, queue: queue.clone(), consumer, is_cancelled: false, is_at_end: false })
    }

    async fn close(&self) -> Result<(), BrokerError> {
        let error = |error| broker_error(Phase::Running, &error);
        let channels = self.channels.lock().map(|mut channels| std::mem::take(&mut *channels)).unwrap_or_default();
        // The broker answers the channel's close after processing every acknowledgement on it; a connection's close gives no such
        // guarantee.
        for channel in channels.iter().filter(|channel| channel.status().connected()) {
            channel.close(SUCCESS, "OK".into()).await.map_err(error)?;
        }
        self.connection.close(SUCCESS, "OK".into()).await.map_err(error)
    }
}

/// Starts to consume a queue as its only consumer.
///
/// `basic.qos` comes first: it limits each consumer that starts after it, and does not change a running one.
/// Source: RabbitMQ, "Consumer Prefetch". Quorum queues do not support its other form, a limit for the whole channel.
async fn consumer(channel: &Channel, queue: &QueueName, prefetch: u16) -> lapin::Result<Consumer> {
    channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
    let options = BasicConsumeOptions { exclusive: true, ..BasicConsumeOptions::default() };
    channel.basic_consume(queue.as_str().into(), "".into(), options, FieldTable::default()).await
}

/// The messages of one queue, on their own channel.
pub struct AmqpMessages {
    channel: Channel,
    queue: QueueName,
    consumer: Consumer,
    is_cancelled: bool,
    /// lapin reports the end of the messages once, and then never again.
    is_at_end: bool,
}

impl Messages for AmqpMessages {
    type Receipt = AmqpReceipt;

    async fn next(&mut self) -> Result<Option<Received<AmqpReceipt>>, BrokerError> {
        if self.is_at_end {
            return Ok(None);
        }
        match self.consumer.next().await {
            Some(Ok(delivery)) => {
                let (message, acker) = message(delivery);
                Ok(Some(Received { message, receipt: AmqpReceipt(acker) }))
            }
            Some(Err(error)) => Err(broker_error(Phase::Running, &error)),
            // lapin ends the messages in the same way whether the broker ended the consumer or all of the connection.
            None if !self.is_cancelled && !self.channel.status().connected() => Err(gone()),
            None => {
                self.is_at_end = true;
                Ok(None)
            }
        }
    }

    async fn cancel(&mut self) -> Result<(), BrokerError> {
        if self.is_at_end {
            return Ok(());
        }
        let cancelling = self.channel.basic_cancel(self.consumer.tag(), BasicCancelOptions::default()).await;
        cancelling.map_err(|error| broker_error(Phase::Running, &error))?;
        self.is_cancelled = true;
        Ok(())
    }

    async fn consume_again(&mut self, prefetch: u16) -> Result<(), BrokerError> {
        let consuming = consumer(&self.channel, &self.queue, prefetch).await;
        self.consumer = consuming.map_err(|error| broker_error(Phase::Running, &error))?;
        (self.is_cancelled, self.is_at_end) = (false, false);
        Ok(())
    }
}

/// Acknowledges or requeues one message.
#[derive(Debug)]
pub struct AmqpReceipt(Acker);

impl Receipt for AmqpReceipt {
    async fn acknowledge(&self) -> Result<(), BrokerError> {
        settled(self.0.ack(BasicAckOptions::default()).await)
    }

    async fn requeue(&self) -> Result<(), BrokerError> {
        settled(self.0.nack(BasicNackOptions { requeue: true, ..BasicNackOptions::default() }).await)
    }
}

/// lapin reports "not sent" rather than an error when the channel is already closed.
fn settled(result: lapin::Result<bool>) -> Result<(), BrokerError> {
    match result {
        Ok(true) => Ok(()),
        Ok(false) => Err(gone()),
        Err(error) => Err(broker_error(Phase::Running, &error)),
    }
}

fn gone() -> BrokerError {
    described(BrokerFailure::ConnectionLost, "the channel is gone, and with it what was not acknowledged")
}
