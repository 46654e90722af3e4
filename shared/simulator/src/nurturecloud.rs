//! NurtureCloud, imitated: nothing is signed, and a secret ends the URL.

use bytes::Bytes;
use intake_pipeline::ledger::Outcome;
use intake_pipeline::ledger::entity::Change;
use intake_providers::ProviderName;
use intake_providers::active_keys::MAX_ACTIVE_KEYS;
use intake_providers::json_place::JsonPlace;
use intake_providers::nurturecloud::NurtureCloud;
use intake_providers::path_secret::{PathSecret, PathSecretHash};
use intake_providers::timestamp::Timestamp;
use intake_providers::webhook::Webhook as _;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::TEST_ACCOUNT;
use crate::error::SimulatorError;
use crate::examples::{ExampleDelivery, recorded};
use crate::imitation::{ImitatedWebhook, Imitation};
use crate::key_files::{KeyFiles, KeyName, KeyPurpose, NewKeyFile};
use crate::made_up::{json_body, json_file, random_hex, random_uuid};
use crate::owed::{ExpectedAnswer, Redelivery, Situation, TestKey};
use crate::samples::{QueuedSample, SampleRequest, Samples};
use crate::scenario::{Expected, Step};
use crate::send::{KeyOption, OptionSpec, OptionValues, Options, Order, Outgoing};
use crate::signed_delivery::{SignedDelivery, altered};

const SECRET: KeyName = KeyName::secret("nurturecloud.json", "nurturecloud-secret.json");
const PATH_SECRET: KeyName = KeyName::other("nurturecloud-path-secret");

/// The entities of the samples.
const AGENT: &str = "00000000-0000-0000-0000-0000000000a1";
const CONTACT: &str = "00000000-0000-0000-0000-0000000000c1";
const OTHER_CONTACT: &str = "00000000-0000-0000-0000-0000000000c2";

/// NurtureCloud, imitated.
pub struct Imitated;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a, P> {
    domain_component_name: &'a str,
    state: &'a str,
    payload: P,
}

/// An entity as NurtureCloud's notifications show it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Entity {
    #[serde(flatten)]
    reference: Reference,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    merged_into: Option<Reference>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Reference {
    organisation_name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    business_id: Option<&'static str>,
    id: String,
}

impl Reference {
    fn new(id: &str) -> Self {
        Self { organisation_name: "example-realty", business_id: Some("business-1"), id: id.to_owned() }
    }
}

impl Entity {
    /// One whose content is this name.
    fn named(id: &str, name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..Self::deleted(id) }
    }

    /// One of which only its id is said.
    fn deleted(id: &str) -> Self {
        Self { reference: Reference::new(id), name: None, merged_into: None }
    }

    /// One that another one of the same business replaces.
    fn merged(id: &str, into: &str) -> Self {
        Self { merged_into: Some(Reference::new(into)), ..Self::deleted(id) }
    }

    /// The same without its business, which makes it malformed.
    fn without_business(mut self) -> Self {
        self.reference.business_id = None;
        self
    }
}

/// A notification about one entity.
fn body(component: &str, state: &str, entity: &Entity) -> Bytes {
    json_body(&Body { domain_component_name: component, state, payload: entity })
}

/// A notification about several entities.
fn array_body(component: &str, state: &str, entities: &[Entity]) -> Bytes {
    json_body(&Body { domain_component_name: component, state, payload: entities })
}

fn new_path_secret() -> Result<PathSecret, SimulatorError> {
    PathSecret::generate().ok_or(SimulatorError::NoRandomness)
}

/// The secret that ends the URL of test deliveries.
fn path_secret(keys: &KeyFiles) -> Result<&str, SimulatorError> {
    keys.text(PATH_SECRET).map(str::trim).ok_or_else(|| SimulatorError::Missing {
        what: "secret to end the url with",
        path: keys.path(PATH_SECRET),
        advice: "run `demo` once to make one, name a file that holds it with --key, or give the whole url with --url",
    })
}

