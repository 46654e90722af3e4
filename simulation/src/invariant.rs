//! What must hold in every run, whatever goes wrong.

use std::fmt;

use strum::IntoStaticStr;

/// What must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Invariant {
    /// No success is answered before the queue has the delivery.
    NoAcknowledgementBeforeDurability,
    /// What an intake calls accepted is in the queue, and what it calls rejected is not.
    IntakesKnowWhatIsAccepted,
    /// No message is acknowledged to the broker before our queue has it.
    NoBrokerAcknowledgementBeforeQueue,
    /// The broker drops no message because we returned it too often.
    NoMessageDroppedByTheBroker,
    /// Every event of an accepted delivery has one outcome, or its delivery is a dead letter.
    OneOutcomeForEachEvent,
    /// An outcome never changes.
    OutcomesDoNotChange,
    /// Stored, duplicate and conflict are where the model has them.
    OutcomesEqualTheModel,
    /// A repeat names a live event with the same state, and no state is stored twice.
    RepeatsHaveAReason,
    /// What is stored is what was sent.
    ContentsEqualTheModel,
    /// An entity is what its greatest arrivals say.
    EntitiesEqualTheModel,
    /// Every answer has the meaning that its provider is owed.
    AnswersFollowTheContract,
    /// Every answer is inside its deadline.
    AnswersAreInTime,
    /// Nothing that is not authentic is accepted.
    NothingForgedIsAccepted,
    /// A removed key is out once no cache may hold it.
    RemovedKeysAreOut,
    /// No secret is in a line of the log, in a message or in a record.
    NoSecretInTheLog,
    /// The bus has exactly the events that are stored, repeats and conflicts.
    PublishedEqualsRecorded,
    /// What is sent again changes nothing.
    ReplaysChangeNothing,
    /// After the last fault everything is processed within a bounded time.
    EverythingDrains,
    /// A resync asks for what is owed, and not faster than allowed.
    ResyncsOweNothing,
    /// The simulation itself works.
    TheSimulationWorks,
}

impl Invariant {
    /// The invariant as it is printed.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// An invariant that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which one.
    pub invariant: Invariant,
    /// What was found.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant.as_str(), self.text)
    }
}
