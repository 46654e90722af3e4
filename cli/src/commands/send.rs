//! `send`: one signed delivery to any URL.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bytes::Bytes;
use intake_pipeline::clock::{Clock as _, SystemClock};
use intake_providers::ProviderName;
use reqwest::Url;
use secrecy::ExposeSecret as _;
use serde::Deserialize;

use super::{CommandError, print, webhook_parser};
use crate::client::{Reply, Sender, webhook_url};
use crate::key_files::ClientCredentials;
use crate::sample_bodies::{
    NurtureCloudEntity, SterlingEvent, accredit_body, machnet_body, nurturecloud_body, random_hex, random_uuid,
    sterling_body,
};
use crate::server::DEFAULT_ADDRESS;
use crate::signing::{SignedDelivery, Signer};
use intake_providers::oauth::TOKEN_PATH;
use intake_sqlite::DataDirectory;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Whose delivery to send.
    #[arg(value_parser = webhook_parser())]
    provider: ProviderName,
    /// Where to send it. Without a path, the provider's webhook is meant; nurturecloud's may be whole, with its secret.
    /// [default: the server on this machine]
    #[arg(long)]
    url: Option<String>,
    /// The file with the body, or - for standard input. [default: a new event with made-up ids]
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// The file with the key that signs: for accredit a private key in PEM, for machnet the secret as it is stored,
    /// {"keys":[{"account":"main","secret":"..."}]}, for nurturecloud the secret that ends the URL. [default: the test key in
    /// the data directory]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// accredit: the X-JobId header. [default: made up]
    #[arg(long, value_name = "ID")]
    job_id: Option<String>,
    /// accredit: the X-JobAttempt header; 0 is the first try. [default: 0]
    #[arg(long, value_name = "NUMBER")]
    job_attempt: Option<u32>,
    /// machnet: the x-raas-event header. [default: the body's event_name]
    #[arg(long, value_name = "NAME")]
    event_header: Option<String>,
    /// nurturecloud: what the entity is. [default: contact]
    #[arg(long, value_name = "NAME", conflicts_with = "body")]
    component: Option<String>,
    /// nurturecloud: what happened to it. [default: Created]
    #[arg(long, conflicts_with = "body", value_parser = ["Created", "Updated", "Current", "Deleted"])]
    state: Option<String>,
    /// nurturecloud: the entity's id. [default: made up]
    #[arg(long, conflicts_with = "body")]
    id: Option<String>,
    /// nurturecloud: the id of the entity that a deleted one was merged into.
    #[arg(long, value_name = "ID", conflicts_with = "body")]
    merged_into: Option<String>,
    /// sterling: where tokens come from. Without a path, the token endpoint is meant. [default: the server of --url]
    #[arg(long, value_name = "URL")]
    token_url: Option<String>,
    /// sterling: the client that asks for the token. [default: the test client in the data directory]
    #[arg(long, value_name = "ID", requires = "client_secret_file")]
    client_id: Option<String>,
    /// sterling: the file with the client's secret, on one line.
    #[arg(long, value_name = "FILE", requires = "client_id")]
    client_secret_file: Option<PathBuf>,
    /// Change the body after it was signed, as a forger would; for sterling, change the token; for
    /// nurturecloud, the secret.
    #[arg(long)]
    tamper: bool,
}

pub(super) async fn run(data_directory: &Path, arguments: Arguments) -> Result<ExitCode, CommandError> {
    arguments.check()?;
    let url = arguments.url.clone().unwrap_or_else(|| format!("http://{DEFAULT_ADDRESS}"));
    let url = webhook_url(&url, arguments.provider.source_path())?;
    let body = match &arguments.body {
        Some(path) => read_body(path)?,
        None => arguments.made_up_body(),
    };
    match arguments.provider {
        // NowCerts has no webhook, and its name is not among those that the command takes.
        ProviderName::Accredit | ProviderName::Machnet | ProviderName::NowCerts => {}
        ProviderName::NurtureCloud => return send_with_path_secret(data_directory, &arguments, url, body).await,
        ProviderName::Sterling => return send_with_token(data_directory, &arguments, url, body).await,
    }
    let signer = Signer::read(arguments.provider, &arguments.key_text(data_directory)?)?;
    let headers = arguments.headers(&body);
    let mut delivery = SignedDelivery::new(&signer, body, headers)?;
    if arguments.tamper {
        delivery = delivery.tampered();
    }

    let reply = Sender::new(&url)?.post(&url, &delivery).await?;
    verdict(&url, &reply)
}

