//! The drain of NowCerts' queues on this machine.

use std::fs::File;
use std::sync::Mutex;

use broker::AmqpBroker;
use pipeline::drain::ports::{Lease, LeaseOwner};
use pipeline::drain::{Drain, DrainSettings};
use pipeline::ports::{PortError, SecretText, Secrets, SystemSurroundings};
use providers::nowcerts;
use providers::provider::Provider;
use providers::timestamp::Timestamp;

use crate::data_directory::{DataDirectory, DataDirectoryError};
use crate::key_files::KeyFile;
use crate::sqlite::{Database, SqlitePayloads, SqliteQueue};

/// The drain on the ports of this machine.
pub type LocalDrain = Drain<AmqpBroker, SqliteQueue, SqlitePayloads, AccountSecret, FileLease, SystemSurroundings>;

/// Makes the drain of NowCerts' queues into the queue of a data directory.
#[must_use]
pub fn drain(directory: &DataDirectory, database: &Database, queue: SqliteQueue, secret: AccountSecret) -> LocalDrain {
    Drain {
        provider: Provider::NowCerts,
        broker: AmqpBroker,
        queue,
        payloads: SqlitePayloads::new(database.clone()),
        secrets: secret,
        read_account: nowcerts::read_account,
        lease: FileLease { directory: directory.clone(), held: Mutex::new(None) },
        surroundings: SystemSurroundings,
        settings: DrainSettings::default(),
    }
}

/// Where the account is written down.
#[derive(Debug)]
pub enum AccountSecret {
    /// In the data directory, in the form of the secret on AWS.
    File(KeyFile),
    /// As options of the command.
    Given(SecretText),
}

impl Secrets for AccountSecret {
    async fn fetch(&self) -> Result<SecretText, PortError> {
        match self {
            Self::File(file) => file.fetch().await,
            Self::Given(text) => Ok(SecretText::new(text.reveal().to_owned())),
        }
    }
}

/// A lock on a file of the data directory. It needs no renewal: the operating system gives it back however the process ends.
#[derive(Debug)]
pub struct FileLease {
    directory: DataDirectory,
    held: Mutex<Option<(LeaseOwner, File)>>,
}

impl FileLease {
    fn held(&self) -> std::sync::MutexGuard<'_, Option<(LeaseOwner, File)>> {
        self.held.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Lease for FileLease {
    async fn take(&self, owner: &LeaseOwner, _: Timestamp, _: Timestamp) -> Result<bool, PortError> {
        let mut held = self.held();
        if held.is_some() {
            return Ok(false);
        }
        match self.directory.lock_drain() {
            Ok(file) => {
                *held = Some((owner.clone(), file));
                Ok(true)
            }
            Err(DataDirectoryError::InUse { .. }) => Ok(false),
            Err(error) => Err(PortError::new("lock the data directory", &error)),
        }
    }

    async fn renew(&self, owner: &LeaseOwner, _: Timestamp) -> Result<bool, PortError> {
        Ok(self.held().as_ref().is_some_and(|(holder, _)| holder == owner))
    }

    async fn release(&self, owner: &LeaseOwner) -> Result<(), PortError> {
        self.held().take_if(|(holder, _)| holder == owner);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use pipeline::document::OutboundDocument;
    use pipeline::ports::BatchQueue as _;
    use providers::amqp::Message;
    use providers::delivery::{DeliveryId, VerifiedDelivery};

    use super::*;

    fn lease(directory: &DataDirectory) -> FileLease {
        FileLease { directory: directory.clone(), held: Mutex::new(None) }
    }

    #[tokio::test]
    async fn a_second_drain_on_the_same_directory_waits_until_the_first_is_done() {
        let parent = tempfile::tempdir().unwrap();
        let directory = DataDirectory::create(&parent.path().join("data")).unwrap();
        let (one, two) = (LeaseOwner("1".to_owned()), LeaseOwner("2".to_owned()));
        let (first, second) = (lease(&directory), lease(&directory));
        let now = Timestamp::EPOCH;
        assert!(first.take(&one, now, now).await.unwrap());
        assert!(first.renew(&one, now).await.unwrap() && !first.renew(&two, now).await.unwrap());
        assert!(!second.take(&two, now, now).await.unwrap());
        first.release(&two).await.unwrap();
        assert!(!second.take(&two, now, now).await.unwrap(), "another's lease is not given up");
        first.release(&one).await.unwrap();
        assert!(second.take(&two, now, now).await.unwrap());
    }

    #[tokio::test]
    async fn a_batch_is_on_the_queue_as_a_whole() {
        let parent = tempfile::tempdir().unwrap();
        let database = Database::open(&parent.path().join("intake.sqlite")).unwrap();
        let queue = SqliteQueue::new(database.clone());
        let account = serde_json::json!({
            "account": "main", "connection_string": "host=b;username=u;password=p", "queue": "events", "tls": true,
        });
        let account = nowcerts::read_account(&account.to_string()).unwrap();
        let mut documents = Vec::new();
        for number in 0..3_u8 {
            let message = account.consumed(&account.queue, Message::default());
            let id = DeliveryId::new(Timestamp::EPOCH, [number; 10]);
            let delivery = VerifiedDelivery::consumed(message, id, Timestamp::EPOCH);
            documents.push(OutboundDocument::prepare(&delivery, &SqlitePayloads::new(database.clone())).await.unwrap());
        }
        queue.check().await.unwrap();
        assert!(queue.send_batch(&documents).await.unwrap().iter().all(Result::is_ok));
        assert_eq!(queue.depth().await.unwrap().queued, 3);
    }
}