/// The active secrets as they are written. The entries stay as they are.
#[derive(Default, Serialize, Deserialize)]
struct SecretDocument {
    keys: Vec<Value>,
}

impl SecretDocument {
    fn add(&mut self, secret: &PathSecret) {
        self.keys.push(json!({"account": TEST_ACCOUNT, "secret_sha256": secret.hash().digest()}));
    }
}

/// Whether this secret is active in a document.
fn is_active(document: &str, secret: &str) -> bool {
    let offered = PathSecretHash::of_path(&format!("/{secret}"));
    let active = NurtureCloud::read_keys(document).ok();
    offered
        .zip(active)
        .is_some_and(|(offered, active)| active.keys.iter().any(|(_, hash)| hash.is_of_the_same_secret(&offered)))
}

impl Imitation for Imitated {
    fn name(&self) -> ProviderName {
        ProviderName::NurtureCloud
    }

    fn key_names(&self) -> &'static [KeyName] {
        &[SECRET, PATH_SECRET]
    }

    /// The other active secrets stay active.
    fn test_keys(&self, found: &KeyFiles, _purpose: &KeyPurpose) -> Result<Vec<NewKeyFile>, SimulatorError> {
        let mut document = SecretDocument::default();
        if let Some(text) = found.text(SECRET).filter(|text| !text.trim().is_empty()) {
            // One that is there and not active was taken out, and stays out.
            if found.text(PATH_SECRET).is_some_and(|secret| is_active(text, secret.trim())) {
                return Ok(Vec::new());
            }
            document = serde_json::from_str(text).map_err(|error| SimulatorError::Malformed {
                path: found.path(SECRET),
                what: "json of the form {\"keys\": [{\"account\": \"...\", \"secret_sha256\": \"64 hex digits\"}]}",
                stopped_at: JsonPlace::from(&error),
            })?;
        }
        if document.keys.len() >= MAX_ACTIVE_KEYS {
            return Err(SimulatorError::NoRoom {
                path: found.path(SECRET),
                reason: "as many secrets are active as can be; take one out first with `keys remove nurturecloud \
                         <FINGERPRINT>`, and `keys list nurturecloud` shows them",
            });
        }
        let secret = new_path_secret()?;
        document.add(&secret);
        Ok(vec![
            NewKeyFile::new(PATH_SECRET, format!("{}\n", secret.reveal())),
            NewKeyFile::new(SECRET, json_file(&document)?),
        ])
    }

    fn samples(&self, keys: &KeyFiles) -> Result<Samples, SimulatorError> {
        let secret = path_secret(keys)?;
        let delivery = |body| SignedDelivery::with_path_secret(secret, body);
        let contacts = [Entity::named(CONTACT, "Ada"), Entity::named(OTHER_CONTACT, "Grace")];
        let contacts = delivery(array_body("contacts", "Updated", &contacts));
        let merged = delivery(body("contact", "Deleted", &Entity::merged(OTHER_CONTACT, CONTACT)));
        let queued = delivery(body("agent", "Created", &Entity::named(AGENT, "Edsger")));
        Ok(Samples {
            requests: vec![
                SampleRequest::delivery::<NurtureCloud>("nurturecloud.json", &contacts),
                SampleRequest::delivery::<NurtureCloud>("nurturecloud-merged.json", &merged),
            ],
            queued: vec![QueuedSample::new::<NurtureCloud>(5, keys.text(SECRET), &queued)?],
        })
    }

    fn demo(&self, keys: &KeyFiles, first: usize, _now: Timestamp) -> Result<Vec<Step>, SimulatorError> {
        let secret = path_secret(keys)?;
        let wrong_secret = new_path_secret()?;
        let sent = |body: &Bytes| SignedDelivery::with_path_secret(secret, body.clone());
        let (agent, contact, other_contact) = (random_uuid(), random_uuid(), random_uuid());
        let contacts = [Entity::named(&contact, "Ada"), Entity::named(&other_contact, "Grace")];
        let one_malformed =
            [Entity::named(&random_uuid(), "Edsger"), Entity::named(&random_uuid(), "Niklaus").without_business()];
        let of_agent = |state, name| body("agent", state, &Entity::named(&agent, name));
        let back_to_a = of_agent("Updated", "A");
        let deleted = body("agent", "Deleted", &Entity::deleted(&agent));
        let merged = body("contact", "Deleted", &Entity::merged(&other_contact, &contact));
        let (contacts_number, back_to_a_number) = (first, first + 4);
        let stored = |change| Expected::recorded(Outcome::Stored).changing([change]);
        Ok(vec![
            Step::delivery(
                "two new contacts in one notification",
                sent(&array_body("contacts", "Created", &contacts)),
                Expected::all_recorded([Outcome::Stored, Outcome::Stored]).changing([Change::Created, Change::Created]),
            ),
            Step::delivery(
                "two more, of which one is malformed",
                sent(&array_body("contacts", "Created", &one_malformed)),
                Expected::all_recorded([Outcome::Stored, Outcome::Quarantined]).changing([Change::Created]),
            ),
            Step::delivery("Created: an agent, as A", sent(&of_agent("Created", "A")), stored(Change::Created)),
            Step::delivery("Updated: the agent, to B", sent(&of_agent("Updated", "B")), stored(Change::Changed)),
            Step::delivery("Updated: the agent, back to A", sent(&back_to_a), stored(Change::Changed)),
            Step::delivery(
                format!("no. {back_to_a_number} again, as a retry"),
                sent(&back_to_a),
                Expected::recorded(Outcome::Duplicate).changing([Change::Unchanged]),
            ),
            Step::delivery("Deleted: the agent", sent(&deleted), stored(Change::Deleted)),
            Step::delivery("Updated: the agent, to B, too late", sent(&of_agent("Updated", "B")), stored(Change::Late)),
            Step::delivery("Current: the agent, as A", sent(&of_agent("Current", "A")), stored(Change::Revived)),
            Step::delivery(
                format!("Deleted: no. {contacts_number}'s second, into its first"),
                sent(&merged),
                stored(Change::Merged),
            ),
            Step::delivery(
                "a state that is not known",
                sent(&of_agent("Archived", "A")),
                Expected::recorded(Outcome::Quarantined),
            ),
            Step::delivery(
                "a new event under a wrong secret",
                SignedDelivery::with_path_secret(wrong_secret.reveal(), of_agent("Updated", "C")),
                Expected::refused(401),
            ),
        ])
    }

    fn examples(&self) -> Vec<ExampleDelivery> {
        let current = recorded!("nurturecloud-agent-current");
        let merged = recorded!("nurturecloud-agent-deleted");
        // The same without what the agent was merged into.
        let deleted = match (merged.split_once(",\n    \"mergedInto\""), merged.rsplit_once("\n  }\n}")) {
            (Some((start, _)), Some((_, end))) => format!("{start}\n  }}\n}}{end}"),
            _ => String::new(),
        };
        let renamed = current.replace("Current", "Updated").replace("Ada", "Augusta Ada");
        let late = renamed.replace("Augusta Ada", "A. A.");
        vec![
            ExampleDelivery::of_one(&["created"], current),
            ExampleDelivery::of_one(&["changed"], renamed),
            ExampleDelivery::of_one(&["deleted"], deleted),
            ExampleDelivery::of_one(&["late"], late),
            ExampleDelivery::of_one(&["revived"], current),
            ExampleDelivery::of_one(&["merged"], merged),
        ]
    }

    fn webhook(&self) -> Option<&dyn ImitatedWebhook> {
        Some(self)
    }
}

