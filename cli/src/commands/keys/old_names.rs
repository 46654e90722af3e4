//! The names that these commands had before there was `keys`. They work as they did for one more release, and say what to call
//! instead.

use std::path::Path;
use std::process::ExitCode;

use clap::Subcommand;
use intake_providers::ProviderName;
use intake_providers::account::AccountName;
use intake_providers::key_ring::change::{Change, Removal};
use intake_providers::key_ring::key_id::KeyId;
use intake_providers::key_ring::listing::ListedKey;
use intake_providers::key_ring::new_key::{GivenOptions, NewKey};
use intake_providers::registry::key_ring;
use intake_sqlite::DataDirectory;
use secrecy::ExposeSecret as _;

use super::super::describe::table;
use super::super::error::CommandError;
use super::super::output::{explain, print};
use super::activate::activate_key;
use super::add::add_key;
use super::changing::print_change;
use super::key_place::KeyPlace;
use super::remove::remove_key;
use crate::key_store::Access;

const STERLING: ProviderName = ProviderName::Sterling;
const NURTURECLOUD: ProviderName = ProviderName::NurtureCloud;

/// Where the authority is.
#[derive(Debug, clap::Args)]
struct AuthorityPlace {
    /// A deployed stack's secret with the whole authority, instead of the data directory.
    #[arg(long, global = true, value_name = "ARN")]
    authority_secret: Option<String>,
    /// A deployed stack's secret of the webhook, together with --authority-secret.
    #[arg(long, global = true, value_name = "ARN")]
    verification_secret: Option<String>,
}

impl AuthorityPlace {
    fn open(self, data_directory: &Path) -> Result<KeyPlace, CommandError> {
        match (self.authority_secret, self.verification_secret) {
            (None, None) => Ok(KeyPlace::Directory(DataDirectory::at(data_directory))),
            (Some(authority), Some(verification)) => Ok(KeyPlace::Secrets(vec![authority, verification])),
            _ => Err(CommandError::OneSecretOnly),
        }
    }
}

#[derive(Debug, clap::Args)]
pub(in crate::commands) struct Client {
    #[command(flatten)]
    place: AuthorityPlace,
    #[command(subcommand)]
    action: ClientAction,
}

#[derive(Debug, Subcommand)]
enum ClientAction {
    /// Make a secret for a client: `keys add sterling`.
    Add(AddClient),
    /// Remove a client: `keys remove sterling`.
    Remove {
        /// The client's id.
        client_id: String,
    },
    /// Remove every secret of a client but its newest: `keys remove sterling`, for each by its fingerprint.
    KeepNewest {
        /// The client's id.
        client_id: String,
    },
    /// List the clients: `keys list sterling`.
    List,
}

#[derive(Debug, clap::Args)]
struct AddClient {
    /// The client's id.
    client_id: String,
    /// For a new client: the account that its events belong to.
    #[arg(long, value_name = "NAME")]
    account: Option<AccountName>,
    /// For a new authority: the tokens' issuer.
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// For a new authority: the tokens' audience.
    #[arg(long, value_name = "URL")]
    audience: Option<String>,
    /// For a new authority: how long a token is valid.
    #[arg(long, value_name = "SECONDS")]
    token_lifetime_seconds: Option<u64>,
    /// For a new authority: yes, tokens of less than an hour are meant.
    #[arg(long)]
    short_tokens: bool,
    /// For a new authority: the functions' SECRET_REFRESH_SECONDS.
    #[arg(long, value_name = "SECONDS")]
    secret_refresh_seconds: Option<u64>,
}

#[derive(Debug, clap::Args)]
pub(in crate::commands) struct SigningKey {
    #[command(flatten)]
    place: AuthorityPlace,
    #[command(subcommand)]
    action: SigningKeyAction,
}

