//! `client`: who may ask for Sterling's tokens.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use intake_pipeline::clock::{Clock as _, SystemClock};
use intake_pipeline::intake::IntakeSettings;
use intake_providers::ProviderName;
use intake_providers::account::AccountName;
use intake_providers::oauth::TOKEN_PATH;
use intake_providers::oauth::authority::{Authority, ClientSecret, DEFAULT_TOKEN_LIFETIME, NewSigningKey};

use super::authority_place::{IfMissing, PlaceArguments, needed};
use super::describe::table;
use super::{CommandError, print};
use crate::authority_store::{self, AuthorityStore as _, Document, First, StoreError, StoredAuthority};
use crate::server::{DEFAULT_ADDRESS, SECRET_REFRESH};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    place: PlaceArguments,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Make a secret for a client, and the client and the authority if there are none. Prints the secret, once.
    ///
    /// A client may have several secrets at once: add one, hand it over, and when it is in use call `client keep-newest`.
    Add(Add),
    /// Remove a client. It gets no more tokens, and those that it has count no more.
    Remove {
        /// The client's id.
        client_id: String,
    },
    /// Remove every secret of a client but its newest.
    KeepNewest {
        /// The client's id.
        client_id: String,
    },
    /// List the clients and how many secrets each has.
    List,
}

#[derive(Debug, clap::Args)]
struct Add {
    /// The client's id: 1 to 64 letters, digits, dots, hyphens and underscores.
    client_id: String,
    /// For a new client: the account that its events belong to, in the same characters. It is part of their source and identity, so
    /// a client that takes the place of another one of the same tenant needs the same account. [default: the client's id]
    #[arg(long, value_name = "NAME")]
    account: Option<AccountName>,
    /// For a new authority: the tokens' issuer, best the token endpoint's URL. [default: that of the server on this machine]
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// For a new authority: the tokens' audience, best the webhook's URL. [default: that of the server on this machine]
    #[arg(long, value_name = "URL")]
    audience: Option<String>,
    /// For a new authority: how long a token is valid. [default: 7200]
    #[arg(long, value_name = "SECONDS")]
    token_lifetime_seconds: Option<u64>,
    /// For a new authority: yes, tokens of less than an hour are meant.
    #[arg(long)]
    short_tokens: bool,
    /// For a new authority: the functions' SECRET_REFRESH_SECONDS. [default: 15 on this machine, 300 for a stack]
    #[arg(long, value_name = "SECONDS")]
    secret_refresh_seconds: Option<u64>,
}

