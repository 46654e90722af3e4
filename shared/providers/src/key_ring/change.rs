//! A change of the documents that hold keys.

use std::time::Duration;

use secrecy::SecretString;

use super::listing::ListedKey;
use crate::timestamp::Timestamp;

/// What a change depends on beside the documents.
#[derive(Clone, Debug)]
pub struct Circumstances {
    /// What comes before `/webhooks/` in the webhooks' URLs, without a slash at its end; `None` if nobody knows.
    pub base_url: Option<String>,
    /// Whether it was named for this change, rather than known before.
    pub is_base_url_given: bool,
    /// How old the functions' copy of a document may get.
    pub secret_refresh: Duration,
    /// Within which time a key counts that was added. A key that is not known makes a function read its secret again.
    pub added_within: Duration,
    /// The time.
    pub now: Timestamp,
}

impl Circumstances {
    /// A URL at the webhooks' host, as it is shown; `<host>` stands for a host that nobody knows.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base_url.as_deref().unwrap_or("https://<host>"))
    }

    /// When a key counts that was added.
    pub(crate) fn counts_when_added(&self) -> String {
        format!("it counts within {} s", self.added_within.as_secs())
    }
}

/// How a key is taken out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removal {
    /// Whether the last key may go, after which nothing verifies.
    pub even_the_last: bool,
}

/// The new text of a document.
#[derive(Debug)]
pub struct Write {
    /// The document's place in the provider's list.
    pub document: usize,
    /// The text.
    pub text: SecretString,
}

/// A secret that was made for the provider. It is shown once, and kept as a hash or not shown again.
#[derive(Debug)]
pub struct Made {
    /// What it is called: `secret`, `url` or `client_secret`.
    pub name: &'static str,
    /// The secret.
    pub secret: SecretString,
}

/// A change of a provider's keys.
#[derive(Debug)]
pub struct Change {
    /// The writes, in the order in which they must be made.
    pub writes: Vec<Write>,
    /// The key that was added, activated or taken out.
    pub key: ListedKey,
    /// The secret that was made, if one was.
    pub made: Option<Made>,
    /// From when on the change counts, as the end of a sentence: `it counts within 15 s`.
    pub counts: String,
    /// What to do next, at the provider and here.
    pub next: String,
}
