//! The deliveries of the demo, and what should become of each.

use std::time::Duration;

use bytes::Bytes;
use intake_pipeline::clock::{Clock as _, SystemClock};
use intake_pipeline::ledger::Outcome;
use intake_pipeline::ledger::entity::Change;
use intake_providers::ProviderName;
use intake_providers::oauth::access_token::{self, LEEWAY};
use intake_providers::oauth::authority::{Authority, AuthorityError};
use intake_providers::oauth::client_id::ClientId;
use intake_providers::timestamp::Timestamp;

use crate::authority_store::StoreError;
use crate::commands::CommandError;
use crate::commands::send::{signing_key, tampered_token, test_path_secret};
use crate::key_files::TEST_CLIENT_ID;
use crate::path_secrets::{self, PathSecretError};
use crate::sample_bodies::{
    NurtureCloudEntity, SterlingEvent, accredit_body, machnet_body, nurturecloud_array_body, nurturecloud_body,
    random_hex, random_uuid, sterling_batches, sterling_body,
};
use crate::signing::{SignedDelivery, Signer, SignerError};
use intake_sqlite::DataDirectory;

/// One request.
pub(super) struct Step {
    pub(super) provider: ProviderName,
    pub(super) what: String,
    pub(super) sent: Sent,
    pub(super) expected: Expected,
}

/// What is sent.
pub(super) enum Sent {
    /// A delivery that is complete.
    Delivery(SignedDelivery),
    /// A request for a token.
    TokenRequest,
    /// A body, with the last token that was given.
    WithToken(Bytes),
}

/// What should become of it.
pub(super) struct Expected {
    pub(super) status: u16,
    pub(super) fate: Fate,
    /// What its events changed about their entities, for a provider whose events tell of some.
    pub(super) changes: Vec<Change>,
}

impl Expected {
    const fn of(status: u16, fate: Fate) -> Self {
        Self { status, fate, changes: Vec::new() }
    }

    fn changing<const EVENTS: usize>(self, changes: [Change; EVENTS]) -> Self {
        Self { changes: changes.to_vec(), ..self }
    }

