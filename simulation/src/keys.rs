//! The keys of the providers, made or read once for a process: making RSA keys takes longer than a run.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use intake_providers::digest::Sha256Digest;
use intake_providers::oauth::authority::{Authority, ClientSecret, NewSigningKey};
use intake_providers::timestamp::Timestamp;
use intake_simulator::accredit;
use intake_simulator::signed_delivery::SignedDelivery;
use serde_json::json;

use crate::guarded::Guarded;

/// Which of a provider's keys: the first one, or the one that replaces it in a rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum KeyNumber {
    First,
    Second,
}

impl KeyNumber {
    const fn of<T>(self, [first, second]: &[T; 2]) -> &T {
        match self {
            Self::First => first,
            Self::Second => second,
        }
    }
}

/// Names of secrets.
pub(crate) const ACCREDIT: &str = "accredit";
pub(crate) const MACHNET: &str = "machnet";
pub(crate) const NURTURECLOUD: &str = "nurturecloud";
pub(crate) const STERLING: &str = "sterling";
pub(crate) const STERLING_TOKEN: &str = "sterling-token";
pub(crate) const NOWCERTS: &str = "nowcerts";

const ACCREDIT_PRIVATE: [&str; 2] =
    [include_str!("../../events/keys/accredit-private.pem"), include_str!("../keys/accredit-2-private.pem")];
const ACCREDIT_PUBLIC: [&str; 2] =
    [include_str!("../keys/accredit-1-public.pem"), include_str!("../keys/accredit-2-public.pem")];

const MACHNET_SECRETS: [&str; 2] = [
    "5f1b0c3a9de84726b1c0a7f3e2d49586a1b2c3d4e5f60718293a4b5c6d7e8f90",
    "c7d2e1f0a9b8c7d6e5f4a3b2c1d0e9f8a7b6c5d4e3f2a1b0c9d8e7f6a5b4c3d2",
];

/// 43 characters of base64url.
const PATH_SECRETS: [&str; 2] =
    ["Zq3vT8xW1mK5pR7sB9nC2dF4gH6jL0aEyUiOoPqSwXc", "Ab9cD8eF7gH6iJ5kL4mN3oP2qR1sT0uVwXyZaBcDeFg"];

const CLIENT_SECRET: &str = "kJ8hG7fD6sA5pO4iU3yT2rE1wQ0zX9cV8bN7mM6lK5j";

/// A client that may be removed, and its secret.
pub(crate) const FORMER_CLIENT_ID: &str = "former-tenant";
const FORMER_CLIENT_SECRET: &str = "pQ7rS2tU9vW4xY1zA6bC3dE8fG5hI0jK7lM2nO9pQ4r";

/// The id of Sterling's client.
pub(crate) const CLIENT_ID: &str = "sterling-tenant";

const BROKER_PASSWORD: &str = "a-password-of-the-broker-93af1";

static ACCREDIT_KEYS: LazyLock<Option<[accredit::Key; 2]>> = LazyLock::new(|| {
    let [first, second] = ACCREDIT_PRIVATE.map(accredit::Key::read);
    Some([first.ok()?, second.ok()?])
});

/// Two signing keys, in base64. Their ids occur in tokens, and nothing that a run decides depends on them.
static SIGNING_KEYS: LazyLock<Option<[String; 2]>> = LazyLock::new(|| {
    let one = || {
        let key = NewSigningKey::generate()?;
        let authority = Authority::new(
            "issuer".to_owned(),
            "audience".to_owned(),
            Duration::from_secs(3_600),
            true,
            Duration::ZERO,
            key,
            Timestamp::EPOCH,
        );
        let document = serde_json::to_value(authority.ok()?).ok()?;
        Some(document.get("keys")?.get(0)?.get("private_key")?.as_str()?.to_owned())
    };
    Some([one()?, one()?])
});

/// Signatures of Accredit by key and body: there are few bodies, and signing takes milliseconds.
static SIGNATURES: Guarded<BTreeMap<(KeyNumber, Bytes), String>> = Guarded::new(BTreeMap::new());

/// Every secret text that must not be in any line of the log.
pub(crate) fn secret_texts() -> Vec<String> {
    let mut texts: Vec<String> = MACHNET_SECRETS
        .into_iter()
        .chain(PATH_SECRETS)
        .chain([CLIENT_SECRET, FORMER_CLIENT_SECRET, BROKER_PASSWORD])
        .map(str::to_owned)
        .collect();
    texts.extend(SIGNING_KEYS.iter().flatten().cloned());
    for key in ACCREDIT_PRIVATE {
        texts.extend(key.lines().nth(1).map(str::to_owned));
    }
    texts
}

/// A part of a secret's text that is there exactly while the key is active.
pub(crate) fn part_of_secret(name: &str, key: KeyNumber) -> String {
    match name {
        ACCREDIT => {
            let lines = key.of::<&str>(&ACCREDIT_PUBLIC).lines().nth(2).unwrap_or_default();
            lines.to_owned()
        }
        MACHNET => (*key.of::<&str>(&MACHNET_SECRETS)).to_owned(),
        NURTURECLOUD => Sha256Digest::of(key.of::<&str>(&PATH_SECRETS).as_bytes()).to_string(),
        _ => String::new(),
    }
}

