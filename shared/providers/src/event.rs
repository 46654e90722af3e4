//! Events: what a delivery says happened, named as CloudEvents 1.0 names it.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::account::AccountName;
use crate::digest::Sha256Digest;
use crate::entity::EntityUpdate;
use crate::json::characters_of;
use crate::registry::name::ProviderName;

/// The most characters of a name that is quoted from content.
const MAX_QUOTED_CHARACTERS: usize = 64;

/// An event's idempotency key: what makes it the same event when it is redelivered. It is made of authenticated content only,
/// and of the account that it belongs to: two accounts of one provider never share an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    provider: ProviderName,
    digest: Sha256Digest,
}

impl Identity {
    /// The identity that these parts spell within an account of a provider. The account and the parts are length-prefixed and
    /// hashed, so ids of any length and alphabet fit and no two lists of parts collide by being joined.
    #[must_use]
    pub fn new<'a>(
        provider: ProviderName,
        account: &'a AccountName,
        parts: impl IntoIterator<Item = &'a [u8]>,
    ) -> Self {
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
    pub provider: ProviderName,
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
    /// CloudEvents `data`: the event's own slice of the body, to the byte. It shares the body's memory.
    pub data: Bytes,
    /// What encloses the event in its delivery, where the provider puts something there.
    pub envelope: Option<Envelope>,
    /// The digest of the content as it is compared: equal digests are the same content.
    pub digest: Sha256Digest,
    /// Further facts by name, as text. What comes from an unsigned header is named in the provider's page.
    pub attributes: BTreeMap<String, String>,
    /// A signed alias: while another event owns it, this one is stored and marked a repeat of that one.
    pub repeat_alias: Option<Alias>,
    /// An unsigned alias: while another event owns it, this one carries the hint `same_job_as`. It never changes an outcome.
    pub job_hint: Option<Alias>,
    /// The state of an entity that this event tells. The identity is the entity's then, and the delivery and the event's
    /// index in it tell one event of it from another.
    pub entity: Option<EntityUpdate>,
}

/// What encloses events in their delivery and is part of none of them. It is made once for all events that it encloses, and
/// cloning it copies nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// One JSON object with a member for each layer that holds something, the outermost first. A layer is an object with
    /// the layer's members as they were written, in their order, without those that lead to the events.
    pub data: Bytes,
    /// The digest of `data`, to the byte.
    pub digest: Sha256Digest,
}

impl Envelope {
    /// The envelope of these layers, each a name and its members joined with commas; `None` when all of them are empty.
    pub(crate) fn of_layers(layers: &[(&str, &str)]) -> Option<Self> {
        let size: usize = layers.iter().map(|(name, members)| name.len() + members.len() + 6).sum();
        let mut text = String::with_capacity(size + 2);
        for (name, members) in layers.iter().filter(|(_, members)| !members.is_empty()) {
            let before = if text.is_empty() { '{' } else { ',' };
            text.extend([before, '"']);
            text.extend([*name, "\":{", *members, "}"]);
        }
        if text.is_empty() {
            return None;
        }
        text.push('}');
        let data = Bytes::from(text);
        Some(Self { digest: Sha256Digest::of(&data), data })
    }
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
        /// The name; of a long one, the beginning and `…`.
        name: String,
    },
    /// Two members that each make the object another thing.
    #[error("the members {first:?} and {second:?} are in one object, which could then be read in two ways")]
    AmbiguousMembers {
        /// The one name.
        first: &'static str,
        /// The other name.
        second: &'static str,
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
    /// A batch that holds nothing, beside others.
    #[error("the batch holds no event")]
    EmptyBatch,
    /// A delivery with more events than are recorded of one.
    #[error("the delivery holds more than {limit} events")]
    TooManyEvents {
        /// The most that are recorded.
        limit: usize,
    },
    /// A delivery whose batches would each repeat so much of what encloses them.
    #[error("what encloses the batches of the delivery, kept with each, takes more than {limit_bytes} bytes")]
    EnvelopesTooLarge {
        /// The most that is kept, in bytes.
        limit_bytes: usize,
    },
}

impl Malformed {
    /// The member whose written form begins the text comes more than once. A long name is cut.
    pub(crate) fn repeated(written: &str) -> Self {
        let mut name: String = characters_of(written).take(MAX_QUOTED_CHARACTERS).collect();
        if characters_of(written).nth(MAX_QUOTED_CHARACTERS).is_some() {
            name.push('…');
        }
        Self::RepeatedMember { name }
    }
}

/// An event of a delivery that could not be read, with its own slice of the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MalformedEvent {
    /// Why.
    pub reason: Malformed,
    /// The slice, to the byte. It shares the body's memory.
    pub data: Bytes,
}

/// The place of an event in its delivery, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventIndex(pub u32);
