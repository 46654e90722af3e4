//! `keys remove`: a key is taken out.

use std::process::ExitCode;

use intake_pipeline::clock::{Clock as _, SystemClock};
use intake_providers::ProviderName;
use intake_providers::key_ring::change::{Change, Removal};
use intake_providers::key_ring::listing::{ListedKey, RecordedAs};
use intake_providers::registry::key_ring;
use intake_sqlite::DataDirectoryError;

use super::super::error::CommandError;
use super::super::parsers::provider_parser;
use super::super::place::Place;
use super::changing::{self, print_change};
use super::key_place::KeyPlace;
use crate::key_store::Access;
use crate::key_uses::{KeyUses, RECENTLY};
use crate::records::OpenRecordsError;

#[derive(Debug, clap::Args)]
pub(super) struct Remove {
    /// The provider.
    #[arg(value_parser = provider_parser())]
    provider: ProviderName,
    /// The key: its fingerprint or at least four digits of its beginning, a client's id, or `entry-` and the place of one that cannot
    /// be read, as `keys list` shows them.
    #[arg(value_name = "KEY")]
    key: String,
    /// Yes, even when no other one is left, after which nothing of the provider is accepted.
    #[arg(long)]
    even_the_last: bool,
    /// Yes, even when it was used within the last hour.
    #[arg(long)]
    yes: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(place: &Place, remove: Remove) -> Result<ExitCode, CommandError> {
    let Remove { provider, key: name, even_the_last, yes, json } = remove;
    let key_place = KeyPlace::open(place).await?;
    if !yes {
        let found = key_place.store(provider, Access::Read).await?.read().await?;
        let listing = found.with(|documents| key_ring(provider).list(documents));
        // A key that isn't there is refused below.
        if let Ok(key) = listing.find(&name) {
            refuse_if_in_use(place, provider, key).await?;
        }
    }
    let change = remove_key(&key_place, provider, &name, Removal { even_the_last }).await?;
    print_change(provider, "Taken out of", &change, json)?;
    Ok(ExitCode::SUCCESS)
}

/// Takes a key out.
pub(super) async fn remove_key(
    place: &KeyPlace,
    provider: ProviderName,
    name: &str,
    removal: Removal,
) -> Result<Change, CommandError> {
    let circumstances = place.circumstances(provider, None)?;
    let store = place.store(provider, Access::Change).await?;
    let ring = key_ring(provider);
    changing::change(provider, &store, |documents| {
        let listing = ring.list(documents);
        ring.remove(documents, listing.find(name)?, removal, &circumstances)
    })
    .await
}

async fn refuse_if_in_use(place: &Place, provider: ProviderName, key: &ListedKey) -> Result<(), CommandError> {
    let Some(recorded_as) = &key.recorded_as else { return Ok(()) };
    match last_hour(place, provider, recorded_as).await {
        Ok(None) => Ok(()),
        Ok(Some(last)) => Err(match recorded_as {
            RecordedAs { account: Some(account), fingerprint: None } => {
                CommandError::AccountInUse { account: account.as_str().to_owned(), last: last.to_string() }
            }
            _ => CommandError::KeyInUse { last: last.to_string() },
        }),
        Err(error) => Err(CommandError::UseUnknown { error: Box::new(error) }),
    }
}

/// When a key was used last, if that is not longer ago than an hour.
async fn last_hour(
    place: &Place,
    provider: ProviderName,
    key: &RecordedAs,
) -> Result<Option<intake_providers::timestamp::Timestamp>, CommandError> {
    let since = SystemClock.now().minus(RECENTLY);
    let records = match place.records().await {
        Ok(records) => records,
        // Nothing was ever received.
        Err(CommandError::Records(OpenRecordsError::DataDirectory(DataDirectoryError::Missing { .. }))) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let uses = KeyUses::read(&records, provider, Some(since)).await?;
    Ok(uses.of(key).map(|used| used.last))
}
