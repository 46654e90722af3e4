//! What erases in whatever a command is about.

use std::path::Path;

#[cfg(feature = "aws")]
use intake_aws::operator::StackEraser;
use intake_pipeline::erasure::{Eraser, RecordTombstone, Tombstone};
use intake_pipeline::ledger::PutOutcome;
use intake_pipeline::payloads::PayloadKey;
use intake_pipeline::port_error::PortError;
use intake_providers::timestamp::Timestamp;
use intake_sqlite::{DataDirectory, Database, SqliteEraser};

use crate::deployed_stack;
use crate::records::OpenRecordsError;

/// Erases in a data directory or on a deployed stack.
#[derive(Debug)]
pub enum AnyEraser {
    /// In a data directory.
    Directory(SqliteEraser),
    /// On a deployed stack.
    #[cfg(feature = "aws")]
    Stack(Box<StackEraser>),
}

impl AnyEraser {
    /// In a data directory.
    ///
    /// # Errors
    /// When there is none, or its database can't be opened.
    pub fn of_directory(path: &Path) -> Result<Self, OpenRecordsError> {
        let database = Database::open(&DataDirectory::existing(path)?.database())?;
        Ok(Self::Directory(SqliteEraser::new(database)))
    }

    /// On a deployed stack.
    ///
    /// # Errors
    /// When it can't be found or asked.
    #[cfg(feature = "aws")]
    pub async fn of_stack(name: &str, region: Option<&str>) -> Result<Self, OpenRecordsError> {
        let stack = deployed_stack::open(name, region).await?;
        Ok(Self::Stack(Box::new(StackEraser::new(&stack)?)))
    }

    /// Says that this build can't.
    ///
    /// # Errors
    /// Always.
    #[cfg(not(feature = "aws"))]
    pub async fn of_stack(name: &str, region: Option<&str>) -> Result<Self, OpenRecordsError> {
        match deployed_stack::open(name, region).await? {}
    }
}

impl Eraser for AnyEraser {
    async fn erase_entry(&self, now: Timestamp, tombstone: &Tombstone) -> Result<PutOutcome, PortError> {
        match self {
            Self::Directory(eraser) => eraser.erase_entry(now, tombstone).await,
            #[cfg(feature = "aws")]
            Self::Stack(eraser) => eraser.erase_entry(now, tombstone).await,
        }
    }

    async fn erase_record(&self, tombstone: &RecordTombstone) -> Result<(), PortError> {
        match self {
            Self::Directory(eraser) => eraser.erase_record(tombstone).await,
            #[cfg(feature = "aws")]
            Self::Stack(eraser) => eraser.erase_record(tombstone).await,
        }
    }

    async fn delete_payload(&self, key: &PayloadKey) -> Result<(), PortError> {
        match self {
            Self::Directory(eraser) => eraser.delete_payload(key).await,
            #[cfg(feature = "aws")]
            Self::Stack(eraser) => eraser.delete_payload(key).await,
        }
    }

    async fn finish(&self) -> Result<(), PortError> {
        match self {
            Self::Directory(eraser) => eraser.finish().await,
            #[cfg(feature = "aws")]
            Self::Stack(eraser) => eraser.finish().await,
        }
    }
}
