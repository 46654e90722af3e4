//! Sterling's keys for the operator: the clients of our token endpoint, and the keys that sign its tokens.
//!
//! The authority's document holds the private keys; the webhook's document is always derived from it. What is added becomes known
//! to the webhook first, and what is removed leaves the authority first, so that a crash between the two writes leaves a webhook
//! that knows more than is in use, never less. The next change sets it right.

use std::time::Duration;

use secrecy::SecretString;
use serde_json::Value;

use super::Sterling;
use crate::digest::Sha256Digest;
use crate::json_object;
use crate::json_place::JsonPlace;
use crate::key_ring::change::{Change, Circumstances, Made, Removal, Write};
use crate::key_ring::error::KeyRingError;
use crate::key_ring::guide::{Guide, Input, KeyOption};
use crate::key_ring::key_id::KeyId;
use crate::key_ring::listing::{KeyListing, KeyState, ListedKey, RecordedAs};
use crate::key_ring::new_key::NewKey;
use crate::key_ring::{Documents, KeyDocument, KeyRing};
use crate::oauth::TOKEN_PATH;
use crate::oauth::authority::{
    Authority, AuthorityError, Client, ClientSecret, DEFAULT_TOKEN_LIFETIME, NewSigningKey, ROTATION_MARGIN,
    SigningKey, Verification,
};
use crate::provider::Provider as _;
use crate::signature::KeyFingerprint;
use crate::timestamp::Timestamp;

/// The documents' places in the list.
const AUTHORITY: usize = 0;
const VERIFICATION: usize = 1;

const CLIENT_ID: &str = "client-id";
const SIGNING_KEY: &str = "signing-key";
const ISSUER: &str = "issuer";
const AUDIENCE: &str = "audience";
const TOKEN_LIFETIME: &str = "token-lifetime-seconds";
const SHORT_TOKENS: &str = "short-tokens";
const SECRET_REFRESH: &str = "secret-refresh-seconds";

const SECRET_FINGERPRINT_LABEL: &[u8] = b"webhook-intake client secret";
const SECRET_FINGERPRINT_DIGITS: usize = 8;

/// Which of the two documents is written first.
#[derive(Clone, Copy, PartialEq, Eq)]
enum First {
    /// For what is added: it verifies before it is used.
    Verification,
    /// For what is removed: it is used no more before it stops to verify. Also for an authority that is new, since nobody has a
    /// token of it.
    Authority,
}

const OPTIONS: &[KeyOption] = &[
    KeyOption::positional(
        CLIENT_ID,
        "CLIENT-ID",
        "The client's id: 1 to 64 letters, digits, dots, hyphens and underscores. A new client's events belong to an account \
         of the same name, unless --account names another.",
    ),
    KeyOption::flag(SIGNING_KEY, "Make a new signing key instead. It verifies, and does not sign yet."),
    KeyOption::with_value(
        ISSUER,
        "URL",
        "For a new authority: the tokens' issuer. [default: the token endpoint's URL]",
    ),
    KeyOption::with_value(AUDIENCE, "URL", "For a new authority: the tokens' audience. [default: the webhook's URL]"),
    KeyOption::with_value(TOKEN_LIFETIME, "SECONDS", "For a new authority: how long a token is valid. [default: 7200]"),
    KeyOption::flag(SHORT_TOKENS, "For a new authority: yes, tokens of less than an hour are meant."),
    KeyOption::with_value(
        SECRET_REFRESH,
        "SECONDS",
        "For a new authority: how old the functions' copy of a secret may get. [default: as the stack has it]",
    ),
];

