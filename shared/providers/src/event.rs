//! Events: what a delivery reports, in the terms of CloudEvents 1.0.

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
    /// The provider that sent it.
    pub provider: ProviderName,
    /// The idempotency key.
    pub identity: Identity,
    /// The CloudEvents context attributes.
    pub cloud_event: CloudEvent,
    /// CloudEvents `data`: the event's own slice of the body, byte for byte. It shares the body's memory.
    pub data: Bytes,
    /// The content that encloses the event in its delivery, if there is any.
    pub envelope: Option<Envelope>,
    /// The digest of the content as it is compared: equal digests are the same content.
    pub digest: Sha256Digest,
    /// Additional facts by name, as text. The provider's page lists those that come from an unsigned header.
    pub attributes: BTreeMap<String, String>,
    /// Whether it reports a fact or the state of an entity.
    pub kind: EventKind,
}

/// What an event reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// Something that happened. The identity is unique to this event.
    Fact {
        /// A signed alias: while another event owns it, this one is stored and marked a repeat of that one.
        repeat_alias: Option<Alias>,
        /// An unsigned alias: while another event owns it, this one carries the hint `same_job_as`. It never changes an outcome.
        job_hint: Option<Alias>,
    },
    /// The state of an entity. All events of an entity share its identity; the delivery and the event's index in it distinguish
    /// them.
    EntityState(EntityUpdate),
}

impl EventKind {
    /// A fact without aliases.
    pub const FACT: Self = Self::Fact { repeat_alias: None, job_hint: None };

    /// The state of an entity, where the event reports one.
    #[must_use]
    pub const fn entity(&self) -> Option<&EntityUpdate> {
        match self {
            Self::EntityState(update) => Some(update),
            Self::Fact { .. } => None,
        }
    }

    /// The event's signed alias and its unsigned hint.
    #[must_use]
    pub const fn aliases(&self) -> (Option<&Alias>, Option<&Alias>) {
        match self {
            Self::Fact { repeat_alias, job_hint } => (repeat_alias.as_ref(), job_hint.as_ref()),
            Self::EntityState(_) => (None, None),
        }
    }
}

/// The context attributes of CloudEvents 1.0, under their own names. They are stored as they are.
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

/// The content that encloses events in their delivery and belongs to none of them. One instance is shared by all events that it
/// encloses; cloning it is cheap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// One JSON object with a member for each layer that holds something, the outermost first. A layer is an object with
    /// the layer's members as they were written, in their order, without those that lead to the events.
    pub data: Bytes,
    /// SHA-256 of the exact bytes of `data`.
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

/// Index of an event in its delivery, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventIndex(pub u32);
