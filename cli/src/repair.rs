//! What it takes to put failed deliveries right, in a data directory or on a deployed stack.

use std::num::NonZeroU32;
use std::path::Path;

#[cfg(feature = "aws")]
use intake_aws::SqsQueue;
#[cfg(feature = "aws")]
use intake_aws::operator::{Stack, StackDeadLetters, StackRecords};
use intake_pipeline::dead_letters::{DeadLetter, DeadLetters, FoundDeadLetters};
use intake_pipeline::port_error::PortError;
use intake_pipeline::queue::Queue;
use intake_pipeline::queue_message::QueueMessage;
use intake_providers::registry::Settings;
use intake_providers::settings::ConfigProblems;
#[cfg(feature = "aws")]
use intake_providers::settings::Reader;
use intake_sqlite::{DataDirectory, Database, SqliteDeadLetters, SqliteOutbox, SqliteQueue, SqliteRecords};

use crate::deployed_stack;
use crate::records::{AnyRecords, OpenRecordsError};

/// The records, the queue, the dead letters, and how a provider's deliveries are read there.
#[derive(Debug)]
pub struct Repair {
    /// What was recorded.
    pub records: AnyRecords,
    /// The queue before the processor.
    pub queue: AnyQueue,
    /// What the queue gave up on.
    pub dead_letters: AnyDeadLetters,
    /// What forwarding gave up. A stack does not forward.
    pub undelivered: Option<SqliteOutbox>,
    /// The settings of the providers, as the processor there has them.
    pub providers: Settings,
}