/// The body that the options describe.
fn made_up_body(options: &Options) -> Bytes {
    let id = options.get("id").map_or_else(random_uuid, str::to_owned);
    let state = options.get("state").unwrap_or("Created");
    let entity = match options.get("merged-into") {
        Some(into) => Entity::merged(&id, into),
        None if state == "Deleted" => Entity::deleted(&id),
        None => Entity::named(&id, &random_hex(6)),
    };
    body(options.get("component").unwrap_or("contact"), state, &entity)
}

impl ImitatedWebhook for Imitated {
    fn key_option(&self) -> KeyOption {
        KeyOption::Takes("the secret that ends the URL")
    }

    fn tampers_with(&self) -> Option<&'static str> {
        Some("secret")
    }

    fn options(&self) -> &'static [OptionSpec] {
        const STATES: OptionValues = OptionValues::OneOf(&["Created", "Updated", "Current", "Deleted"]);
        const OPTIONS: &[OptionSpec] = &[
            OptionSpec::text("component", "NAME", "what the entity is. [default: contact]").of_body(),
            OptionSpec::text("state", "STATE", "what happened to it. [default: Created]").taking(STATES).of_body(),
            OptionSpec::text("id", "ID", "the entity's id. [default: made up]").of_body(),
            OptionSpec::text("merged-into", "ID", "the id of the entity that a deleted one was merged into").of_body(),
        ];
        OPTIONS
    }

    fn deliver(&self, keys: &KeyFiles, order: Order<'_>) -> Result<Outgoing, SimulatorError> {
        if order.options.get("merged-into").is_some() && order.options.get("state") != Some("Deleted") {
            return Err(SimulatorError::Usage("--merged-into is for a deletion; say --state Deleted as well"));
        }
        let secret = match &order.key {
            Some(key) => key.expose_secret().trim(),
            None => path_secret(keys)?,
        };
        let body = order.body.unwrap_or_else(|| made_up_body(order.options));
        Ok(Outgoing::Ready(if order.tamper {
            SignedDelivery::with_path_secret(&altered(secret), body)
        } else {
            SignedDelivery::with_path_secret(secret, body)
        }))
    }

    fn body(&self, _now: Timestamp) -> Bytes {
        made_up_body(&Options::default())
    }

    fn new_key(&self, _now: Timestamp) -> Result<TestKey, SimulatorError> {
        let secret = new_path_secret()?;
        let mut document = SecretDocument::default();
        document.add(&secret);
        let document = json_file(&document)?;
        Ok(TestKey::new(document, move |body| Ok(SignedDelivery::with_path_secret(secret.reveal(), body))))
    }

    fn malformed(&self, delivery: &SignedDelivery) -> Vec<SignedDelivery> {
        let (too_short, not_base64url) = ("a".repeat(42), "a".repeat(42) + "!");
        ["", "too-short", &too_short, &not_base64url].map(|value| delivery.clone().with_credential(value)).to_vec()
    }

    fn unset_secrets(&self) -> &'static [&'static str] {
        &[r#"{"keys": []}"#]
    }

    /// NurtureCloud's pages say nothing of answers or retries, so these are ours: 200, 401 for a wrong URL, and 503 where the
    /// fault is ours. A path is there exactly once.
    fn expected(&self, situation: Situation) -> Option<ExpectedAnswer> {
        let status = match situation {
            Situation::Accepted => return Some(ExpectedAnswer::new(200, Redelivery::No)),
            Situation::CredentialRepeated => return None,
            Situation::CredentialMissing | Situation::CredentialMalformed | Situation::WrongKey => 401,
            Situation::NoActiveKey
            | Situation::SecretMalformed
            | Situation::SecretsAway
            | Situation::QueueAway
            | Situation::DeadlineExceeded
            | Situation::Panic
            | Situation::EventUnreadable => 503,
            Situation::WrongMethod => 405,
            Situation::BodyTooLarge => 413,
        };
        Some(ExpectedAnswer::new(status, Redelivery::Undocumented))
    }
}
