//! What is asked of a data directory.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use intake_broker::AmqpBroker;
use intake_pipeline::clock::{Clock as _, SystemClock};
use intake_pipeline::queue_message::MessageOrigin;
use intake_pipeline::secrets::SecretText;
use intake_providers::ProviderName;
use intake_providers::registry::key_ring;
use intake_providers::timestamp::Timestamp;
use intake_sqlite::private_file::read_if_present;
use intake_sqlite::{
    DataDirectory, DataDirectoryError, Database, OpenError, OutboxDepth, SqliteOutbox, SqliteQueue, SqliteRecords,
};

use super::check::Check;
use super::keys::{self, Judged, KeyText};
use super::records::Period;
use super::{Call, broker, records, version};
use crate::server::VERSION_FILE;

/// From this age on a message that waits although a server runs is not simply one that has just come.
const OLD: Duration = Duration::from_secs(10 * 60);

/// Checks a data directory. `call` says how to call the program for it.
///
/// # Errors
/// When there is no data directory.
pub async fn check(path: &Path, since: Option<Timestamp>, call: Call<'_>) -> Result<Vec<Check>, DataDirectoryError> {
    let directory = DataDirectory::existing(path)?;
    let mut checks = vec![version::program()];
    let is_served = is_served(&directory);
    checks.push(if is_served {
        Check::well("server", "it is running")
    } else {
        Check::notice("server", "no server is running on this data directory")
            .remedy(format!("`{}` starts it", call("serve")))
    });
    if is_served {
        let version = read_if_present(&path.join(VERSION_FILE)).ok().flatten();
        checks.push(version::server(version.as_deref().map(str::trim)));
    }
    checks.extend(permissions(&directory));
    let texts = ProviderName::ALL.iter().map(|provider| (*provider, key_text(&directory, *provider, call)));
    let Judged { checks: key_checks, accounts } = keys::judge(texts.collect::<BTreeMap<_, _>>());
    checks.extend(key_checks);
    for provider in ProviderName::ALL {
        checks.extend(authority(&directory, *provider, call));
    }
    for account in &accounts {
        checks.push(broker::check(&AmqpBroker, account).await);
    }
    match Database::open(&directory.database()) {
        Ok(database) => {
            checks.push(version::data());
            checks.extend(recorded(database, is_served, since, call).await);
        }
        // The error says what to do.
        Err(error @ OpenError::UnknownFormat { .. }) => checks.push(Check::wrong(version::DATA, error.to_string())),
        Err(error) => checks.push(Check::unknown(version::DATA, &error)),
    }
    Ok(checks)
}

/// What the database says.
async fn recorded(database: Database, is_served: bool, since: Option<Timestamp>, call: Call<'_>) -> Vec<Check> {
    let now = SystemClock.now();
    let period = Period::new(since, now);
    let recorded = SqliteRecords::new(database.clone());
    let mut checks = Vec::new();
    let mut last = None;
    for provider in ProviderName::ALL {
        checks.push(match records::latest(&recorded, *provider, period).await {
            Ok(latest) => {
                last = last.max(latest);
                records::silence(*provider, latest, None, period)
            }
            Err(error) => Check::unknown(format!("deliveries of {provider}"), &error),
        });
    }
    match SqliteOutbox::new(database.clone()).depth().await {
        Ok(depth) => checks.extend(forwarding(depth, is_served, call)),
        Err(error) => checks.push(Check::unknown("forwarding", &error)),
    }
    checks.push(records::clock_since(last, now));
    let messages = SqliteQueue::new(database);
    match (messages.depth().await, messages.oldest().await) {
        (Ok(depth), Ok(oldest)) => {
            let received_at = oldest.and_then(|text| MessageOrigin::of(&text).received_at);
            let age = received_at.map(|at| now.unix_milliseconds().saturating_sub(at.unix_milliseconds()));
            let age = age.map(|age| Duration::from_millis(u64::try_from(age).unwrap_or(0)));
            checks.push(queue(depth.queued, age, is_served));
            checks.push(records::dead_letters(depth.dead_letters));
        }
        (Err(error), _) | (_, Err(error)) => checks.push(Check::unknown("queue", &error)),
    }
    match records::outcomes(&recorded, period).await {
        Ok(outcomes) => checks.extend(outcomes),
        Err(error) => checks.push(Check::unknown("quarantine", &error)),
    }
    checks
}

/// Whether a server has claimed the directory.
fn is_served(directory: &DataDirectory) -> bool {
    matches!(directory.lock(), Err(DataDirectoryError::InUse { .. }))
}

