//! The data directory of a development server.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use intake_providers::ProviderName;
use intake_providers::account::AccountName;

use crate::private_file::{
    FileLock, LockError, create_private_directory, read_if_present, remove_if_present, replace_private_file,
};

/// Default path of the data directory.
pub const DEFAULT_PATH: &str = ".webhook-intake";

/// The directory with all data of one development server.
#[derive(Clone, Debug)]
pub struct DataDirectory(PathBuf);

/// Why a data directory can't be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirectoryError {
    /// The directory cannot be created or written.
    #[error(
        "the data directory {} cannot be written; give yourself the right to, or choose another with --data-directory",
        path.display()
    )]
    Unwritable {
        /// The directory, or the file in it.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The directory does not exist.
    #[error(
        "there is no data in {}; start `demo` or `serve` first, or name the directory of the data with --data-directory",
        path.display()
    )]
    Missing {
        /// The directory.
        path: PathBuf,
    },
    /// Another server uses the directory.
    #[error(
        "another server is using the data directory {}; stop that one, or choose another with --data-directory",
        path.display()
    )]
    InUse {
        /// The directory.
        path: PathBuf,
    },
}

impl DataDirectory {
    /// Opens a data directory, and creates it if it is missing.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub fn create(path: &Path) -> Result<Self, DataDirectoryError> {
        let unwritable = |path: &Path| {
            let path = path.to_owned();
            |source| DataDirectoryError::Unwritable { path, source }
        };
        create_private_directory(path).map_err(unwritable(path))?;
        let keys = path.join("keys");
        create_private_directory(&keys).map_err(unwritable(&keys))?;
        // Keys and events stay out of any repository that the directory is in.
        let ignore = path.join(".gitignore");
        std::fs::write(&ignore, "*\n").map_err(unwritable(&ignore))?;
        Ok(Self(path.to_owned()))
    }

    /// A data directory that may not exist.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Opens a data directory in which a server has run before.
    ///
    /// # Errors
    /// When the directory does not exist.
    pub fn existing(path: &Path) -> Result<Self, DataDirectoryError> {
        let directory = Self(path.to_owned());
        if directory.database().is_file() {
            Ok(directory)
        } else {
            Err(DataDirectoryError::Missing { path: path.to_owned() })
        }
    }

    /// Claims the directory for a server.
    ///
    /// # Errors
    /// When another server has claimed it.
    pub fn lock(&self) -> Result<FileLock, DataDirectoryError> {
        self.lock_file("server.lock")
    }

    /// Writes down where the server that has claimed the directory listens, until what is returned is dropped.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub fn announce(&self, address: SocketAddr) -> Result<AnnouncedAddress, DataDirectoryError> {
        let path = self.server_address_file();
        replace_private_file(&path, &format!("{}\n", reachable(address)))
            .map_err(|source| DataDirectoryError::Unwritable { path: path.clone(), source })?;
        Ok(AnnouncedAddress(path))
    }

    /// Where the server that runs on the directory is reached from this machine; `None` when none runs.
    #[must_use]
    pub fn server_address(&self) -> Option<SocketAddr> {
        let path = self.server_address_file();
        let address = read_if_present(&path).ok()??.trim().parse().ok()?;
        match self.lock() {
            // The server was killed. Without the file nobody takes the lock to find that out, as the next server does to keep it.
            Ok(_lock) => {
                let _ = remove_if_present(&path);
                None
            }
            Err(_) => Some(address),
        }
    }

    fn server_address_file(&self) -> PathBuf {
        self.0.join("server.address")
    }

    /// Claims the directory for a drain, which may run beside a server.
    ///
    /// # Errors
    /// When another drain has claimed it.
    pub(crate) fn lock_drain(&self) -> Result<FileLock, DataDirectoryError> {
        self.lock_file("drain.lock")
    }

    fn lock_file(&self, name: &str) -> Result<FileLock, DataDirectoryError> {
        let path = self.0.join(name);
        FileLock::take(&path).map_err(|error| match error {
            LockError::Held => DataDirectoryError::InUse { path: self.0.clone() },
            LockError::File(source) => DataDirectoryError::Unwritable { path, source },
        })
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The database with queue, payloads and ledger.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.0.join("intake.sqlite")
    }

    /// The database with the refused requests. It holds secrets, like the key files.
    #[must_use]
    pub fn refused(&self) -> PathBuf {
        self.0.join("refused.sqlite")
    }

    /// The file with the progress of the resync of a NurtureCloud account.
    #[must_use]
    pub fn resync_resume_point(&self, account: &AccountName) -> PathBuf {
        self.0.join(format!("nurturecloud-resync-{account}.json"))
    }

    /// The file with the pause after a drain whose messages our side refused. Removing it lifts the pause.
    #[must_use]
    pub fn drain_pause(&self) -> PathBuf {
        self.0.join("nowcerts-pause.json")
    }

    /// The log of `demo`.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.0.join("demo.log")
    }

    /// The folder of the key files.
    #[must_use]
    pub fn key_folder(&self) -> PathBuf {
        self.0.join("keys")
    }

    /// The file with a provider's active keys, in the form of the secret on AWS.
    #[must_use]
    pub fn keys(&self, provider: ProviderName) -> PathBuf {
        self.key_folder().join(format!("{provider}.json"))
    }

    /// Path of the secrets with which forwarded events are signed.
    #[must_use]
    pub fn signing_secrets(&self) -> PathBuf {
        self.key_folder().join("forwarding.json")
    }

    /// The authority that issues tokens to Sterling, with its private keys, in the form of the secret on AWS.
    #[must_use]
    pub fn sterling_authority(&self) -> PathBuf {
        self.key_folder().join("sterling-authority.json")
    }
}

