//! The search for what makes a signature fit: every reading of every header, under every key, over every form of the body.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::body::for_each_form;
use super::case::{Case, KeyDocument};
use super::finding::{Finding, TriedKey};
use super::mistake::Encoding;
use super::signature_text::readings;
use crate::account::AccountName;
use crate::answer::{Answer, Rejection};
use crate::webhook::Webhook;

/// Maximum number of mistakes that are looked for at once.
const MAX_MISTAKES: usize = 4;

/// The same for a large body, each form of which takes a while to write and to hash.
const MAX_MISTAKES_IN_LARGE_BODY: usize = 2;

/// Minimum size of a large body, in bytes.
const MIN_LARGE_BODY_BYTES: usize = 256 * 1024;

/// How a provider signs: the header, and how the signature is written in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SignedHeader {
    pub(crate) name: &'static str,
    pub(crate) encoding: Encoding,
    /// The form of a signature, as a noun phrase.
    pub(crate) expected: &'static str,
}

/// An entry of a file with keys.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tried<'a> {
    document: &'a KeyDocument,
    /// Why an entry of the active keys is not used.
    problem: Option<&'a str>,
    /// The accounts with an active key.
    active_accounts: &'a [AccountName],
}

/// Whether a key confirms a message by a signature.
type Confirms = Box<dyn Fn(&[u8], &[u8]) -> bool>;

/// A key to try, and what is wrong if it fits.
pub(crate) struct TrialKey {
    label: TriedKey,
    findings: Vec<Finding>,
    confirms: Confirms,
}

impl Tried<'_> {
    /// A key of this entry, changed by the mistakes in `findings`.
    pub(crate) fn key(
        &self,
        account: &str,
        fingerprint: Option<String>,
        findings: impl IntoIterator<Item = Finding>,
        confirms: impl Fn(&[u8], &[u8]) -> bool + 'static,
    ) -> TrialKey {
        let label = self.label(account, fingerprint);
        let findings = self.status(&label).into_iter().chain(findings).collect();
        TrialKey { label, findings, confirms: Box::new(confirms) }
    }

    /// The entry's name in findings. What is not a valid account name is left out: a secret may have been pasted in its place.
    pub(crate) fn label(&self, account: &str, fingerprint: Option<String>) -> TriedKey {
        let account = AccountName::new(account).ok().map(|account| account.to_string());
        TriedKey { file: self.document.name.clone(), account, fingerprint }
    }

    /// What is wrong when this entry fits; `None` for an active key.
    pub(crate) fn status(&self, label: &TriedKey) -> Option<Finding> {
        if let Some(reason) = self.problem {
            return Some(Finding::KeyUnusable { key: label.clone(), reason: reason.to_owned() });
        }
        if self.document.is_active {
            return None;
        }
        let account = label.account.as_deref();
        let has_other_key =
            self.active_accounts.iter().any(|active| account.is_none_or(|account| active.as_str() == account));
        Some(if has_other_key {
            Finding::RetiredKey(label.clone())
        } else {
            Finding::KeyOfAnotherAccount(label.clone())
        })
    }
}

/// A file with a list of keys.
#[derive(Deserialize)]
struct List<'a> {
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
}

