//! The adapter against a real RabbitMQ. The end-to-end tests start one and run these:
//! `RABBITMQ_TEST_PORT`, `RABBITMQ_TEST_TLS_PORT` and `RABBITMQ_TEST_PASSWORD` say where it is and how the login `agency`, which
//! may only read, logs in. The login `publisher` may do everything.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::time::Duration;

use intake_broker::{AmqpBroker, AmqpMessages};
use intake_pipeline::drain::broker::{
    Broker as _, BrokerError, BrokerFailure, Messages as _, Receipt as _, Session as _,
};
use intake_providers::amqp::{Connection, Password, QueueName};
use lapin::options::{BasicPublishOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{BasicProperties, Channel, ConnectionProperties};
use tokio::time::timeout;

fn setting(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set; tests/test_rabbitmq.py sets it"))
}

fn connection() -> Connection {
    Connection {
        host: "localhost".to_owned(),
        port: setting("RABBITMQ_TEST_PORT").parse().unwrap(),
        virtual_host: "/".to_owned(),
        username: "agency".to_owned(),
        password: Password::new(setting("RABBITMQ_TEST_PASSWORD")),
        tls: false,
    }
}

/// A queue of the test's own, as its owner has it.
struct Owned {
    channel: Channel,
    name: QueueName,
    _connection: lapin::Connection,
}

impl Owned {
    async fn queue(name: &str, kind: &str) -> Self {
        let uri = format!("amqp://publisher:publisher@localhost:{}/%2f", setting("RABBITMQ_TEST_PORT"));
        let connection = lapin::Connection::connect(&uri, ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString(LongString::from(kind)));
        if kind == "quorum" {
            // What RabbitMQ 4 has unless a policy says otherwise.
            arguments.insert("x-delivery-limit".into(), AMQPValue::LongInt(20));
        }
        channel.queue_delete(name.into(), QueueDeleteOptions::default()).await.unwrap();
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(name.into(), options, arguments).await.unwrap();
        Self { channel, name: QueueName::new(name).unwrap(), _connection: connection }
    }

    async fn publish(&self, body: &str, properties: BasicProperties) {
        let options = BasicPublishOptions::default();
        let name = self.name.as_str().into();
        self.channel.basic_publish("".into(), name, options, body.as_bytes(), properties).await.unwrap();
    }

    /// How many messages are ready.
    async fn ready(&self) -> u32 {
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        self.channel
            .queue_declare(self.name.as_str().into(), options, FieldTable::default())
            .await
            .unwrap()
            .message_count()
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(10), future).await.expect("an answer within 10 s")
}

async fn bodies(messages: &mut AmqpMessages, count: usize) -> Vec<String> {
    let mut bodies = Vec::new();
    for _ in 0..count {
        let received = within(messages.next()).await.unwrap().expect("a message");
        bodies.push(String::from_utf8(received.message.body.to_vec()).unwrap());
    }
    bodies
}

#[tokio::test]
#[ignore = "needs a RabbitMQ"]
async fn a_message_has_its_properties_and_is_removed_once_acknowledged() {
    let owned = Owned::queue("adapter.properties", "classic").await;
    let mut headers = FieldTable::default();
    headers.insert("tenant".into(), AMQPValue::LongInt(7));
    let properties = BasicProperties::default().with_message_id("m-1".into()).with_timestamp(5).with_headers(headers);
    owned.publish("body", properties).await;

    let session = AmqpBroker.connect(&connection()).await.unwrap();
    let mut messages = session.consume(&owned.name, 10).await.unwrap();
    let received = within(messages.next()).await.unwrap().unwrap();
    let found = received.message.properties;
    assert_eq!((found.message_id.as_deref(), found.timestamp, found.redelivered), (Some("m-1"), Some(5), false));
    assert_eq!(found.headers, [("tenant".to_owned(), b"7".to_vec())]);
    assert_eq!((found.exchange.as_str(), found.routing_key.as_str()), ("", "adapter.properties"));
    received.receipt.acknowledge().await.unwrap();
    messages.cancel().await.unwrap();
    session.close().await.unwrap();
    assert_eq!(owned.ready().await, 0);
}

#[tokio::test]
#[ignore = "needs a RabbitMQ"]
async fn a_requeued_message_is_redelivered_and_a_quorum_queue_counts_it() {
    let owned = Owned::queue("adapter.returned", "quorum").await;
    owned.publish("body", BasicProperties::default()).await;
    for (redelivered, count) in [(false, None), (true, Some(1)), (true, Some(2))] {
        let session = AmqpBroker.connect(&connection()).await.unwrap();
        let mut messages = session.consume(&owned.name, 10).await.unwrap();
        let received = within(messages.next()).await.unwrap().unwrap();
        let found = received.message.properties;
        assert_eq!((found.redelivered, found.delivery_count), (redelivered, count));
        assert!(found.headers.is_empty());
        messages.cancel().await.unwrap();
        received.receipt.requeue().await.unwrap();
        session.close().await.unwrap();
    }
}

#[tokio::test]
#[ignore = "needs a RabbitMQ"]
async fn the_prefetch_limits_deliveries_and_those_sent_arrive_after_the_cancel() {
    let owned = Owned::queue("adapter.cancelled", "classic").await;
    for number in 0..20 {
        owned.publish(&number.to_string(), BasicProperties::default()).await;
    }
    let session = AmqpBroker.connect(&connection()).await.unwrap();
    let mut messages = session.consume(&owned.name, 5).await.unwrap();
    assert_eq!(bodies(&mut messages, 2).await, ["0", "1"]);
    messages.cancel().await.unwrap();
    assert_eq!(bodies(&mut messages, 3).await, ["2", "3", "4"]);
    assert!(within(messages.next()).await.unwrap().is_none());
    assert_eq!(owned.ready().await, 15);
    session.close().await.unwrap();
}

#[tokio::test]
#[ignore = "needs a RabbitMQ"]
async fn a_restarted_consumer_has_its_own_prefetch_beside_unacknowledged_messages() {
    for kind in ["classic", "quorum"] {
        let owned = Owned::queue("adapter.again", kind).await;
        for number in 0..30 {
            owned.publish(&number.to_string(), BasicProperties::default()).await;
        }
        let session = AmqpBroker.connect(&connection()).await.unwrap();
        let mut messages = session.consume(&owned.name, 1).await.unwrap();
        let first = within(messages.next()).await.unwrap().unwrap();
        assert!(
            timeout(Duration::from_millis(300), messages.next()).await.is_err(),
            "{kind}: no more than the prefetch"
        );
        messages.cancel().await.unwrap();
        assert!(within(messages.next()).await.unwrap().is_none(), "{kind}");

        messages.consume_again(7).await.unwrap();
        assert_eq!(bodies(&mut messages, 7).await, ["1", "2", "3", "4", "5", "6", "7"], "{kind}");
        assert!(
            timeout(Duration::from_millis(300), messages.next()).await.is_err(),
            "{kind}: no more than the new one"
        );
        first.receipt.acknowledge().await.unwrap();
        assert!(
            timeout(Duration::from_millis(300), messages.next()).await.is_err(),
            "{kind}: the first counts for itself"
        );
        messages.cancel().await.unwrap();
        assert!(within(messages.next()).await.unwrap().is_none(), "{kind}");
        session.close().await.unwrap();

        let session = AmqpBroker.connect(&connection()).await.unwrap();
        let mut messages = session.consume(&owned.name, 100).await.unwrap();
        assert_eq!(bodies(&mut messages, 29).await.len(), 29, "{kind}: all but the one that was acknowledged");
        session.close().await.unwrap();
    }
}

#[tokio::test]
#[ignore = "needs a RabbitMQ"]
async fn a_quorum_queue_drops_a_message_that_is_requeued_beyond_its_limit() {
    let owned = Owned::queue("adapter.limited", "quorum").await;
    owned.publish("body", BasicProperties::default()).await;
    for returned in 0..=20_u64 {
        let session = AmqpBroker.connect(&connection()).await.unwrap();
        let mut messages = session.consume(&owned.name, 1).await.unwrap();
        let received = within(messages.next()).await.unwrap().unwrap();
        assert_eq!(received.message.properties.delivery_count.unwrap_or(0), returned);
        messages.cancel().await.unwrap();
        received.receipt.requeue().await.unwrap();
        session.close().await.unwrap();
    }
    let session = AmqpBroker.connect(&connection()).await.unwrap();
    let mut messages = session.consume(&owned.name, 1).await.unwrap();
    assert!(timeout(Duration::from_millis(500), messages.next()).await.is_err(), "it is gone");
    session.close().await.unwrap();
}

#[tokio::test]
#[ignore = "needs a RabbitMQ"]
async fn a_second_consumer_is_refused_while_one_is_running() {
    let owned = Owned::queue("adapter.exclusive", "classic").await;
    let first = AmqpBroker.connect(&connection()).await.unwrap();
    let messages = first.consume(&owned.name, 10).await.unwrap();
    let second = AmqpBroker.connect(&connection()).await.unwrap();
    let refused = second.consume(&owned.name, 10).await.err().unwrap();
    assert_eq!(refused.failure, BrokerFailure::InUse, "{refused}");
    second.close().await.unwrap();
    drop(messages);
    first.close().await.unwrap();
    let third = AmqpBroker.connect(&connection()).await.unwrap();
    third.consume(&owned.name, 10).await.unwrap();
}

#[tokio::test]
#[ignore = "needs a RabbitMQ"]
async fn what_the_broker_refuses_is_an_error_of_its_kind_without_the_password() {
    let refused = async |change: fn(&mut Connection)| -> BrokerError {
        let mut connection = connection();
        change(&mut connection);
        within(AmqpBroker.connect(&connection)).await.err().expect("an error")
    };
    for (change, expected) in [
        (
            (|connection| connection.password = Password::new("hush-hush".to_owned())) as fn(&mut Connection),
            BrokerFailure::LoginRefused,
        ),
        (|connection| connection.virtual_host = "elsewhere".to_owned(), BrokerFailure::VirtualHostRefused),
        (|connection| connection.port = 1, BrokerFailure::Unreachable),
        (|connection| connection.host = "broker.invalid".to_owned(), BrokerFailure::Unreachable),
        (|connection| connection.tls = true, BrokerFailure::Tls),
    ] {
        let error = refused(change).await;
        assert_eq!(error.failure, expected, "{error}");
        assert!(!format!("{error} {error:?}").contains("hush"), "{error}");
    }
    let session = AmqpBroker.connect(&connection()).await.unwrap();
    let unknown = session.consume(&QueueName::new("adapter.unknown").unwrap(), 10).await.err().unwrap();
    assert_eq!(unknown.failure, BrokerFailure::UnknownQueue, "{unknown}");
    session.close().await.unwrap();
}

#[tokio::test]
#[ignore = "needs a RabbitMQ"]
async fn a_certificate_is_checked_against_the_roots_and_the_hosts_name() {
    let with_tls = |host: &str| Connection {
        host: host.to_owned(),
        port: setting("RABBITMQ_TEST_TLS_PORT").parse().unwrap(),
        tls: true,
        ..connection()
    };
    // SSL_CERT_FILE, which the starter of these tests sets, names the root that signed the broker's certificate.
    let session = within(AmqpBroker.connect(&with_tls("localhost"))).await.unwrap();
    session.close().await.unwrap();
    let error = within(AmqpBroker.connect(&with_tls("127.0.0.1"))).await.err().unwrap();
    assert_eq!(error.failure, BrokerFailure::Tls, "{error}");
}

#[tokio::test]
#[ignore = "needs a RabbitMQ"]
async fn a_cancelled_consumer_is_distinguished_from_a_lost_connection() {
    let owned = Owned::queue("adapter.deleted", "classic").await;
    let session = AmqpBroker.connect(&connection()).await.unwrap();
    let mut messages = session.consume(&owned.name, 10).await.unwrap();
    owned.publish("body", BasicProperties::default()).await;
    let received = within(messages.next()).await.unwrap().unwrap();
    owned.channel.queue_delete(owned.name.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
    assert!(within(messages.next()).await.unwrap().is_none(), "the channel goes on");
    within(messages.cancel()).await.unwrap();
    assert!(within(messages.next()).await.unwrap().is_none(), "and the end stays the end");
    session.close().await.unwrap();
    let error = received.receipt.acknowledge().await.unwrap_err();
    assert_eq!(error.failure, BrokerFailure::ConnectionLost, "{error}");
}
