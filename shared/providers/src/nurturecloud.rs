//! NurtureCloud: the entities of real-estate agencies.
//!
//! Authentication is not documented, so the URL ends with a secret. A notification has no id and no version, and the same
//! content can be three true changes (A, B, A): the states of an entity are ordered by arrival, and an event is
//! identified by its entity, its delivery and its index in it.

use std::collections::{BTreeMap, BTreeSet};

use http::{HeaderMap, StatusCode};
use serde::Deserialize;

use crate::account::AccountName;
use crate::active_keys::{ActiveKeys, KeySetError, MatchedKey, ReadKeySet, read_key_set};
use crate::answer::{Answer, Fault, Rejection};
use crate::authentic::Authentic;
use crate::canonical_json::Object;
use crate::delivery::Delivery;
use crate::digest::Sha256Digest;
use crate::entity::{EntityReference, EntityState, EntityUpdate};
use crate::event::{CloudEvent, Envelope, Event, EventIndex, EventKind};
use crate::event_form::{DataForm, EventForm};
use crate::explain::case::Case;
use crate::explain::finding::Finding;
use crate::explain::path_secret;
use crate::explain::path_secret::StoredHash;
use crate::json::Json;
use crate::kept_headers::HeaderPolicy;
use crate::malformed::{Malformed, MalformedEvent};
use crate::path_secret::PathSecretHash;
use crate::provider::Provider;
use crate::registry::name::ProviderName;
use crate::request::UnverifiedRequest;
use crate::settings::Reader;
use crate::split::{Events, MAX_EVENTS};
use crate::timestamp::Timestamp;
use crate::webhook::{KeyFreshness, VerifyError, Webhook, WebhookRoute};

pub mod component;
mod keys;
pub mod resync;

/// Maximum length of an entity's id or name, in bytes. NurtureCloud's ids are UUIDs; ours have to fit into the keys of an index.
pub const MAX_ID_BYTES: usize = 256;

/// The members of a notification from which its entities are read. All others are the envelope.
const ENTITY_MEMBERS: [&str; 3] = ["domainComponentName", "state", "payload"];

/// NurtureCloud's webhook.
#[derive(Clone, Copy, Debug)]
pub struct NurtureCloud;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyEntry {
    #[serde(alias = "label")]
    account: String,
    secret_sha256: Sha256Digest,
}

impl Webhook for NurtureCloud {
    const ROUTE: WebhookRoute = WebhookRoute::with_secret(Self::NAME.source_path());

    type Keys = ActiveKeys<PathSecretHash>;
    type Credential = PathSecretHash;

    fn read_keys(secret: &str) -> Result<ReadKeySet<Self::Keys>, KeySetError> {
        read_key_set(secret, r#"{"account": "...", "secret_sha256": "64 hex digits"}"#, |entry: KeyEntry| {
            let account = AccountName::new(&entry.account).map_err(|error| error.to_string())?;
            Ok((account, PathSecretHash::from_recorded(entry.secret_sha256)))
        })
    }

    fn is_unset(keys: &Self::Keys) -> bool {
        keys.is_empty()
    }

    fn credential(path: &str, _headers: &HeaderMap) -> Result<Self::Credential, Rejection> {
        PathSecretHash::of_path(path).ok_or(Rejection::PathSecretMalformed)
    }

    fn verify(
        request: UnverifiedRequest,
        credential: &Self::Credential,
        keys: &Self::Keys,
        _now: Timestamp,
    ) -> Result<Authentic, VerifyError> {
        let matched = keys.iter().find(|(_, hash)| hash.is_of_the_same_secret(credential));
        match matched.map(|(account, hash)| MatchedKey { account: account.clone(), fingerprint: hash.fingerprint() }) {
            Some(key) => {
                // A proxy may repeat the path in a header of its own.
                let has_credential = |value: &[u8]| credential.occurs_in(value);
                let own = &["content-type", "user-agent"];
                Ok(request.verified(Self::NAME, key, &HeaderPolicy { own, has_credential: &has_credential }))
            }
            None => Err(VerifyError::NoKeyMatches(request)),
        }
    }

    /// Whether NurtureCloud tries again after a 401 isn't documented, so 401 is used only where we are sure.
    fn no_key_matches(keys: KeyFreshness) -> Answer {
        match keys {
            KeyFreshness::Fresh => Answer::Rejected(Rejection::PathSecretMismatch),
            KeyFreshness::Stale => Answer::RetryLater(Fault::SecretsUnavailable),
        }
    }

    fn explain(case: &Case<'_>) -> Vec<Finding> {
        // A file that holds nothing else holds the secret itself.
        let bare = |text: &str| KeyEntry { account: String::new(), secret_sha256: Sha256Digest::of(text.as_bytes()) };
        let stored = case.keys::<Self, KeyEntry, _>(bare, |tried, entry| {
            let hash = PathSecretHash::from_recorded(entry.secret_sha256);
            let label = tried.label(&entry.account, Some(hash.fingerprint().to_string()));
            vec![StoredHash { status: tried.status(&label), label, hash }]
        });
        path_secret::explain(case, Self::ROUTE, &stored)
    }

    fn status(answer: &Answer) -> StatusCode {
        match answer {
            Answer::Accepted => StatusCode::OK,
            Answer::RetryLater(_) => StatusCode::SERVICE_UNAVAILABLE,
            Answer::Rejected(Rejection::PathSecretMalformed | Rejection::PathSecretMismatch) => {
                StatusCode::UNAUTHORIZED
            }
            Answer::Rejected(Rejection::MethodNotAllowed) => StatusCode::METHOD_NOT_ALLOWED,
            Answer::Rejected(Rejection::BodyTooLarge { .. }) => StatusCode::PAYLOAD_TOO_LARGE,
            Answer::Rejected(_) => StatusCode::BAD_REQUEST,
        }
    }
}

