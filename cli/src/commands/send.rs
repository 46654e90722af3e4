//! `send`: one signed delivery to any URL.

use std::fmt::Display;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use intake_pipeline::clock::{Clock as _, SystemClock};
use intake_providers::ProviderName;
use intake_providers::delivery::DeliveryId;
use intake_providers::registry::webhook_route;
use intake_simulator::IMITATIONS;
use intake_simulator::imitation::ImitatedWebhook;
use intake_simulator::send::{KeyOption, Order, Outgoing};
use intake_simulator::signed_delivery::SignedDelivery;
use intake_simulator::token::{TokenDelivery, TokenRequest};
use intake_sqlite::DataDirectory;
use reqwest::Url;
use secrecy::SecretString;
use serde::Deserialize;

use self::options::ProviderOptions;
use self::wait::Wait;
use super::error::CommandError;
use super::output::print;
use super::parsers::webhook_parser;
use super::place::{Place, StackOptions};
use super::since;
use crate::client::{Reply, SendError, Sender, webhook_url};
use crate::key_files;

mod options;
mod wait;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Whose delivery to send.
    #[arg(value_parser = webhook_parser())]
    provider: ProviderName,
    /// Where to send it. Without a path, the provider's webhook is meant; nurturecloud's may be whole, with its secret.
    /// [default: the stack, or the server that runs on the data directory]
    #[arg(long)]
    url: Option<String>,
    /// The file with the body, or - for standard input. [default: a new event with made-up ids]
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    #[arg(long, value_name = "FILE", help = options::key_help())]
    key: Option<PathBuf>,
    #[command(flatten)]
    options: ProviderOptions,
    #[arg(long, help = options::tamper_help())]
    tamper: bool,
    /// Wait until the delivery is recorded, at most for this time, and say what became of each event. The record is looked for in
    /// the data directory, or with --stack on the stack.
    #[arg(
        long,
        value_name = "TIME",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "30s",
        value_parser = since::duration
    )]
    wait: Option<Duration>,
    #[command(flatten)]
    stack: StackOptions,
}

pub(super) async fn run(data_directory: &Path, arguments: Arguments) -> Result<ExitCode, CommandError> {
    let Arguments { provider, url, body, key, options, tamper, wait, stack } = arguments;
    // The names that the command takes are those of providers with a webhook.
    let Some((webhook, route)) = webhook_of(provider).zip(webhook_route(provider)) else {
        return Ok(ExitCode::FAILURE);
    };
    let options = options.of(provider)?;
    if let (KeyOption::Refuses(reason), Some(_)) = (webhook.key_option(), &key) {
        return Err(CommandError::KeyNotUsed { provider, reason });
    }
    let directory = DataDirectory::at(data_directory);
    let place = stack.place(data_directory);
    let is_of_directory = matches!(place, Place::Directory(_));
    let is_guessed = url.is_none() && is_of_directory && directory.server_address().is_none();
    let url = match url {
        Some(url) => url,
        None => place.base_url(provider).await?,
    };
    let url = webhook_url(&url, route.path())?;
    let (url, url_secret) = if route.ends_with_secret() { without_secret(url, route.path()) } else { (url, None) };
    let body = body.as_deref().map(read_body).transpose()?;
    let key = match (url_secret, key) {
        (Some(_), Some(_)) => return Err(CommandError::TwoPathSecrets),
        (Some(secret), None) => Some(secret),
        (None, Some(path)) => Some(read_text(&path, "key")?.into()),
        (None, None) => None,
    };
    let order = Order { body, options: &options.read_files()?, key, tamper, now: SystemClock.now() };
    let outgoing = webhook.deliver(&key_files::of_directory(&directory), order)?;
    let wait = match wait {
        Some(limit) => Some(Wait::open(&place, limit).await?),
        None => None,
    };
    let sent = match outgoing {
        Outgoing::Ready(delivery) => post(url, &delivery).await,
        Outgoing::NeedsToken(delivery) => post_with_token(&url, &delivery).await,
    };
    let reply = sent.map_err(|error| match error {
        CommandError::Send(SendError::Unreachable { .. }) if is_guessed => {
            CommandError::NoServer { path: data_directory.to_owned() }
        }
        error => error,
    })?;
    if !is_accepted(&reply) {
        return Ok(ExitCode::FAILURE);
    }
    let is_well = match wait {
        Some(wait) => wait.for_delivery(delivery_id(&reply)?).await?,
        None => true,
    };
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn webhook_of(provider: ProviderName) -> Option<&'static dyn ImitatedWebhook> {
    IMITATIONS.iter().find(|imitation| imitation.name() == provider)?.webhook()
}

