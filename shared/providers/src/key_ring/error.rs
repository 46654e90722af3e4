//! Why keys are not changed.

use super::key_id::KeyId;
use crate::account::AccountName;
use crate::active_keys::MAX_ACTIVE_KEYS;
use crate::oauth::authority::AuthorityError;

/// Why keys are not changed. Nothing in here repeats a key or a document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyRingError {
    /// A document that is not of its form.
    #[error("what is there cannot be read: {reason}; {remedy}")]
    Unreadable {
        /// What is wrong with it.
        reason: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A readable document that was to be replaced.
    #[error("what is there can be read; leave --replace out, and take keys out with `keys remove`")]
    NothingToReplace,
    /// A key that is not accepted, in the words of its scheme.
    #[error("{reason}")]
    Unfit {
        /// What is wrong and what to do.
        reason: String,
    },
    /// Nothing was given.
    #[error("nothing was given; pipe {what} into the command, or name a file with --file")]
    NothingGiven {
        /// What is expected.
        what: &'static str,
    },
    /// A text in quotation marks.
    #[error("{what} is in quotation marks, which would count as part of it; give it without them")]
    Quoted {
        /// What was given.
        what: &'static str,
    },
    /// Several lines.
    #[error("{what} is one line, and several were given; give it alone")]
    SeveralLines {
        /// What was given.
        what: &'static str,
    },
    /// Another encoding.
    #[error("{what} is not UTF-8 text; save the file as UTF-8 without more, which PowerShell's `>` does not do")]
    NotText {
        /// What was given.
        what: &'static str,
    },
    /// A whole document in place of a key.
    #[error("this is a whole document of keys; give one key at a time, which is {what} alone")]
    WholeDocument {
        /// What is expected.
        what: &'static str,
    },
    /// The key is there already.
    #[error("this key is there already: {key} of the account {account}")]
    AlreadyActive {
        /// Its fingerprint.
        key: String,
        /// The account.
        account: AccountName,
    },
    /// The only login is there already.
    #[error("there is a login already, {key}, and there can be one only; say --replace to put this one in its place")]
    LoginExists {
        /// Its fingerprint.
        key: String,
    },
    /// No more can be added.
    #[error("{found} keys are active, and at most {MAX_ACTIVE_KEYS} can be; take one out first with `keys remove`")]
    TooMany {
        /// How many there are.
        found: usize,
    },
    /// No key is called so.
    #[error("no key is called so; `keys list` shows those that are there")]
    Unknown,
    /// Several keys begin so.
    #[error("several keys begin so; say which one is meant: {}", in_words(candidates))]
    Ambiguous {
        /// Each of them.
        candidates: Vec<KeyId>,
    },
    /// Nothing would be left.
    #[error(
        "this is the last one, and without it nothing of {provider} is accepted; add another one first, or say --even-the-last"
    )]
    TheLast {
        /// The provider's name.
        provider: &'static str,
    },
    /// An option is needed, or not for this case.
    #[error("{option} {reason}")]
    Option {
        /// The option, as it is written.
        option: &'static str,
        /// What is wrong, as the sentence goes on.
        reason: String,
    },
    /// Keys of this provider count as soon as they are added.
    #[error("keys of this provider need no activation; they count once they are added")]
    NoActivation,
    /// There is no authority.
    #[error("there is no authority yet; `keys add sterling <CLIENT-ID>` makes one")]
    NoAuthority,
    /// Keys that verify the tokens of another authority.
    #[error(
        "the webhook's keys verify the tokens of another authority, which is not here; put its document back, or choose \
         another place"
    )]
    AnotherAuthority,
    /// A step of the authority that isn't possible, or not yet.
    #[error(transparent)]
    Step(#[from] AuthorityError),
    /// No secret could be made.
    #[error("the operating system gave no randomness; try again")]
    NoRandomness,
    /// A document could not be written as JSON.
    #[error("the document could not be written as json")]
    Json,
}

fn in_words(candidates: &[KeyId]) -> String {
    candidates.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