impl KeyRing for Sterling {
    fn documents(&self) -> &'static [KeyDocument] {
        &[
            KeyDocument { file: "sterling-authority.json", secret: "SterlingAuthoritySecret" },
            KeyDocument { file: "sterling.json", secret: "SterlingVerificationSecret" },
        ]
    }

    fn webhook_output(&self) -> Option<&'static str> {
        Some("SterlingWebhookUrl")
    }

    fn guide(&self) -> Guide {
        Guide {
            about: "Make a client's secret for the token endpoint and print it, once; or make a signing key",
            long_about: "Make a client's secret for the token endpoint and print it, once; or make a signing key.\n\nSterling gets its \
                         tokens from us, with a client id that you choose and a secret that is made here. The first client makes the \
                         authority, too. A client may have several secrets: add one, hand it over, and when it is in use take the old \
                         one out.\n\nThe key that signs the tokens is rotated in three steps, each of which says from when on the next is \
                         possible: `keys add sterling --signing-key`, `keys activate sterling`, `keys remove sterling <OLD KEY>`.",
            input: Input::None,
            options: OPTIONS,
            default_account: "for a new client, its own id",
        }
    }

    fn list(&self, documents: Documents<'_>) -> KeyListing {
        let authority = match authority(documents) {
            Ok(Some(authority)) => authority,
            Ok(None) if documents.text(VERIFICATION).is_none_or(is_unset) => return KeyListing::default(),
            Ok(None) => return KeyListing::of_problem(KeyRingError::AnotherAuthority.to_string()),
            Err(error) => return KeyListing::of_problem(error.to_string()),
        };
        let clients = authority.clients.iter().flat_map(client_rows);
        let keys = clients.chain(authority.keys.iter().map(|key| key_row(&authority, key))).collect();
        KeyListing { keys, problems: problems(&authority, documents) }
    }

    fn add(
        &self,
        documents: Documents<'_>,
        new: &NewKey,
        circumstances: &Circumstances,
    ) -> Result<Change, KeyRingError> {
        match (new.options.text(CLIENT_ID), new.options.has(SIGNING_KEY)) {
            (Some(client_id), false) => add_client_secret(documents, client_id, new, circumstances),
            (None, true) => add_signing_key(documents, new, circumstances),
            _ => Err(KeyRingError::Option {
                option: "<CLIENT-ID>",
                reason: "or --signing-key is to be given, and one of them only".to_owned(),
            }),
        }
    }

    fn remove(
        &self,
        documents: Documents<'_>,
        key: &ListedKey,
        removal: Removal,
        circumstances: &Circumstances,
    ) -> Result<Change, KeyRingError> {
        let mut authority = authority(documents)?.ok_or(KeyRingError::NoAuthority)?;
        let within = format!("within {} s", authority.secret_refresh_seconds);
        let counts = match &key.id {
            KeyId::Name(client_id) => {
                if authority.clients.len() == 1 && !removal.even_the_last {
                    return Err(KeyRingError::TheLast { provider: Self::NAME.as_str() });
                }
                authority.remove_client(client_id)?;
                format!("it gets no more tokens, and those that it has are refused {within}")
            }
            KeyId::Fingerprint(fingerprint) => {
                if authority.keys.iter().any(|key| key.kid == fingerprint.as_str()) {
                    retire(&mut authority, fingerprint.as_str(), circumstances.now)?;
                    format!("its tokens have expired, and it verifies no more {within}")
                } else {
                    remove_secret(&mut authority, fingerprint, removal)?;
                    format!("it gets no more tokens {within}")
                }
            }
            KeyId::Position(_) => return Err(KeyRingError::Unknown),
        };
        let writes = writes(documents, &authority, First::Authority)?;
        Ok(Change { writes, key: key.clone(), made: None, counts, next: String::new() })
    }

    fn has_activation(&self) -> bool {
        true
    }

    fn activate(&self, documents: Documents<'_>, circumstances: &Circumstances) -> Result<Change, KeyRingError> {
        let mut authority = authority(documents)?.ok_or(KeyRingError::NoAuthority)?;
        let old = authority.signing_key().map(|key| key.kid.clone()).unwrap_or_default();
        let kid = authority.activate_key(circumstances.now)?.to_owned();
        let from = retirement_from(&authority, circumstances.now);
        Ok(Change {
            writes: writes(documents, &authority, First::Verification)?,
            key: row_of(&authority, &kid)?,
            made: None,
            counts: format!("it signs within {} s", authority.secret_refresh_seconds),
            next: format!("Next, from {from} on: take the old one out with `keys remove sterling {old}`.\n"),
        })
    }

    fn repair(&self, documents: Documents<'_>) -> Result<Vec<Write>, KeyRingError> {
        match authority(documents)? {
            Some(authority) => Ok(stale_verification(documents, &authority)?.into_iter().collect()),
            None if documents.text(VERIFICATION).is_none_or(is_unset) => Ok(Vec::new()),
            None => Err(KeyRingError::AnotherAuthority),
        }
    }
}