pub(super) async fn run(data_directory: &Path, arguments: Arguments) -> Result<ExitCode, CommandError> {
    let Arguments { place: place_arguments, action } = arguments;
    let if_missing = if matches!(action, Action::Add(_)) { IfMissing::Make } else { IfMissing::Refuse };
    let place = place_arguments.open(data_directory, if_missing).await?;
    let text = match action {
        Action::Add(add) => add.run(&place, place_arguments.is_stack()).await?,
        Action::Remove { client_id } => {
            authority_store::change(&place, First::Authority, |authority| {
                let mut authority = needed(authority, &place)?;
                authority.remove_client(&client_id)?;
                let within = within(&authority);
                Ok((authority, format!("{client_id} is removed; its tokens are refused {within}.\n")))
            })
            .await?
        }
        Action::KeepNewest { client_id } => {
            authority_store::change(&place, First::Authority, |authority| {
                let mut authority = needed(authority, &place)?;
                let removed = authority.remove_older_secrets(&client_id)?;
                let within = within(&authority);
                Ok((
                    authority,
                    format!("{client_id} keeps its newest secret; {removed} older no longer count, {within}.\n"),
                ))
            })
            .await?
        }
        Action::List => list(&needed(authority_store::read(&place).await?, &place)?),
    };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn within(authority: &Authority) -> String {
    format!("within {} s", authority.secret_refresh_seconds)
}

fn list(authority: &Authority) -> String {
    let rows: Vec<_> = authority
        .clients
        .iter()
        .map(|client| [client.client_id.to_string(), client.account.to_string(), client.secrets.len().to_string()])
        .collect();
    if rows.is_empty() {
        return "There is no client.\n".to_owned();
    }
    format!("{}\n", table(["client id", "account", "secrets"], rows))
}

impl Add {
    async fn run(self, place: &StoredAuthority, is_stack: bool) -> Result<String, CommandError> {
        let secret = ClientSecret::generate().ok_or(StoreError::NoRandomness)?;
        let client_id = self.client_id.clone();
        let message = authority_store::change(place, First::Verification, |authority| {
            let mut authority = match authority {
                Some(authority) => self.for_existing(authority, place)?,
                None => self.new_authority(place, is_stack)?,
            };
            authority.add_client_secret(&client_id, self.account.as_ref(), &secret)?;
            let message = message(&authority, &client_id, &secret);
            Ok((authority, message))
        });
        Ok(message.await?)
    }

    /// Refuses the settings of a new authority where there is one.
    fn for_existing(&self, authority: Authority, place: &StoredAuthority) -> Result<Authority, StoreError> {
        let given = [
            ("--issuer", self.issuer.is_some()),
            ("--audience", self.audience.is_some()),
            ("--token-lifetime-seconds", self.token_lifetime_seconds.is_some()),
            ("--short-tokens", self.short_tokens),
            ("--secret-refresh-seconds", self.secret_refresh_seconds.is_some()),
        ];
        match given.into_iter().find(|(_, given)| *given) {
            Some((option, _)) => Err(StoreError::AuthorityExists { place: place.name(Document::Authority), option }),
            None => Ok(authority),
        }
    }

    /// An authority with a key that signs at once.
    fn new_authority(&self, place: &StoredAuthority, is_stack: bool) -> Result<Authority, StoreError> {
        let needed = |given: &Option<String>, path, option, meaning| match given {
            Some(given) => Ok(given.clone()),
            None if is_stack => {
                Err(StoreError::OptionNeeded { place: place.name(Document::Authority), option, meaning })
            }
            None => Ok(format!("http://{DEFAULT_ADDRESS}{path}")),
        };
        let webhook = ProviderName::Sterling.source_path();
        let refresh = if is_stack { IntakeSettings::default().secret_refresh } else { SECRET_REFRESH };
        Ok(Authority::new(
            needed(&self.issuer, TOKEN_PATH, "--issuer", "the url of the stack's token endpoint")?,
            needed(&self.audience, webhook, "--audience", "the url of the stack's webhook")?,
            self.token_lifetime_seconds.map_or(DEFAULT_TOKEN_LIFETIME, Duration::from_secs),
            self.short_tokens,
            self.secret_refresh_seconds.map_or(refresh, Duration::from_secs),
            NewSigningKey::generate().ok_or(StoreError::NoRandomness)?,
            SystemClock.now(),
        )?)
    }
}

/// The credentials, and what else is needed to set the sender up.
fn message(authority: &Authority, client_id: &str, secret: &ClientSecret) -> String {
    let mut text = format!(
        "client id      {client_id}\nclient secret  {}\n\nThe secret is shown this once; only its hash is kept.\n",
        secret.reveal()
    );
    let client = authority.clients.iter().find(|client| client.client_id.as_str() == client_id);
    if let Some(client) = client {
        let _ = writeln!(text, "The client's events belong to the account {}.", client.account);
    }
    let secrets = client.map_or(1, |client| client.secrets.len());
    if secrets > 1 {
        let _ = writeln!(
            text,
            "The client has {secrets} secrets now; when this one is in use, call `client keep-newest {client_id}`."
        );
    }
    let lifetime = authority.token_lifetime_seconds;
    let _ = write!(
        text,
        "\nHand to IBM, by a way that is safe for a secret:\n\
         - client id and client secret, for the grant client_credentials with HTTP Basic\n\
         - the token endpoint's URL: {}\n\
         - the webhook's URL: {}\n\
         - how long a token is valid: {lifetime} s ({} h); every token's answer says so too\n\
         Both URLs must be reachable with HTTPS on port 443 under a certificate of a public authority.\n",
        authority.issuer,
        authority.audience,
        hours(lifetime),
    );
    text
}

fn hours(seconds: u64) -> String {
    let hours = format!("{}.{:02}", seconds / 3600, seconds % 3600 * 100 / 3600);
    hours.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_written_without_needless_digits() {
        assert_eq!([7200, 5400, 600, 36000].map(hours), ["2", "1.5", "0.16", "10"]);
    }
}
