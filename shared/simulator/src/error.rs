//! Why a provider could not be imitated.

use std::path::PathBuf;

use intake_providers::ProviderName;
use intake_providers::json_place::JsonPlace;

/// Why a provider could not be imitated. Nothing in here repeats a key.
#[derive(Debug, thiserror::Error)]
pub enum SimulatorError {
    /// The keys that are there are real ones: nothing here can sign for them.
    #[error(
        "{} holds keys, and there is no {} to sign test deliveries with; choose another --data-directory",
        keys.display(),
        private_key.display()
    )]
    NotForTests {
        /// The active keys.
        keys: PathBuf,
        /// The private key that is missing.
        private_key: PathBuf,
    },
    /// A key file that is needed is missing.
    #[error("there is no {what} at {}; {advice}", path.display())]
    Missing {
        /// What the file holds, such as `key to sign with`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What to do.
        advice: &'static str,
    },
    /// A key that cannot be used. The text says what it should be.
    #[error("{0}")]
    UnusableKey(&'static str),
    /// Options of `send` that do not fit together. The text says what to do.
    #[error("{0}")]
    Usage(&'static str),
    /// A document that the commands write and that is not what they wrote. serde's own words are not passed on, for they quote
    /// what they read.
    #[error(
        "{} is not {what} ({stopped_at}); put back the text that the commands have written",
        path.display()
    )]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What it should be.
        what: &'static str,
        /// Where reading stopped.
        stopped_at: JsonPlace,
    },
    /// A key file to which no test key can be added.
    #[error("{} takes no test key: {reason}", path.display())]
    NoRoom {
        /// The file.
        path: PathBuf,
        /// Why, and what to do.
        reason: &'static str,
    },
    /// The secret that verifies and the key that signs are not of one pair.
    #[error("the secret and the signing key of {0} do not belong together")]
    Mismatched(ProviderName),
    /// No randomness.
    #[error("the operating system gave no randomness for a test key; try again")]
    NoRandomness,
    /// A key could not be made, read or used.
    #[error("{what}")]
    Failed {
        /// What could not be done.
        what: &'static str,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl SimulatorError {
    /// For `map_err`: what could not be done, with the cause.
    pub(crate) fn failed<E: Into<Box<dyn std::error::Error + Send + Sync>>>(what: &'static str) -> impl Fn(E) -> Self {
        move |source| Self::Failed { what, source: source.into() }
    }
}
