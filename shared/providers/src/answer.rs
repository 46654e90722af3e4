//! What a request is answered, before a provider says it in its own status codes.

use std::fmt;

/// How a webhook request ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The delivery is durable.
    Accepted,
    /// The request is at fault.
    Rejected(Rejection),
    /// We are at fault: the provider is told to send it again.
    RetryLater(Fault),
}

/// Why a request was refused. The message is for a legitimate integrator and says nothing about our keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Another method than POST.
    #[error("this webhook takes POST only")]
    MethodNotAllowed,
    /// The proof is not there.
    #[error("the header {header} is missing; it carries the request's signature")]
    SignatureMissing {
        /// The header's name.
        header: &'static str,
    },
    /// The proof is there more than once, and nobody can say which one counts.
    #[error("the header {header} came more than once; send it exactly once")]
    SignatureRepeated {
        /// The header's name.
        header: &'static str,
    },
    /// The proof has not the form of one.
    #[error("the header {header} is not {expected}")]
    SignatureMalformed {
        /// The header's name.
        header: &'static str,
        /// What it should be, as a noun phrase.
        expected: &'static str,
    },
    /// The proof has the right form and does not prove the body.
    #[error("the signature in {header} does not match the body; sign the exact bytes of the body with the agreed key")]
    SignatureMismatch {
        /// The header's name.
        header: &'static str,
    },
    /// No bearer token.
    #[error("the header authorization is missing; it carries the access token as a bearer token")]
    TokenMissing,
    /// Something else than one bearer token.
    #[error("the header authorization is not one bearer token")]
    TokenMalformed,
    /// A genuine token whose time is over.
    #[error("the access token expired; get a new one")]
    TokenExpired,
    /// A token that does not count here.
    #[error("the access token is not valid here; get a new one")]
    TokenInvalid,
    /// A path that doesn't end with something that has the form of a secret.
    #[error("the url does not end with this webhook's secret; call the whole url that the provider was given")]
    PathSecretMalformed,
    /// A path whose secret is none of ours.
    #[error("the url's secret is not one of this webhook; call the whole url that the provider was given")]
    PathSecretMismatch,
    /// More body than we take.
    #[error("the body is larger than {limit_bytes} bytes, the most that this webhook takes")]
    BodyTooLarge {
        /// The most that is taken, in bytes.
        limit_bytes: usize,
    },
    /// The body broke off.
    #[error("the body could not be read to its end")]
    BodyUnreadable,
}

impl Rejection {
    /// The reason as logs and metrics name it.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::MethodNotAllowed => "method-not-allowed",
            Self::SignatureMissing { .. } => "signature-missing",
            Self::SignatureRepeated { .. } => "signature-repeated",
            Self::SignatureMalformed { .. } => "signature-malformed",
            Self::SignatureMismatch { .. } => "signature-mismatch",
            Self::TokenMissing => "token-missing",
            Self::TokenMalformed => "token-malformed",
            Self::TokenExpired => "token-expired",
            Self::TokenInvalid => "token-invalid",
            Self::PathSecretMalformed => "path-secret-malformed",
            Self::PathSecretMismatch => "path-secret-mismatch",
            Self::BodyTooLarge { .. } => "body-too-large",
            Self::BodyUnreadable => "body-unreadable",
        }
    }
}

/// What went wrong on our side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The function's settings are incomplete or wrong.
    ConfigurationInvalid,
    /// The secret holds no usable key.
    NoActiveKey,
    /// The secret could not be read, and what was read before, if anything, no longer counts.
    SecretsUnavailable,
    /// The request reached us in a form that can't be read, so it was not even looked at.
    RequestUnreadable,
    /// The queue, or the store for large bodies, did not take the delivery.
    QueueUnavailable,
    /// The time for an answer was up. The delivery may be on the queue or not.
    DeadlineExceeded,
    /// A defect of ours, caught.
    Panic,
}

impl Fault {
    /// The reason as logs and metrics name it.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::ConfigurationInvalid => "configuration-invalid",
            Self::NoActiveKey => "no-active-key",
            Self::SecretsUnavailable => "secrets-unavailable",
            Self::RequestUnreadable => "request-unreadable",
            Self::QueueUnavailable => "queue-unavailable",
            Self::DeadlineExceeded => "deadline-exceeded",
            Self::Panic => "panic",
        }
    }
}

impl fmt::Display for Fault {
    /// The same words for every kind: what is wrong on our side is nobody else's business.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the delivery could not be taken just now; send it again")
    }
}
