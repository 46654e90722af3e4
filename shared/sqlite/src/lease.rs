//! The drain's lease, as a file lock in the data directory.

use std::io;
use std::sync::Mutex;

use intake_pipeline::lease::pause::Pause;
use intake_pipeline::lease::{Lease, LeaseOwner, Taken};
use intake_pipeline::port_error::PortError;
use intake_providers::timestamp::Timestamp;

use crate::data_directory::{DataDirectory, DataDirectoryError};
use crate::private_file::{FileLock, read_if_present, remove_if_present, replace_private_file};

/// A lock on a file of the data directory. It needs no renewal: the operating system releases it however the process ends.
/// A pause is a file beside it.
#[derive(Debug)]
pub struct FileLease {
    directory: DataDirectory,
    held: Mutex<Option<(LeaseOwner, FileLock)>>,
}

impl FileLease {
    /// The lease on draining into this data directory.
    #[must_use]
    pub const fn new(directory: DataDirectory) -> Self {
        Self { directory, held: Mutex::new(None) }
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Option<(LeaseOwner, FileLock)>> {
        self.held.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn pause(&self) -> Result<Option<Pause>, PortError> {
        let text = read_if_present(&self.directory.drain_pause())
            .map_err(|error| PortError::new("read the drain's pause", &error))?;
        // An unreadable pause was edited by hand; the next failed run replaces it.
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
    }

    fn put_pause(&self, pause: Option<&Pause>) -> io::Result<()> {
        let path = self.directory.drain_pause();
        match pause {
            Some(pause) => replace_private_file(&path, &serde_json::to_string(pause)?),
            None => remove_if_present(&path),
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
            // The pause is written first, while the lock keeps other runs from starting without it.
            self.put_pause(pause).map_err(|error| PortError::new("write the drain's pause", &error))?;
            *held = None;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use intake_pipeline::lease::pause::{PauseReason, RefusedMessage};

    use super::*;

    fn lease(directory: &DataDirectory) -> FileLease {
        FileLease::new(directory.clone())
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
    async fn a_pause_delays_the_next_drain_and_is_removed_after_a_success() {
        let parent = tempfile::tempdir().unwrap();
        let directory = DataDirectory::create(&parent.path().join("data")).unwrap();
        let owner = LeaseOwner("1".to_owned());
        let now = Timestamp::EPOCH;
        let pause = Pause {
            until: now.plus(std::time::Duration::from_secs(60)),
            failed_runs: 1,
            reason: PauseReason::QueueUnavailable,
            refused: Some(RefusedMessage::stored("the document".to_owned())),
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
}