impl Case<'_> {
    /// Calls `read` with each entry of each file with keys, usable or not. A file that is not a list of keys is one entry, made
    /// of its text by `bare`.
    pub(crate) fn keys<W: Webhook, E: DeserializeOwned, K>(
        &self,
        bare: impl Fn(&str) -> E,
        read: impl Fn(&Tried<'_>, E) -> Vec<K>,
    ) -> Vec<K> {
        let active_accounts = &self.active_accounts();
        let mut keys = Vec::new();
        for document in self.documents {
            let text = document.reveal();
            let Ok(list) = serde_json::from_str::<List<'_>>(text) else {
                if !text.trim_start().starts_with('{') {
                    let problem = document.is_active.then_some("the file is not JSON with a list of keys");
                    keys.extend(read(&Tried { document, problem, active_accounts }, bare(text.trim())));
                }
                continue;
            };
            let (problems, whole) = match W::read_keys(text) {
                Ok(read) => (read.problems, None),
                Err(error) => (Vec::new(), Some(error.to_string())),
            };
            for (index, entry) in list.keys.into_iter().enumerate() {
                let own = problems.iter().find(|problem| problem.position == index + 1);
                let problem = own.map(|problem| problem.reason.as_str()).or(whole.as_deref());
                let problem = problem.filter(|_| document.is_active);
                if let Ok(entry) = serde_json::from_str(entry.get()) {
                    keys.extend(read(&Tried { document, problem, active_accounts }, entry));
                }
            }
        }
        keys
    }

    /// The accounts with an active key.
    fn active_accounts(&self) -> Vec<AccountName> {
        #[derive(Deserialize)]
        struct Entry {
            #[serde(alias = "label")]
            account: AccountName,
        }
        let lists = self.documents.iter().filter(|document| document.is_active);
        lists
            .filter_map(|document| serde_json::from_str::<List<'_>>(document.reveal()).ok())
            .flat_map(|list| list.keys)
            .filter_map(|entry| serde_json::from_str::<Entry>(entry.get()).ok())
            .map(|entry| entry.account)
            .collect()
    }

    /// The fewest mistakes that make one of the keys confirm the request; otherwise what is wrong with the header itself.
    pub(crate) fn search(&self, header: SignedHeader, keys: &[TrialKey]) -> Vec<Finding> {
        let signatures = self.signatures(header);
        let is_large = self.request.body.len() >= MIN_LARGE_BODY_BYTES;
        let max_mistakes = if is_large { MAX_MISTAKES_IN_LARGE_BODY } else { MAX_MISTAKES };
        let mut best: Option<(usize, Vec<Finding>)> = None;
        for_each_form(&self.request.body, |body_mistake, body| {
            let own = usize::from(body_mistake.is_some());
            for (signature, text_mistakes) in &signatures {
                for key in keys {
                    let mistakes = own + text_mistakes.len() + key.findings.len();
                    let limit = best.as_ref().map_or(max_mistakes + 1, |(fewest, _)| *fewest);
                    if mistakes < limit && (key.confirms)(body, signature) {
                        let body_mistake = body_mistake.map(Finding::Body);
                        let mut findings: Vec<Finding> =
                            key.findings.iter().chain(text_mistakes).cloned().chain(body_mistake).collect();
                        if findings.is_empty() {
                            findings.push(Finding::Genuine(key.label.clone()));
                        }
                        best = Some((mistakes, findings));
                    }
                }
            }
            // Every other form of the body is one more mistake.
            best.as_ref().is_none_or(|(fewest, _)| *fewest > 1)
        });
        match best {
            Some((_, findings)) => findings,
            None => self.header_problem(header).into_iter().collect(),
        }
    }

    /// Every reading of every header as a signature. The header that the webhook reads comes first.
    fn signatures(&self, header: SignedHeader) -> Vec<(Vec<u8>, Vec<Finding>)> {
        let values = self.request.headers.get_all(header.name);
        let is_repeated = values.iter().count() > 1;
        let mut signatures = Vec::new();
        for value in values {
            for (signature, mut findings) in readings(value.as_bytes(), header.encoding) {
                if is_repeated {
                    findings.push(Finding::HeaderRepeated { header: header.name });
                }
                signatures.push((signature, findings));
            }
        }
        for (name, value) in self.request.headers.iter().filter(|(name, _)| *name != header.name) {
            for (signature, mut findings) in readings(value.as_bytes(), header.encoding) {
                findings.push(Finding::Header { used: name.to_string(), expected: header.name });
                signatures.push((signature, findings));
            }
        }
        signatures
    }

    fn header_problem(&self, header: SignedHeader) -> Option<Finding> {
        let mut values = self.request.headers.get_all(header.name).iter();
        let Some(value) = values.next() else {
            return Some(Finding::HeaderMissing { expected: header.name });
        };
        if values.next().is_some() {
            return Some(Finding::HeaderRepeated { header: header.name });
        }
        let is_malformed = matches!(self.answer, Answer::Rejected(Rejection::SignatureMalformed { .. }));
        is_malformed.then(|| Finding::NoSignature {
            header: header.name,
            expected: header.expected,
            found_characters: value.as_bytes().len(),
        })
    }
}
