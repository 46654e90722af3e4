//! `signing-key`: the rotation of the key that signs Sterling's tokens.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use intake_pipeline::clock::{Clock as _, SystemClock};
use intake_providers::oauth::authority::{Authority, NewSigningKey, ROTATION_MARGIN, SigningKey};
use intake_providers::timestamp::Timestamp;

use super::authority_place::{IfMissing, PlaceArguments, needed};
use super::describe::table;
use super::{CommandError, print};
use crate::authority_store::{self, First, StoreError};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    place: PlaceArguments,
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Copy, Debug, clap::Subcommand)]
enum Action {
    /// First step: make a new key. It verifies, and does not sign yet.
    Add,
    /// Second step: the new key signs. Refused while somebody may not know it yet.
    Activate,
    /// Third step: the old key verifies no more. Refused while a token of it may be valid.
    Retire,
    /// List the keys, and what may be done from when on.
    List,
}

pub(super) async fn run(data_directory: &Path, arguments: Arguments) -> Result<ExitCode, CommandError> {
    let Arguments { place: place_arguments, action } = arguments;
    let place = place_arguments.open(data_directory, IfMissing::Refuse).await?;
    let now = SystemClock.now();
    let text = match action {
        Action::Add => {
            authority_store::change(&place, First::Verification, |authority| {
                let mut authority = needed(authority, &place)?;
                let key = NewSigningKey::generate().ok_or(StoreError::NoRandomness)?;
                let kid = authority.add_key(key, now)?.to_owned();
                let from = activation_from(&authority, now);
                Ok((
                    authority,
                    format!("The key {kid} verifies. Let it sign with `signing-key activate` from {from} on.\n"),
                ))
            })
            .await?
        }
        Action::Activate => {
            authority_store::change(&place, First::Verification, |authority| {
                let mut authority = needed(authority, &place)?;
                let kid = authority.activate_key(now)?.to_owned();
                let from = retirement_from(&authority, now);
                let message =
                    format!("The key {kid} signs. Remove the old one with `signing-key retire` from {from} on.\n");
                Ok((authority, message))
            })
            .await?
        }
        Action::Retire => {
            authority_store::change(&place, First::Authority, |authority| {
                let mut authority = needed(authority, &place)?;
                let kid = authority.retire_key(now)?;
                Ok((authority, format!("The key {kid} is removed.\n")))
            })
            .await?
        }
        Action::List => list(&needed(authority_store::read(&place).await?, &place)?),
    };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn activation_from(authority: &Authority, added_at: Timestamp) -> Timestamp {
    added_at.plus(Duration::from_secs(authority.secret_refresh_seconds)).plus(ROTATION_MARGIN)
}

fn retirement_from(authority: &Authority, superseded_at: Timestamp) -> Timestamp {
    activation_from(authority, superseded_at).plus(authority.token_lifetime())
}

fn list(authority: &Authority) -> String {
    let rows = authority.keys.iter().map(|key| {
        let (state, next) = state(authority, key);
        [key.kid.clone(), key.added_at.to_string(), state.to_owned(), next]
    });
    format!("{}\n", table(["key", "added (UTC)", "state", "next"], rows.collect()))
}

fn state(authority: &Authority, key: &SigningKey) -> (&'static str, String) {
    match (key.activated_at, key.superseded_at) {
        (_, Some(superseded_at)) => {
            ("verifies, superseded", format!("retire from {}", retirement_from(authority, superseded_at)))
        }
        (Some(_), None) => ("signs and verifies", "-".to_owned()),
        (None, None) => ("verifies, waits", format!("activate from {}", activation_from(authority, key.added_at))),
    }
}
