//! The refused requests of whatever a command is about.

use std::path::Path;

#[cfg(feature = "aws")]
use intake_aws::operator::StackRefused;
use intake_pipeline::port_error::PortError;
use intake_pipeline::refused::{RefusedReader, RefusedRequest, RefusedSummary};
use intake_providers::delivery::DeliveryId;
use intake_sqlite::{DataDirectory, RefusedRequests};

use crate::deployed_stack;
use crate::records::OpenRecordsError;

/// The refused requests of a data directory or of a deployed stack.
#[derive(Debug)]
pub enum AnyRefused {
    /// Of a data directory.
    Directory(RefusedRequests),
    /// Of a deployed stack.
    #[cfg(feature = "aws")]
    Stack(Box<StackRefused>),
}

impl AnyRefused {
    /// The refused requests of a data directory.
    ///
    /// # Errors
    /// When there is none, or the file can't be read.
    pub fn of_directory(path: &Path) -> Result<Self, OpenRecordsError> {
        Ok(Self::Directory(RefusedRequests::open(&DataDirectory::existing(path)?.refused())?))
    }

    /// The refused requests of a deployed stack.
    ///
    /// # Errors
    /// When it can't be found or asked.
    #[cfg(feature = "aws")]
    pub async fn of_stack(name: &str, region: Option<&str>) -> Result<Self, OpenRecordsError> {
        let stack = deployed_stack::open(name, region).await?;
        Ok(Self::Stack(Box::new(StackRefused::new(&stack)?)))
    }

    /// Says that this build can't.
    ///
    /// # Errors
    /// Always.
    #[cfg(not(feature = "aws"))]
    pub async fn of_stack(name: &str, region: Option<&str>) -> Result<Self, OpenRecordsError> {
        match deployed_stack::open(name, region).await? {}
    }

    /// Whether refused requests are kept there at all.
    #[must_use]
    pub fn is_keeping(&self) -> bool {
        match self {
            Self::Directory(_) => true,
            #[cfg(feature = "aws")]
            Self::Stack(refused) => refused.is_keeping(),
        }
    }
}

impl RefusedReader for AnyRefused {
    async fn list(&self, limit: u32) -> Result<Vec<RefusedSummary>, PortError> {
        match self {
            Self::Directory(refused) => refused.list(limit).await,
            #[cfg(feature = "aws")]
            Self::Stack(refused) => refused.list(limit).await,
        }
    }

    async fn get(&self, id: DeliveryId) -> Result<Option<RefusedRequest>, PortError> {
        match self {
            Self::Directory(refused) => refused.get(id).await,
            #[cfg(feature = "aws")]
            Self::Stack(refused) => refused.get(id).await,
        }
    }
}
