//! The model: what was accepted, read here independently of the flows, and what became of it as seen from outside.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use intake_providers::ProviderName;
use intake_providers::delivery::DeliveryId;
use intake_providers::timestamp::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::guarded::Guarded;

/// The members of Machnet's body that together are one state.
const STATE_MEMBERS: [&str; 7] =
    ["event_name", "resource_id", "user_id", "sender_id", "receiver_id", "subscription_id", "payload"];

/// What a delivery's body says, event by event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    Fact(Fact),
    Entity(EntityEvent),
    /// Authentic, and not an event.
    Unreadable,
}

/// An event of an identity of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fact {
    /// What makes it the same event when it is redelivered.
    pub(crate) identity: String,
    /// Its id as consumers see it.
    pub(crate) id: String,
    /// What is compared.
    pub(crate) content: String,
    /// The event's own JSON, or its bytes.
    pub(crate) own: String,
    /// What makes it the same state under another id.
    pub(crate) alias: Option<String>,
}

/// An event about an entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EntityEvent {
    pub(crate) entity: String,
    pub(crate) state: String,
    pub(crate) content: String,
    pub(crate) merged_into: Option<String>,
}

/// A delivery that our queue has.
#[derive(Clone, Debug)]
pub(crate) struct Accepted {
    pub(crate) provider: ProviderName,
    pub(crate) received_at: Timestamp,
    pub(crate) body: Bytes,
    pub(crate) events: Vec<Expected>,
}

/// What the model knows.
#[derive(Debug, Default)]
pub(crate) struct Model {
    /// Every delivery that our queue has taken.
    pub(crate) accepted: BTreeMap<DeliveryId, Accepted>,
    /// For each alias: who claimed it, and when last, in milliseconds since 1970.
    pub(crate) claims: BTreeMap<String, BTreeMap<String, i64>>,
}

/// The model, shared by those who observe.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reference(Arc<Guarded<Model>>);

#[derive(Deserialize)]
struct Document {
    delivery_id: DeliveryId,
    provider: ProviderName,
    authenticated_by: AuthenticatedBy,
    received_at: Timestamp,
    headers: Vec<(String, Value)>,
    body: Body,
}

#[derive(Deserialize)]
struct AuthenticatedBy {
    account: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Body {
    Text(String),
    Payload { key: String },
}

impl Reference {
    /// Our queue has taken this message. `stored` finds a body that is not in it. Returns the delivery, if the message can be read.
    pub(crate) fn accept(&self, text: &str, stored: impl Fn(&str) -> Option<Bytes>) -> Option<DeliveryId> {
        if let Some(known) = delivery_id_in(text).filter(|delivery_id| self.has(*delivery_id)) {
            return Some(known);
        }
        let document: Document = serde_json::from_str(text).ok()?;
        let body = match document.body {
            Body::Text(ref text) => Bytes::from(text.clone()),
            Body::Payload { ref key } => stored(key).unwrap_or_default(),
        };
        let delivery_id = document.delivery_id;
        let events = read(&document, &body);
        let (provider, received_at) = (document.provider, document.received_at);
        let accepted = Accepted { provider, received_at, body, events };
        self.0.get().accepted.entry(delivery_id).or_insert(accepted);
        Some(delivery_id)
    }

    pub(crate) fn has(&self, delivery_id: DeliveryId) -> bool {
        self.0.get().accepted.contains_key(&delivery_id)
    }

    /// Number of deliveries of a provider with this body that our queue has.
    pub(crate) fn count_of_body(&self, provider: ProviderName, body: &Bytes) -> usize {
        let model = self.0.get();
        model.accepted.values().filter(|accepted| accepted.provider == provider && accepted.body == *body).count()
    }

    pub(crate) fn model(&self) -> std::sync::MutexGuard<'_, Model> {
        self.0.get()
    }
}

/// The delivery that a message names, without reading all of it.
pub(crate) fn delivery_id_in(text: &str) -> Option<DeliveryId> {
    let (_, rest) = text.split_once("\"delivery_id\":\"")?;
    rest.split('"').next()?.parse().ok()
}

fn read(document: &Document, body: &Bytes) -> Vec<Expected> {
    let scope = format!("{}/{}", document.provider, document.authenticated_by.account);
    let text = String::from_utf8_lossy(body).into_owned();
    match document.provider.as_str() {
        "accredit" => vec![accredit(&scope, &text).map_or(Expected::Unreadable, Expected::Fact)],
        "machnet" => vec![machnet(&scope, &text).map_or(Expected::Unreadable, Expected::Fact)],
        "nowcerts" => vec![Expected::Fact(nowcerts(&scope, document, &text))],
        "sterling" => sterling(&scope, &text).unwrap_or_else(|| vec![Expected::Unreadable]),
        "nurturecloud" => nurturecloud(&scope, &text).unwrap_or_else(|| vec![Expected::Unreadable]),
        // A provider that is not part of the world sends nothing.
        _ => vec![Expected::Unreadable],
    }
}