/// Posts the delivery to the URL with its secret, which is not printed.
async fn send_with_path_secret(
    data_directory: &Path,
    arguments: &Arguments,
    mut url: Url,
    body: Bytes,
) -> Result<ExitCode, CommandError> {
    let is_without_secret = url.path().trim_end_matches('/').ends_with(ProviderName::NurtureCloud.source_path());
    let secret = if is_without_secret {
        arguments.path_secret(data_directory)?
    } else if arguments.key.is_some() {
        return Err(CommandError::TwoPathSecrets);
    } else {
        let path = url.path().to_owned();
        let (rest, secret) = path.rsplit_once('/').unwrap_or_default();
        url.set_path(rest);
        secret.to_owned()
    };
    let secret = if arguments.tamper { altered(&secret) } else { secret };
    let delivery = SignedDelivery::with_path_secret(&secret, body);
    let mut reply = Sender::new(&url)?.post(&url, &delivery).await?;
    // Some servers repeat the path that they don't know.
    if !secret.is_empty() {
        reply.body = reply.body.replace(&secret, "<secret>");
    }
    url.set_query(None);
    verdict(&format!("{}/<secret>", url.as_str().trim_end_matches('/')), &reply)
}

fn verdict(url: &(impl Display + ?Sized), reply: &Reply) -> Result<ExitCode, CommandError> {
    let accepted = reply.status == 200;
    let verdict = if accepted { "accepted" } else { "not accepted" };
    print(&format!("{url}\n{} {verdict}\n{}\n", reply.status, reply.body))?;
    Ok(if accepted { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Gets a token and posts the delivery with it; after 401 once more with a new token, as Sterling does.
async fn send_with_token(
    data_directory: &Path,
    arguments: &Arguments,
    url: Url,
    body: Bytes,
) -> Result<ExitCode, CommandError> {
    let token_url = match &arguments.token_url {
        Some(token_url) => webhook_url(token_url, TOKEN_PATH)?,
        None => {
            let mut token_url = url.clone();
            token_url.set_path(TOKEN_PATH);
            token_url
        }
    };
    let client = arguments.client(data_directory)?;
    let (token_sender, sender) = (Sender::new(&token_url)?, Sender::new(&url)?);
    let post = async || {
        let token = token_sender.token(&token_url, &client).await?;
        print(&format!("{token_url}\n200 a token, valid for {} s\n", token.expires_in))?;
        let token = token.access_token.expose_secret();
        let text = if arguments.tamper { Cow::Owned(tampered_token(token)) } else { Cow::Borrowed(token) };
        let delivery = SignedDelivery::with_bearer_token(&text, body.clone());
        Ok::<_, CommandError>(sender.post(&url, &delivery).await?)
    };
    let mut reply = post().await?;
    if reply.status == 401 {
        verdict(&url, &reply)?;
        reply = post().await?;
    }
    verdict(&url, &reply)
}

/// The same token with a signature that isn't its own.
pub(super) fn tampered_token(token: &str) -> String {
    let Some((signed, signature)) = token.rsplit_once('.') else { return token.to_owned() };
    format!("{signed}.{}", altered(signature))
}

/// The same text in base64url with another first character. The last one may hold bits that don't count.
fn altered(text: &str) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    if let Some(first) = characters.first_mut() {
        *first = if *first == 'A' { 'B' } else { 'A' };
    }
    characters.into_iter().collect()
}

impl Arguments {
    /// Refuses options of another provider.
    fn check(&self) -> Result<(), CommandError> {
        let given = [
            ("--job-id", ProviderName::Accredit, self.job_id.is_some()),
            ("--job-attempt", ProviderName::Accredit, self.job_attempt.is_some()),
            ("--event-header", ProviderName::Machnet, self.event_header.is_some()),
            ("--component", ProviderName::NurtureCloud, self.component.is_some()),
            ("--state", ProviderName::NurtureCloud, self.state.is_some()),
            ("--id", ProviderName::NurtureCloud, self.id.is_some()),
            ("--merged-into", ProviderName::NurtureCloud, self.merged_into.is_some()),
            ("--token-url", ProviderName::Sterling, self.token_url.is_some()),
            ("--client-id", ProviderName::Sterling, self.client_id.is_some()),
        ];
        if self.provider == ProviderName::Sterling && self.key.is_some() {
            return Err(CommandError::KeyForSterling);
        }
        if self.merged_into.is_some()
            && self.provider == ProviderName::NurtureCloud
            && self.state.as_deref() != Some("Deleted")
        {
            return Err(CommandError::MergedWithoutDeletion);
        }
        match given.into_iter().find(|(_, provider, given)| *given && *provider != self.provider) {
            Some((option, belongs_to, _)) => Err(CommandError::OptionOfAnotherProvider { option, belongs_to }),
            None => Ok(()),
        }
    }

    fn made_up_body(&self) -> Bytes {
        let now = SystemClock.now();
        match self.provider {
            ProviderName::Accredit => accredit_body(&random_uuid(), now),
            ProviderName::Machnet => machnet_body(&random_hex(12), &random_hex(12), "transaction_completed", now),
            ProviderName::NurtureCloud => {
                let id = self.id.clone().unwrap_or_else(random_uuid);
                let state = self.state.as_deref().unwrap_or("Created");
                let entity = match &self.merged_into {
                    Some(into) => NurtureCloudEntity::merged(&id, into),
                    None if state == "Deleted" => NurtureCloudEntity::deleted(&id),
                    None => NurtureCloudEntity::named(&id, &random_hex(6)),
                };
                nurturecloud_body(self.component.as_deref().unwrap_or("contact"), state, &entity)
            }
            ProviderName::NowCerts => Bytes::from_static(b"{}"),
            ProviderName::Sterling => sterling_body(&[SterlingEvent::supply_change(&random_hex(6), 5, now)]),
        }
    }

    fn client(&self, data_directory: &Path) -> Result<ClientCredentials, CommandError> {
        if let (Some(client_id), Some(path)) = (&self.client_id, &self.client_secret_file) {
            let secret = std::fs::read_to_string(path).map_err(|source| CommandError::Unreadable {
                path: path.clone(),
                option: "--client-secret-file",
                source,
            })?;
            return Ok(ClientCredentials { client_id: client_id.clone(), client_secret: secret.trim().into() });
        }
        test_client(&DataDirectory::at(data_directory))
    }

    fn path_secret(&self, data_directory: &Path) -> Result<String, CommandError> {
        let Some(path) = &self.key else { return test_path_secret(&DataDirectory::at(data_directory)) };
        let unreadable = |source| CommandError::Unreadable { path: path.clone(), option: "--key", source };
        Ok(std::fs::read_to_string(path).map_err(unreadable)?.trim().to_owned())
    }

    fn key_text(&self, data_directory: &Path) -> Result<String, CommandError> {
        if let Some(path) = &self.key {
            return std::fs::read_to_string(path).map_err(|source| CommandError::Unreadable {
                path: path.clone(),
                option: "--key",
                source,
            });
        }
        let path = signing_key(&DataDirectory::at(data_directory), self.provider);
        std::fs::read_to_string(&path).map_err(|_| CommandError::NoSigningKey { path })
    }

    fn headers(&self, body: &[u8]) -> Vec<(&'static str, String)> {
        match self.provider {
            ProviderName::Accredit => vec![
                ("x-jobid", self.job_id.clone().unwrap_or_else(|| random_hex(8))),
                ("x-jobattempt", self.job_attempt.unwrap_or(0).to_string()),
            ],
            ProviderName::Machnet => {
                let event_name = self.event_header.clone().or_else(|| event_name(body));
                event_name.map(|name| ("x-raas-event", name)).into_iter().collect()
            }
            ProviderName::NowCerts | ProviderName::NurtureCloud | ProviderName::Sterling => Vec::new(),
        }
    }
}

/// The file with the key that signs a provider's test deliveries.
pub(super) fn signing_key(directory: &DataDirectory, provider: ProviderName) -> PathBuf {
    match provider {
        ProviderName::Accredit => directory.accredit_private_key(),
        ProviderName::Machnet => directory.keys(ProviderName::Machnet),
        ProviderName::NurtureCloud => directory.nurturecloud_path_secret(),
        ProviderName::Sterling => directory.sterling_client(),
        ProviderName::NowCerts => directory.keys(ProviderName::NowCerts),
    }
}

/// The secret that ends the URL of NurtureCloud's test deliveries.
pub(super) fn test_path_secret(directory: &DataDirectory) -> Result<String, CommandError> {
    let path = directory.nurturecloud_path_secret();
    let secret = std::fs::read_to_string(&path).map_err(|_| CommandError::NoPathSecret { path })?;
    Ok(secret.trim().to_owned())
}

/// The client with which test deliveries of Sterling get their tokens.
pub(super) fn test_client(directory: &DataDirectory) -> Result<ClientCredentials, CommandError> {
    let path = directory.sterling_client();
    let text = std::fs::read_to_string(&path).ok();
    text.and_then(|text| serde_json::from_str(&text).ok()).ok_or(CommandError::NoClient { path })
}

fn event_name(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Named {
        event_name: String,
    }
    serde_json::from_slice(body).ok().map(|Named { event_name }| event_name)
}

fn read_body(path: &Path) -> Result<Bytes, CommandError> {
    if path == Path::new("-") {
        let mut body = Vec::new();
        io::stdin().lock().read_to_end(&mut body).map_err(CommandError::Terminal)?;
        return Ok(body.into());
    }
    std::fs::read(path).map(Bytes::from).map_err(|source| CommandError::Unreadable {
        path: path.to_owned(),
        option: "--body",
        source,
    })
}