    /// Such as `200, stored ×2, created, changed`.
    pub(super) fn in_words(&self) -> String {
        let changes = self.changes.iter().map(|change| format!(", {}", change.as_str()));
        format!("{}, {}{}", self.status, self.fate.in_words(), changes.collect::<String>())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Not taken.
    Refused,
    /// Answered with a token.
    Token,
    /// Taken, and each of its events recorded so.
    Recorded(Vec<Outcome>),
}

impl Fate {
    /// Such as `stored ×2, quarantined`.
    pub(super) fn in_words(&self) -> String {
        match self {
            Self::Refused => "refused".to_owned(),
            Self::Token => "token".to_owned(),
            Self::Recorded(outcomes) => {
                let alike =
                    outcomes.chunk_by(|one, next| one == next).filter_map(|alike| Some((alike.first()?, alike.len())));
                let words = alike.map(|(outcome, count)| match count {
                    1 => outcome.as_str().to_owned(),
                    count => format!("{} ×{count}", outcome.as_str()),
                });
                words.collect::<Vec<_>>().join(", ")
            }
        }
    }
}

fn recorded(outcome: Outcome) -> Expected {
    all_recorded([outcome])
}

fn all_recorded<const EVENTS: usize>(outcomes: [Outcome; EVENTS]) -> Expected {
    Expected::of(200, Fate::Recorded(outcomes.to_vec()))
}

const fn refused(status: u16) -> Expected {
    Expected::of(status, Fate::Refused)
}

/// Every delivery, in the order in which they must be sent. Ids are new in each run.
pub(super) fn steps(directory: &DataDirectory) -> Result<Vec<Step>, CommandError> {
    let mut steps = Vec::new();
    for &provider in ProviderName::ALL {
        let first = steps.len() + 1;
        let requests = match provider {
            ProviderName::Accredit => complete(accredit(&signer(directory, provider)?, first)?),
            ProviderName::Machnet => complete(machnet(&signer(directory, provider)?, first)?),
            ProviderName::NowCerts => continue,
            ProviderName::NurtureCloud => complete(nurturecloud(&test_path_secret(directory)?, first)?),
            ProviderName::Sterling => sterling(directory, first)?,
        };
        steps.extend(requests.into_iter().map(|(what, sent, expected)| Step { provider, what, sent, expected }));
    }
    Ok(steps)
}

fn signer(directory: &DataDirectory, provider: ProviderName) -> Result<Signer, CommandError> {
    let path = signing_key(directory, provider);
    let text = std::fs::read_to_string(&path).map_err(|_| CommandError::NoSigningKey { path })?;
    Ok(Signer::read(provider, &text)?)
}

fn complete(deliveries: Deliveries) -> Requests {
    deliveries.into_iter().map(|(what, delivery, expected)| (what, Sent::Delivery(delivery), expected)).collect()
}

type Requests = Vec<(String, Sent, Expected)>;

type Deliveries = Vec<(String, SignedDelivery, Expected)>;

fn accredit(signer: &Signer, first: usize) -> Result<Deliveries, SignerError> {
    let now = SystemClock.now();
    let (job, forged_job) = (random_hex(8), random_hex(8));
    let sign = |body: &Bytes, job: &str, attempt: u8| {
        let headers = vec![("x-jobid", job.to_owned()), ("x-jobattempt", attempt.to_string())];
        SignedDelivery::new(signer, body.clone(), headers)
    };
    let body = accredit_body(&random_uuid(), now);
    let other = accredit_body(&random_uuid(), now);
    let malformed = Bytes::from_static(br#"{"Event":"BadgeExportZipFile.Created","#);
    Ok(vec![
        ("a new event".to_owned(), sign(&body, &job, 0)?, recorded(Outcome::Stored)),
        (format!("no. {first} again, as a retry"), sign(&body, &job, 1)?, recorded(Outcome::Duplicate)),
        (
            format!("no. {first} replayed under a forged job id"),
            sign(&body, &forged_job, 0)?,
            recorded(Outcome::Duplicate),
        ),
        (format!("another event under no. {first}'s job id"), sign(&other, &job, 0)?, recorded(Outcome::Stored)),
        ("cut-off JSON, signed".to_owned(), sign(&malformed, &random_hex(8), 0)?, recorded(Outcome::Quarantined)),
        ("a body changed after signing".to_owned(), sign(&body, &job, 0)?.tampered(), refused(400)),
        ("no signature".to_owned(), sign(&body, &job, 0)?.unsigned(), refused(400)),
    ])
}

fn machnet(signer: &Signer, first: usize) -> Result<Deliveries, SignerError> {
    let now = SystemClock.now();
    let later = now.plus(std::time::Duration::from_secs(60 * 60));
    let name = "transaction_completed";
    let sign = |body: Bytes| SignedDelivery::new(signer, body, vec![("x-raas-event", name.to_owned())]);
    let (id, transaction) = (random_hex(12), random_hex(12));
    let body = machnet_body(&id, &transaction, name, now);
    let repeat = machnet_body(&random_hex(12), &transaction, name, later);
    let conflict = machnet_body(&id, &random_hex(12), name, later);
    let malformed = format!(r#"{{"event_name":"{name}","resource_id":"{}"}}"#, random_hex(12)).into();
    Ok(vec![
        ("a new event".to_owned(), sign(body.clone())?, recorded(Outcome::Stored)),
        (format!("no. {first} again, as a retry"), sign(body.clone())?, recorded(Outcome::Duplicate)),
        (format!("no. {first}'s state under a new id and time"), sign(repeat)?, recorded(Outcome::Repeat)),
        (format!("other content under the id of no. {first}"), sign(conflict)?, recorded(Outcome::Conflict)),
        ("an event without an id, signed".to_owned(), sign(malformed)?, recorded(Outcome::Quarantined)),
        ("a body changed after signing".to_owned(), sign(body.clone())?.tampered(), refused(409)),
        ("no signature".to_owned(), sign(body)?.unsigned(), refused(401)),
    ])
}

fn nurturecloud(secret: &str, first: usize) -> Result<Deliveries, PathSecretError> {
    let wrong_secret = path_secrets::generate()?;
    let sent = |body: &Bytes| SignedDelivery::with_path_secret(secret, body.clone());
    let (agent, contact, other_contact) = (random_uuid(), random_uuid(), random_uuid());
    let contacts = [NurtureCloudEntity::named(&contact, "Ada"), NurtureCloudEntity::named(&other_contact, "Grace")];
    let one_malformed = [
        NurtureCloudEntity::named(&random_uuid(), "Edsger"),
        NurtureCloudEntity::named(&random_uuid(), "Niklaus").without_business(),
    ];
    let of_agent = |state, name| nurturecloud_body("agent", state, &NurtureCloudEntity::named(&agent, name));
    let back_to_a = of_agent("Updated", "A");
    let deleted = nurturecloud_body("agent", "Deleted", &NurtureCloudEntity::deleted(&agent));
    let merged = nurturecloud_body("contact", "Deleted", &NurtureCloudEntity::merged(&other_contact, &contact));
    let (contacts_number, back_to_a_number) = (first, first + 4);
    let stored = |change| recorded(Outcome::Stored).changing([change]);
    Ok(vec![
        (
            "two new contacts in one notification".to_owned(),
            sent(&nurturecloud_array_body("contacts", "Created", &contacts)),
            all_recorded([Outcome::Stored, Outcome::Stored]).changing([Change::Created, Change::Created]),
        ),
        (
            "two more, of which one is malformed".to_owned(),
            sent(&nurturecloud_array_body("contacts", "Created", &one_malformed)),
            all_recorded([Outcome::Stored, Outcome::Quarantined]).changing([Change::Created]),
        ),
        ("Created: an agent, as A".to_owned(), sent(&of_agent("Created", "A")), stored(Change::Created)),
        ("Updated: the agent, to B".to_owned(), sent(&of_agent("Updated", "B")), stored(Change::Changed)),
        ("Updated: the agent, back to A".to_owned(), sent(&back_to_a), stored(Change::Changed)),
        (
            format!("no. {back_to_a_number} again, as a retry"),
            sent(&back_to_a),
            recorded(Outcome::Duplicate).changing([Change::Unchanged]),
        ),
        ("Deleted: the agent".to_owned(), sent(&deleted), stored(Change::Deleted)),
        ("Updated: the agent, to B, too late".to_owned(), sent(&of_agent("Updated", "B")), stored(Change::Late)),
        ("Current: the agent, as A".to_owned(), sent(&of_agent("Current", "A")), stored(Change::Revived)),
        (format!("Deleted: no. {contacts_number}'s second, into its first"), sent(&merged), stored(Change::Merged)),
        ("a state that is not known".to_owned(), sent(&of_agent("Archived", "A")), recorded(Outcome::Quarantined)),
        (
            "a new event under a wrong secret".to_owned(),
            SignedDelivery::with_path_secret(wrong_secret.reveal(), of_agent("Updated", "C")),
            refused(401),
        ),
    ])
}

fn sterling(directory: &DataDirectory, first: usize) -> Result<Requests, CommandError> {
    let path = directory.sterling_authority();
    let unusable = || CommandError::NoSigningKey { path: path.clone() };
    let text = std::fs::read_to_string(&path).map_err(|_| unusable())?;
    let authority: Authority = serde_json::from_str(&text).map_err(|_| unusable())?;

    let now = SystemClock.now();
    let issue = |client_id: &str, at: Timestamp| -> Result<String, CommandError> {
        let client_id = ClientId::new(client_id).map_err(AuthorityError::from).map_err(StoreError::from)?;
        let token = access_token::issue(&authority, &client_id, SystemClock.new_delivery_id(at), at)?;
        Ok(token.reveal().to_owned())
    };
    let expired = issue(TEST_CLIENT_ID, earlier(now, authority.token_lifetime() + LEEWAY + Duration::from_secs(1)))?;
    let of_unknown_client = issue("removed", now)?;
    let tampered = tampered_token(&issue(TEST_CLIENT_ID, now)?);

    let event = |quantity| SterlingEvent::supply_change(&random_hex(6), quantity, now);
    let (one, two, three, four) = (event(5), event(12), event(0), event(40));
    let batch = sterling_body(&[one.clone(), two.clone()]);
    let recut = sterling_batches([&[two], &[one]]);
    let mixed = sterling_body(&[three, event(7).without_code()]);
    let late = sterling_body(&[four]);
    let with = |token: &str, body: &Bytes| Sent::Delivery(SignedDelivery::with_bearer_token(token, body.clone()));
    let a_token = || Expected::of(200, Fate::Token);
    let (batch_number, expired_number) = (first + 1, first + 5);
    Ok(vec![
        ("a request for a token".to_owned(), Sent::TokenRequest, a_token()),
        (
            "a batch of two events, with the token".to_owned(),
            Sent::WithToken(batch.clone()),
            all_recorded([Outcome::Stored, Outcome::Stored]),
        ),
        (
            format!("no. {batch_number} re-ordered, as two batches"),
            Sent::WithToken(recut),
            all_recorded([Outcome::Duplicate, Outcome::Duplicate]),
        ),
        (
            "two events, of which one is malformed".to_owned(),
            Sent::WithToken(mixed),
            all_recorded([Outcome::Stored, Outcome::Quarantined]),
        ),
        ("a batch without events".to_owned(), Sent::WithToken(sterling_body(&[])), recorded(Outcome::Quarantined)),
        ("a new event with an expired token".to_owned(), with(&expired, &late), refused(401)),
        ("a request for a new token".to_owned(), Sent::TokenRequest, a_token()),
        (format!("no. {expired_number} again with the new token"), Sent::WithToken(late), recorded(Outcome::Stored)),
        ("a token changed after signing".to_owned(), with(&tampered, &batch), refused(401)),
        ("a token of a client that is not known".to_owned(), with(&of_unknown_client, &batch), refused(401)),
        ("no token".to_owned(), Sent::Delivery(SignedDelivery::with_bearer_token("", batch).unsigned()), refused(401)),
    ])
}

fn earlier(now: Timestamp, by: Duration) -> Timestamp {
    let milliseconds = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_unix_milliseconds(now.unix_milliseconds().saturating_sub(milliseconds)).unwrap_or(Timestamp::EPOCH)
}
