//! Explains, offline, why a captured request was refused.
//!
//! The usual mistakes are made for real: each form of the secret, of the body and of the signature's text is tried, and what would
//! have matched is reported. What is common to providers is here, once; a provider says in [`Webhook::explain`] which of it
//! applies. Nothing of this is ever part of an answer: it would tell a forger what is missing.
//!
//! - [`finding`]: what is found, each with a sentence and what to do, and [`mistake`]: the mistakes in it. [`case`]: what is explained.
//! - [`secret_text`], [`signature_text`], [`body`]: the usual mistakes with a shared secret, with the text of a signature and with the
//!   body. `search` looks for the fewest of them that make a key fit, and `rsa_key` has those with a public key.
//! - [`token`]: access tokens. [`path_secret`]: secrets at the end of a URL.

use std::collections::BTreeMap;

use http::Method;

use crate::answer::{Answer, Fault, Rejection};
use crate::oauth::TOKEN_PATH;
use crate::registry::name::ProviderName;
use crate::registry::{VisitWebhooks, visit_webhooks, webhook_route};
use crate::request::UnverifiedRequest;
use crate::timestamp::Timestamp;
use crate::webhook::{KeyFreshness, VerifyError, Webhook};

pub mod body;
pub mod case;
pub mod finding;
pub mod json_form;
pub mod mistake;
pub mod path_secret;
pub(crate) mod rsa_key;
pub(crate) mod search;
pub mod secret_text;
pub mod signature_text;
pub mod token;

use case::{CapturedRequest, Case, KeyDocument};
use finding::Finding;

/// Why a request was refused.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The provider whose webhook the request is for; `None` if its path belongs to none.
    pub provider: Option<ProviderName>,
    /// What the webhook would answer with the active keys, as far as it depends on the credential; `None` without a provider.
    pub answer: Option<Answer>,
    /// What is wrong; empty if it is nothing that we know of.
    pub findings: Vec<Finding>,
}

/// Explains a request: one for `provider`, or if that is `None` for the provider of its path. `now` is the time of its arrival.
#[must_use]
pub fn explain(
    provider: Option<ProviderName>,
    request: &CapturedRequest,
    keys: &BTreeMap<ProviderName, Vec<KeyDocument>>,
    now: Timestamp,
) -> Explanation {
    let provider = provider.or_else(|| provider_of(request.path()));
    let mut run = Run { provider, request, keys, now, explanation: None, elsewhere: None };
    visit_webhooks(&mut run);
    let mut explanation = run.explanation.unwrap_or_else(|| Explanation {
        provider: None,
        answer: None,
        findings: vec![if request.path() == TOKEN_PATH {
            Finding::TokenRequest
        } else {
            Finding::UnknownPath { known: known_paths() }
        }],
    });
    let is_accepted = explanation.answer == Some(Answer::Accepted);
    if let Some(finding) = run.elsewhere.filter(|_| !is_accepted) {
        explanation.findings = vec![finding];
    }
    explanation
}

/// The provider to whose webhook a path belongs.
#[must_use]
pub fn provider_of(path: &str) -> Option<ProviderName> {
    ProviderName::ALL.iter().copied().find(|provider| {
        webhook_route(*provider)
            .and_then(|route| path.strip_prefix(route.path()))
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

fn known_paths() -> Vec<String> {
    ProviderName::ALL.iter().filter_map(|provider| Some(webhook_route(*provider)?.shown())).collect()
}

struct Run<'a> {
    provider: Option<ProviderName>,
    request: &'a CapturedRequest,
    keys: &'a BTreeMap<ProviderName, Vec<KeyDocument>>,
    now: Timestamp,
    explanation: Option<Explanation>,
    /// Another webhook at which the request is genuine.
    elsewhere: Option<Finding>,
}

impl VisitWebhooks for Run<'_> {
    fn visit<W: Webhook>(&mut self) {
        let documents = self.keys.get(&W::NAME).map_or(&[][..], Vec::as_slice);
        let answer = answer::<W>(self.request, documents, self.now);
        if self.provider == Some(W::NAME) {
            let case = Case { request: self.request, documents, now: self.now, answer: &answer };
            let findings = findings::<W>(&case);
            self.explanation = Some(Explanation { provider: self.provider, answer: Some(answer), findings });
        } else if answer == Answer::Accepted {
            self.elsewhere = Some(Finding::AnotherProvider { provider: W::NAME, path: W::ROUTE.shown() });
        }
    }
}

/// What the intake would answer with the active keys.
fn answer<W: Webhook>(request: &CapturedRequest, documents: &[KeyDocument], now: Timestamp) -> Answer {
    if request.method != Method::POST {
        return Answer::Rejected(Rejection::MethodNotAllowed);
    }
    let credential = match W::credential(request.path(), &request.headers) {
        Ok(credential) => credential,
        Err(rejection) => return Answer::Rejected(rejection),
    };
    let active = documents.iter().find(|document| document.is_active);
    let keys = active.and_then(|document| W::read_keys(document.reveal()).ok()).map(|read| read.keys);
    let Some(keys) = keys.filter(|keys| !W::is_unset(keys)) else { return Answer::RetryLater(Fault::NoActiveKey) };
    let unverified = UnverifiedRequest::new(request.headers.clone(), request.body.clone());
    match W::verify(unverified, &credential, &keys, now) {
        Ok(_) => Answer::Accepted,
        Err(VerifyError::Rejected(rejection)) => Answer::Rejected(rejection),
        Err(VerifyError::NoKeyMatches(_)) => W::no_key_matches(KeyFreshness::Fresh),
    }
}

fn findings<W: Webhook>(case: &Case<'_>) -> Vec<Finding> {
    let own = W::explain(case);
    let mut findings = Vec::new();
    if case.request.method != Method::POST {
        findings.push(Finding::Method { found: case.request.method.to_string() });
    }
    if !W::ROUTE.ends_with_secret() && case.request.path() != W::ROUTE.path() {
        findings.push(Finding::Path { expected: W::ROUTE.path().to_owned() });
    }
    if !own.iter().any(|finding| matches!(finding, Finding::KeyUnusable { .. })) {
        findings.extend(keys_finding::<W>(case));
    }
    let is_genuine = |finding: &Finding| matches!(finding, Finding::Genuine(_));
    if findings.is_empty() {
        return own;
    }
    findings.extend(own.into_iter().filter(|finding| !is_genuine(finding)));
    findings
}

/// What is wrong with the active keys as a whole.
fn keys_finding<W: Webhook>(case: &Case<'_>) -> Option<Finding> {
    let Some(document) = case.documents.iter().find(|document| document.is_active) else {
        return Some(Finding::NoKeys { file: format!("keys/{}.json", W::NAME) });
    };
    let file = document.name.clone();
    match W::read_keys(document.reveal()) {
        Err(error) => Some(Finding::KeysUnusable { file, reason: error.to_string() }),
        Ok(read) if W::is_unset(&read.keys) => {
            let reasons = read.problems.iter().map(ToString::to_string).collect();
            Some(Finding::NoActiveKey { file, reasons })
        }
        Ok(_) => None,
    }
}

#[cfg(test)]
mod tests;
