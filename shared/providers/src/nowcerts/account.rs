//! The secret with NowCerts' login.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::connection_string::{ConnectionString, given};
use crate::account::{AccountName, NAMED_TWICE};
use crate::active_keys::MatchedKey;
use crate::amqp::{Account, AccountProblems, Connection, Password, QueueName};
use crate::digest::Sha256Digest;
use crate::json_place::JsonPlace;
use crate::registry::name::ProviderName;
use crate::signature::hmac_sha256;

const FORM: &str = r#"{"account": "...", "connection_string": "host=...;virtualHost=/;username=...;password=...", "queue": "...", "tls": true or false}, and optionally "password" and "replay_queue""#;

/// Prefix of the message that a login's fingerprint signs. Changing it changes every recorded fingerprint.
const FINGERPRINT_MESSAGE: &[u8] = b"webhook-intake login fingerprint";

#[derive(Deserialize)]
struct Document {
    account: Option<Value>,
    label: Option<Value>,
    connection_string: Option<Value>,
    password: Option<Value>,
    queue: Option<Value>,
    replay_queue: Option<Value>,
    tls: Option<Value>,
    #[serde(flatten)]
    others: BTreeMap<String, IgnoredAny>,
}

/// Parses the secret.
///
/// # Errors
/// All problems of the secret at once.
pub(super) fn read_account(secret: &str) -> Result<Account, AccountProblems> {
    let document: Document = serde_json::from_str(secret).map_err(|error| {
        // serde's message may quote the input; the place is enough to find the mistake.
        let place = JsonPlace::from(&error);
        AccountProblems::new(vec![format!("it is not JSON of the form {FORM} ({place})")])
    })?;
    let mut problems = Vec::new();
    if !document.others.is_empty() {
        problems.push(format!("it holds a member that is not known; its form is {FORM}"));
    }
    if document.account.is_some() && document.label.is_some() {
        problems.push(NAMED_TWICE.to_owned());
    }
    let account = text("account", document.account.or(document.label), &mut problems)
        .and_then(|text| AccountName::new(&text).map_err(|error| problems.push(error.to_string())).ok());
    let connection = connection(document.connection_string, document.password, document.tls, &mut problems);
    let queue = queue("queue", document.queue, &mut problems);
    let replay_queue = match document.replay_queue {
        None | Some(Value::Null) => None,
        name => self::queue("replay_queue", name, &mut problems),
    };
    if queue.is_some() && queue == replay_queue {
        problems.push("queue and replay_queue are the same; leave replay_queue out".to_owned());
    }
    match (account, connection, queue) {
        (Some(account), Some(connection), Some(queue)) if problems.is_empty() => {
            let fingerprint = fingerprint(&connection);
            let authenticated_by = MatchedKey { account, fingerprint };
            Ok(Account { provider: ProviderName::NowCerts, authenticated_by, connection, queue, replay_queue })
        }
        _ => Err(AccountProblems::new(problems)),
    }
}

fn connection(
    string: Option<Value>,
    password: Option<Value>,
    tls: Option<Value>,
    problems: &mut Vec<String>,
) -> Option<Connection> {
    let tls = match tls {
        Some(Value::Bool(tls)) => Some(tls),
        _ => {
            problems.push("tls is not said; write true for amqps, or false for a plain connection".to_owned());
            None
        }
    };
    let string = text("connection_string", string, problems).map(|text| ConnectionString::read(&text, problems));
    let own_password = match password {
        None | Some(Value::Null) => None,
        password => {
            text("password", password, problems).and_then(|text| given("password", &text, problems)).map(Password::new)
        }
    };
    let ConnectionString { host, virtual_host, username, password } = string?;
    let password = match (own_password, password) {
        (Some(own), Some(other)) if own != other => {
            problems.push("password and connection_string hold different passwords; leave one".to_owned());
            None
        }
        (Some(password), _) | (None, Some(password)) => Some(password),
        (None, None) => {
            if !problems.iter().any(|problem| problem.contains("password")) {
                problems.push("there is no password, neither in connection_string nor on its own".to_owned());
            }
            None
        }
    };
    let (host, port) = host?;
    Some(Connection {
        host,
        port: port.unwrap_or(ConnectionString::default_port(tls?)),
        // EasyNetQ's own default.
        virtual_host: virtual_host.filter(|name| !name.is_empty()).unwrap_or_else(|| "/".to_owned()),
        username: username?,
        password: password?,
        tls: tls?,
    })
}

fn text(name: &str, value: Option<Value>, problems: &mut Vec<String>) -> Option<String> {
    match value {
        Some(Value::String(text)) if !text.trim().is_empty() => Some(text),
        None | Some(Value::Null) => {
            problems.push(format!("{name} is missing"));
            None
        }
        Some(_) => {
            problems.push(format!("{name} is not a string of at least one character"));
            None
        }
    }
}

fn queue(name: &str, value: Option<Value>, problems: &mut Vec<String>) -> Option<QueueName> {
    let text = text(name, value, problems)?;
    QueueName::new(&text).map_err(|error| problems.push(format!("{name} cannot be used: {error}"))).ok()
}

/// Identifies the login without revealing it. A new password makes a new fingerprint.
fn fingerprint(connection: &Connection) -> crate::signature::KeyFingerprint {
    let Connection { host, virtual_host, username, password, .. } = connection;
    let login = [FINGERPRINT_MESSAGE, host.as_bytes(), virtual_host.as_bytes(), username.as_bytes()];
    hmac_sha256::fingerprint(password.reveal().as_bytes(), Sha256Digest::of_parts(login).as_bytes())
}

#[cfg(test)]
mod tests;
