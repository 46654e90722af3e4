//! What a command is about: the data directory, or a deployed stack.

use std::path::{Path, PathBuf};

use intake_providers::ProviderName;
use intake_sqlite::DataDirectory;

use super::error::CommandError;
use super::invocation::invocation;
use crate::deployed_stack;
use crate::eraser::AnyEraser;
use crate::kept_requests::AnyRefused;
use crate::records::AnyRecords;
use crate::repair::Repair;
use crate::server;

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

    /// What erases there.
    pub(super) async fn eraser(&self) -> Result<AnyEraser, CommandError> {
        Ok(match self {
            Self::Directory(path) => AnyEraser::of_directory(path)?,
            Self::Stack { name, region } => AnyEraser::of_stack(name, region.as_deref()).await?,
        })
    }

    /// The requests that were refused there.
    pub(super) async fn refused(&self) -> Result<AnyRefused, CommandError> {
        Ok(match self {
            Self::Directory(path) => AnyRefused::of_directory(path)?,
            Self::Stack { name, region } => AnyRefused::of_stack(name, region.as_deref()).await?,
        })
    }

    /// What comes before `/webhooks/` in the URL of a provider's webhook there.
    pub(super) async fn base_url(&self, provider: ProviderName) -> Result<String, CommandError> {
        match self {
            Self::Directory(path) => Ok(server::base_url(&DataDirectory::at(path))),
            Self::Stack { name, region } => {
                let stack = deployed_stack::open(name, region.as_deref()).await?;
                let url = deployed_stack::base_url(&stack, provider);
                url.ok_or_else(|| CommandError::NoWebhook { provider, stack: name.clone() })
            }
        }
    }

    /// How to call this program for the same place with a command, such as `keys list`.
    pub(super) fn call(&self, command: &str) -> String {
        match self {
            Self::Directory(path) => format!("{} {command}", invocation(path)),
            // A build from source needs a feature for it, so the installed program is named.
            Self::Stack { name, region: None } => format!("webhook-intake {command} --stack {name}"),
            Self::Stack { name, region: Some(region) } => {
                format!("webhook-intake {command} --stack {name} --region {region}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_names_the_place_where_the_command_takes_it() {
        let directory = Place::Directory("/d".into());
        assert!(
            directory.call("keys list").ends_with(" --data-directory /d keys list"),
            "{}",
            directory.call("keys list")
        );
        let stack = Place::Stack { name: "intake".to_owned(), region: Some("eu-west-1".to_owned()) };
        assert_eq!(stack.call("keys list"), "webhook-intake keys list --stack intake --region eu-west-1");
    }
}
