//! Bodies as the providers' own pages show them, with made-up ids.

use bytes::Bytes;
use intake_providers::timestamp::Timestamp;
use serde::Serialize;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct AccreditBody<'a> {
    event: &'a str,
    timestamp: Timestamp,
    badge_export_zip_file_id: &'a str,
}

#[derive(Serialize)]
struct MachnetBody<'a> {
    id: &'a str,
    event_name: &'a str,
    resource_id: &'a str,
    user_id: &'a str,
    subscription_id: &'a str,
    payload: [&'a str; 0],
    timestamp: String,
}

/// Accredit's published event, about the file with this UUID.
#[must_use]
pub fn accredit_body(file_id: &str, timestamp: Timestamp) -> Bytes {
    body(&AccreditBody { event: "BadgeExportZipFile.Created", timestamp, badge_export_zip_file_id: file_id })
}

/// An event of Machnet about a resource.
#[must_use]
pub fn machnet_body(id: &str, resource_id: &str, event_name: &str, timestamp: Timestamp) -> Bytes {
    body(&MachnetBody {
        id,
        event_name,
        resource_id,
        user_id: "usr_5f0c2a7be1",
        subscription_id: "sub_9d41c7",
        payload: [],
        // Machnet writes no zone.
        timestamp: timestamp.to_string().trim_end_matches('Z').to_owned(),
    })
}

#[derive(Serialize)]
struct SterlingBody<'a> {
    eventbatch: Vec<SterlingBatch<'a>>,
}

#[derive(Clone, Serialize)]
struct SterlingBatch<'a> {
    channel: &'a str,
    identifiers: [&'a str; 0],
    events: &'a [SterlingEvent],
}

/// An event of Sterling: the supply of an item has changed.
#[derive(Clone, Debug, Serialize)]
pub struct SterlingEvent {
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    timestamp: Timestamp,
    attributes: Vec<SterlingAttribute>,
}

#[derive(Clone, Debug, Serialize)]
struct SterlingAttribute {
    name: &'static str,
    r#type: &'static str,
    value: String,
}

impl SterlingEvent {
    /// So many of an item are there now.
    #[must_use]
    pub fn supply_change(item_id: &str, quantity: u32, timestamp: Timestamp) -> Self {
        let attribute = |name, r#type, value: &str| SterlingAttribute { name, r#type, value: value.to_owned() };
        Self {
            code: Some("supplyChange"),
            timestamp,
            attributes: vec![
                attribute("tenantId", "String", "tenant1"),
                attribute("itemId", "String", item_id),
                attribute("unitOfMeasure", "String", "EACH"),
                attribute("shipNode", "String", "DC-01"),
                attribute("quantity", "Number", &format!("{quantity}.0")),
            ],
        }
    }

    /// The same without its code, which makes it malformed.
    #[must_use]
    pub fn without_code(self) -> Self {
        Self { code: None, ..self }
    }
}

/// A delivery of Sterling: one batch with these events.
#[must_use]
pub fn sterling_body(events: &[SterlingEvent]) -> Bytes {
    sterling_batches([events])
}

/// A delivery of Sterling: several batches with these events.
#[must_use]
pub fn sterling_batches<const BATCHES: usize>(batches: [&[SterlingEvent]; BATCHES]) -> Bytes {
    let batch = |events| SterlingBatch { channel: "Order Management", identifiers: [], events };
    body(&SterlingBody { eventbatch: batches.map(batch).to_vec() })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NurtureCloudBody<'a, P> {
    domain_component_name: &'a str,
    state: &'a str,
    payload: P,
}

/// An entity as NurtureCloud's notifications show it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NurtureCloudEntity {
    #[serde(flatten)]
    reference: NurtureCloudReference,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    merged_into: Option<NurtureCloudReference>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct NurtureCloudReference {
    organisation_name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    business_id: Option<&'static str>,
    id: String,
}

impl NurtureCloudReference {
    fn new(id: &str) -> Self {
        Self { organisation_name: "example-realty", business_id: Some("business-1"), id: id.to_owned() }
    }
}

impl NurtureCloudEntity {
    /// One whose content is this name.
    #[must_use]
    pub fn named(id: &str, name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..Self::deleted(id) }
    }

    /// One of which only its id is said.
    #[must_use]
    pub fn deleted(id: &str) -> Self {
        Self { reference: NurtureCloudReference::new(id), name: None, merged_into: None }
    }

    /// One that another one of the same business stands for.
    #[must_use]
    pub fn merged(id: &str, into: &str) -> Self {
        Self { merged_into: Some(NurtureCloudReference::new(into)), ..Self::deleted(id) }
    }

    /// The same without its business, which makes it malformed.
    #[must_use]
    pub fn without_business(mut self) -> Self {
        self.reference.business_id = None;
        self
    }
}

/// A notification of NurtureCloud about one entity.
#[must_use]
pub fn nurturecloud_body(component: &str, state: &str, entity: &NurtureCloudEntity) -> Bytes {
    body(&NurtureCloudBody { domain_component_name: component, state, payload: entity })
}

/// A notification of NurtureCloud about several entities.
#[must_use]
pub fn nurturecloud_array_body(component: &str, state: &str, entities: &[NurtureCloudEntity]) -> Bytes {
    body(&NurtureCloudBody { domain_component_name: component, state, payload: entities })
}

/// A random UUID.
#[must_use]
pub fn random_uuid() -> String {
    let mut random = [0; 16];
    fastrand::fill(&mut random);
    uuid::Builder::from_random_bytes(random).into_uuid().to_string()
}

/// This number of random bytes as hex digits, for ids and never for secrets.
#[must_use]
pub fn random_hex(bytes: usize) -> String {
    let mut random = vec![0; bytes];
    fastrand::fill(&mut random);
    hex::encode(random)
}

fn body(document: &impl Serialize) -> Bytes {
    // Plain structs of text always serialise.
    serde_json::to_vec(document).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_look_like_the_providers_own() {
        let time = Timestamp::parse("2026-11-21T09:30:00.250Z").unwrap();
        assert_eq!(
            accredit_body("00112233-4455-6677-8899-aabbccddeeff", time),
            r#"{"Event":"BadgeExportZipFile.Created","Timestamp":"2026-11-21T09:30:00.250Z","BadgeExportZipFileId":"00112233-4455-6677-8899-aabbccddeeff"}"#
        );
        let machnet = machnet_body("1", "2", "transaction_completed", time);
        let event = SterlingEvent::supply_change("item-1", 5, time);
        let sterling = String::from_utf8(sterling_body(&[event]).to_vec()).unwrap();
        let start = r#"{"eventbatch":[{"channel":"Order Management","identifiers":[],"events":[{"code":"supplyChange","timestamp":"2026-11-21T09:30:00.250Z","attributes":[{"name":"tenantId","type":"String","value":"tenant1"},"#;
        assert!(sterling.starts_with(start), "{sterling}");
        assert!(sterling.ends_with(r#"{"name":"quantity","type":"Number","value":"5.0"}]}]}]}"#), "{sterling}");
        assert!(String::from_utf8(machnet.to_vec()).unwrap().contains(r#""timestamp":"2026-11-21T09:30:00.250""#));
    }
}