/// Settings for reading NurtureCloud's deliveries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// If set, entities of other organisations are quarantined. Unset accepts all.
    pub organisation: Option<String>,
    /// If set, entities of other businesses are quarantined. Empty accepts all.
    pub businesses: BTreeSet<String>,
}

/// What the entities of a notification have in common.
struct Notification {
    component: String,
    /// The component's name as it was written.
    written_component: String,
    state: EntityState,
    envelope: Option<Envelope>,
}

impl Provider for NurtureCloud {
    const NAME: ProviderName = ProviderName::NurtureCloud;

    const EVENTS: EventForm = EventForm {
        type_pattern: r".+\.(Created|Updated|Current|Deleted)",
        always: &["subject", "entity", "entityversion", "entitychange"],
        data: DataForm::Object(&["organisationName", "businessId", "id"]),
        extensions: &[],
    };

    type Settings = Settings;

    fn settings(reader: &mut Reader<'_>) -> Settings {
        Settings {
            organisation: reader.optional("NURTURECLOUD_ORGANISATION"),
            businesses: reader.list("NURTURECLOUD_BUSINESSES").into_iter().collect(),
        }
    }

    fn split<'a>(delivery: &'a Delivery, settings: &'a Settings) -> Result<Events<'a>, Malformed> {
        settings.events(delivery)
    }
}

impl Settings {
    /// The events of a delivery: one per entity of its payload.
    fn events<'a>(&'a self, delivery: &'a Delivery) -> Result<Events<'a>, Malformed> {
        let object = Object::read(&delivery.body)?;
        if object.get("domainComponentName").is_some() && object.get("domainComponentNames").is_some() {
            return Err(Malformed::AmbiguousMembers { first: "domainComponentName", second: "domainComponentNames" });
        }
        let written_component = object.text("domainComponentName")?;
        let component = component::component_name(&written_component);
        short_enough("domainComponentName", &component)?;
        let state = state(&object.text("state")?)?;
        let payload = object.get("payload").ok_or(Malformed::MissingMember { name: "payload" })?;
        // The envelope is not compared, but it must be unambiguous too.
        object.canonical(|name| !ENTITY_MEMBERS.contains(&name))?;
        let envelope = Envelope::of_layers(&[("delivery", &object.written_besides(&ENTITY_MEMBERS))]);
        drop(object);
        let notification = Notification { component, written_component, state, envelope };
        if payload.is_object() {
            return Ok(Events::one(self.event(delivery, &notification, payload, 0)?));
        }
        let expected = "an object or an array of objects";
        let entities = payload.elements().ok_or(Malformed::UnexpectedMember { name: "payload", expected })?;
        let len = entities.clone().take(MAX_EVENTS + 1).count();
        let events = entities.zip(0..).map(move |(entity, index)| {
            self.event(delivery, &notification, entity, index).map_err(|reason| MalformedEvent {
                reason,
                // An entity is cut out of this very body.
                data: delivery.body.slice_ref(entity.as_str().as_bytes()),
            })
        });
        Events::counted(len, events)
    }

