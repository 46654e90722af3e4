//! What is wrong with a request, each with a sentence and what to do.

use std::fmt;

use strum::IntoStaticStr;

use crate::registry::name::ProviderName;

use super::mistake::{BodyMistake, Encoding, PathSecretMistake, SecretMistake, TokenMistake};

/// A key that was tried: its file, and what identifies it there without revealing it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TriedKey {
    /// Name of the file.
    pub file: String,
    /// Its account; `None` when the file holds nothing but the key.
    pub account: Option<String>,
    /// Its fingerprint; `None` for a key that cannot be used.
    pub fingerprint: Option<String>,
}

impl fmt::Display for TriedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.account {
            Some(account) => write!(f, "the key of the account {account}")?,
            None => f.write_str("the key")?,
        }
        if let Some(fingerprint) = &self.fingerprint {
            write!(f, " with the fingerprint {fingerprint}")?;
        }
        write!(f, " in {}", self.file)
    }
}

/// One thing that is wrong with a request. Where a key was tried for real, the findings of an explanation belong together: the
/// proof holds once all of them are put right.
#[derive(Clone, Debug, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Finding {
    /// Nothing is wrong with these keys at this time.
    Genuine(TriedKey),
    /// The request is genuine at another webhook.
    AnotherProvider {
        /// The provider whose key confirms it.
        provider: ProviderName,
        /// The path of that provider's webhook.
        path: String,
    },
    /// The path belongs to no webhook.
    UnknownPath {
        /// The paths of the webhooks.
        known: Vec<String>,
    },
    /// The request asked for a token. There is no proof in it but the client's secret, of which only a hash is kept.
    TokenRequest,
    /// The path is not exactly that of the webhook.
    Path {
        /// The path of the webhook.
        expected: String,
    },
    /// Another method than POST.
    Method {
        /// The method.
        found: String,
    },
    /// The file with the active keys is missing.
    NoKeys {
        /// Name of the file.
        file: String,
    },
    /// A file as a whole cannot be used as the active keys.
    KeysUnusable {
        /// Name of the file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The file holds no usable key.
    NoActiveKey {
        /// Name of the file.
        file: String,
        /// What is wrong with the keys that it holds.
        reasons: Vec<String>,
    },
    /// The key that fits belongs to an account that has other active keys.
    RetiredKey(TriedKey),
    /// The key that fits belongs to an account without an active key, or to none.
    KeyOfAnotherAccount(TriedKey),
    /// The key that fits is in the file, and cannot be used.
    KeyUnusable {
        /// The key.
        key: TriedKey,
        /// Why it is not used.
        reason: String,
    },
    /// The sender's secret is not exactly ours.
    Secret(SecretMistake),
    /// The signature was padded in another way.
    Padding {
        /// The padding of the signature.
        used: &'static str,
        /// The padding that the key is listed with.
        listed: &'static str,
    },
    /// The signature's padding is PSS with a salt that is not as long as the digest.
    Salt {
        /// The padding that the key is listed with.
        listed: &'static str,
    },
    /// The signature was made over another digest than SHA-256.
    Digest {
        /// Name of the digest.
        used: &'static str,
    },
    /// The signature is over another form of the body.
    Body(BodyMistake),
    /// The signature is written in another encoding.
    Encoding {
        /// The encoding of the signature.
        used: Encoding,
        /// The encoding that the webhook reads.
        expected: Encoding,
    },
    /// The signature has a prefix.
    Prefix {
        /// The prefix.
        prefix: &'static str,
    },
    /// The signature is in quotes.
    Quoted,
    /// The signature is in another header.
    Header {
        /// Name of the header that holds it.
        used: String,
        /// Name of the header that the webhook reads.
        expected: &'static str,
    },
    /// The header is missing.
    HeaderMissing {
        /// Name of the header.
        expected: &'static str,
    },
    /// The header came more than once.
    HeaderRepeated {
        /// Name of the header.
        header: &'static str,
    },
    /// What is in the header cannot be a signature, however it is decoded.
    NoSignature {
        /// Name of the header.
        header: &'static str,
        /// The expected form, as a noun phrase.
        expected: &'static str,
        /// Length of the header's value, in characters.
        found_characters: usize,
    },
    /// The access token.
    Token(TokenMistake),
    /// The secret at the end of the URL.
    PathSecret(PathSecretMistake),
}

