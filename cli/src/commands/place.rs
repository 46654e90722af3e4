//! What a command is about: the data directory, or a deployed stack.

use std::path::{Path, PathBuf};

use super::{CommandError, invocation};
use crate::records::AnyRecords;
use crate::repair::Repair;

/// The options of a command that works on a deployed stack as well.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct StackOptions {
    /// A deployed stack, instead of the data directory. It is asked with your own AWS credentials.
    #[arg(long, global = true, value_name = "NAME", env = "WEBHOOK_INTAKE_STACK")]
    stack: Option<String>,
    /// The stack's region. [default: that of your AWS profile]
    #[arg(long, global = true, value_name = "REGION")]
    region: Option<String>,
}

/// What a command is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The data directory of a development server.
    Directory(PathBuf),
    /// A deployed stack.
    Stack {
        /// Its name.
        name: String,
        /// Its region, where it was given.
        region: Option<String>,
    },
}

impl StackOptions {
    /// The stack that was named, or this data directory.
    pub(super) fn place(&self, data_directory: &Path) -> Place {
        match &self.stack {
            Some(name) => Place::Stack { name: name.clone(), region: self.region.clone() },
            None => Place::Directory(data_directory.to_owned()),
        }
    }
}

impl Place {
    /// What was recorded there.
    pub(super) async fn records(&self) -> Result<AnyRecords, CommandError> {
        Ok(match self {
            Self::Directory(path) => AnyRecords::of_directory(path)?,
            Self::Stack { name, region } => AnyRecords::of_stack(name, region.as_deref()).await?,
        })
    }

    /// What it takes to put failed deliveries right there.
    pub(super) async fn repair(&self) -> Result<Repair, CommandError> {
        Ok(match self {
            Self::Directory(path) => Repair::of_directory(path)?,
            Self::Stack { name, region } => Repair::of_stack(name, region.as_deref()).await?,
        })
    }

    /// How to call this program again for the same place.
    pub(super) fn invocation(&self) -> String {
        match self {
            Self::Directory(path) => invocation(path),
            // A build from source needs a feature for it, so the installed program is named.
            Self::Stack { name, region: None } => format!("webhook-intake --stack {name}"),
            Self::Stack { name, region: Some(region) } => format!("webhook-intake --stack {name} --region {region}"),
        }
    }
}
