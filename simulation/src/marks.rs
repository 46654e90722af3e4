//! The interleavings that a simulation is for. A batch of seeds in which one of them never happened proves nothing about it.

use std::collections::BTreeMap;

use strum::{IntoStaticStr, VariantArray};

use crate::guarded::Guarded;

/// Something that must have happened in some seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, VariantArray, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Mark {
    /// A call took effect, its answer was lost, and a second attempt met the first.
    LostAnswerThenRetry,
    /// A write met an entry that an earlier attempt of the same event had made.
    MetItsOwnEntry,
    /// A call took effect after its caller had given it up.
    LateEffect,
    /// A call took effect after its caller had been killed.
    EffectAfterDeath,
    /// Two processors worked on one message at once.
    VisibilityOverlap,
    /// A message came again after it had been deleted.
    DuplicateAfterDelete,
    /// A message became a dead letter.
    DeadLettered,
    /// A dead letter was put back.
    Redriven,
    /// A message expired in the queue before its delivery was processed.
    MessageExpired,
    /// A message expired in the queue, and some of its delivery had been recorded.
    ExpiredHalfRecorded,
    /// Some messages of a batch were refused.
    PartialBatch,
    /// A batch of messages was accepted and its answer lost.
    BatchAnswerLost,
    /// A key was added while requests were in flight.
    RotationInFlight,
    /// A request under a removed key was refused.
    RemovedKeyRefused,
    /// A client that was removed was refused with a token of its own.
    RemovedClientRefused,
    /// A client that was removed got no more token.
    RemovedClientGotNoToken,
    /// A function met a secret that cannot be read.
    MalformedSecretRead,
    /// A function worked with cached keys while the secret could not be read.
    CachedKeysInOutage,
    /// An alias had expired when it was claimed again.
    AliasExpired,
    /// An expired item was still there.
    ExpiredItemFound,
    /// A processor was killed after a large body or event had been stored.
    KilledAfterPayload,
    /// A processor was killed after an alias had been claimed, and before its event was put.
    KilledAfterAlias,
    /// A processor was killed after a hint had been claimed.
    KilledAfterHint,
    /// A processor was killed after an event had been put.
    KilledAfterEvent,
    /// A processor was killed after an event and its entity had been put.
    KilledAfterEntity,
    /// A processor was killed after content had been quarantined.
    KilledAfterQuarantine,
    /// A processor was killed after the record of a delivery had been put, and before its message was deleted.
    KilledAfterRecord,
    /// An intake was killed after the queue had the delivery, and before the answer.
    KilledAfterSend,
    /// A drain was killed after our queue had a message, and before it was acknowledged.
    KilledAfterDrainSend,
    /// A process stood still in the middle of its work.
    FrozenDuringWork,
    /// A process stood still in the middle of a request.
    FrozenDuringRequest,
    /// A process had stood still in the middle of a request, and its answer came when nobody waited for it any more.
    AnsweredTooLate,
    /// A process was reused.
    WarmStart,
    /// A processor met a message of a newer version.
    NewerMessageMet,
    /// A token expired, and the sender got a new one.
    TokenExpired,
    /// Hours went by, and a process went on with what it had cached.
    TimeJump,
    /// A table or its index throttled a write.
    ThrottledWrite,
    /// A transaction met another one until its budget was used up.
    TransactionConflict,
    /// A read missed what had just been written.
    StaleRead,
    /// A stranger's replay of a captured request was accepted, and was a duplicate.
    ReplayedCapture,
    /// A forged request was refused.
    ForgeryRefused,
    /// A batch was sent again, cut differently.
    RecutBatch,
    /// A provider's request or answer was lost on the way.
    LostOnTheWay,
    /// The delivery was accepted, its sender did not hear of it, and sent it again.
    AcceptedTwice,
    /// The same event came with other content.
    Conflict,
    /// The same state came under another id.
    Repeat,
    /// Content could not be read.
    Quarantined,
    /// Content that one version could not read was released, and another version read it.
    ReleasedAndRead,
    /// An entity was merged into another one.
    EntityMerged,
    /// An entity was deleted, and exists again.
    EntityRevived,
    /// A body did not fit into its message.
    Offloaded,
    /// The progress of a long delivery was saved, for another receive to go on from there.
    LongDeliveryResumed,
    /// A delivery had to do without its record.
    RecordGivenUp,
    /// The broker dropped the connection before an acknowledgement reached it.
    BrokerDroppedBeforeAck,
    /// The broker dropped the connection after an acknowledgement had reached it.
    BrokerDroppedAfterAck,
    /// Another consumer had the queue.
    ExclusiveConsumerRefused,
    /// A run found the lease taken.
    LeaseTaken,
    /// A run left a pause.
    DrainPaused,
    /// Our queue accepted a refused message as the proof that it works again.
    ProofAccepted,
    /// The bus received an event twice.
    PublishedTwice,
    /// The publisher was killed in the middle of a batch.
    PublisherKilled,
    /// The publisher could not read an object, and read it later in the same invocation.
    PublisherWaitedForObject,
    /// The bus refused some entries of a call.
    PartialPublish,
    /// A resync was cut off, and the next run went on.
    ResyncContinued,
    /// A resync found that another run had begun.
    ResyncTakenOver,
}

impl Mark {
    /// Every mark.
    pub const ALL: &[Self] = Self::VARIANTS;

    /// The mark as it is printed.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// How often each mark was seen.
#[derive(Debug, Default)]
pub(crate) struct Marks(Guarded<BTreeMap<Mark, u64>>);

impl Marks {
    pub(crate) fn see(&self, mark: Mark) {
        *self.0.get().entry(mark).or_default() += 1;
    }

    pub(crate) fn counts(&self) -> BTreeMap<Mark, u64> {
        self.0.get().clone()
    }
}