impl Finding {
    /// The finding's name, for programs.
    #[must_use]
    pub fn name(&self) -> String {
        let own: &'static str = self.into();
        let detail: &'static str = match self {
            Self::Secret(mistake) => mistake.into(),
            Self::Body(mistake) => mistake.into(),
            Self::Token(mistake) => mistake.into(),
            Self::PathSecret(mistake) => mistake.into(),
            _ => return own.to_owned(),
        };
        format!("{own}-{detail}")
    }

    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::Genuine(_) => {
                "send the request again; if it was refused before, the key was added since, or the request was \
                                 changed on its way: compare what the sender sent with what arrived"
                    .to_owned()
            }
            Self::AnotherProvider { path, .. } => format!("have the sender call {path}"),
            Self::UnknownPath { known } => format!("have the sender call one of {}", known.join(", ")),
            Self::TokenRequest => {
                "read `error_description` in its answer; for invalid_client compare the client's id with `keys list sterling`, and \
                 make a new secret with `keys add sterling` if the id is right"
                    .to_owned()
            }
            Self::Path { expected } => {
                format!("have the sender call {expected}, with the same letters and without a slash at the end")
            }
            Self::Method { .. } => "have the sender use POST".to_owned(),
            Self::NoKeys { file } => format!("put the provider's key into {file}; the provider's page has the form"),
            Self::KeysUnusable { file, .. } | Self::NoActiveKey { file, .. } => {
                format!("put the provider's key into {file} as the provider's page has it")
            }
            Self::RetiredKey(key) => {
                format!("have the sender use the account's present key, or list {key} again until it does")
            }
            Self::KeyOfAnotherAccount(key) => {
                format!(
                    "list {key} under its account, if the account is meant to deliver here; otherwise correct the sender's URL"
                )
            }
            Self::KeyUnusable { .. } => "store the key again as the reason says".to_owned(),
            Self::Secret(mistake) => mistake.remedy().to_owned(),
            Self::Padding { used, .. } => {
                format!("list the key with the padding {used:?}, or have the sender use the other one")
            }
            Self::Salt { listed: "pss" } => {
                "have the sender make the salt 32 bytes long, as long as the digest; no other is accepted".to_owned()
            }
            Self::Salt { .. } => "list the key with the padding \"pss\", and have the sender make the salt 32 bytes long, \
                                  as long as the digest; no other is accepted"
                .to_owned(),
            Self::Digest { .. } => "have the sender sign with SHA-256".to_owned(),
            Self::Body(mistake) => mistake.remedy().to_owned(),
            Self::Encoding { expected, .. } => format!("have the sender write the signature in {expected}"),
            Self::Prefix { .. } => "have the sender send the signature without the prefix".to_owned(),
            Self::Quoted => "have the sender send the signature without quotes".to_owned(),
            Self::Header { expected, .. } => format!("have the sender put the signature into {expected}"),
            Self::HeaderMissing { expected } => format!(
                "have the sender sign the body and put the signature into {expected}; if it does so already, look for a proxy \
                 that takes headers away"
            ),
            Self::HeaderRepeated { header } => format!("have {header} sent once; a proxy in between may add its own"),
            Self::NoSignature { expected, .. } => {
                format!("have the sender send {expected}; a shorter one may have been cut off")
            }
            Self::Token(mistake) => mistake.remedy(),
            Self::PathSecret(mistake) => mistake.remedy(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Genuine(key) => write!(f, "nothing is wrong: {key} confirms the request as it is"),
            Self::AnotherProvider { provider, .. } => {
                write!(f, "this is a genuine delivery of {provider}, sent to another webhook")
            }
            Self::UnknownPath { .. } => f.write_str("the path belongs to no webhook"),
            Self::TokenRequest => f.write_str("this is a request for a token, and not a delivery"),
            Self::Path { expected } => write!(f, "the path is not exactly {expected}"),
            Self::Method { found } => write!(f, "the method is {found}, and webhooks take POST only"),
            Self::NoKeys { file } => write!(f, "there are no keys: {file} is missing"),
            Self::KeysUnusable { file, reason } => write!(f, "{file} is not used: {reason}"),
            Self::NoActiveKey { file, reasons } if reasons.is_empty() => write!(f, "{file} lists no key"),
            Self::NoActiveKey { file, reasons } => write!(f, "{file} lists no usable key: {}", reasons.join("; ")),
            Self::RetiredKey(key) => {
                write!(f, "it was proved with {key}, which is not active; the account has another active key")
            }
            Self::KeyOfAnotherAccount(key) => write!(f, "it was proved with {key}, which is not active"),
            Self::KeyUnusable { key, reason } => {
                write!(f, "it was proved with {key}, which is listed and not used: {reason}")
            }
            Self::Secret(mistake) => mistake.fmt(f),
            Self::Padding { used, listed } => {
                write!(f, "the signature's padding is {used}, and the key is listed with {listed}")
            }
            Self::Salt { listed } => {
                write!(
                    f,
                    "the signature's padding is pss with a salt that is not 32 bytes long, and the key is listed with {listed}"
                )
            }
            Self::Digest { used } => write!(f, "the signature is over the {used} of the body, not over its SHA-256"),
            Self::Body(mistake) => mistake.fmt(f),
            Self::Encoding { used, expected } => {
                write!(f, "the signature is written in {used}, and this webhook reads {expected}")
            }
            Self::Prefix { prefix } => {
                write!(f, "the signature has the prefix {prefix:?}, which does not belong to it")
            }
            Self::Quoted => f.write_str("the signature is in quotes"),
            Self::Header { used, expected } => {
                write!(f, "the signature is in the header {used}, and this webhook reads {expected}")
            }
            Self::HeaderMissing { expected } => {
                write!(f, "the header {expected} is missing, and no other header holds a signature that fits")
            }
            Self::HeaderRepeated { header } => write!(f, "the header {header} came more than once"),
            Self::NoSignature { header, expected, found_characters } => write!(
                f,
                "the {found_characters} characters in {header} are not {expected}, and they are not one in any other encoding"
            ),
            Self::Token(mistake) => mistake.fmt(f),
            Self::PathSecret(mistake) => mistake.fmt(f),
        }
    }
}
