//! Ports that do what a test says.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use intake_pipeline::clock::Clock;
use intake_pipeline::payloads::{PayloadKey, PayloadReader, Payloads};
use intake_pipeline::platform::Platform;
use intake_pipeline::port_error::PortError;
use intake_pipeline::queue::{BatchQueue, Queue};
use intake_pipeline::queue_message::QueueMessage;
use intake_pipeline::secrets::{SecretText, Secrets};
use intake_providers::delivery::DeliveryId;
use intake_providers::timestamp::Timestamp;
use intake_sqlite::{FileLease, SqliteDeliveryRecords, SqliteLedger};

pub(crate) struct TestPlatform;

impl Platform for TestPlatform {
    type Queue = TestQueue;
    type Payloads = TestPayloads;
    type Secrets = TestSecrets;
    // An intake holds none of these three.
    type Ledger = SqliteLedger;
    type DeliveryRecords = SqliteDeliveryRecords;
    type Lease = FileLease;
    type Clock = FixedClock;
}

/// A clock that stands still: keys and tokens are made for the time that it shows.
#[derive(Clone, Copy)]
pub(crate) struct FixedClock(pub(crate) Timestamp);

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        self.0
    }

    fn new_delivery_id(&self, received_at: Timestamp) -> DeliveryId {
        DeliveryId::random(received_at)
    }
}

pub(crate) struct Ports {
    pub(crate) queue: TestQueue,
    pub(crate) payloads: TestPayloads,
    pub(crate) secrets: TestSecrets,
}

impl Ports {
    pub(crate) fn with_secret(text: &str) -> Self {
        let secrets = TestSecrets::default();
        secrets.set(text);
        Self { queue: TestQueue::default(), payloads: TestPayloads, secrets }
    }
}

#[derive(Clone, Copy, Default)]
pub(crate) enum Behaviour {
    #[default]
    Work,
    Fail,
    Hang,
    Panic,
}

#[derive(Clone, Default)]
pub(crate) struct TestQueue {
    messages: Arc<Mutex<Vec<String>>>,
    behaviour: Arc<Mutex<Behaviour>>,
}

impl TestQueue {
    pub(crate) fn behave(&self, behaviour: Behaviour) {
        *self.behaviour.lock().unwrap() = behaviour;
    }

    pub(crate) fn messages(&self) -> Vec<String> {
        self.messages.lock().unwrap().clone()
    }
}

impl Queue for TestQueue {
    async fn send(&self, message: &QueueMessage) -> Result<(), PortError> {
        let behaviour = *self.behaviour.lock().unwrap();
        match behaviour {
            Behaviour::Work => {
                self.messages.lock().unwrap().push(message.text().to_owned());
                Ok(())
            }
            Behaviour::Fail => Err(PortError::of("queue send", "the queue is away, as the test says")),
            Behaviour::Hang => std::future::pending().await,
            Behaviour::Panic => panic!("the queue panics, as the test says"),
        }
    }
}

impl BatchQueue for TestQueue {
    async fn check(&self) -> Result<(), PortError> {
        Ok(())
    }

    async fn send_batch(&self, messages: &[QueueMessage]) -> Result<Vec<Result<(), PortError>>, PortError> {
        let mut results = Vec::new();
        for message in messages {
            results.push(self.send(message).await);
        }
        Ok(results)
    }
}

/// No request of the suite is large enough to leave its body here.
#[derive(Clone)]
pub(crate) struct TestPayloads;

impl PayloadReader for TestPayloads {
    async fn get(&self, _: &PayloadKey) -> Result<Bytes, PortError> {
        Err(PortError::of("payload get", "the suite's bodies fit into the queue"))
    }
}

impl Payloads for TestPayloads {
    async fn put(&self, _: &PayloadKey, _: Bytes) -> Result<(), PortError> {
        Err(PortError::of("payload put", "the suite's bodies fit into the queue"))
    }
}

#[derive(Clone, Default)]
pub(crate) struct TestSecrets(Arc<Mutex<Option<String>>>);

impl TestSecrets {
    pub(crate) fn set(&self, text: &str) {
        *self.0.lock().unwrap() = Some(text.to_owned());
    }

    pub(crate) fn take_away(&self) {
        *self.0.lock().unwrap() = None;
    }
}

impl Secrets for TestSecrets {
    async fn fetch(&self) -> Result<SecretText, PortError> {
        let text = self.0.lock().unwrap().clone();
        text.map(SecretText::new).ok_or(PortError::of("secret fetch", "secrets are away, as the test says"))
    }
}
