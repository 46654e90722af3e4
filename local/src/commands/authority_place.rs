//! Which authority a command is about: the one in the data directory, or the one of a deployed stack.

use std::path::Path;

use pipeline::ports::SecretText;

use super::CommandError;
#[cfg(feature = "aws")]
use crate::authority_store::SecretsManagerStore;
use crate::authority_store::{AuthorityStore, Document, FileStore, Found, StoreError, Version};
use crate::data_directory::DataDirectory;

#[derive(Debug, clap::Args)]
pub(super) struct PlaceArguments {
    /// A deployed stack's secret with the whole authority, instead of the data directory. Needs a build with --features aws.
    #[arg(long, global = true, value_name = "ARN")]
    authority_secret: Option<String>,
    /// A deployed stack's secret of the webhook, together with --authority-secret.
    #[arg(long, global = true, value_name = "ARN")]
    verification_secret: Option<String>,
}

/// Where the authority is.
pub(super) enum Place {
    DataDirectory(FileStore),
    #[cfg(feature = "aws")]
    Stack(SecretsManagerStore),
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

    pub(super) async fn open(&self, data_directory: &Path, if_missing: IfMissing) -> Result<Place, CommandError> {
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
                Ok(Place::DataDirectory(FileStore::open(&directory)?))
            }
            (Some(authority), Some(verification)) => stack(authority, verification).await,
            _ => Err(CommandError::OneSecretOnly),
        }
    }
}

#[cfg(feature = "aws")]
async fn stack(authority: &str, verification: &str) -> Result<Place, CommandError> {
    Ok(Place::Stack(SecretsManagerStore::connect(authority, verification).await))
}

#[cfg(not(feature = "aws"))]
async fn stack(_authority: &str, _verification: &str) -> Result<Place, CommandError> {
    Err(CommandError::BuiltWithoutAws)
}

impl AuthorityStore for Place {
    fn name(&self, document: Document) -> String {
        match self {
            Self::DataDirectory(store) => store.name(document),
            #[cfg(feature = "aws")]
            Self::Stack(store) => store.name(document),
        }
    }

    async fn read(&self, document: Document) -> Result<Found, StoreError> {
        match self {
            Self::DataDirectory(store) => store.read(document).await,
            #[cfg(feature = "aws")]
            Self::Stack(store) => store.read(document).await,
        }
    }

    async fn replace(&self, document: Document, text: &SecretText, seen: &Version) -> Result<(), StoreError> {
        match self {
            Self::DataDirectory(store) => store.replace(document, text, seen).await,
            #[cfg(feature = "aws")]
            Self::Stack(store) => store.replace(document, text, seen).await,
        }
    }
}

/// The authority that a command needs, or what to do when there is none.
pub(super) fn needed<T>(authority: Option<T>, store: &impl AuthorityStore) -> Result<T, StoreError> {
    authority.ok_or_else(|| StoreError::NoAuthority { place: store.name(Document::Authority) })
}