/// Why it can't be had.
#[derive(Debug, thiserror::Error)]
pub enum OpenRepairError {
    /// The records, the data directory or the stack.
    #[error(transparent)]
    Open(#[from] OpenRecordsError),
    /// The stack's parameters.
    #[error("the stack's parameters are not understood by this release: {0}")]
    Parameters(#[from] ConfigProblems),
}

impl Repair {
    /// Of a data directory. The server reads deliveries with the providers' default settings.
    ///
    /// # Errors
    /// When there is none, or its database can't be read.
    pub fn of_directory(path: &Path) -> Result<Self, OpenRepairError> {
        let open = || -> Result<Database, OpenRecordsError> {
            Ok(Database::open(&DataDirectory::existing(path)?.database())?)
        };
        let database = open()?;
        Ok(Self {
            records: AnyRecords::Directory(SqliteRecords::new(database.clone())),
            queue: AnyQueue::Directory(SqliteQueue::new(database.clone())),
            dead_letters: AnyDeadLetters::Directory(SqliteDeadLetters::new(database.clone())),
            undelivered: Some(SqliteOutbox::new(database)),
            providers: Settings::default(),
        })
    }

    /// Of a deployed stack.
    ///
    /// # Errors
    /// When it can't be found or asked.
    #[cfg(feature = "aws")]
    pub async fn of_stack(name: &str, region: Option<&str>) -> Result<Self, OpenRepairError> {
        let stack = deployed_stack::open(name, region).await.map_err(OpenRecordsError::from)?;
        let open = || -> Result<_, deployed_stack::StackError> {
            Ok((StackRecords::new(&stack)?, stack.queue()?, StackDeadLetters::new(&stack)?))
        };
        let (records, queue, dead_letters) = open().map_err(OpenRecordsError::from)?;
        Ok(Self {
            records: AnyRecords::Stack(Box::new(records)),
            queue: AnyQueue::Stack(queue),
            dead_letters: AnyDeadLetters::Stack(dead_letters),
            undelivered: None,
            providers: providers(&stack)?,
        })
    }

    /// Says that this build can't.
    ///
    /// # Errors
    /// Always.
    #[cfg(not(feature = "aws"))]
    pub async fn of_stack(name: &str, region: Option<&str>) -> Result<Self, OpenRepairError> {
        match deployed_stack::open(name, region).await.map_err(OpenRecordsError::from)? {}
    }
}

/// The settings of the providers, each with the stack's parameter that the processor has it from.
#[cfg(feature = "aws")]
const PARAMETERS: [(&str, &str); 4] = [
    ("MACHNET_REPEAT_WINDOW_SECONDS", "MachnetRepeatWindowSeconds"),
    ("NOWCERTS_ID_POINTER", "NowCertsIdPointer"),
    ("NURTURECLOUD_ORGANISATION", "NurtureCloudOrganisation"),
    ("NURTURECLOUD_BUSINESSES", "NurtureCloudBusinesses"),
];

#[cfg(feature = "aws")]
fn providers(stack: &Stack) -> Result<Settings, ConfigProblems> {
    let variable = |name: &str| {
        let (_, parameter) = PARAMETERS.iter().find(|(variable, _)| *variable == name)?;
        stack.parameter(parameter).map(str::to_owned)
    };
    let mut reader = Reader::new(&variable);
    let settings = Settings::read(&mut reader);
    reader.finish(settings)
}

/// The queue of a data directory or of a deployed stack.
#[derive(Debug)]
pub enum AnyQueue {
    /// Of a data directory.
    Directory(SqliteQueue),
    /// Of a deployed stack.
    #[cfg(feature = "aws")]
    Stack(SqsQueue),
}

impl Queue for AnyQueue {
    async fn send(&self, document: &QueueMessage) -> Result<(), PortError> {
        match self {
            Self::Directory(queue) => queue.send(document).await,
            #[cfg(feature = "aws")]
            Self::Stack(queue) => queue.send(document).await,
        }
    }
}

/// The dead letters of a data directory or of a deployed stack.
#[derive(Debug)]
pub enum AnyDeadLetters {
    /// Of a data directory.
    Directory(SqliteDeadLetters),
    /// Of a deployed stack.
    #[cfg(feature = "aws")]
    Stack(StackDeadLetters),
}

impl DeadLetters for AnyDeadLetters {
    async fn list(&self, most: usize) -> Result<FoundDeadLetters, PortError> {
        match self {
            Self::Directory(dead_letters) => dead_letters.list(most).await,
            #[cfg(feature = "aws")]
            Self::Stack(dead_letters) => dead_letters.list(most).await,
        }
    }

    async fn find_failures(&self, found: &mut [DeadLetter]) -> Result<(), PortError> {
        match self {
            Self::Directory(dead_letters) => dead_letters.find_failures(found).await,
            #[cfg(feature = "aws")]
            Self::Stack(dead_letters) => dead_letters.find_failures(found).await,
        }
    }

    async fn redrive(&self, message_ids: &[String], rate: Option<NonZeroU32>) -> Result<Vec<String>, PortError> {
        match self {
            Self::Directory(dead_letters) => dead_letters.redrive(message_ids, rate).await,
            #[cfg(feature = "aws")]
            Self::Stack(dead_letters) => dead_letters.redrive(message_ids, rate).await,
        }
    }

    async fn redrive_all(&self, rate: Option<NonZeroU32>) -> Result<u64, PortError> {
        match self {
            Self::Directory(dead_letters) => dead_letters.redrive_all(rate).await,
            #[cfg(feature = "aws")]
            Self::Stack(dead_letters) => dead_letters.redrive_all(rate).await,
        }
    }
}

#[cfg(all(test, feature = "aws"))]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn every_setting_of_a_provider_is_read_from_the_parameter_that_the_processor_has_it_from() {
        let asked = RefCell::new(Vec::new());
        let variable = |name: &str| {
            asked.borrow_mut().push(name.to_owned());
            None
        };
        let _ = Settings::read(&mut Reader::new(&variable));
        let mut asked = asked.into_inner();
        let mut known = PARAMETERS.map(|(variable, _)| variable.to_owned()).to_vec();
        asked.sort();
        known.sort();
        assert_eq!(asked, known);
        let template = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../template.yaml")).unwrap();
        for (variable, parameter) in PARAMETERS {
            assert!(template.contains(&format!("{variable}: !Ref {parameter}")), "{variable}");
        }
    }
}
