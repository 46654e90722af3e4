//! Faults that are planted on purpose, each at a port and none in the code that ships: a harness that does not notice them is worth
//! nothing.

use strum::{EnumString, IntoStaticStr, VariantArray};

/// A planted fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, VariantArray, IntoStaticStr, EnumString)]
#[strum(serialize_all = "kebab-case")]
pub enum Plant {
    /// The queue says that it has a message before it has, and sometimes never gets it.
    AckBeforeSend,
    /// The answer is 200 although the queue refused the delivery.
    SuccessBeforeSend,
    /// The ledger ignores the condition that a key is unused.
    UnconditionalPut,
    /// The ledger ignores the version of an entity.
    LostEntityUpdate,
    /// The ledger puts the event without its entity when it is busy.
    HalfTransaction,
    /// The ledger loses the conflict that it says it has kept.
    ConflictDropped,
    /// An expired alias counts as live.
    AliasNeverExpires,
    /// Repeats are dropped.
    RepeatDropped,
    /// A message is deleted before its events are recorded.
    DeleteBeforeRecord,
    /// Failed records of a batch are deleted with the others.
    FailuresDeleted,
    /// A removed key stays in use.
    RemovedKeyCached,
    /// A removed client of the token endpoint stays known.
    RemovedClientCached,
    /// A secret is written to the log.
    SecretLogged,
    /// A process's clock stands still, so that nothing expires.
    StoppedClock,
    /// Two deliveries of one second get the same id.
    RepeatedIds,
    /// The queue loses a message that is not old enough to expire.
    MessageLost,
    /// The queue cuts white space off a body.
    TrimmedBody,
    /// The store for large bodies loses one.
    PayloadLost,
    /// The answer comes after the deadline.
    LateAnswer,
    /// Machnet is answered 503 where it is owed 409.
    WrongStatus,
    /// The broker's messages are acknowledged when they are received.
    AckOnReceipt,
    /// The stream goes on behind an event that was not published.
    PublishSkipped,
    /// Every event is published, duplicates and quarantined ones too.
    DuplicatesPublished,
}

impl Plant {
    /// Every planted fault.
    pub const ALL: &[Self] = Self::VARIANTS;

    /// The fault as the command line names it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}
