//! The drain of NowCerts' queues on this machine.

use std::fs::File;
use std::io;
use std::sync::Mutex;

use broker::AmqpBroker;
use pipeline::drain::pause::Pause;
use pipeline::drain::ports::{Lease, LeaseOwner, Taken};
use pipeline::drain::{Drain, DrainSettings};
use pipeline::ports::{PortError, SecretText, Secrets, SystemSurroundings};
use providers::nowcerts;
use providers::provider::Provider;
use providers::timestamp::Timestamp;

use crate::data_directory::{DataDirectory, DataDirectoryError, replace_private_file};
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
/// A pause is a file beside it.
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

impl FileLease {
    fn pause(&self) -> Result<Option<Pause>, PortError> {
        match std::fs::read_to_string(self.directory.drain_pause()) {
            // What cannot be read was changed by hand; the next run that fails replaces it.
            Ok(text) => Ok(serde_json::from_str(&text).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(PortError::new("read the drain's pause", &error)),
        }
    }

    fn put_pause(&self, pause: Option<&Pause>) -> io::Result<()> {
        let path = self.directory.drain_pause();
        match pause {
            Some(pause) => replace_private_file(&path, &serde_json::to_string(pause)?),
            None => match std::fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            },
        }
    }
}

impl Lease for FileLease {
    async fn take(&self, owner: &LeaseOwner, now: Timestamp, _: Timestamp) -> Result<Taken, PortError> {
        let mut held = self.held();
        if held.is_some() {
            return Ok(Taken::HeldByAnother);
        }
        let file = match self.directory.lock_drain() {
            Ok(file) => file,
            Err(DataDirectoryError::InUse { .. }) => return Ok(Taken::HeldByAnother),
            Err(error) => return Err(PortError::new("lock the data directory", &error)),
        };
        match self.pause()? {
            Some(pause) if pause.until > now => Ok(Taken::Paused(pause)),
            pause => {
                *held = Some((owner.clone(), file));
                Ok(Taken::Ours(pause))
            }
        }
    }

    async fn renew(&self, owner: &LeaseOwner, _: Timestamp) -> Result<bool, PortError> {
        Ok(self.held().as_ref().is_some_and(|(holder, _)| holder == owner))
    }

    async fn replace_pause(&self, owner: &LeaseOwner, pause: &Pause) -> Result<bool, PortError> {
        let held = self.held();
        let is_ours = held.as_ref().is_some_and(|(holder, _)| holder == owner);
        if is_ours {
            self.put_pause(Some(pause)).map_err(|error| PortError::new("write the drain's pause", &error))?;
        }
        Ok(is_ours)
    }

    async fn release(&self, owner: &LeaseOwner, pause: Option<&Pause>) -> Result<(), PortError> {
        let mut held = self.held();
        if held.as_ref().is_some_and(|(holder, _)| holder == owner) {
            // First the pause, while the lock keeps others from beginning without it.
            self.put_pause(pause).map_err(|error| PortError::new("write the drain's pause", &error))?;
            *held = None;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use pipeline::document::OutboundDocument;
    use pipeline::drain::pause::{PauseReason, RefusedDocument};
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
        assert_eq!(first.take(&one, now, now).await.unwrap(), Taken::Ours(None));
        assert!(first.renew(&one, now).await.unwrap() && !first.renew(&two, now).await.unwrap());
        assert_eq!(second.take(&two, now, now).await.unwrap(), Taken::HeldByAnother);
        first.release(&two, None).await.unwrap();
        assert_eq!(second.take(&two, now, now).await.unwrap(), Taken::HeldByAnother, "another's lease is not given up");
        first.release(&one, None).await.unwrap();
        assert_eq!(second.take(&two, now, now).await.unwrap(), Taken::Ours(None));
    }

    #[tokio::test]
    async fn a_pause_keeps_the_next_drain_from_beginning_until_it_is_over_and_goes_with_success() {
        let parent = tempfile::tempdir().unwrap();
        let directory = DataDirectory::create(&parent.path().join("data")).unwrap();
        let owner = LeaseOwner("1".to_owned());
        let now = Timestamp::EPOCH;
        let pause = Pause {
            until: now.plus(std::time::Duration::from_secs(60)),
            failed_runs: 1,
            reason: PauseReason::QueueUnavailable,
            refused: Some(RefusedDocument::stored("the document".to_owned())),
        };
        let first = lease(&directory);
        first.take(&owner, now, now).await.unwrap();
        first.release(&owner, Some(&pause)).await.unwrap();
        let next = lease(&directory);
        assert_eq!(next.take(&owner, now, now).await.unwrap(), Taken::Paused(pause.clone()));
        assert_eq!(next.take(&owner, pause.until, now).await.unwrap(), Taken::Ours(Some(pause.clone())));
        let sent = Pause { refused: None, ..pause.clone() };
        assert!(next.replace_pause(&owner, &sent).await.unwrap());
        assert!(!next.replace_pause(&LeaseOwner("2".to_owned()), &pause).await.unwrap());
        next.release(&owner, Some(&sent)).await.unwrap();
        assert_eq!(next.take(&owner, pause.until, now).await.unwrap(), Taken::Ours(Some(sent)));
        next.release(&owner, None).await.unwrap();
        assert_eq!(next.take(&owner, now, now).await.unwrap(), Taken::Ours(None));
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
