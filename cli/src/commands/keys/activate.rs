//! `keys activate`: a key that was added begins to sign.

use std::process::ExitCode;

use intake_providers::ProviderName;
use intake_providers::key_ring::change::Change;
use intake_providers::registry::key_ring;

use super::super::error::CommandError;
use super::super::place::Place;
use super::changing::{self, print_change};
use super::key_place::KeyPlace;
use super::with_activation;
use crate::key_store::Access;

#[derive(Debug, clap::Args)]
pub(in crate::commands) struct Activate {
    /// The provider.
    #[arg(value_parser = with_activation())]
    provider: ProviderName,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(place: &Place, activate: Activate) -> Result<ExitCode, CommandError> {
    let change = activate_key(&KeyPlace::open(place).await?, activate.provider).await?;
    print_change(activate.provider, "Activated for", &change, activate.json)?;
    Ok(ExitCode::SUCCESS)
}

/// Activates the key that was added last.
pub(super) async fn activate_key(place: &KeyPlace, provider: ProviderName) -> Result<Change, CommandError> {
    let circumstances = place.circumstances(provider, None)?;
    let store = place.store(provider, Access::Change).await?;
    changing::change(provider, &store, |documents| key_ring(provider).activate(documents, &circumstances)).await
}