/// The secret's text with these keys active. `label` is what older texts call the account.
pub(crate) fn secret_text(name: &str, keys: &[KeyNumber], has_label: bool) -> String {
    let account = if has_label { "label" } else { "account" };
    let entries: Vec<_> = keys
        .iter()
        .map(|key| match name {
            ACCREDIT => json!({account: "main", "public_key": key.of::<&str>(&ACCREDIT_PUBLIC)}),
            MACHNET => json!({account: "main", "secret": key.of::<&str>(&MACHNET_SECRETS)}),
            _ => json!({account: "main", "secret_sha256": part_of_secret(NURTURECLOUD, *key)}),
        })
        .collect();
    json!({ "keys": entries }).to_string()
}

/// The secret with the login at the broker.
pub(crate) fn broker_secret() -> String {
    json!({
        "account": "main",
        "connection_string": format!("host=broker:5671;virtualHost=/;username=agency;password={BROKER_PASSWORD}"),
        "queue": "events.agency",
        "replay_queue": "events.agency.replay",
        "tls": true,
    })
    .to_string()
}

/// Accredit's delivery of a body, under a job's id and attempt.
pub(crate) fn sign_accredit(key: KeyNumber, body: &Bytes, job_id: &str, attempt: u32) -> Option<SignedDelivery> {
    let known = SIGNATURES.get().get(&(key, body.clone())).cloned();
    let signature = match known {
        Some(signature) => signature,
        None => {
            let signed = key.of(ACCREDIT_KEYS.as_ref()?).sign(body.clone(), "", "0").ok()?;
            let signature = signed.headers().find(|(name, _)| *name == "x-signature")?.1.to_owned();
            SIGNATURES.get().insert((key, body.clone()), signature.clone());
            signature
        }
    };
    let headers = vec![("x-jobid", job_id.to_owned()), ("x-jobattempt", attempt.to_string())];
    Some(SignedDelivery::with_header("x-signature", signature, body.clone(), headers))
}

/// Machnet's delivery of a body.
pub(crate) fn sign_machnet(key: KeyNumber, body: Bytes, event_name: &str) -> Option<SignedDelivery> {
    let key = intake_simulator::machnet::Key::new(key.of::<&str>(&MACHNET_SECRETS)).ok()?;
    Some(key.sign(body, Some(event_name)))
}

/// NurtureCloud's delivery of a body.
pub(crate) fn sign_nurturecloud(key: KeyNumber, body: Bytes) -> SignedDelivery {
    SignedDelivery::with_path_secret(key.of::<&str>(&PATH_SECRETS), body)
}

/// The credentials of Sterling's client.
pub(crate) fn client() -> intake_simulator::token::ClientCredentials {
    intake_simulator::token::ClientCredentials { client_id: CLIENT_ID.to_owned(), client_secret: CLIENT_SECRET.into() }
}

/// The credentials of the client that may be removed.
pub(crate) fn former_client() -> intake_simulator::token::ClientCredentials {
    let (client_id, client_secret) = (FORMER_CLIENT_ID.to_owned(), FORMER_CLIENT_SECRET.into());
    intake_simulator::token::ClientCredentials { client_id, client_secret }
}

/// A new authority with one key, Sterling's client and the one that may be removed.
pub(crate) fn authority(token_lifetime: Duration, secret_refresh: Duration, now: Timestamp) -> Option<Authority> {
    let document = json!({
        "issuer": "https://intake.example/oauth/token",
        "audience": "https://intake.example/webhooks/sterling",
        "token_lifetime_seconds": token_lifetime.as_secs(),
        "short_tokens_are_meant": true,
        "secret_refresh_seconds": secret_refresh.as_secs(),
        "keys": [signing_key(KeyNumber::First, now, true)?],
        "clients": [],
    });
    let mut authority: Authority = serde_json::from_value(document).ok()?;
    authority.add_client_secret(CLIENT_ID, None, &ClientSecret::new(CLIENT_SECRET)).ok()?;
    authority.add_client_secret(FORMER_CLIENT_ID, None, &ClientSecret::new(FORMER_CLIENT_SECRET)).ok()?;
    Some(authority)
}

/// The document of a signing key.
pub(crate) fn signing_key(key: KeyNumber, now: Timestamp, is_active: bool) -> Option<serde_json::Value> {
    let private_key = key.of(SIGNING_KEYS.as_ref()?);
    let kid = if key == KeyNumber::First { "key-1" } else { "key-2" };
    let mut document = json!({"kid": kid, "private_key": private_key, "added_at": now});
    if is_active && let Some(document) = document.as_object_mut() {
        document.insert("activated_at".to_owned(), json!(now));
    }
    Some(document)
}