/// Judges how many messages wait, and for how long the oldest does, if it says so.
fn queue(waiting: u64, oldest: Option<Duration>, is_served: bool) -> Check {
    let age = oldest.map_or_else(String::new, |age| format!(", the oldest for {}", records::in_words(age)));
    match (waiting, is_served) {
        (0, _) => Check::well("queue", "nothing waits"),
        (waiting, true) if oldest.is_some_and(|age| age >= OLD) => {
            Check::wrong("queue", format!("{waiting} wait{age}"))
                .remedy("the server's log says what fails, in lines with `record failed`")
        }
        (waiting, true) => Check::well("queue", format!("{waiting} wait{age}, and the server works on them")),
        (waiting, false) => {
            Check::wrong("queue", format!("{waiting} wait{age}, and no server works on them")).remedy("start `serve`")
        }
    }
}

/// What there is to say of forwarding, if it was ever begun.
fn forwarding(depth: OutboxDepth, is_served: bool, call: Call<'_>) -> Vec<Check> {
    let OutboxDepth { waiting, given_up, is_begun } = depth;
    if !is_begun {
        return Vec::new();
    }
    let mut checks = vec![match (waiting, is_served) {
        (0, _) => Check::well("forwarding", "nothing waits"),
        (waiting, true) => Check::notice("forwarding", format!("{waiting} wait to be forwarded"))
            .remedy("if they stay, look at the server's log, and whether it was started with --forward-to"),
        (waiting, false) => {
            Check::wrong("forwarding", format!("{waiting} wait to be forwarded, and no server does it"))
                .remedy("start `serve --forward-to`")
        }
    }];
    if given_up > 0 {
        checks.push(
            Check::wrong("forwarding", format!("{given_up} were given up"))
                .remedy(format!("`{}` says why, and puts them back", call("dead-letters"))),
        );
    }
    checks
}

fn key_text(directory: &DataDirectory, provider: ProviderName, call: Call<'_>) -> KeyText {
    let path = directory.keys(provider);
    let remedy =
        format!("`{}` sets it up, and docs/providers/{provider}.md says how", call(&format!("keys add {provider}")));
    match read_if_present(&path) {
        Ok(None) => KeyText::NotSetUp { remedy },
        Ok(Some(text)) => KeyText::Read { place: path.display().to_string(), text: SecretText::new(text), remedy },
        Err(error) => KeyText::Unreadable(
            Check::unknown(keys::subject(provider), &error)
                .remedy(format!("give yourself the right to read {}", path.display())),
        ),
    }
}

fn authority(directory: &DataDirectory, provider: ProviderName, call: Call<'_>) -> Option<Check> {
    let path = directory.key_folder().join(key_ring(provider).authority_document()?.file);
    let add_client = format!("`{}` makes one", call(&format!("keys add {provider} <CLIENT-ID>")));
    match read_if_present(&path) {
        // Without it there are no tokens, which the keys of the webhook say.
        Ok(None) => None,
        Ok(Some(text)) => Some(keys::authority(&text, &path.display().to_string(), &add_client)),
        Err(error) => Some(Check::unknown(keys::AUTHORITY, &error)),
    }
}

/// Whether others may read the keys.
#[cfg(unix)]
fn permissions(directory: &DataDirectory) -> Option<Check> {
    use std::os::unix::fs::PermissionsExt as _;
    const OTHERS: u32 = 0o077;
    let entries = std::fs::read_dir(directory.key_folder()).ok()?;
    let open: Vec<String> = entries
        .flatten()
        .filter(|entry| {
            entry.metadata().is_ok_and(|metadata| {
                metadata.is_file() && metadata.len() > 0 && metadata.permissions().mode() & OTHERS != 0
            })
        })
        .map(|entry| entry.path().display().to_string())
        .collect();
    Some(if open.is_empty() {
        Check::well("key files", "only you may read them")
    } else {
        Check::wrong("key files", format!("others may read {}", open.join(", "))).remedy("chmod 600 them")
    })
}

#[cfg(not(unix))]
fn permissions(_directory: &DataDirectory) -> Option<Check> {
    None
}

#[cfg(test)]
mod tests {
    use super::super::check::Verdict;
    use super::*;

    #[test]
    fn a_message_that_waits_long_although_a_server_runs_is_wrong() {
        let found = |seconds: Option<u64>, is_served| {
            let Check { verdict, finding, .. } = queue(2, seconds.map(Duration::from_secs), is_served);
            (verdict, finding)
        };
        for (seconds, is_served, verdict, finding) in [
            (None, true, Verdict::Well, "2 wait, and the server works on them"),
            (Some(599), true, Verdict::Well, "2 wait, the oldest for 9 minutes, and the server works on them"),
            (Some(600), true, Verdict::Wrong, "2 wait, the oldest for 10 minutes"),
            (Some(1), false, Verdict::Wrong, "2 wait, the oldest for 1 second, and no server works on them"),
        ] {
            assert_eq!(found(seconds, is_served), (verdict, finding.to_owned()));
        }
        assert_eq!(queue(0, None, false).verdict, Verdict::Well);
    }
}
