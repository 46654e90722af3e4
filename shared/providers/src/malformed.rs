//! Why authentic content is not an event.

use bytes::Bytes;

/// Why authentic content cannot be an event. It is kept in quarantine with this reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// No UTF-8.
    #[error("the content is not UTF-8 text")]
    NotUtf8,
    /// No JSON.
    #[error("the content is not JSON: {0}")]
    NotJson(String),
    /// JSON nested so deep that comparing it would be work for an attacker to order.
    #[error("the content is nested deeper than {limit} levels")]
    TooDeep {
        /// The deepest that is read.
        limit: usize,
    },
    /// A JSON value other than an object.
    #[error("the content is not a JSON object")]
    NotAnObject,
    /// A name that comes twice in one object, so that readers may disagree about its value.
    #[error("the member {name:?} comes more than once in one object")]
    RepeatedMember {
        /// The name; of a long one, the beginning and `…`.
        name: String,
    },
    /// Two members that each make the object another thing.
    #[error("the members {first:?} and {second:?} are in one object, which could then be read in two ways")]
    AmbiguousMembers {
        /// The one name.
        first: &'static str,
        /// The other name.
        second: &'static str,
    },
    /// A required member that is not there, or is null.
    #[error("the member {name:?} is missing")]
    MissingMember {
        /// The name.
        name: &'static str,
    },
    /// A required member of another type, or empty.
    #[error("the member {name:?} is not {expected}")]
    UnexpectedMember {
        /// The name.
        name: &'static str,
        /// What it should be, as a noun phrase.
        expected: &'static str,
    },
    /// A text that is too long to be an id or a name.
    #[error("the member {name:?} is longer than {limit_bytes} bytes")]
    TooLong {
        /// The name.
        name: &'static str,
        /// The most that is taken, in bytes.
        limit_bytes: usize,
    },
    /// Two ids that contradict each other.
    #[error("the members {first:?} and {second:?} hold different ids")]
    ContradictoryIds {
        /// The one name.
        first: &'static str,
        /// The other name.
        second: &'static str,
    },
    /// Content about something that the settings leave out.
    #[error("the member {name:?} is none that is configured; look at {setting} if it should be")]
    NotConfigured {
        /// The name.
        name: &'static str,
        /// The setting that decides.
        setting: &'static str,
    },
    /// A delivery that holds nothing.
    #[error("the delivery holds no event")]
    NoEvents,
    /// A batch that holds nothing, beside others.
    #[error("the batch holds no event")]
    EmptyBatch,
    /// A delivery with more events than are recorded of one.
    #[error("the delivery holds more than {limit} events")]
    TooManyEvents {
        /// The most that are recorded.
        limit: usize,
    },
    /// A delivery whose batches would each repeat so much of what encloses them.
    #[error("what encloses the batches of the delivery, kept with each, takes more than {limit_bytes} bytes")]
    EnvelopesTooLarge {
        /// The most that is kept, in bytes.
        limit_bytes: usize,
    },
}

/// An event of a delivery that could not be read, with its own slice of the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MalformedEvent {
    /// Why.
    pub reason: Malformed,
    /// The slice, to the byte. It shares the body's memory.
    pub data: Bytes,
}