/// A server's address in its data directory.
#[derive(Debug)]
pub struct AnnouncedAddress(PathBuf);

impl Drop for AnnouncedAddress {
    fn drop(&mut self) {
        // If it stays, it is known to be stale because nobody holds the lock.
        let _ = remove_if_present(&self.0);
    }
}

/// The address to connect to from this machine: a server that listens on every address is reached on the loopback one.
const fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), address.port()),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), address.port()),
        _ => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_a_server_is_known_while_it_runs() {
        let parent = tempfile::tempdir().unwrap();
        let directory = DataDirectory::create(parent.path()).unwrap();
        assert_eq!(directory.server_address(), None);
        for (listens_on, reached_at) in [
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("0.0.0.0:2", "127.0.0.1:2"),
            ("[::]:3", "[::1]:3"),
            ("192.0.2.1:4", "192.0.2.1:4"),
        ] {
            let lock = directory.lock().unwrap();
            let announced = directory.announce(listens_on.parse().unwrap()).unwrap();
            assert_eq!(directory.server_address(), Some(reached_at.parse().unwrap()));
            drop(announced);
            assert_eq!(directory.server_address(), None);
            drop(lock);
        }
    }

    #[test]
    fn the_address_of_a_server_that_was_killed_is_known_to_be_stale() {
        let parent = tempfile::tempdir().unwrap();
        let directory = DataDirectory::create(parent.path()).unwrap();
        let lock = directory.lock().unwrap();
        std::mem::forget(directory.announce("127.0.0.1:1".parse().unwrap()).unwrap());
        drop(lock);
        assert_eq!(directory.server_address(), None);
        assert!(!directory.server_address_file().exists());
    }

    #[test]
    fn a_second_server_on_the_same_directory_is_rejected_while_the_first_runs() {
        let parent = tempfile::tempdir().unwrap();
        let directory = DataDirectory::create(&parent.path().join("data")).unwrap();
        let lock = directory.lock().unwrap();
        let error = DataDirectory::create(directory.path()).unwrap().lock().unwrap_err().to_string();
        assert!(error.starts_with("another server is using the data directory"), "{error}");
        drop(lock);
        directory.lock().unwrap();
    }

    #[test]
    fn a_directory_that_cannot_be_created_is_named_with_a_remedy() {
        let parent = tempfile::tempdir().unwrap();
        let file = parent.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = DataDirectory::create(&file.join("data")).unwrap_err().to_string();
        assert!(error.contains("file/data cannot be written") && error.contains("--data-directory"), "{error}");
    }

    #[test]
    fn a_directory_without_data_does_not_count_as_existing() {
        let parent = tempfile::tempdir().unwrap();
        let error = DataDirectory::existing(parent.path()).unwrap_err().to_string();
        assert!(error.starts_with("there is no data in"), "{error}");
    }
}
