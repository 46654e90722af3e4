//! The read port of whatever a command is about.

use std::path::Path;

use bytes::Bytes;
#[cfg(feature = "aws")]
use intake_aws::operator::StackRecords;
use intake_pipeline::delivery_record::DeliveryRecord;
use intake_pipeline::ledger::entity::EntityEntry;
use intake_pipeline::ledger::{Entry, EntryKey, EventEntry, LedgerReader};
use intake_pipeline::payloads::{PayloadKey, PayloadReader};
use intake_pipeline::port_error::PortError;
use intake_pipeline::records::{DeliveryFilter, EventFilter, Listing, RecordedEvent, Records};
use intake_providers::delivery::DeliveryId;
use intake_sqlite::{DataDirectory, DataDirectoryError, Database, OpenError, SqliteRecords};

use crate::deployed_stack::{self, StackError};

/// What was recorded in a data directory or on a deployed stack.
#[derive(Debug)]
pub enum AnyRecords {
    /// In a data directory.
    Directory(SqliteRecords),
    /// On a deployed stack.
    #[cfg(feature = "aws")]
    Stack(Box<StackRecords>),
}

/// Why the records can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenRecordsError {
    /// The data directory.
    #[error(transparent)]
    DataDirectory(#[from] DataDirectoryError),
    /// The database file.
    #[error(transparent)]
    Database(#[from] OpenError),
    /// The stack.
    #[error(transparent)]
    Stack(#[from] StackError),
}

impl AnyRecords {
    /// The records of a data directory.
    ///
    /// # Errors
    /// When there is none, or its database can't be read.
    pub fn of_directory(path: &Path) -> Result<Self, OpenRecordsError> {
        let database = Database::open(&DataDirectory::existing(path)?.database())?;
        Ok(Self::Directory(SqliteRecords::new(database)))
    }

    /// The records of a deployed stack.
    ///
    /// # Errors
    /// When it can't be found or asked.
    #[cfg(feature = "aws")]
    pub async fn of_stack(name: &str, region: Option<&str>) -> Result<Self, OpenRecordsError> {
        let stack = deployed_stack::open(name, region).await?;
        Ok(Self::Stack(Box::new(StackRecords::new(&stack)?)))
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

impl LedgerReader for AnyRecords {
    async fn entity(&self, key: &EntryKey) -> Result<Option<EntityEntry>, PortError> {
        match self {
            Self::Directory(records) => records.entity(key).await,
            #[cfg(feature = "aws")]
            Self::Stack(records) => records.entity(key).await,
        }
    }

    async fn find(&self, key: &EntryKey) -> Result<Option<Entry>, PortError> {
        match self {
            Self::Directory(records) => records.find(key).await,
            #[cfg(feature = "aws")]
            Self::Stack(records) => records.find(key).await,
        }
    }
}

impl PayloadReader for AnyRecords {
    async fn get(&self, key: &PayloadKey) -> Result<Bytes, PortError> {
        match self {
            Self::Directory(records) => records.get(key).await,
            #[cfg(feature = "aws")]
            Self::Stack(records) => records.get(key).await,
        }
    }
}

impl Records for AnyRecords {
    async fn events(&self, filter: &EventFilter) -> Result<Listing<RecordedEvent>, PortError> {
        match self {
            Self::Directory(records) => records.events(filter).await,
            #[cfg(feature = "aws")]
            Self::Stack(records) => records.events(filter).await,
        }
    }

    async fn deliveries(&self, filter: &DeliveryFilter) -> Result<Listing<DeliveryRecord>, PortError> {
        match self {
            Self::Directory(records) => records.deliveries(filter).await,
            #[cfg(feature = "aws")]
            Self::Stack(records) => records.deliveries(filter).await,
        }
    }

    async fn delivery(&self, delivery_id: DeliveryId) -> Result<Option<DeliveryRecord>, PortError> {
        match self {
            Self::Directory(records) => records.delivery(delivery_id).await,
            #[cfg(feature = "aws")]
            Self::Stack(records) => records.delivery(delivery_id).await,
        }
    }

    async fn entities(&self) -> Result<Listing<EntityEntry>, PortError> {
        match self {
            Self::Directory(records) => records.entities().await,
            #[cfg(feature = "aws")]
            Self::Stack(records) => records.entities().await,
        }
    }

    async fn entity_history(&self, entity: &EntryKey) -> Result<Listing<EventEntry>, PortError> {
        match self {
            Self::Directory(records) => records.entity_history(entity).await,
            #[cfg(feature = "aws")]
            Self::Stack(records) => records.entity_history(entity).await,
        }
    }
}
