//! Where keys are: in a data directory, in the secrets of a stack, or in secrets that were named one by one.

use std::time::Duration;

use intake_pipeline::clock::{Clock as _, SystemClock};
use intake_pipeline::intake::IntakeSettings;
use intake_pipeline::key_cache::MIN_REREAD_INTERVAL;
use intake_providers::ProviderName;
use intake_providers::key_ring::change::Circumstances;
use intake_providers::registry::key_ring;
use intake_sqlite::DataDirectory;

use super::super::error::CommandError;
use super::super::place::Place;
use super::changing::base_url;
use crate::deployed_stack::{self, Stack};
use crate::key_store::{Access, KeyStore};
use crate::server::{self, SECRET_REFRESH};

/// Where keys are.
pub(super) enum KeyPlace {
    /// In files.
    Directory(DataDirectory),
    /// In the secrets of a stack.
    Stack(Box<Stack>),
    /// In these secrets, by name or ARN, in the order of the provider's documents.
    Secrets(Vec<String>),
}

impl KeyPlace {
    pub(super) async fn open(place: &Place) -> Result<Self, CommandError> {
        Ok(match place {
            Place::Directory(path) => Self::Directory(DataDirectory::at(path)),
            Place::Stack { name, region } => {
                Self::Stack(Box::new(deployed_stack::open(name, region.as_deref()).await?))
            }
        })
    }

    /// Whether the provider is part of it.
    pub(super) fn has(&self, provider: ProviderName) -> bool {
        match self {
            Self::Directory(_) | Self::Secrets(_) => true,
            Self::Stack(stack) => {
                key_ring(provider).documents().iter().all(|document| stack.find_resource(document.secret).is_some())
            }
        }
    }

    /// The documents of a provider.
    pub(super) async fn store(&self, provider: ProviderName, access: Access) -> Result<KeyStore, CommandError> {
        let ring = key_ring(provider);
        let mut documents = Vec::new();
        match self {
            Self::Directory(directory) => return Ok(KeyStore::of_directory(directory, ring, access)?),
            Self::Stack(stack) => {
                for document in ring.documents() {
                    documents.push(deployed_stack::secret(stack, document.secret)?);
                }
            }
            Self::Secrets(secrets) => {
                for secret in secrets {
                    documents.push(deployed_stack::secret_of_arn(secret).await?);
                }
            }
        }
        Ok(KeyStore::of(documents))
    }

    /// What a change depends on here. A given base URL goes before what is known.
    pub(super) fn circumstances(
        &self,
        provider: ProviderName,
        given_base_url: Option<&str>,
    ) -> Result<Circumstances, CommandError> {
        let known = match self {
            Self::Directory(directory) => Some(server::base_url(directory)),
            Self::Stack(stack) => deployed_stack::base_url(stack, provider),
            Self::Secrets(_) => None,
        };
        let given = given_base_url.map(|text| base_url(text).ok_or(CommandError::InvalidBaseUrl)).transpose()?;
        Ok(Circumstances {
            is_base_url_given: given.is_some(),
            base_url: given.or(known),
            secret_refresh: self.secret_refresh(),
            added_within: MIN_REREAD_INTERVAL,
            now: SystemClock.now(),
        })
    }

    fn secret_refresh(&self) -> Duration {
        let default = IntakeSettings::default().secret_refresh;
        match self {
            Self::Directory(_) => SECRET_REFRESH,
            Self::Secrets(_) => default,
            Self::Stack(stack) => {
                let seconds = stack.parameter("SecretRefreshSeconds").and_then(|seconds| seconds.parse().ok());
                seconds.map_or(default, Duration::from_secs)
            }
        }
    }
}