    fn event(
        &self,
        delivery: &Delivery,
        notification: &Notification,
        payload: Json<'_>,
        index: u32,
    ) -> Result<Event, Malformed> {
        let object = Object::of(payload)?;
        let entity = reference(&object, delivery.account(), &notification.component)?;
        self.check(&entity)?;
        let merged_into = match (notification.state, object.get("mergedInto")) {
            (EntityState::Deleted, Some(merged_into)) => {
                Some(merge_target(merged_into, delivery.account(), &notification.component)?)
            }
            _ => None,
        };
        let mut attributes = correlation(&object);
        if notification.written_component != notification.component {
            attributes.insert("domain_component_name".to_owned(), notification.written_component.clone());
        }
        Ok(Event {
            provider: delivery.provider,
            identity: entity.identity(delivery.provider),
            cloud_event: CloudEvent {
                id: delivery.id.event_id(EventIndex(index)),
                source: delivery.source(),
                event_type: format!("nurturecloud.{}.{}", notification.component, notification.state.as_str()),
                subject: Some(format!("{}/{}", entity.component, entity.id)),
                time: None,
                datacontenttype: "application/json".to_owned(),
            },
            // An entity is cut out of this very body.
            data: delivery.body.slice_ref(payload.as_str().as_bytes()),
            envelope: notification.envelope.clone(),
            digest: Sha256Digest::of(object.canonical(|_| true)?.as_bytes()),
            attributes,
            kind: EventKind::EntityState(EntityUpdate { entity, state: notification.state, merged_into }),
        })
    }

    fn check(&self, entity: &EntityReference) -> Result<(), Malformed> {
        if self.organisation.as_ref().is_some_and(|organisation| *organisation != entity.organisation) {
            return Err(Malformed::NotConfigured { name: "organisationName", setting: "NURTURECLOUD_ORGANISATION" });
        }
        if !self.businesses.is_empty() && !self.businesses.contains(&entity.business_id) {
            return Err(Malformed::NotConfigured { name: "businessId", setting: "NURTURECLOUD_BUSINESSES" });
        }
        Ok(())
    }
}

fn state(text: &str) -> Result<EntityState, Malformed> {
    text.parse()
        .map_err(|_| Malformed::UnexpectedMember { name: "state", expected: "Created, Updated, Current or Deleted" })
}

/// The entity that an object names.
fn reference(object: &Object<'_>, account: &AccountName, component: &str) -> Result<EntityReference, Malformed> {
    let organisation = object.text("organisationName")?;
    short_enough("organisationName", &organisation)?;
    Ok(EntityReference {
        account: account.clone(),
        component: component.to_owned(),
        organisation,
        business_id: id(object, "businessId")?,
        id: id(object, "id")?,
    })
}

fn id(object: &Object<'_>, name: &'static str) -> Result<String, Malformed> {
    let id = object.text_or_number(name)?.ok_or(Malformed::MissingMember { name })?;
    short_enough(name, &id)?;
    Ok(id)
}

fn merge_target(value: Json<'_>, account: &AccountName, component: &str) -> Result<EntityReference, Malformed> {
    Object::of(value).and_then(|object| reference(&object, account, component)).map_err(|_| {
        Malformed::UnexpectedMember {
            name: "mergedInto",
            expected: "an object with organisationName, businessId and id",
        }
    })
}

fn short_enough(name: &'static str, text: &str) -> Result<(), Malformed> {
    if text.len() > MAX_ID_BYTES {
        return Err(Malformed::TooLong { name, limit_bytes: MAX_ID_BYTES });
    }
    Ok(())
}

/// `correlationId`, where it has the documented form. A value of another form is kept only in the data.
fn correlation(object: &Object<'_>) -> BTreeMap<String, String> {
    let Some(Ok(correlation)) = object.get("correlationId").map(Object::of) else { return BTreeMap::new() };
    [("source", "correlation_source"), ("value", "correlation_value")]
        .into_iter()
        .filter_map(|(member, name)| Some((name.to_owned(), correlation.text_or_number(member).ok()??)))
        .collect()
}

#[cfg(test)]
mod tests;