#[derive(Clone, Copy, Debug, Subcommand)]
enum SigningKeyAction {
    /// First step: `keys add sterling --signing-key`.
    Add,
    /// Second step: `keys activate sterling`.
    Activate,
    /// Third step: `keys remove sterling`.
    Retire,
    /// List the keys: `keys list sterling`.
    List,
}

#[derive(Debug, clap::Args)]
pub(in crate::commands) struct NurtureCloudUrl {
    /// What the account is called.
    #[arg(long, default_value = "main", conflicts_with_all = ["list", "remove"])]
    account: AccountName,
    /// Where the webhooks are reached.
    #[arg(long, value_name = "URL", conflicts_with_all = ["list", "remove"])]
    base_url: Option<String>,
    /// A deployed stack's secret, instead of the data directory.
    #[arg(long, value_name = "ARN")]
    secret: Option<String>,
    /// List the active secrets: `keys list nurturecloud`.
    #[arg(long, conflicts_with = "remove")]
    list: bool,
    /// Take a secret out: `keys remove nurturecloud`.
    #[arg(long, value_name = "FINGERPRINT")]
    remove: Option<String>,
    /// With --remove: yes, even when no other secret is left.
    #[arg(long, requires = "remove")]
    even_the_last: bool,
}

pub(in crate::commands) async fn client(data_directory: &Path, client: Client) -> Result<ExitCode, CommandError> {
    let Client { place, action } = client;
    let place = place.open(data_directory)?;
    match action {
        ClientAction::Add(add) => {
            instead("client add", "keys add sterling")?;
            let client_id = add.client_id.clone();
            print_client(&client_id, &add_key(&place, STERLING, &add.new_key(), None).await?)?;
        }
        ClientAction::Remove { client_id } => {
            instead("client remove", "keys remove sterling")?;
            let removal = Removal { even_the_last: true };
            print_change(STERLING, "Taken out of", &remove_key(&place, STERLING, &client_id, removal).await?, false)?;
        }
        ClientAction::KeepNewest { client_id } => {
            instead("client keep-newest", "keys remove sterling")?;
            for name in older_secrets(&place, &client_id).await? {
                let change = remove_key(&place, STERLING, &name, Removal::default()).await?;
                print_change(STERLING, "Taken out of", &change, false)?;
            }
        }
        ClientAction::List => {
            instead("client list", "keys list sterling")?;
            list(&place, STERLING).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(in crate::commands) async fn signing_key(
    data_directory: &Path,
    signing_key: SigningKey,
) -> Result<ExitCode, CommandError> {
    let SigningKey { place, action } = signing_key;
    let place = place.open(data_directory)?;
    match action {
        SigningKeyAction::Add => {
            instead("signing-key add", "keys add sterling --signing-key")?;
            let options = GivenOptions::default().with("signing-key", "");
            let new = NewKey { options, ..NewKey::default() };
            print_change(STERLING, "Added to", &add_key(&place, STERLING, &new, None).await?, false)?;
        }
        SigningKeyAction::Activate => {
            instead("signing-key activate", "keys activate sterling")?;
            print_change(STERLING, "Activated for", &activate_key(&place, STERLING).await?, false)?;
        }
        SigningKeyAction::Retire => {
            instead("signing-key retire", "keys remove sterling")?;
            let superseded = keys(&place, STERLING).await?.into_iter().find(|key| key.state.name() == "superseded");
            let Some(superseded) = superseded else { return Err(CommandError::NothingToRetire) };
            let change = remove_key(&place, STERLING, &superseded.id.to_string(), Removal::default()).await?;
            print_change(STERLING, "Taken out of", &change, false)?;
        }
        SigningKeyAction::List => {
            instead("signing-key list", "keys list sterling")?;
            list(&place, STERLING).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(in crate::commands) async fn nurturecloud_url(
    data_directory: &Path,
    url: NurtureCloudUrl,
) -> Result<ExitCode, CommandError> {
    let NurtureCloudUrl { account, base_url, secret, list: is_list, remove, even_the_last } = url;
    let place = match secret {
        Some(secret) => KeyPlace::Secrets(vec![secret]),
        None => KeyPlace::Directory(DataDirectory::at(data_directory)),
    };
    if is_list {
        instead("nurturecloud-url --list", "keys list nurturecloud")?;
        list(&place, NURTURECLOUD).await?;
    } else if let Some(fingerprint) = remove {
        instead("nurturecloud-url --remove", "keys remove nurturecloud")?;
        let change = remove_key(&place, NURTURECLOUD, &fingerprint, Removal { even_the_last }).await?;
        print_change(NURTURECLOUD, "Taken out of", &change, false)?;
    } else {
        instead("nurturecloud-url", "keys add nurturecloud")?;
        let new = NewKey { account: Some(account), ..NewKey::default() };
        let change = add_key(&place, NURTURECLOUD, &new, base_url.as_deref()).await?;
        explain(&change.next)?;
        print(&format!("{}\n", change.made.as_ref().map_or("", |made| made.secret.expose_secret())))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn instead(old: &str, new: &str) -> Result<(), CommandError> {
    explain(&format!("`{old}` is now `{new}`, and its old name goes with the next release.\n"))
}

impl AddClient {
    fn new_key(self) -> NewKey {
        let seconds = |value: Option<u64>| value.map(|seconds| seconds.to_string());
        let given = [
            ("client-id", Some(self.client_id)),
            ("issuer", self.issuer),
            ("audience", self.audience),
            ("token-lifetime-seconds", seconds(self.token_lifetime_seconds)),
            ("short-tokens", self.short_tokens.then(String::new)),
            ("secret-refresh-seconds", seconds(self.secret_refresh_seconds)),
        ];
        let mut options = GivenOptions::default();
        for (name, value) in given {
            if let Some(value) = value {
                options = options.with(name, value);
            }
        }
        NewKey { account: self.account, input: None, options }
    }
}

/// The credentials in the form in which `client add` printed them.
fn print_client(client_id: &str, change: &Change) -> Result<(), CommandError> {
    let secret = change.made.as_ref().map_or("", |made| made.secret.expose_secret());
    explain(&change.next)?;
    print(&format!("client id      {client_id}\nclient secret  {secret}\n"))
}

async fn keys(place: &KeyPlace, provider: ProviderName) -> Result<Vec<ListedKey>, CommandError> {
    let found = place.store(provider, Access::Read).await?.read().await?;
    Ok(found.with(|documents| key_ring(provider).list(documents)).keys)
}

/// The older secrets of a client, by their fingerprints.
async fn older_secrets(place: &KeyPlace, client_id: &str) -> Result<Vec<String>, CommandError> {
    let keys = keys(place, STERLING).await?;
    let is_client = |key: &&ListedKey| matches!(&key.id, KeyId::Name(name) if name == client_id);
    let after = keys.iter().skip_while(|key| !is_client(key)).skip(1);
    if !keys.iter().any(|key| is_client(&key)) {
        return Err(CommandError::UnknownClient);
    }
    let of_client =
        after.take_while(|key| matches!(key.id, KeyId::Fingerprint(_)) && key.kind.starts_with("secret of "));
    let secrets: Vec<_> = of_client.map(|key| key.id.to_string()).collect();
    Ok(secrets.into_iter().rev().skip(1).rev().collect())
}

async fn list(place: &KeyPlace, provider: ProviderName) -> Result<(), CommandError> {
    let rows: Vec<_> = keys(place, provider)
        .await?
        .iter()
        .map(|key| {
            let account = key.account.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
            let state = key.state.remark().unwrap_or(key.state.name());
            [account, key.id.to_string(), key.kind.clone(), state.to_owned()]
        })
        .collect();
    if rows.is_empty() {
        return print(&format!("There is no key of {provider}.\n"));
    }
    print(&format!("{}\n", table(["account", "key", "what it is", "state"], rows)))
}
