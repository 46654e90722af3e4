//! The answer to a webhook request, before a provider turns it into a status code.

use std::fmt;

use strum::{IntoStaticStr, VariantNames};

/// How a webhook request ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The delivery is durable.
    Accepted,
    /// The request is at fault.
    Rejected(Rejection),
    /// The fault is ours: the provider should send the request again.
    RetryLater(Fault),
}

impl Answer {
    /// The reason's name in logs; `None` for an accepted request.
    #[must_use]
    pub fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Accepted => None,
            Self::Rejected(rejection) => Some(rejection.reason()),
            Self::RetryLater(fault) => Some(fault.reason()),
        }
    }
}

/// Why a request was rejected. The message is for a legitimate integrator and says nothing about our keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum Rejection {
    /// Another method than POST.
    #[error("this webhook takes POST only")]
    MethodNotAllowed,
    /// The credential is missing.
    #[error("the header {header} is missing; it carries the request's signature")]
    SignatureMissing {
        /// Name of the header that carries the credential.
        header: &'static str,
    },
    /// The header came more than once, so it is ambiguous which value counts.
    #[error("the header {header} came more than once; send it exactly once")]
    SignatureRepeated {
        /// Name of the header that carries the credential.
        header: &'static str,
    },
    /// The credential is malformed.
    #[error("the header {header} is not {expected}")]
    SignatureMalformed {
        /// Name of the header that carries the credential.
        header: &'static str,
        /// The expected form, as a noun phrase.
        expected: &'static str,
    },
    /// The credential is well-formed and does not match the body.
    #[error("the signature in {header} does not match the body; sign the exact bytes of the body with the agreed key")]
    SignatureMismatch {
        /// Name of the header that carries the credential.
        header: &'static str,
    },
    /// The `Authorization` header is missing.
    #[error("the header authorization is missing; it carries the access token as a bearer token")]
    TokenMissing,
    /// Anything other than a single bearer token.
    #[error("the header authorization is not one bearer token")]
    TokenMalformed,
    /// A genuine token that has expired.
    #[error("the access token expired; get a new one")]
    TokenExpired,
    /// A token that is not valid here, for example forged or of a removed client.
    #[error("the access token is not valid here; get a new one")]
    TokenInvalid,
    /// The last segment of the path does not have the form of a secret.
    #[error("the url does not end with this webhook's secret; call the whole url that the provider was given")]
    PathSecretMalformed,
    /// The secret in the path is not an active one.
    #[error("the url's secret is not one of this webhook; call the whole url that the provider was given")]
    PathSecretMismatch,
    /// The body exceeds the limit.
    #[error("the body is larger than {limit_bytes} bytes, the maximum for this webhook")]
    BodyTooLarge {
        /// Maximum size of a body, in bytes.
        limit_bytes: usize,
    },
    /// The connection ended before the whole body arrived.
    #[error("the body could not be read to its end")]
    BodyUnreadable,
}

impl Rejection {
    /// All reasons.
    pub const REASONS: &[&str] = Self::VARIANTS;

    /// The reason's name in logs and metrics.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        self.into()
    }

    /// Whether the request's proof was missing, malformed or did not hold. The other reasons say nothing of a key.
    #[must_use]
    pub const fn is_unverified(&self) -> bool {
        match self {
            Self::SignatureMissing { .. }
            | Self::SignatureRepeated { .. }
            | Self::SignatureMalformed { .. }
            | Self::SignatureMismatch { .. }
            | Self::TokenMissing
            | Self::TokenMalformed
            | Self::TokenExpired
            | Self::TokenInvalid
            | Self::PathSecretMalformed
            | Self::PathSecretMismatch => true,
            Self::MethodNotAllowed | Self::BodyTooLarge { .. } | Self::BodyUnreadable => false,
        }
    }
}

/// What went wrong on our side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum Fault {
    /// The function's settings are incomplete or wrong.
    ConfigurationInvalid,
    /// The secret holds no usable key.
    NoActiveKey,
    /// The secret could not be read, and no earlier reading is recent enough to use.
    SecretsUnavailable,
    /// The event that Lambda handed over is not a readable HTTP request.
    RequestUnreadable,
    /// The queue, or the store for large bodies, rejected the delivery or did not answer.
    QueueUnavailable,
    /// The deadline passed. The delivery may or may not be on the queue.
    DeadlineExceeded,
    /// A panic in our code, caught.
    Panic,
}

impl Fault {
    /// All reasons.
    pub const REASONS: &[&str] = Self::VARIANTS;

    /// The reason's name in logs and metrics.
    #[must_use]
    pub fn reason(self) -> &'static str {
        self.into()
    }
}

impl fmt::Display for Fault {
    /// The same text for every fault: callers learn nothing about our internals.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the delivery could not be taken just now; send it again")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::token_request::TokenError;

    #[test]
    fn a_rejection_is_unverified_if_its_reason_is_about_a_signature_a_token_or_a_secret_in_the_path() {
        let header = "x-signature";
        let all = [
            Rejection::MethodNotAllowed,
            Rejection::SignatureMissing { header },
            Rejection::SignatureRepeated { header },
            Rejection::SignatureMalformed { header, expected: "hex" },
            Rejection::SignatureMismatch { header },
            Rejection::TokenMissing,
            Rejection::TokenMalformed,
            Rejection::TokenExpired,
            Rejection::TokenInvalid,
            Rejection::PathSecretMalformed,
            Rejection::PathSecretMismatch,
            Rejection::BodyTooLarge { limit_bytes: 1 },
            Rejection::BodyUnreadable,
        ];
        assert_eq!(all.iter().map(Rejection::reason).collect::<Vec<_>>(), Rejection::REASONS);
        for rejection in all {
            let reason = rejection.reason();
            let is_proof = ["signature-", "token-", "path-secret-"].iter().any(|prefix| reason.starts_with(prefix));
            assert_eq!(rejection.is_unverified(), is_proof, "{reason}");
        }
    }

    #[test]
    fn an_answer_has_the_reason_of_its_rejection_or_fault_and_tells_nobody_which_fault() {
        assert_eq!(Answer::Accepted.reason(), None);
        assert_eq!(Answer::Rejected(Rejection::TokenExpired).reason(), Some("token-expired"));
        let faults = [Fault::NoActiveKey, Fault::QueueUnavailable];
        assert_eq!(
            faults.map(|fault| Answer::RetryLater(fault).reason()),
            [Some("no-active-key"), Some("queue-unavailable")]
        );
        let same = "the delivery could not be taken just now; send it again".to_owned();
        assert_eq!(faults.map(|fault| fault.to_string()), [same.clone(), same]);
    }

    #[test]
    fn the_page_on_refusals_has_every_reason() {
        let page = include_str!("../../../docs/refused.md");
        let of_tokens = [TokenError::InvalidRequest(""), TokenError::InvalidClient, TokenError::UnsupportedGrantType];
        let reasons = Rejection::REASONS.iter().chain(Fault::REASONS).copied();
        let reasons = reasons.chain(of_tokens.iter().map(TokenError::code)).chain(["not-found"]);
        let has = |reason: &str| page.lines().any(|line| line.starts_with(&format!("| `{reason}` |")));
        let missing: Vec<&str> = reasons.filter(|reason| !has(reason)).collect();
        assert_eq!(missing, [""; 0]);
    }
}
