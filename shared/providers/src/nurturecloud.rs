//! NurtureCloud: the entities of real-estate agencies.
//!
//! Nothing is documented on authentication, so a secret ends the URL. A notification has no id and no version, and the same
//! content can be three true changes (A, B, A): what orders the states of an entity is when they arrived, and an event is
//! identified by its entity, its delivery and its place in it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::account::AccountName;
use crate::active_keys::{ActiveKeys, KeySetError, MatchedKey, ReadKeySet, read_key_set};
use crate::answer::{Answer, Refusal, Trouble};
use crate::canonical_json::{Object, canonical};
use crate::delivery::{Delivery, Sha256Digest};
use crate::entity::{EntityReference, EntityState, EntityUpdate};
use crate::event::{Event, EventIndex, Malformed, MalformedEvent};
use crate::path_secret::PathSecretHash;
use crate::provider::Provider;
use crate::request::{UnverifiedRequest, VerifiedRequest};
use crate::split::SplitEvents;
use crate::timestamp::Timestamp;
use crate::webhook::{KeysAre, Unproved, Webhook};

pub mod component;
pub mod resync;

/// The longest id or name of an entity, in bytes. NurtureCloud's ids are UUIDs; ours have to fit into the keys of an index.
pub const LONGEST_ID_BYTES: usize = 256;

/// The member that says, in a part of a delivery that was quarantined, where the part was. NurtureCloud doesn't send it.
const POSITION_MEMBER: &str = "webhook-intake:position";

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
    const PROVIDER: Provider = Provider::NurtureCloud;

    type Keys = ActiveKeys<PathSecretHash>;
    type Proof = PathSecretHash;

    fn read_keys(secret: &str) -> Result<ReadKeySet<Self::Keys>, KeySetError> {
        read_key_set(secret, r#"{"account": "...", "secret_sha256": "64 hex digits"}"#, |entry: KeyEntry| {
            let account = AccountName::new(&entry.account).map_err(|error| error.to_string())?;
            Ok((account, PathSecretHash::from_recorded(entry.secret_sha256)))
        })
    }

    fn is_unset(keys: &Self::Keys) -> bool {
        keys.is_empty()
    }

    fn proof(path: &str, _headers: &HeaderMap) -> Result<Self::Proof, Refusal> {
        PathSecretHash::of_path(path).ok_or(Refusal::PathSecretMalformed)
    }

    fn verify(
        request: UnverifiedRequest,
        proof: &Self::Proof,
        keys: &Self::Keys,
        _now: Timestamp,
    ) -> Result<VerifiedRequest, Unproved> {
        let matched = keys.iter().find(|(_, hash)| hash.is_of_the_same_secret(proof));
        match matched.map(|(account, hash)| MatchedKey { account: account.clone(), fingerprint: hash.fingerprint() }) {
            Some(key) => Ok(request.proved(Self::PROVIDER, key, &["content-type", "user-agent"])),
            None => Err(Unproved::NoKeyMatches(request)),
        }
    }

    /// Whether NurtureCloud tries again after a 401 isn't documented, so one is given only where we are sure.
    fn no_key_matches(keys: KeysAre) -> Answer {
        match keys {
            KeysAre::Current => Answer::Refused(Refusal::PathSecretMismatch),
            KeysAre::Outdated => Answer::SendAgain(Trouble::SecretsUnavailable),
        }
    }

    fn status(answer: &Answer) -> StatusCode {
        match answer {
            Answer::Accepted => StatusCode::OK,
            Answer::SendAgain(_) => StatusCode::SERVICE_UNAVAILABLE,
            Answer::Refused(Refusal::PathSecretMalformed | Refusal::PathSecretMismatch) => StatusCode::UNAUTHORIZED,
            Answer::Refused(Refusal::MethodNotAllowed) => StatusCode::METHOD_NOT_ALLOWED,
            Answer::Refused(Refusal::BodyTooLarge { .. }) => StatusCode::PAYLOAD_TOO_LARGE,
            Answer::Refused(_) => StatusCode::BAD_REQUEST,
        }
    }
}

/// Makes events of NurtureCloud's deliveries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Splitter {
    /// The only organisation whose entities are taken; every one's if there is none.
    pub organisation: Option<String>,
    /// The only businesses whose entities are taken; every one's if there is none.
    pub businesses: BTreeSet<String>,
}

/// What surrounds the entities of a notification.
struct Envelope<'a> {
    component: String,
    /// The component's name as it was written.
    written_component: String,
    state: EntityState,
    name: &'a RawValue,
    written_state: &'a RawValue,
    first_position: u32,
}