fn add_client_secret(
    documents: Documents<'_>,
    client_id: &str,
    new: &NewKey,
    circumstances: &Circumstances,
) -> Result<Change, KeyRingError> {
    let secret = ClientSecret::generate().ok_or(KeyRingError::NoRandomness)?;
    let mut authority = match authority(documents)? {
        Some(authority) => {
            refuse_settings(new, circumstances)?;
            authority
        }
        None if documents.text(VERIFICATION).is_none_or(is_unset) => new_authority(new, circumstances)?,
        None => return Err(KeyRingError::AnotherAuthority),
    };
    authority.add_client_secret(client_id, new.account.as_ref(), &secret)?;
    let client = authority.clients.iter().find(|client| client.client_id.as_str() == client_id);
    let client = client.ok_or_else(|| AuthorityError::UnknownClient(client_id.to_owned()))?;
    let key = client_rows(client).pop().ok_or(KeyRingError::Unknown)?;
    Ok(Change {
        writes: writes(documents, &authority, First::Verification)?,
        next: for_ibm(&authority, client),
        key,
        made: Some(Made { name: "client_secret", secret: secret.reveal().to_owned().into() }),
        counts: circumstances.counts_when_added(),
    })
}

/// What IBM is told at onboarding.
fn for_ibm(authority: &Authority, client: &Client) -> String {
    let lifetime = authority.token_lifetime_seconds;
    let mut text = format!(
        "Next, hand to IBM, by a way that is safe for a secret:\n\
         - the client id {} and this client secret, for the grant client_credentials with HTTP Basic\n\
         - the token endpoint's URL: {}\n\
         - the webhook's URL: {}\n\
         - how long a token is valid: {lifetime} s ({} h); every token's answer says so too\n\
         Both URLs must be reachable with HTTPS on port 443 under a certificate of a public authority.\n",
        client.client_id,
        authority.issuer,
        authority.audience,
        hours(lifetime),
    );
    let older = client.secrets.len().checked_sub(2).and_then(|place| client.secrets.get(place));
    if let Some(older) = older {
        text += &format!(
            "The client has {} secrets now. When this one is in use, take the old one out with `keys remove sterling {}`.\n",
            client.secrets.len(),
            secret_fingerprint(older)
        );
    }
    text
}

fn add_signing_key(
    documents: Documents<'_>,
    new: &NewKey,
    circumstances: &Circumstances,
) -> Result<Change, KeyRingError> {
    refuse_settings(new, circumstances)?;
    if new.account.is_some() {
        let reason = "is for a client; a signing key is of all accounts".to_owned();
        return Err(KeyRingError::Option { option: "--account", reason });
    }
    let mut authority = authority(documents)?.ok_or(KeyRingError::NoAuthority)?;
    let key = NewSigningKey::generate().ok_or(KeyRingError::NoRandomness)?;
    let kid = authority.add_key(key, circumstances.now)?.to_owned();
    let from = activation_from(&authority, circumstances.now);
    Ok(Change {
        writes: writes(documents, &authority, First::Verification)?,
        key: row_of(&authority, &kid)?,
        made: None,
        counts: format!("it verifies within {} s", authority.secret_refresh_seconds),
        next: format!("Next, from {from} on: let it sign with `keys activate sterling`.\n"),
    })
}

/// Refuses the settings of a new authority where there is one.
fn refuse_settings(new: &NewKey, circumstances: &Circumstances) -> Result<(), KeyRingError> {
    let settings = [
        (ISSUER, "--issuer"),
        (AUDIENCE, "--audience"),
        (TOKEN_LIFETIME, "--token-lifetime-seconds"),
        (SHORT_TOKENS, "--short-tokens"),
        (SECRET_REFRESH, "--secret-refresh-seconds"),
    ];
    let setting = settings.into_iter().find(|(name, _)| new.options.has(name)).map(|(_, option)| option);
    let Some(option) = setting.or_else(|| circumstances.is_base_url_given.then_some("--base-url")) else {
        return Ok(());
    };
    let reason = "is for a new authority, and there is one already; leave the option out";
    Err(KeyRingError::Option { option, reason: reason.to_owned() })
}

