//! Which authority a command is about: the one in the data directory, or the one of a deployed stack.

use std::path::Path;

use super::CommandError;
use crate::authority_store::{AuthorityStore, Document, StoreError, StoredAuthority};
#[cfg(not(feature = "aws"))]
use crate::deployed_stack::StackError;
use intake_sqlite::DataDirectory;

#[derive(Debug, clap::Args)]
pub(super) struct PlaceArguments {
    /// A deployed stack's secret with the whole authority, instead of the data directory.
    #[arg(long, global = true, value_name = "ARN")]
    authority_secret: Option<String>,
    /// A deployed stack's secret of the webhook, together with --authority-secret.
    #[arg(long, global = true, value_name = "ARN")]
    verification_secret: Option<String>,
}

/// Whether the place is made if there is none.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum IfMissing {
    Make,
    Refuse,
}

impl PlaceArguments {
    /// Whether a deployed stack is meant.
    pub(super) const fn is_stack(&self) -> bool {
        self.authority_secret.is_some()
    }

    pub(super) async fn open(
        &self,
        data_directory: &Path,
        if_missing: IfMissing,
    ) -> Result<StoredAuthority, CommandError> {
        match (&self.authority_secret, &self.verification_secret) {
            (None, None) => {
                let directory = match if_missing {
                    IfMissing::Make => DataDirectory::create(data_directory)?,
                    IfMissing::Refuse => DataDirectory::at(data_directory),
                };
                if if_missing == IfMissing::Refuse && !directory.sterling_authority().exists() {
                    let place = directory.sterling_authority().display().to_string();
                    return Err(StoreError::NoAuthority { place }.into());
                }
                Ok(StoredAuthority::of_directory(&directory)?)
            }
            (Some(authority), Some(verification)) => stack(authority, verification).await,
            _ => Err(CommandError::OneSecretOnly),
        }
    }
}

#[cfg(feature = "aws")]
async fn stack(authority: &str, verification: &str) -> Result<StoredAuthority, CommandError> {
    Ok(StoredAuthority::of_stack(authority, verification).await)
}

#[cfg(not(feature = "aws"))]
async fn stack(_authority: &str, _verification: &str) -> Result<StoredAuthority, CommandError> {
    Err(StackError::BuiltWithoutAws.into())
}

/// The authority that a command needs, or what to do when there is none.
pub(super) fn needed<T>(authority: Option<T>, store: &impl AuthorityStore) -> Result<T, StoreError> {
    authority.ok_or_else(|| StoreError::NoAuthority { place: store.name(Document::Authority) })
}
