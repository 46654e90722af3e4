//! The usual mistakes with a shared secret, and the HMAC keys that they make.

use std::fmt;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use strum::IntoStaticStr;
use zeroize::Zeroizing;

use super::finding::Finding;
use super::search::{TrialKey, Tried};
use super::signature_text::decode_base64;
use crate::signature::hmac_sha256::HmacSecret;

/// What the sender uses in place of the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum SecretMistake {
    /// The secret and a line feed.
    TrailingNewline,
    /// The secret, a carriage return and a line feed.
    TrailingCarriageReturn,
    /// The secret with a blank before or after it.
    Blank,
    /// The secret without the white space around it.
    OursHasWhiteSpace,
    /// The secret in quotes.
    Quoted,
    /// The secret without the quotes around it.
    OursIsQuoted,
    /// The bytes whose hex digits the secret is.
    HexDecoded,
    /// The bytes whose base64 the secret is.
    Base64Decoded,
    /// The hex digits of the secret.
    HexEncoded,
    /// The base64 of the secret.
    Base64Encoded,
    /// The secret in lower or upper case.
    Case,
    /// Nothing, or the word for nothing of a programming language.
    Unset,
}

impl SecretMistake {
    /// What to do about it.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::TrailingNewline | Self::TrailingCarriageReturn => {
                "set the secret at the sender again without the line break; `echo` and most editors add one, `printf %s` does not"
            }
            Self::Blank => "set the secret at the sender again without the blank",
            Self::OursHasWhiteSpace => "store our secret again without the white space around it",
            Self::Quoted => "set the secret at the sender again without the quotes",
            Self::OursIsQuoted => "store our secret again without the quotes inside the JSON string",
            Self::HexDecoded | Self::Base64Decoded => {
                "have the sender use the secret's text as it is, without decoding it; if it cannot, agree on a secret that is plain text"
            }
            Self::HexEncoded | Self::Base64Encoded => {
                "have the sender use the secret's text as it is, without encoding it; or store the encoded text as our secret"
            }
            Self::Case => "set the secret again at the sender with the same upper-case and lower-case letters as ours",
            Self::Unset => "set the secret at the sender; it has none",
        }
    }
}

impl fmt::Display for SecretMistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TrailingNewline => "the sender signs with the secret and a line break after it",
            Self::TrailingCarriageReturn => "the sender signs with the secret and a Windows line break after it",
            Self::Blank => "the sender signs with the secret and a blank before or after it",
            Self::OursHasWhiteSpace => "our secret has white space around it that the sender's has not",
            Self::Quoted => "the sender signs with the secret in quotes",
            Self::OursIsQuoted => "our secret is in quotes, and the sender's is not",
            Self::HexDecoded => "the sender decodes the secret from hex, and signs with the bytes",
            Self::Base64Decoded => "the sender decodes the secret from base64, and signs with the bytes",
            Self::HexEncoded => "the sender signs with the hex digits of the secret",
            Self::Base64Encoded => "the sender signs with the base64 of the secret",
            Self::Case => "the sender's secret has other upper-case and lower-case letters",
            Self::Unset => "the sender signs with an empty secret",
        })
    }
}

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