/// An authority with a key that signs at once.
fn new_authority(new: &NewKey, circumstances: &Circumstances) -> Result<Authority, KeyRingError> {
    let url = |name, option, path: &str, meaning| match (new.options.text(name), &circumstances.base_url) {
        (Some(given), _) => Ok(given.to_owned()),
        (None, Some(base_url)) => Ok(format!("{base_url}{path}")),
        (None, None) => {
            Err(KeyRingError::Option { option, reason: format!("is needed for a new authority: {meaning}") })
        }
    };
    let seconds = |name, option, default| match new.options.text(name) {
        None => Ok(default),
        Some(text) => text
            .parse()
            .map(Duration::from_secs)
            .map_err(|_| KeyRingError::Option { option, reason: "is a whole number of seconds".to_owned() }),
    };
    Ok(Authority::new(
        url(ISSUER, "--issuer", TOKEN_PATH, "the url of the stack's token endpoint")?,
        url(AUDIENCE, "--audience", Sterling::NAME.source_path(), "the url of the stack's webhook")?,
        seconds(TOKEN_LIFETIME, "--token-lifetime-seconds", DEFAULT_TOKEN_LIFETIME)?,
        new.options.has(SHORT_TOKENS),
        seconds(SECRET_REFRESH, "--secret-refresh-seconds", circumstances.secret_refresh)?,
        NewSigningKey::generate().ok_or(KeyRingError::NoRandomness)?,
        circumstances.now,
    )?)
}

/// Third step of a rotation, for the superseded key of this name.
fn retire(authority: &mut Authority, kid: &str, now: Timestamp) -> Result<(), KeyRingError> {
    let superseded = authority.keys.iter().find(|key| key.superseded_at.is_some());
    if superseded.is_none_or(|key| key.kid != kid) {
        let reason = "is not superseded; only a key that another one has taken the place of can go: `keys add sterling \
                      --signing-key`, then `keys activate sterling`";
        return Err(KeyRingError::Option { option: "the signing key", reason: reason.to_owned() });
    }
    authority.retire_key(now)?;
    Ok(())
}

fn remove_secret(
    authority: &mut Authority,
    fingerprint: &KeyFingerprint,
    removal: Removal,
) -> Result<(), KeyRingError> {
    let is_meant = |hash: &Sha256Digest| secret_fingerprint(hash) == *fingerprint;
    let client = authority.clients.iter_mut().find(|client| client.secrets.iter().any(is_meant));
    let client = client.ok_or(KeyRingError::Unknown)?;
    if client.secrets.len() == 1 && !removal.even_the_last {
        return Err(KeyRingError::TheLast { provider: "this client" });
    }
    client.secrets.retain(|hash| !is_meant(hash));
    Ok(())
}

fn authority(documents: Documents<'_>) -> Result<Option<Authority>, KeyRingError> {
    let Some(text) = documents.text(AUTHORITY).filter(|text| !is_unset(text)) else { return Ok(None) };
    // serde's own words are not passed on, for they quote what they read.
    json_object::read(text).map(Some).map_err(|error| KeyRingError::Unreadable {
        reason: format!("it is not an authority's document ({})", JsonPlace::from(&error)),
        remedy: "put back the text that the commands have written",
    })
}

/// Whether this is what a stack has in a secret before anything was put into it: neither keys nor clients.
fn is_unset(text: &str) -> bool {
    let is_empty = |value: Option<&Value>| value.is_none_or(|value| value.as_array().is_some_and(Vec::is_empty));
    serde_json::from_str::<Value>(text)
        .is_ok_and(|value| value.is_object() && is_empty(value.get("keys")) && is_empty(value.get("clients")))
}

/// The writes that put this authority in, in an order that leaves a webhook which verifies what is in use.
fn writes(documents: Documents<'_>, authority: &Authority, first: First) -> Result<Vec<Write>, KeyRingError> {
    let is_new = documents.text(AUTHORITY).is_none_or(is_unset);
    let text = serde_json::to_string_pretty(authority).map_err(|_| KeyRingError::Json)? + "\n";
    let mut writes = vec![Write { document: AUTHORITY, text: SecretString::from(text) }];
    if let Some(verification) = stale_verification(documents, authority)? {
        let place = usize::from(first == First::Authority || is_new);
        writes.insert(place, verification);
    }
    Ok(writes)
}

/// The webhook's document as it is derived, unless that is there already.
fn stale_verification(documents: Documents<'_>, authority: &Authority) -> Result<Option<Write>, KeyRingError> {
    let derived = authority.verification()?;
    if is_derived(documents, &derived) {
        return Ok(None);
    }
    let text = serde_json::to_string_pretty(&derived).map_err(|_| KeyRingError::Json)? + "\n";
    Ok(Some(Write { document: VERIFICATION, text: SecretString::from(text) }))
}

