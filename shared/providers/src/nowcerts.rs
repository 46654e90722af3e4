//! NowCerts: insurance agency management. Its events wait in its own RabbitMQ, in a queue of which we are the only consumer.
//!
//! What an event looks like is not published, so the code relies on no member of it and nothing is malformed: every message is
//! kept. An event is identified by its AMQP `message_id`, or else by the value at a JSON pointer that the user sets once they
//! have seen their events. Without either the delivery is its own identity, so nothing is ever dropped,
//! and an event whose bytes, publisher's time and type were seen before is marked a repeat: two true twins look like
//! a redelivery when the first was acknowledged and the second came back unprocessed.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use crate::amqp::{
    Account, AccountProblems, CONTENT_TYPE_HEADER, DELIVERY_COUNT_HEADER, EXCHANGE_HEADER, MESSAGE_ID_HEADER,
    QUEUE_HEADER, REDELIVERED_HEADER, ROUTING_KEY_HEADER, TIMESTAMP_HEADER, TYPE_HEADER,
};
use crate::canonical_json::{MAX_TEXT_BYTES, Object, canonical};
use crate::delivery::Delivery;
use crate::digest::Sha256Digest;
use crate::event::{CloudEvent, Event, EventKind};
use crate::event_form::{DataForm, EventForm, Extension};
use crate::identity::{Alias, Identity};
use crate::json::Json;
use crate::malformed::Malformed;
use crate::provider::Provider;
use crate::queue_source::QueueSource;
use crate::registry::name::ProviderName;
use crate::settings::Reader;
use crate::split::Events;
use crate::timestamp::Timestamp;

mod account;
mod connection_string;
mod keys;

/// How long content without an id is remembered, so that a redelivery is marked a repeat. NowCerts keeps events for a replay
/// for at least three days, and a delivery may stay in our queue and dead-letter queue for 18 days.
pub const REPEAT_MEMORY: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Location of an event's id in its JSON, as an RFC 6901 pointer: `/Id`, `/data/0/eventId`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonPointer(Vec<String>);

/// Not a valid JSON pointer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a valid JSON pointer; one begins with / and names a member, such as /Id (RFC 6901)")]
pub struct InvalidJsonPointer(String);

impl FromStr for JsonPointer {
    type Err = InvalidJsonPointer;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidJsonPointer(text.to_owned());
        let tokens = text.strip_prefix('/').ok_or_else(invalid)?.split('/').map(unescaped);
        tokens.collect::<Option<Vec<_>>>().map(Self).ok_or_else(invalid)
    }
}

/// `~1` means `/` and `~0` means `~`; a `~` means nothing else.
fn unescaped(token: &str) -> Option<String> {
    let plain = token.replace("~0", "").replace("~1", "");
    (!plain.contains('~')).then(|| token.replace("~1", "/").replace("~0", "~"))
}

impl JsonPointer {
    /// The non-empty string at this location, or the number as it is written. `None` if there is no such value, if it is too long
    /// for an id, or if an object on the path repeats a member.
    fn text_in(&self, body: &[u8]) -> Option<String> {
        let mut value = Json::read(body).ok()?;
        for token in &self.0 {
            value = if let Some(mut elements) = value.elements() {
                let index = token.parse::<usize>().ok().filter(|index| index.to_string() == *token)?;
                elements.nth(index)?
            } else {
                Object::of(value).ok()?.get(token)?
            };
        }
        let text = if value.is_number() { value.as_str().to_owned() } else { value.to_text()? };
        Some(text).filter(|text| !text.is_empty() && text.len() <= MAX_TEXT_BYTES)
    }
}

/// NowCerts' queue as a source of events.
#[derive(Clone, Copy, Debug)]
pub struct NowCerts;

/// Settings for reading NowCerts' messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Location of an event's id, for messages without a `message_id`.
    pub id_pointer: Option<JsonPointer>,
}

impl Provider for NowCerts {
    const NAME: ProviderName = ProviderName::NowCerts;

    /// Where a message came from is in no body, so it goes along.
    const EVENTS: EventForm = EventForm {
        type_pattern: ".+",
        always: &["identifiedby"],
        data: DataForm::Any,
        extensions: &[
            Extension {
                name: "identifiedby",
                attribute: "identified_by",
                description: "What `id` is made of: `message-id` (AMQP's), `content` (a member of the data), or `delivery` (there \
                              was neither, so a message that the broker delivers twice is two events, the second one a repeat)",
            },
            Extension { name: "queue", attribute: "queue", description: "The queue that the message waited on" },
            Extension {
                name: "exchange",
                attribute: "exchange",
                description: "The exchange that the message was published to, unless it was the default one",
            },
            Extension { name: "routingkey", attribute: "routing_key", description: "The routing key of the message" },
        ],
    };

