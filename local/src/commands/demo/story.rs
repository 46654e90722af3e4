//! The deliveries of the demo, and what should become of each.

use bytes::Bytes;
use pipeline::ledger::Outcome;
use pipeline::ports::{Surroundings as _, SystemSurroundings};
use providers::provider::Provider;

use crate::commands::CommandError;
use crate::commands::send::signing_key;
use crate::data_directory::DataDirectory;
use crate::sample_bodies::{accredit_body, machnet_body, random_hex};
use crate::signing::{SignedDelivery, Signer, SignerError};

/// One delivery.
pub(super) struct Step {
    pub(super) provider: Provider,
    pub(super) what: String,
    pub(super) delivery: SignedDelivery,
    pub(super) expected: Expected,
}

/// What should become of it.
#[derive(Clone, Copy)]
pub(super) struct Expected {
    pub(super) status: u16,
    pub(super) fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Not taken.
    Refused,
    /// Taken, and recorded so.
    Recorded(Outcome),
}

impl Fate {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Recorded(outcome) => outcome.as_str(),
        }
    }
}

const fn recorded(outcome: Outcome) -> Expected {
    Expected { status: 200, fate: Fate::Recorded(outcome) }
}

const fn refused(status: u16) -> Expected {
    Expected { status, fate: Fate::Refused }
}

/// Every delivery, in the order in which they must be sent. Ids are new in each run.
pub(super) fn steps(directory: &DataDirectory) -> Result<Vec<Step>, CommandError> {
    let mut steps = Vec::new();
    for provider in Provider::ALL {
        let path = signing_key(directory, provider);
        let text = std::fs::read_to_string(&path).map_err(|_| CommandError::NoSigningKey { path })?;
        let signer = Signer::read(provider, &text)?;
        let first = steps.len() + 1;
        let deliveries = match provider {
            Provider::Accredit => accredit(&signer, first)?,
            Provider::Machnet => machnet(&signer, first)?,
        };
        steps.extend(deliveries.into_iter().map(|(what, delivery, expected)| Step {
            provider,
            what,
            delivery,
            expected,
        }));
    }
    Ok(steps)
}

type Deliveries = Vec<(String, SignedDelivery, Expected)>;

fn accredit(signer: &Signer, first: usize) -> Result<Deliveries, SignerError> {
    let now = SystemSurroundings.now();
    let (job, forged_job) = (random_hex(8), random_hex(8));
    let sign = |body: &Bytes, job: &str, attempt: u8| {
        let headers = vec![("x-jobid", job.to_owned()), ("x-jobattempt", attempt.to_string())];
        SignedDelivery::new(signer, body.clone(), headers)
    };
    let body = accredit_body(&random_hex(16), now);
    let other = accredit_body(&random_hex(16), now);
    let malformed = Bytes::from_static(br#"{"Event":"BadgeExportZipFile.Created","#);
    Ok(vec![
        ("a new event".to_owned(), sign(&body, &job, 0)?, recorded(Outcome::Stored)),
        (format!("no. {first} again, as a retry"), sign(&body, &job, 1)?, recorded(Outcome::Duplicate)),
        (
            format!("no. {first} replayed under a forged job id"),
            sign(&body, &forged_job, 0)?,
            recorded(Outcome::Duplicate),
        ),
        (format!("another event under the job id of no. {first}"), sign(&other, &job, 0)?, recorded(Outcome::Stored)),
        ("cut-off JSON, signed".to_owned(), sign(&malformed, &random_hex(8), 0)?, recorded(Outcome::Quarantined)),
        ("a body changed after signing".to_owned(), sign(&body, &job, 0)?.tampered(), refused(400)),
        ("no signature".to_owned(), sign(&body, &job, 0)?.unsigned(), refused(400)),
    ])
}

fn machnet(signer: &Signer, first: usize) -> Result<Deliveries, SignerError> {
    let now = SystemSurroundings.now();
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
        (format!("the state of no. {first} under a new id and time"), sign(repeat)?, recorded(Outcome::Repeat)),
        (format!("other content under the id of no. {first}"), sign(conflict)?, recorded(Outcome::Conflict)),
        ("an event without an id, signed".to_owned(), sign(malformed)?, recorded(Outcome::Quarantined)),
        ("a body changed after signing".to_owned(), sign(body.clone())?.tampered(), refused(409)),
        ("no signature".to_owned(), sign(body)?.unsigned(), refused(401)),
    ])
}
