//! Events: what a delivery says happened, named as CloudEvents 1.0 names it.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::account::AccountName;
use crate::delivery::Sha256Digest;
use crate::entity::EntityUpdate;
use crate::provider::Provider;

/// An event's idempotency key: what makes it the same event when it is redelivered. It is made of authenticated content only,
/// and of the account that it belongs to: two accounts of one provider never share an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    provider: Provider,
    digest: Sha256Digest,
}

impl Identity {
    /// The identity that these parts spell within an account of a provider. The account and the parts are length-prefixed and
    /// hashed, so ids of any length and alphabet fit and no two lists of parts collide by being joined.
    #[must_use]
    pub fn new<'a>(provider: Provider, account: &'a AccountName, parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let parts = std::iter::once(account.as_str().as_bytes()).chain(parts);
        Self { provider, digest: Sha256Digest::of_parts(parts) }
    }

    /// The partition key of the ledger: the provider's name, `#`, 64 hex digits.
    #[must_use]
    pub fn partition_key(&self) -> String {
        format!("{}#{}", self.provider, self.digest)
    }

    /// A number spread evenly over `0..count`, for sharding; 0 when the count is 0.
    #[must_use]
    pub fn shard(&self, count: u8) -> u8 {
        let [first, ..] = *self.digest.as_bytes();
        first.checked_rem(count).unwrap_or(0)
    }
}

/// A second name under which an event is remembered for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    /// The name.
    pub name: Identity,
    /// For how long it is remembered, from the event that takes it.
    pub lifetime: Duration,
}

/// One event of a delivery. With the delivery's id and time of arrival it becomes an entry of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Who sent it.
    pub provider: Provider,
    /// What makes it the same event.
    pub identity: Identity,
    /// CloudEvents `id`: the provider's own id where it has one, unique within `source`.
    pub id: String,
    /// CloudEvents `source`.
    pub source: String,
    /// CloudEvents `type`: the provider's name, a dot, and the provider's own word for what happened.
    pub event_type: String,
    /// CloudEvents `subject`: the thing that it happened to, where the content names one.
    pub subject: Option<String>,
    /// CloudEvents `time`, exactly as the provider wrote it; only where that is RFC 3339.
    pub time: Option<String>,
    /// CloudEvents `datacontenttype`.
    pub datacontenttype: String,
    /// CloudEvents `data`: the event's own slice of the body, to the byte.
    pub data: Bytes,
    /// The digest of the content as it is compared: equal digests are the same content.
    pub digest: Sha256Digest,
    /// Further facts by name, as text. What comes from an unsigned header is named in the provider's page.
    pub attributes: BTreeMap<String, String>,
    /// A signed alias: while another event owns it, this one is stored and marked a repeat of that one.
    pub repeat_alias: Option<Alias>,
    /// An unsigned alias: while another event owns it, this one carries the hint `same_job_as`. It never changes an outcome.
    pub job_hint: Option<Alias>,
    /// The state of an entity that this event tells. The identity is the entity's then, and the delivery and the event's
    /// place in it tell one event of it from another.
    pub entity: Option<EntityUpdate>,
}

/// Why authentic content cannot be an event. It is kept in quarantine with this reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// No UTF-8.
    #[error("the content is not UTF-8 text")]
    NotUtf8,
    /// No JSON.
    #[error("the content is not JSON: {0}")]
    NotJson(String),
    /// JSON nested so deep that comparing it would be work for an attacker to order.
    #[error("the content is nested deeper than {limit} levels")]
    TooDeep {
        /// The deepest that is read.
        limit: usize,
    },
    /// A JSON value other than an object.
    #[error("the content is not a JSON object")]
    NotAnObject,
    /// A name that comes twice in one object, so that readers may disagree about its value.
    #[error("the member {name:?} comes more than once in one object")]
    RepeatedMember {
        /// The name.
        name: String,
    },
    /// A required member that is not there, or is null.
    #[error("the member {name:?} is missing")]
    MissingMember {
        /// The name.
        name: &'static str,
    },
    /// A required member of another type, or empty.
    #[error("the member {name:?} is not {expected}")]
    UnexpectedMember {
        /// The name.
        name: &'static str,
        /// What it should be, as a noun phrase.
        expected: &'static str,
    },
    /// A text that is too long to be an id or a name.
    #[error("the member {name:?} is longer than {limit_bytes} bytes")]
    TooLong {
        /// The name.
        name: &'static str,
        /// The most that is taken, in bytes.
        limit_bytes: usize,
    },
    /// Two ids that contradict each other.
    #[error("the members {first:?} and {second:?} hold different ids")]
    ContradictoryIds {
        /// The one name.
        first: &'static str,
        /// The other name.
        second: &'static str,
    },
    /// Content about something that the settings leave out.
    #[error("the member {name:?} is none that is configured; look at {setting} if it should be")]
    NotConfigured {
        /// The name.
        name: &'static str,
        /// The setting that decides.
        setting: &'static str,
    },
    /// A delivery that holds nothing.
    #[error("the delivery holds no event")]
    NoEvents,
}

/// An event of a delivery that could not be read, with its own slice of the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MalformedEvent {
    /// Why.
    pub reason: Malformed,
    /// The slice, to the byte.
    pub data: Bytes,
    /// Its place in the delivery as it first came, where the content says so; else it is the place among the delivery's events.
    pub position: Option<EventIndex>,
}

/// The place of an event in its delivery, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventIndex(pub u32);
