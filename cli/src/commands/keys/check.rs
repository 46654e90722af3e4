//! `keys check`: whether the keys that are there can verify.

use std::process::ExitCode;

use intake_broker::AmqpBroker;
use intake_pipeline::drain::broker::{Broker as _, Session as _};
use intake_pipeline::secrets::SecretText;
use intake_providers::ProviderName;
use intake_providers::amqp::Account;
use intake_providers::key_ring::listing::KeyState;
use intake_providers::queue_source::QueueSource;
use intake_providers::registry::{VisitQueueSources, key_ring, visit_queue_sources};
use serde_json::json;

use super::super::error::CommandError;
use super::super::output::{print, print_json_lines};
use super::super::place::Place;
use super::changing::in_words;
use super::forwarding;
use super::key_place::KeyPlace;
use super::list::is_meant;
use super::owner::{FORWARDING, KeyOwner, owner_parser};
use crate::key_store::{Access, FoundDocuments};

#[derive(Debug, clap::Args)]
pub(in crate::commands) struct Check {
    /// Only the keys of this provider, or the secrets of `forwarding`.
    #[arg(value_name = "PROVIDER", value_parser = owner_parser())]
    owner: Option<KeyOwner>,
    /// Try a login at its broker, too. Nothing is consumed.
    #[arg(long)]
    connect: bool,
    /// Write documents again that are derived from others and do not fit them.
    #[arg(long)]
    repair: bool,
    /// Print one JSON object a finding.
    #[arg(long)]
    json: bool,
}

/// What was found about a key or a provider.
struct Finding {
    provider: &'static str,
    key: Option<String>,
    /// Nothing if there is no key and none is needed.
    is_well: Option<bool>,
    message: String,
}

pub(super) async fn run(place: &Place, check: Check) -> Result<ExitCode, CommandError> {
    let key_place = KeyPlace::open(place).await?;
    let mut findings = Vec::new();
    for provider in ProviderName::ALL.iter().copied().filter(|provider| is_meant(&key_place, check.owner, *provider)) {
        if check.repair {
            findings.extend(repair(&key_place, provider).await?);
        }
        let found = key_place.store(provider, Access::Read).await?.read().await?;
        // A provider that is not used has no key, which is wrong only where somebody asks for it.
        findings.extend(of_documents(provider, &found, check.owner.is_some()));
        if check.connect {
            findings.extend(connect(provider, &found).await);
        }
    }
    if check.owner.is_none_or(|owner| owner == KeyOwner::Forwarding) {
        let found = forwarding::check(place, check.owner.is_some())?;
        findings.extend(found.into_iter().map(|(key, is_well, message)| Finding {
            provider: FORWARDING,
            key,
            is_well: Some(is_well),
            message,
        }));
    }
    if check.json {
        print_json_lines(&findings.iter().map(json_line).collect::<String>())?;
    } else {
        print(&findings.iter().map(line).collect::<String>())?;
    }
    let is_well = findings.iter().all(|finding| finding.is_well != Some(false));
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn json_line(finding: &Finding) -> String {
    let Finding { provider, key, is_well, message } = finding;
    format!("{}\n", json!({"provider": provider, "key": key, "ok": is_well, "message": message}))
}

fn line(finding: &Finding) -> String {
    let mark = match finding.is_well {
        Some(true) => "ok",
        Some(false) => "problem",
        None => "unset",
    };
    format!("{mark:<7}  {:<12}  {}\n", finding.provider, finding.message)
}

/// What the documents say.
fn of_documents(name: ProviderName, found: &FoundDocuments, is_needed: bool) -> Vec<Finding> {
    let provider = name.as_str();
    let listing = found.with(|documents| key_ring(name).list(documents));
    let mut findings = Vec::new();
    if listing.is_empty() {
        let message = format!("no key, so nothing of it is accepted; add one with `keys add {provider}`");
        findings.push(Finding { provider, key: None, is_well: is_needed.then_some(false), message });
    }
    for key in &listing.keys {
        let words = in_words(key);
        let message = match &key.state {
            KeyState::Active => format!("{words} is fit for use"),
            KeyState::Waiting(remark) | KeyState::Superseded(remark) => format!("{words} {remark}"),
            KeyState::Unusable(reason) => format!("{} cannot be used: {reason}", key.id),
        };
        findings.push(Finding { provider, key: Some(key.id.to_string()), is_well: Some(key.is_usable()), message });
    }
    let problem = |message: &String| Finding { provider, key: None, is_well: Some(false), message: message.clone() };
    findings.extend(listing.problems.iter().map(problem));
    findings
}

/// Derives documents again from others.
async fn repair(place: &KeyPlace, provider: ProviderName) -> Result<Option<Finding>, CommandError> {
    let store = place.store(provider, Access::Change).await?;
    let found = store.read().await?;
    // What cannot be repaired is found by the check.
    let writes = found.with(|documents| key_ring(provider).repair(documents)).unwrap_or_default();
    store.write(&found, &writes).await?;
    let message = format!("what did not fit is derived again in {}", store.name());
    Ok((!writes.is_empty()).then_some(Finding { provider: provider.as_str(), key: None, is_well: Some(true), message }))
}

/// Logs in at the broker of a provider whose queue is drained.
async fn connect(provider: ProviderName, found: &FoundDocuments) -> Option<Finding> {
    let account = login(provider, found)?;
    let host = format!("{}:{}", account.connection.host, account.connection.port);
    let (is_accepted, message) = match AmqpBroker.connect(&account.connection).await {
        Ok(session) => {
            // The login was accepted, whatever becomes of the goodbye.
            let _ = session.close().await;
            (
                true,
                format!(
                    "the broker at {host} accepts the login; whether it may read {} shows at a drain",
                    account.queue
                ),
            )
        }
        Err(error) => (false, format!("{host}: {error}")),
    };
    Some(Finding {
        provider: provider.as_str(),
        key: Some(account.authenticated_by.fingerprint.to_string()),
        is_well: Some(is_accepted),
        message,
    })
}

/// The login of a provider whose queue is drained, if it can be read.
fn login(provider: ProviderName, found: &FoundDocuments) -> Option<Account> {
    struct Login<'a> {
        provider: ProviderName,
        text: &'a str,
        account: Option<Account>,
    }
    impl VisitQueueSources for Login<'_> {
        fn visit<Q: QueueSource>(&mut self) {
            if Q::NAME == self.provider {
                self.account = Q::read_account(self.text).ok();
            }
        }
    }
    let text = found.with(|documents| documents.text(0).map(|text| SecretText::new(text.to_owned())))?;
    let mut login = Login { provider, text: text.reveal(), account: None };
    visit_queue_sources(&mut login);
    login.account
}