impl Splitter {
    /// The events of a delivery: one per entity of its payload.
    pub(crate) fn split(&self, delivery: &Delivery) -> SplitEvents {
        let object = Object::read(&delivery.body)?;
        let written_component = object.text("domainComponentName")?;
        let component = component::component_name(&written_component);
        short_enough("domainComponentName", &component)?;
        let missing = |name| Malformed::MissingMember { name };
        let envelope = Envelope {
            component,
            written_component,
            state: state(&object.text("state")?)?,
            name: object.get("domainComponentName").ok_or(missing("domainComponentName"))?,
            written_state: object.get("state").ok_or(missing("state"))?,
            first_position: object.get(POSITION_MEMBER).and_then(|at| at.get().parse().ok()).unwrap_or(0),
        };
        let payload = object.get("payload").ok_or(missing("payload"))?;
        match payload.get().bytes().next() {
            Some(b'{') => Ok(vec![Ok(self.event(delivery, &envelope, payload, 0)?)]),
            Some(b'[') => {
                let entities: Vec<&RawValue> =
                    serde_json::from_str(payload.get()).map_err(|error| Malformed::NotJson(error.to_string()))?;
                if entities.is_empty() {
                    return Err(Malformed::NoEvents);
                }
                Ok(entities
                    .into_iter()
                    .zip(0..)
                    .map(|(entity, index)| {
                        self.event(delivery, &envelope, entity, index)
                            .map_err(|reason| envelope.malformed(reason, entity, index))
                    })
                    .collect())
            }
            _ => Err(Malformed::UnexpectedMember { name: "payload", expected: "an object or an array of objects" }),
        }
    }

    fn event(
        &self,
        delivery: &Delivery,
        envelope: &Envelope<'_>,
        payload: &RawValue,
        index: u32,
    ) -> Result<Event, Malformed> {
        let object = Object::of(payload)?;
        let entity = reference(&object, delivery.account(), &envelope.component)?;
        self.check(&entity)?;
        let merged_into = match (envelope.state, object.get("mergedInto")) {
            (EntityState::Deleted, Some(merged_into)) => {
                Some(merge_target(merged_into, delivery.account(), &envelope.component)?)
            }
            _ => None,
        };
        let mut attributes = correlation(&object);
        if envelope.written_component != envelope.component {
            attributes.insert("domain_component_name".to_owned(), envelope.written_component.clone());
        }
        let position = envelope.position(index);
        Ok(Event {
            provider: Provider::NurtureCloud,
            identity: entity.identity(Provider::NurtureCloud),
            id: format!("{}.{}", delivery.id, position.0),
            source: delivery.source(),
            event_type: format!("nurturecloud.{}.{}", envelope.component, state_name(envelope.state)),
            subject: Some(format!("{}/{}", entity.component, entity.id)),
            time: None,
            datacontenttype: "application/json".to_owned(),
            data: Bytes::copy_from_slice(payload.get().as_bytes()),
            digest: Sha256Digest::of(canonical(payload)?.as_bytes()),
            attributes,
            repeat_alias: None,
            job_hint: None,
            entity: Some(EntityUpdate { entity, state: envelope.state, merged_into, position }),
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

impl Envelope<'_> {
    /// The place of an entity in the delivery as it first came.
    const fn position(&self, index: u32) -> EventIndex {
        EventIndex(self.first_position.saturating_add(index))
    }

    /// An entity that could not be read, as a notification of its own that knows where the entity was. Once it is released,
    /// its event has the identity and the order that it would have had.
    fn malformed(&self, reason: Malformed, entity: &RawValue, index: u32) -> MalformedEvent {
        let position = self.position(index);
        let data = format!(
            r#"{{"domainComponentName":{},"state":{},"{POSITION_MEMBER}":{},"payload":[{entity}]}}"#,
            self.name, self.written_state, position.0
        );
        MalformedEvent { reason, data: Bytes::from(data), position: Some(position) }
    }
}

fn state(text: &str) -> Result<EntityState, Malformed> {
    EntityState::ALL
        .into_iter()
        .find(|state| state_name(*state) == text)
        .ok_or(Malformed::UnexpectedMember { name: "state", expected: "Created, Updated, Current or Deleted" })
}

/// NurtureCloud's own word.
const fn state_name(state: EntityState) -> &'static str {
    match state {
        EntityState::Created => "Created",
        EntityState::Updated => "Updated",
        EntityState::Current => "Current",
        EntityState::Deleted => "Deleted",
    }
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

fn merge_target(value: &RawValue, account: &AccountName, component: &str) -> Result<EntityReference, Malformed> {
    Object::of(value).and_then(|object| reference(&object, account, component)).map_err(|_| {
        Malformed::UnexpectedMember {
            name: "mergedInto",
            expected: "an object with organisationName, businessId and id",
        }
    })
}

fn short_enough(name: &'static str, text: &str) -> Result<(), Malformed> {
    if text.len() > LONGEST_ID_BYTES {
        return Err(Malformed::TooLong { name, limit_bytes: LONGEST_ID_BYTES });
    }
    Ok(())
}

/// `correlationId`, where it has the documented form. Whatever has another one is in the data and nowhere else.
fn correlation(object: &Object<'_>) -> BTreeMap<String, String> {
    let Some(Ok(correlation)) = object.get("correlationId").map(Object::of) else { return BTreeMap::new() };
    [("source", "correlation_source"), ("value", "correlation_value")]
        .into_iter()
        .filter_map(|(member, name)| Some((name.to_owned(), correlation.text_or_number(member).ok()??)))
        .collect()
}

#[cfg(test)]
mod tests;
