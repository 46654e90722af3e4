//! Whether the keys can verify what the providers send.

use std::collections::BTreeMap;

use intake_pipeline::secrets::SecretText;
use intake_providers::ProviderName;
use intake_providers::amqp::Account;
use intake_providers::json_object;
use intake_providers::oauth::authority::Authority;
use intake_providers::queue_source::QueueSource;
use intake_providers::registry::{VisitQueueSources, VisitWebhooks, visit_queue_sources, visit_webhooks};
use intake_providers::webhook::Webhook;

use super::check::Check;

/// The text of a provider's secret, where there is one.
pub enum KeyText {
    /// The provider isn't set up, which may be meant so.
    NotSetUp {
        /// How to set it up.
        remedy: String,
    },
    /// It was read.
    Read {
        /// Where it is.
        place: String,
        /// The text.
        text: SecretText,
        /// How to put it right.
        remedy: String,
    },
    /// It could not be read.
    Unreadable(Check),
}

/// What was found of all keys, and the accounts of the queues that we consume.
#[derive(Default)]
pub struct Judged {
    /// The checks, in the order of the providers.
    pub checks: Vec<Check>,
    /// The accounts whose secret is in order.
    pub accounts: Vec<Account>,
}

/// What the check is called.
#[must_use]
pub fn subject(provider: ProviderName) -> String {
    format!("keys of {provider}")
}

/// Judges the secrets of the providers that are in the map.
#[must_use]
pub fn judge(texts: BTreeMap<ProviderName, KeyText>) -> Judged {
    let mut judge = Judge { texts, judged: BTreeMap::new(), accounts: Vec::new() };
    visit_webhooks(&mut judge);
    visit_queue_sources(&mut judge);
    Judged { checks: judge.judged.into_values().collect(), accounts: judge.accounts }
}

struct Judge {
    texts: BTreeMap<ProviderName, KeyText>,
    judged: BTreeMap<ProviderName, Check>,
    accounts: Vec<Account>,
}

impl Judge {
    /// Judges the text of one provider with `read`, which says what it holds, or why it can't be used.
    fn one(&mut self, provider: ProviderName, read: impl FnOnce(&mut Self, &str) -> Result<String, String>) {
        let subject = subject(provider);
        let check = match self.texts.remove(&provider) {
            None => return,
            Some(KeyText::Unreadable(check)) => check,
            Some(KeyText::NotSetUp { remedy }) => {
                Check::notice(subject, format!("{provider} isn't set up, so nothing of it is accepted")).remedy(remedy)
            }
            Some(KeyText::Read { place, text, remedy }) => match read(self, text.reveal()) {
                Ok(finding) => Check::well(subject, finding),
                Err(problem) => Check::wrong(subject, format!("{place}: {problem}")).remedy(remedy),
            },
        };
        self.judged.insert(provider, check);
    }
}

impl VisitWebhooks for Judge {
    fn visit<W: Webhook>(&mut self) {
        self.one(W::NAME, |_, text| {
            let read = W::read_keys(text).map_err(|error| error.to_string())?;
            let problems: Vec<String> = read.problems.iter().map(ToString::to_string).collect();
            match (W::is_unset(&read.keys), problems.is_empty()) {
                (false, true) => Ok("every key in the secret can verify".to_owned()),
                (true, true) => Err("no key is set, so nothing is accepted".to_owned()),
                (true, false) => Err(format!("no key can be used, so nothing is accepted; {}", problems.join("; "))),
                (false, false) => Err(problems.join("; ")),
            }
        });
    }
}

impl VisitQueueSources for Judge {
    fn visit<Q: QueueSource>(&mut self) {
        self.one(Q::NAME, |judge, text| {
            let account = Q::read_account(text).map_err(|problems| problems.to_string())?;
            let finding = format!("the login for the queue {} can be read", account.queue);
            judge.accounts.push(account);
            Ok(finding)
        });
    }
}

/// What the check of the token endpoint is called.
pub const AUTHORITY: &str = "token endpoint";

/// Judges the document of the authority that issues Sterling's tokens.
#[must_use]
pub fn authority(text: &str, place: &str, add_client: &str) -> Check {
    if text.trim().is_empty() {
        return of_authority(None, add_client);
    }
    match json_object::read::<Authority>(text) {
        Ok(found) => of_authority(Some(&found), add_client),
        // serde's message may quote the document.
        Err(_) => Check::wrong(AUTHORITY, format!("{place} is not an authority's document"))
            .remedy("put back the text that the commands have written"),
    }
}

fn of_authority(authority: Option<&Authority>, add_client: &str) -> Check {
    let Some(authority) = authority.filter(|authority| !authority.keys.is_empty() || !authority.clients.is_empty())
    else {
        return Check::wrong(AUTHORITY, "nobody may ask for tokens yet, so nothing of sterling is accepted")
            .remedy(add_client);
    };
    if authority.signing_key().is_none() {
        return Check::wrong(AUTHORITY, "no key signs tokens, so none is issued").remedy(add_client);
    }
    match authority.clients.len() {
        0 => Check::wrong(AUTHORITY, "no client may ask for tokens").remedy(add_client),
        1 => Check::well(AUTHORITY, "one client may ask for tokens"),
        clients => Check::well(AUTHORITY, format!("{clients} clients may ask for tokens")),
    }
}