    type Settings = Settings;

    fn settings(reader: &mut Reader<'_>) -> Settings {
        let id_pointer = reader
            .parsed("NOWCERTS_ID_POINTER", None, "a JSON pointer such as /Id", |text| text.parse().ok().map(Some));
        Settings { id_pointer }
    }

    fn split<'a>(delivery: &'a Delivery, settings: &'a Settings) -> Result<Events<'a>, Malformed> {
        Ok(Events::one(settings.event(delivery)))
    }
}

impl QueueSource for NowCerts {
    fn read_account(secret: &str) -> Result<Account, AccountProblems> {
        account::read_account(secret)
    }
}

impl Settings {
    /// The one event of a message.
    fn event(&self, delivery: &Delivery) -> Event {
        let header = |name| delivery.header_text(name).filter(|value| !value.is_empty());
        let kind = header(TYPE_HEADER);
        let timestamp = header(TIMESTAMP_HEADER);
        let canonical = Json::read(&delivery.body).and_then(canonical).ok();
        let identified = self.identify(delivery, timestamp, kind);

        let mut attributes = BTreeMap::from([("identified_by".to_owned(), identified.by.to_owned())]);
        for (name, value) in [
            ("redelivered", header(REDELIVERED_HEADER)),
            ("queue", header(QUEUE_HEADER)),
            ("exchange", header(EXCHANGE_HEADER)),
            ("routing_key", header(ROUTING_KEY_HEADER)),
            ("delivery_count", header(DELIVERY_COUNT_HEADER)),
            ("timestamp", timestamp),
        ] {
            if let Some(value) = value {
                attributes.insert(name.to_owned(), value.to_owned());
            }
        }
        Event {
            provider: delivery.provider,
            identity: identified.identity,
            cloud_event: CloudEvent {
                id: identified.id,
                source: delivery.source(),
                event_type: format!("nowcerts.{}", kind.unwrap_or("event")),
                subject: None,
                time: timestamp.and_then(published_at),
                datacontenttype: match header(CONTENT_TYPE_HEADER) {
                    Some(announced) => announced,
                    None if canonical.is_some() => "application/json",
                    None => "application/octet-stream",
                }
                .to_owned(),
            },
            data: delivery.body.clone(),
            envelope: None,
            digest: canonical.map_or(delivery.sha256, |text| Sha256Digest::of(text.as_bytes())),
            attributes,
            kind: EventKind::Fact { repeat_alias: identified.repeat_alias, job_hint: None },
        }
    }

    /// Derives the identity. The queue is not part of it, so that a replay finds the earlier event.
    fn identify(&self, delivery: &Delivery, timestamp: Option<&str>, kind: Option<&str>) -> Identified {
        let known = |by: &'static str, id: String| Identified {
            by,
            identity: Identity::new(delivery.provider, delivery.account(), [by.as_bytes(), id.as_bytes()]),
            id,
            repeat_alias: None,
        };
        if let Some(id) = delivery.header_text(MESSAGE_ID_HEADER).filter(|id| !id.is_empty()) {
            return known("message-id", id.to_owned());
        }
        if let Some(id) = self.id_pointer.as_ref().and_then(|pointer| pointer.text_in(&delivery.body)) {
            return known("content", id);
        }
        let seen = [
            b"seen".as_slice(),
            &delivery.body,
            timestamp.unwrap_or_default().as_bytes(),
            kind.unwrap_or_default().as_bytes(),
        ];
        Identified {
            repeat_alias: Some(Alias {
                name: Identity::new(delivery.provider, delivery.account(), seen),
                lifetime: REPEAT_MEMORY,
            }),
            ..known("delivery", delivery.id.to_string())
        }
    }
}

struct Identified {
    by: &'static str,
    identity: Identity,
    id: String,
    repeat_alias: Option<Alias>,
}

/// AMQP's time, whole seconds since 1970, as RFC 3339.
fn published_at(seconds: &str) -> Option<String> {
    let milliseconds = seconds.parse::<i64>().ok()?.checked_mul(1_000)?;
    Timestamp::from_unix_milliseconds(milliseconds).ok().map(|instant| instant.to_string())
}

#[cfg(test)]
mod tests;
