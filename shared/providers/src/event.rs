//! Events: what a delivery says happened, named as CloudEvents 1.0 names it.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::digest::Sha256Digest;
use crate::entity::EntityUpdate;
use crate::identity::{Alias, Identity};
use crate::registry::name::ProviderName;

/// One event of a delivery. With the delivery's id and time of arrival it becomes an entry of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Who sent it.
    pub provider: ProviderName,
    /// What makes it the same event.
    pub identity: Identity,
    /// What CloudEvents says of every event.
    pub cloud_event: CloudEvent,
    /// CloudEvents `data`: the event's own slice of the body, to the byte. It shares the body's memory.
    pub data: Bytes,
    /// What encloses the event in its delivery, where the provider puts something there.
    pub envelope: Option<Envelope>,
    /// The digest of the content as it is compared: equal digests are the same content.
    pub digest: Sha256Digest,
    /// Further facts by name, as text. What comes from an unsigned header is named in the provider's page.
    pub attributes: BTreeMap<String, String>,
    /// What it reports.
    pub kind: EventKind,
}

/// What an event reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// Something that happened. Its identity is its own.
    Fact {
        /// A signed alias: while another event owns it, this one is stored and marked a repeat of that one.
        repeat_alias: Option<Alias>,
        /// An unsigned alias: while another event owns it, this one carries the hint `same_job_as`. It never changes an outcome.
        job_hint: Option<Alias>,
    },
    /// The state of an entity. The identity is the entity's, and the delivery and the event's index in it tell one event of it
    /// from another.
    EntityState(EntityUpdate),
}

impl EventKind {
    /// Something that happened, and has no other name than its identity.
    pub const FACT: Self = Self::Fact { repeat_alias: None, job_hint: None };

    /// The state of an entity, where the event reports one.
    #[must_use]
    pub const fn entity(&self) -> Option<&EntityUpdate> {
        match self {
            Self::EntityState(update) => Some(update),
            Self::Fact { .. } => None,
        }
    }

    /// The aliases of the event: the signed one, and the unsigned one.
    #[must_use]
    pub const fn aliases(&self) -> (Option<&Alias>, Option<&Alias>) {
        match self {
            Self::Fact { repeat_alias, job_hint } => (repeat_alias.as_ref(), job_hint.as_ref()),
            Self::EntityState(_) => (None, None),
        }
    }
}

/// What CloudEvents 1.0 calls the context attributes of an event, under its names. It is stored as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloudEvent {
    /// CloudEvents `id`: the provider's own id where it has one, unique within `source`.
    pub id: String,
    /// CloudEvents `source`.
    pub source: String,
    /// CloudEvents `type`: the provider's name, a dot, and the provider's own word for what happened.
    #[serde(rename = "type")]
    pub event_type: String,
    /// CloudEvents `subject`: the thing that it happened to, where the content names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// CloudEvents `time`, exactly as the provider wrote it; only where that is RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// CloudEvents `datacontenttype`.
    pub datacontenttype: String,
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

/// The place of an event in its delivery, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventIndex(pub u32);