fn is_derived(documents: Documents<'_>, derived: &Verification) -> bool {
    let found = documents.text(VERIFICATION).map(json_object::read::<Verification>);
    found.is_some_and(|found| found.is_ok_and(|found| found == *derived))
}

fn problems(authority: &Authority, documents: Documents<'_>) -> Vec<String> {
    let mut problems = Vec::new();
    match authority.verification() {
        Ok(derived) if is_derived(documents, &derived) => {}
        Ok(_) => problems.push(
            "the webhook's copy of the keys and clients does not fit the authority, so tokens may be refused; `keys check sterling \
             --repair` derives it again"
                .to_owned(),
        ),
        Err(error) => problems.push(error.to_string()),
    }
    if authority.signing_key().is_none() {
        problems
            .push("no key signs, so there are no tokens; put back the text that the commands have written".to_owned());
    }
    if authority.clients.iter().all(|client| client.secrets.is_empty()) {
        problems.push("no client can ask for a token; add one with `keys add sterling <CLIENT-ID>`".to_owned());
    }
    problems.extend(authority.check_lifetime().err().map(|error| error.to_string()));
    problems
}

/// A client and each of its secrets.
fn client_rows(client: &Client) -> Vec<ListedKey> {
    let number = match client.secrets.len() {
        1 => "1 secret".to_owned(),
        number => format!("{number} secrets"),
    };
    let row = |id, kind, recorded_as| ListedKey {
        account: Some(client.account.clone()),
        id,
        position: None,
        kind,
        state: KeyState::Active,
        recorded_as,
    };
    // A token names its client, but a delivery's record only the client's account.
    let recorded_as = RecordedAs { account: Some(client.account.clone()), fingerprint: None };
    let whole = row(KeyId::Name(client.client_id.to_string()), format!("client, {number}"), Some(recorded_as));
    let secrets = client.secrets.iter().zip(1..).map(|(hash, number)| {
        let age = if number == client.secrets.len() { "its newest" } else { "older" };
        let kind = format!("secret of {}, {age}", client.client_id);
        row(KeyId::Fingerprint(secret_fingerprint(hash)), kind, None)
    });
    std::iter::once(whole).chain(secrets).collect()
}

fn key_row(authority: &Authority, key: &SigningKey) -> ListedKey {
    let fingerprint = KeyFingerprint::from_recorded(key.kid.clone());
    let state = match (key.activated_at, key.superseded_at) {
        (_, Some(at)) => KeyState::Superseded(format!(
            "verifies the tokens that it signed; can be taken out from {} on",
            retirement_from(authority, at)
        )),
        (Some(_), None) => KeyState::Active,
        (None, None) => KeyState::Waiting(format!(
            "verifies and does not sign yet; can be activated from {} on",
            activation_from(authority, key.added_at)
        )),
    };
    ListedKey {
        account: None,
        id: KeyId::Fingerprint(fingerprint.clone()),
        position: None,
        kind: "signing key, Ed25519".to_owned(),
        state,
        recorded_as: Some(RecordedAs { account: None, fingerprint: Some(fingerprint) }),
    }
}

fn row_of(authority: &Authority, kid: &str) -> Result<ListedKey, KeyRingError> {
    let key = authority.keys.iter().find(|key| key.kid == kid).ok_or(KeyRingError::Unknown)?;
    Ok(key_row(authority, key))
}

/// Identifies a client's secret: 8 hex digits of a hash of its hash.
fn secret_fingerprint(hash: &Sha256Digest) -> KeyFingerprint {
    let digest = Sha256Digest::of_parts([SECRET_FINGERPRINT_LABEL, hash.as_bytes().as_slice()]);
    KeyFingerprint::from_hash(digest.as_bytes(), SECRET_FINGERPRINT_DIGITS)
}

fn activation_from(authority: &Authority, added_at: Timestamp) -> Timestamp {
    added_at.plus(Duration::from_secs(authority.secret_refresh_seconds)).plus(ROTATION_MARGIN)
}

fn retirement_from(authority: &Authority, superseded_at: Timestamp) -> Timestamp {
    activation_from(authority, superseded_at).plus(authority.token_lifetime())
}

fn hours(seconds: u64) -> String {
    let hours = format!("{}.{:02}", seconds / 3600, seconds % 3600 * 100 / 3600);
    hours.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests;
