//! Key files by name. The caller reads and writes them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use intake_providers::timestamp::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};

/// What a key file is called, in a data directory's `keys` and in the samples' `events/keys`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyName {
    in_data_directory: &'static str,
    in_samples: &'static str,
}

impl KeyName {
    /// The secret with the active keys. In a data directory it is called after the provider alone.
    #[must_use]
    pub const fn secret(in_data_directory: &'static str, in_samples: &'static str) -> Self {
        Self { in_data_directory, in_samples }
    }

    /// Any other key, called the same everywhere.
    #[must_use]
    pub const fn other(name: &'static str) -> Self {
        Self { in_data_directory: name, in_samples: name }
    }
}

/// A folder of key files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyFolder {
    /// `keys` in a data directory.
    DataDirectory(PathBuf),
    /// `keys` beside the samples.
    Samples(PathBuf),
}

impl KeyFolder {
    /// The folder.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        match self {
            Self::DataDirectory(folder) | Self::Samples(folder) => folder,
        }
    }

    /// A file in it.
    #[must_use]
    pub fn path(&self, name: KeyName) -> PathBuf {
        match self {
            Self::DataDirectory(folder) => folder.join(name.in_data_directory),
            Self::Samples(folder) => folder.join(name.in_samples),
        }
    }
}

/// The key files that are there.
#[derive(Debug)]
pub struct KeyFiles {
    folder: KeyFolder,
    texts: BTreeMap<KeyName, SecretString>,
}

impl KeyFiles {
    /// No file in this folder yet.
    #[must_use]
    pub const fn none(folder: KeyFolder) -> Self {
        Self { folder, texts: BTreeMap::new() }
    }

    /// Adds a file that is there, or replaces it.
    pub fn insert(&mut self, name: KeyName, text: impl Into<SecretString>) {
        self.texts.insert(name, text.into());
    }

    /// A file's text, if it is there.
    #[must_use]
    pub fn text(&self, name: KeyName) -> Option<&str> {
        self.texts.get(&name).map(|text| text.expose_secret())
    }

    /// Where a file is, or would be.
    #[must_use]
    pub fn path(&self, name: KeyName) -> PathBuf {
        self.folder.path(name)
    }
}

/// A key file to be written, in place of the one that may be there.
#[derive(Debug)]
pub struct NewKeyFile {
    /// Its name.
    pub name: KeyName,
    /// Its text.
    pub text: SecretString,
}

impl NewKeyFile {
    /// A file with this text.
    pub(crate) fn new(name: KeyName, text: impl Into<SecretString>) -> Self {
        Self { name, text: text.into() }
    }
}

/// What test keys are for.
#[derive(Clone, Debug)]
pub enum KeyPurpose {
    /// Deliveries to a development server.
    Server {
        /// Where the server is reached, such as `http://127.0.0.1:8080`.
        base_url: String,
        /// How long the server may keep a secret before it reads it again.
        secret_refresh: Duration,
        /// The time.
        now: Timestamp,
    },
    /// The samples. What such keys make stays valid for decades.
    Samples,
}