fn text(object: &Map<String, Value>, name: &str) -> Option<String> {
    Some(object.get(name)?.as_str()?.to_owned()).filter(|text| !text.is_empty())
}

fn accredit(scope: &str, body: &str) -> Option<Fact> {
    let value: Value = serde_json::from_str(body).ok()?;
    let object = value.as_object()?;
    text(object, "Event")?;
    text(object, "Timestamp")?;
    let identity = format!("{scope}/{body}");
    Some(Fact { id: String::new(), content: body.to_owned(), own: body.to_owned(), identity, alias: None })
}

fn machnet(scope: &str, body: &str) -> Option<Fact> {
    let mut value: Value = serde_json::from_str(body).ok()?;
    let object = value.as_object_mut()?;
    let id = text(object, "id").or_else(|| text(object, "persisted_object_id"))?;
    text(object, "event_name")?;
    let state: Map<String, Value> =
        object.iter().filter(|(name, _)| STATE_MEMBERS.contains(&name.as_str())).map(cloned).collect();
    for name in ["id", "persisted_object_id", "timestamp"] {
        object.remove(name);
    }
    let alias = Some(format!("{scope}/{}", Value::Object(state)));
    Some(Fact { identity: format!("{scope}/{id}"), id, content: value.to_string(), own: body.to_owned(), alias })
}

fn cloned((name, value): (&String, &Value)) -> (String, Value) {
    (name.clone(), value.clone())
}

fn nowcerts(scope: &str, document: &Document, body: &str) -> Fact {
    let header = |name: &str| {
        let found = document.headers.iter().find(|(header, _)| header == name)?;
        Some(found.1.get("text")?.as_str()?.to_owned())
    };
    let content = serde_json::from_str(body).map_or_else(|_| body.to_owned(), |value: Value| value.to_string());
    let own = body.to_owned();
    match header("amqp-message-id").filter(|id| !id.is_empty()) {
        Some(id) => Fact { identity: format!("{scope}/message/{id}"), id, content, own, alias: None },
        None => {
            let id = document.delivery_id.to_string();
            let (timestamp, kind) = (header("amqp-timestamp"), header("amqp-type"));
            let alias = Some(format!("{scope}/{body}/{timestamp:?}/{kind:?}"));
            Fact { identity: format!("{scope}/delivery/{id}"), id, content, own, alias }
        }
    }
}

/// One batch of batches, one batch, or one event: all that our senders send of Sterling's forms.
fn sterling(scope: &str, body: &str) -> Option<Vec<Expected>> {
    let value: Value = serde_json::from_str(body).ok()?;
    let object = value.as_object()?;
    let mut copies: BTreeMap<String, u32> = BTreeMap::new();
    let mut events = Vec::new();
    let outer = without(object, "eventbatch");
    for batch in object.get("eventbatch")?.as_array()? {
        let batch = batch.as_object()?;
        let inner = without(batch, "events");
        for event in batch.get("events")?.as_array()? {
            let readable = event.as_object().and_then(|event| text(event, "code"));
            let own = event.to_string();
            let content = format!("{outer}|{inner}|{own}");
            if readable.is_none() {
                events.push(Expected::Unreadable);
                continue;
            }
            let copy = copies.entry(content.clone()).and_modify(|copy| *copy += 1).or_insert(0);
            let identity = format!("{scope}/{content}/{copy}");
            events.push(Expected::Fact(Fact { identity, id: String::new(), content, own, alias: None }));
        }
    }
    Some(events).filter(|events| !events.is_empty())
}

fn without(object: &Map<String, Value>, inner: &str) -> Value {
    Value::Object(object.iter().filter(|(name, _)| *name != inner).map(cloned).collect())
}

fn nurturecloud(scope: &str, body: &str) -> Option<Vec<Expected>> {
    let value: Value = serde_json::from_str(body).ok()?;
    let object = value.as_object()?;
    let component = text(object, "domainComponentName")?;
    let state = text(object, "state")?;
    let payload = object.get("payload")?;
    let read = |entity: &Value| {
        let of = |entity: &Value| {
            let object = entity.as_object()?;
            let parts = ["organisationName", "businessId", "id"].map(|name| text(object, name));
            let [Some(organisation), Some(business), Some(id)] = parts else { return None };
            Some(format!("{scope}/{component}/{organisation}/{business}/{id}"))
        };
        let Some(name) = of(entity) else { return Expected::Unreadable };
        let merged_into = entity.get("mergedInto").filter(|_| state == "Deleted").and_then(of);
        Expected::Entity(EntityEvent { entity: name, state: state.clone(), content: entity.to_string(), merged_into })
    };
    match payload.as_array() {
        Some(entities) => Some(entities.iter().map(read).collect()),
        None => Some(vec![read(payload)]),
    }
}
