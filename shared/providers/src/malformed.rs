//! Why authentic content cannot be read as an event.

use bytes::Bytes;

/// Why authentic content cannot be read as an event. The content is quarantined with this reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not UTF-8.
    #[error("the content is not UTF-8 text")]
    NotUtf8,
    /// Not JSON; the text says where parsing stopped and quotes nothing.
    #[error("the content is not JSON: {0}")]
    NotJson(String),
    /// JSON nested so deeply that comparing it would let an attacker exhaust the stack or the time.
    #[error("the content is nested deeper than {limit} levels")]
    TooDeep {
        /// Maximum number of levels.
        limit: usize,
    },
    /// A JSON value other than an object.
    #[error("the content is not a JSON object")]
    NotAnObject,
    /// A name that is repeated in one object, so that parsers may disagree about its value.
    #[error("the member {name:?} comes more than once in one object")]
    RepeatedMember {
        /// The name; a long one is truncated and ends in `…`.
        name: String,
    },
    /// Two members that would each give the object another meaning.
    #[error("the members {first:?} and {second:?} are in one object, which could then be read in two ways")]
    AmbiguousMembers {
        /// The first name.
        first: &'static str,
        /// The second name.
        second: &'static str,
    },
    /// A required member is absent or null.
    #[error("the member {name:?} is missing")]
    MissingMember {
        /// Name of the member.
        name: &'static str,
    },
    /// A required member has another type, or is empty.
    #[error("the member {name:?} is not {expected}")]
    UnexpectedMember {
        /// Name of the member.
        name: &'static str,
        /// The expected type or form, as a noun phrase.
        expected: &'static str,
    },
    /// An id or name that is too long.
    #[error("the member {name:?} is longer than {limit_bytes} bytes")]
    TooLong {
        /// Name of the member.
        name: &'static str,
        /// Maximum length, in bytes.
        limit_bytes: usize,
    },
    /// Two ids that contradict each other.
    #[error("the members {first:?} and {second:?} hold different ids")]
    ContradictoryIds {
        /// The first name.
        first: &'static str,
        /// The second name.
        second: &'static str,
    },
    /// Content about something that the settings exclude.
    #[error("the member {name:?} is none that is configured; look at {setting} if it should be")]
    NotConfigured {
        /// Name of the member.
        name: &'static str,
        /// The setting that excludes it.
        setting: &'static str,
    },
    /// A delivery without events.
    #[error("the delivery holds no event")]
    NoEvents,
    /// An empty batch beside others that hold events.
    #[error("the batch holds no event")]
    EmptyBatch,
    /// A delivery with more events than the limit.
    #[error("the delivery holds more than {limit} events")]
    TooManyEvents {
        /// Maximum number of events in a delivery.
        limit: usize,
    },
    /// A delivery whose envelopes, repeated for each batch, would be too large.
    #[error("what encloses the batches of the delivery, kept with each, takes more than {limit_bytes} bytes")]
    EnvelopesTooLarge {
        /// Maximum size of all envelopes together, in bytes.
        limit_bytes: usize,
    },
}

/// An event that could not be read, with its own slice of the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MalformedEvent {
    /// Why it could not be read.
    pub reason: Malformed,
    /// The slice, byte for byte. It shares the body's memory.
    pub data: Bytes,
}
