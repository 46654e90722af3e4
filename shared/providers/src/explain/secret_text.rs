//! The usual mistakes with a shared secret, and the HMAC keys that they make.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::finding::Finding;
use super::mistake::SecretMistake;
use super::search::{TrialKey, Tried};
use super::signature_text::decode_base64;
use crate::signature::hmac_sha256::HmacSecret;

/// The secret as it is, and as each usual mistake makes it.
fn variants(secret: &str) -> Vec<(Option<SecretMistake>, Zeroizing<Vec<u8>>)> {
    let trimmed = secret.trim();
    let unquoted = trimmed.trim_matches(['"', '\'']);
    let mut variants = vec![(None, Zeroizing::new(secret.as_bytes().to_vec()))];
    let mut add = |mistake, bytes: Vec<u8>| {
        let bytes = Zeroizing::new(bytes);
        if variants.iter().all(|(_, other)| **other != *bytes) {
            variants.push((Some(mistake), bytes));
        }
    };
    add(SecretMistake::TrailingNewline, format!("{secret}\n").into_bytes());
    add(SecretMistake::TrailingCarriageReturn, format!("{secret}\r\n").into_bytes());
    add(SecretMistake::Blank, format!("{secret} ").into_bytes());
    add(SecretMistake::Blank, format!(" {secret}").into_bytes());
    add(SecretMistake::OursHasWhiteSpace, trimmed.into());
    add(SecretMistake::Quoted, format!("\"{secret}\"").into_bytes());
    add(SecretMistake::Quoted, format!("'{secret}'").into_bytes());
    add(SecretMistake::OursIsQuoted, unquoted.into());
    if let Ok(bytes) = hex::decode(unquoted) {
        add(SecretMistake::HexDecoded, bytes);
    }
    // Some providers write `whsec_` before the base64 of a secret.
    if let Some(bytes) = decode_base64(unquoted.strip_prefix("whsec_").unwrap_or(unquoted)) {
        add(SecretMistake::Base64Decoded, bytes);
    }
    add(SecretMistake::HexEncoded, hex::encode(secret).into_bytes());
    add(SecretMistake::HexEncoded, hex::encode_upper(secret).into_bytes());
    add(SecretMistake::Base64Encoded, STANDARD.encode(secret).into_bytes());
    add(SecretMistake::Case, secret.to_lowercase().into_bytes());
    add(SecretMistake::Case, secret.to_uppercase().into_bytes());
    for unset in ["", "undefined", "null", "None"] {
        add(SecretMistake::Unset, unset.into());
    }
    variants
}

/// The keys to try for an HMAC-SHA256 secret: as it is and as each usual mistake makes it, each also with the other digests.
pub(crate) fn hmac_keys(tried: &Tried<'_>, account: &str, secret: &str) -> Vec<TrialKey> {
    let fingerprint = HmacSecret::new(secret).ok().map(|secret| secret.fingerprint().to_string());
    let digests = [
        (None, hmac::HMAC_SHA256),
        (Some("SHA-1"), hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY),
        (Some("SHA-384"), hmac::HMAC_SHA384),
        (Some("SHA-512"), hmac::HMAC_SHA512),
    ];
    let mut keys = Vec::new();
    for (mistake, bytes) in variants(secret) {
        for (digest, algorithm) in digests {
            let key = hmac::Key::new(algorithm, &bytes);
            let confirms = move |message: &[u8], signature: &[u8]| {
                signature.len() == algorithm.digest_algorithm().output_len()
                    && hmac::verify(&key, message, signature).is_ok()
            };
            let findings = [mistake.map(Finding::Secret), digest.map(|used| Finding::Digest { used })];
            keys.push(tried.key(account, fingerprint.clone(), findings.into_iter().flatten(), confirms));
        }
    }
    keys
}