/// The URL without the secret that ends it, if one does, and the secret.
fn without_secret(mut url: Url, webhook_path: &str) -> (Url, Option<SecretString>) {
    if url.path().trim_end_matches('/').ends_with(webhook_path) {
        return (url, None);
    }
    let path = url.path().to_owned();
    let (rest, secret) = path.rsplit_once('/').unwrap_or_default();
    url.set_path(rest);
    (url, Some(secret.into()))
}

/// Posts the delivery. A secret that ends its URL is not printed.
async fn post(mut url: Url, delivery: &SignedDelivery) -> Result<Reply, CommandError> {
    let mut reply = Sender::new(&url)?.post(&url, delivery).await?;
    let Some(secret) = delivery.path_secret() else {
        print_verdict(&url, &reply)?;
        return Ok(reply);
    };
    // Some servers repeat the path that they don't know.
    if !secret.is_empty() {
        reply.body = reply.body.replace(secret, "<secret>");
    }
    url.set_query(None);
    print_verdict(&format!("{}/<secret>", url.as_str().trim_end_matches('/')), &reply)?;
    Ok(reply)
}

/// Gets a token and posts the delivery with it; after 401 once more with a new token.
async fn post_with_token(url: &Url, delivery: &TokenDelivery) -> Result<Reply, CommandError> {
    let token_url = match &delivery.token_url {
        Some(token_url) => webhook_url(token_url, TokenRequest::PATH)?,
        None => {
            let mut token_url = url.clone();
            token_url.set_path(TokenRequest::PATH);
            token_url
        }
    };
    let (token_sender, sender) = (Sender::new(&token_url)?, Sender::new(url)?);
    let post = async || {
        let token = token_sender.token(&token_url, &delivery.request).await?;
        print(&format!("{token_url}\n200 a token, valid for {} s\n", token.expires_in))?;
        Ok::<_, CommandError>(sender.post(url, &delivery.with(&token.access_token)).await?)
    };
    let mut reply = post().await?;
    if reply.status == 401 {
        print_verdict(url, &reply)?;
        reply = post().await?;
    }
    print_verdict(url, &reply)?;
    Ok(reply)
}

const fn is_accepted(reply: &Reply) -> bool {
    reply.status == 200
}

fn print_verdict(url: &(impl Display + ?Sized), reply: &Reply) -> Result<(), CommandError> {
    let verdict = if is_accepted(reply) { "accepted" } else { "not accepted" };
    print(&format!("{url}\n{} {verdict}\n{}\n", reply.status, reply.body))
}

/// The delivery's id, which our answer has whoever the provider is.
fn delivery_id(reply: &Reply) -> Result<DeliveryId, CommandError> {
    #[derive(Deserialize)]
    struct Receipt {
        delivery_id: DeliveryId,
    }
    let receipt: Receipt = serde_json::from_str(&reply.body).map_err(|_| CommandError::NoDeliveryId)?;
    Ok(receipt.delivery_id)
}

fn read_body(path: &Path) -> Result<Bytes, CommandError> {
    if path == Path::new("-") {
        let mut body = Vec::new();
        io::stdin().lock().read_to_end(&mut body).map_err(CommandError::Terminal)?;
        return Ok(body.into());
    }
    std::fs::read(path).map(Bytes::from).map_err(unreadable(path, "body"))
}

fn read_text(path: &Path, option: &'static str) -> Result<String, CommandError> {
    std::fs::read_to_string(path).map_err(unreadable(path, option))
}

fn unreadable(path: &Path, option: &'static str) -> impl Fn(io::Error) -> CommandError {
    move |source| CommandError::Unreadable { path: path.to_owned(), option, source }
}
