//! The drain of NowCerts' queues on this machine.

use intake_broker::AmqpBroker;
use intake_pipeline::clock::SystemClock;
use intake_pipeline::drain::{Drain, DrainSettings};
use intake_providers::nowcerts::NowCerts;
use intake_providers::provider::Provider as _;
use intake_providers::queue_source::QueueSource as _;
use intake_sqlite::{DataDirectory, Database, FileLease, LocalSecret, Sqlite, SqlitePayloads, SqliteQueue};

/// The drain on the ports of this machine.
pub type LocalDrain = Drain<Sqlite, AmqpBroker>;

/// Makes the drain of NowCerts' queues into the queue of a data directory.
#[must_use]
pub fn drain(directory: &DataDirectory, database: &Database, queue: SqliteQueue, secret: LocalSecret) -> LocalDrain {
    Drain {
        provider: NowCerts::NAME,
        broker: AmqpBroker,
        queue,
        payloads: SqlitePayloads::new(database.clone()),
        secrets: secret,
        read_account: NowCerts::read_account,
        lease: FileLease::new(directory.clone()),
        clock: SystemClock,
        settings: DrainSettings::default(),
    }
}

#[cfg(test)]
mod tests {
    use intake_pipeline::queue::BatchQueue as _;
    use intake_pipeline::queue_message::QueueMessage;
    use intake_providers::amqp::Message;
    use intake_providers::delivery::{DeliveryId, VerifiedDelivery};
    use intake_providers::timestamp::Timestamp;

    use super::*;

    #[tokio::test]
    async fn a_batch_is_on_the_queue_as_a_whole() {
        let parent = tempfile::tempdir().unwrap();
        let database = Database::open(&parent.path().join("intake.sqlite")).unwrap();
        let queue = SqliteQueue::new(database.clone());
        let account = serde_json::json!({
            "account": "main", "connection_string": "host=b;username=u;password=p", "queue": "events", "tls": true,
        });
        let account = NowCerts::read_account(&account.to_string()).unwrap();
        let mut documents = Vec::new();
        for number in 0..3_u8 {
            let message = account.consumed(&account.queue, Message::default());
            let id = DeliveryId::new(Timestamp::EPOCH, [number; 10]);
            let delivery = VerifiedDelivery::new(message, id, Timestamp::EPOCH);
            documents.push(QueueMessage::prepare(&delivery, &SqlitePayloads::new(database.clone())).await.unwrap());
        }
        queue.check().await.unwrap();
        assert!(queue.send_batch(&documents).await.unwrap().iter().all(Result::is_ok));
        assert_eq!(queue.depth().await.unwrap().queued, 3);
    }
}
