//! Where a replay goes: the event bus of a stack, or a receiver.

use std::path::PathBuf;

#[cfg(feature = "aws")]
use intake_aws::EventBridge;
use intake_outbound::{HttpReceiver, NoClient, ReceiverUrl};
use intake_pipeline::clock::SystemClock;
use intake_pipeline::envelope::PayloadLocation;
use intake_pipeline::records::RecordedEvent;
#[cfg(feature = "aws")]
use intake_pipeline::replay::BusTarget;
use intake_pipeline::replay::{ReceiverTarget, ReplayTarget, SentBatch};
use intake_sqlite::KeyFile;

use crate::deployed_stack::{self, StackError};
use crate::records::AnyRecords;

/// Where payloads of a data directory are, for a consumer. It cannot fetch them, but can tell them apart.
const LOCAL_PAYLOADS: &str = "urn:webhook-intake:payload:";

/// Where a replay goes.
#[derive(Debug)]
pub enum AnyTarget {
    /// A receiver.
    Receiver(Box<ReceiverTarget<AnyRecords, HttpReceiver<KeyFile, SystemClock>>>),
    /// The event bus of a stack.
    #[cfg(feature = "aws")]
    Bus(Box<BusTarget<AnyRecords, EventBridge>>),
}

/// Why a target can't be had.
#[derive(Debug, thiserror::Error)]
pub enum OpenTargetError {
    /// The stack.
    #[error(transparent)]
    Stack(#[from] StackError),
    /// The HTTP client.
    #[error(transparent)]
    Client(#[from] NoClient),
    /// The stack has no bus.
    #[error("the stack {name} says nothing of an event bus; name one with --bus, or say --to with a url")]
    NoBus {
        /// Its name.
        name: String,
    },
}

/// Where consumers find what is in the payload store of a data directory, or of the stack of this name and region.
///
/// # Errors
/// When the stack can't be asked.
pub async fn payload_location(stack: Option<(&str, Option<&str>)>) -> Result<PayloadLocation, OpenTargetError> {
    Ok(match stack {
        None => PayloadLocation::below(LOCAL_PAYLOADS),
        Some((name, region)) => location_of_stack(name, region).await?,
    })
}

#[cfg(feature = "aws")]
async fn location_of_stack(name: &str, region: Option<&str>) -> Result<PayloadLocation, OpenTargetError> {
    let stack = deployed_stack::open(name, region).await?;
    Ok(PayloadLocation::below(format!("s3://{}/", stack.resource("Bucket")?)))
}

#[cfg(not(feature = "aws"))]
async fn location_of_stack(name: &str, region: Option<&str>) -> Result<PayloadLocation, OpenTargetError> {
    match deployed_stack::open(name, region).await? {}
}

impl AnyTarget {
    /// A receiver, with the secrets of this file.
    ///
    /// # Errors
    /// When the HTTP client cannot be set up.
    pub fn receiver(
        payloads: AnyRecords,
        location: PayloadLocation,
        url: ReceiverUrl,
        secrets: PathBuf,
        replay: String,
    ) -> Result<Self, OpenTargetError> {
        let receiver = HttpReceiver::new(url, KeyFile::new(secrets), SystemClock)?;
        Ok(Self::Receiver(Box::new(ReceiverTarget::new(payloads, location, receiver, replay))))
    }

    /// The event bus of a stack, or another one of its account.
    ///
    /// # Errors
    /// When the stack can't be asked, or has none.
    #[cfg(feature = "aws")]
    pub async fn bus(
        payloads: AnyRecords,
        (name, region): (&str, Option<&str>),
        bus: Option<String>,
        replay: String,
    ) -> Result<Self, OpenTargetError> {
        let stack = deployed_stack::open(name, region).await?;
        let no_bus = || OpenTargetError::NoBus { name: name.to_owned() };
        let bus = bus.or_else(|| stack.output("EventBusName").map(str::to_owned)).ok_or_else(no_bus)?;
        let location = PayloadLocation::below(format!("s3://{}/", stack.resource("Bucket")?));
        Ok(Self::Bus(Box::new(BusTarget::new(payloads, location, stack.event_bus(bus), replay))))
    }

    /// Says that this build can't.
    ///
    /// # Errors
    /// Always.
    #[cfg(not(feature = "aws"))]
    pub async fn bus(
        _payloads: AnyRecords,
        (name, region): (&str, Option<&str>),
        _bus: Option<String>,
        _replay: String,
    ) -> Result<Self, OpenTargetError> {
        match deployed_stack::open(name, region).await? {}
    }
}

impl ReplayTarget for AnyTarget {
    async fn send(&self, batch: &[RecordedEvent]) -> SentBatch {
        match self {
            Self::Receiver(receiver) => receiver.send(batch).await,
            #[cfg(feature = "aws")]
            Self::Bus(bus) => bus.send(batch).await,
        }
    }
}
