//! What a seed draws before its run begins: the classes of faults that are on, how frequent each is, and how much is sent.
//!
//! Not every class is on in every run (swarm testing): a fault that is always there hides what only happens without it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use strum::{EnumString, IntoStaticStr, VariantArray};

use crate::random::Random;

/// A class of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, VariantArray, IntoStaticStr, EnumString)]
#[strum(serialize_all = "kebab-case")]
pub enum FaultClass {
    /// A call is refused before it takes effect.
    RefusedCalls,
    /// A call is throttled.
    ThrottledCalls,
    /// A call takes effect, and its answer is lost.
    LostAnswers,
    /// A call takes effect, its answer is lost, and the SDK calls again: the second attempt meets the first.
    RetriedCalls,
    /// A call fails for the caller and takes effect later, perhaps after the caller was killed.
    LateEffects,
    /// A call is answered after its budget of time is used up.
    HangingCalls,
    /// A call takes its time.
    SlowCalls,
    /// A service is away for some minutes.
    Outages,
    /// A process is killed at one of its calls.
    KillsAtCalls,
    /// A process is killed wherever it waits.
    KillsAnywhere,
    /// A process stands still in the middle of its work.
    Freezes,
    /// Processes are not reused.
    ColdStarts,
    /// The clocks of processes differ.
    ClockSkew,
    /// SQS hands over a message again, also after it was deleted.
    DuplicateMessages,
    /// SQS hands over a message again while it is worked on.
    EarlyVisibility,
    /// Some entries of a batch are refused.
    PartialBatches,
    /// A transaction meets another one until its budget is used up.
    TransactionConflicts,
    /// A read that may be stale is.
    StaleReads,
    /// DynamoDB removes expired items at once. Without it they stay for days.
    PromptTimeToLive,
    /// A secret's former version is read for some seconds.
    StaleSecrets,
    /// An operator writes a secret that cannot be read, and puts it right later.
    MalformedSecrets,
    /// Keys are rotated.
    Rotations,
    /// A request or an answer is lost between a provider and the API.
    LostRequests,
    /// The broker drops connections.
    BrokerDrops,
    /// A stranger replays what it captured, and forges.
    Strangers,
    /// Content that is authentic and cannot be read.
    MalformedContent,
    /// Two versions of the functions run side by side.
    MixedVersions,
    /// Hours or days go by without a request.
    LongPauses,
    /// Bodies that do not fit into a message, and deliveries of hundreds of events.
    LargeDeliveries,
    /// A process stands still in the middle of a request.
    FrozenRequests,
    /// The queue keeps messages for minutes only, so that some expire.
    ExpiringMessages,
    /// A client of the token endpoint is removed, and goes on.
    RemovedClients,
}

impl FaultClass {
    /// Every class.
    pub const ALL: &[Self] = Self::VARIANTS;

    /// Classes that came later than the seeds that are kept because they once failed. They are drawn from a generator of their own, so
    /// that a seed without them is what it was.
    pub const ADDED: &[Self] = &[Self::FrozenRequests, Self::ExpiringMessages, Self::RemovedClients];

    /// The class as the command line names it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// How often it may happen at most, in a thousand of the cases in which it can.
    const fn max_permille(self) -> u32 {
        match self {
            Self::RefusedCalls | Self::ThrottledCalls | Self::LostAnswers | Self::RetriedCalls => 80,
            Self::LateEffects | Self::HangingCalls => 25,
            Self::KillsAtCalls => 25,
            Self::SlowCalls | Self::KillsAnywhere | Self::Freezes | Self::FrozenRequests => 150,
            Self::ColdStarts | Self::DuplicateMessages | Self::EarlyVisibility | Self::PartialBatches => 400,
            Self::TransactionConflicts | Self::StaleReads | Self::LostRequests | Self::BrokerDrops => 200,
            Self::StaleSecrets | Self::MalformedContent => 300,
            Self::Outages
            | Self::ClockSkew
            | Self::PromptTimeToLive
            | Self::MalformedSecrets
            | Self::Rotations
            | Self::Strangers
            | Self::MixedVersions
            | Self::LongPauses
            | Self::ExpiringMessages
            | Self::RemovedClients => 1_000,
            Self::LargeDeliveries => 250,
        }
    }

    /// In how many of a thousand seeds it is on.
    const fn seeds_permille(self) -> u32 {
        match self {
            Self::LargeDeliveries => 40,
            Self::LongPauses | Self::ExpiringMessages => 250,
            _ => 500,
        }
    }
}

/// What a seed draws before its run begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swarm {
    /// How often a fault of each class happens, in a thousand of the cases in which it can. A class that is off is missing.
    pub(crate) permille: BTreeMap<FaultClass, u32>,
    /// Number of events that each sender has to send.
    pub(crate) events: u64,
    /// How long events are sent, and faults happen.
    pub(crate) window: Duration,
    /// How long Machnet's states are remembered.
    pub(crate) repeat_window: Duration,
    /// Lifetime of Sterling's tokens.
    pub(crate) token_lifetime: Duration,
    /// Number of processors at once.
    pub(crate) processors: u64,
    /// Number of receives after which a message is a dead letter.
    pub(crate) max_receives: u32,
    /// How long the queue keeps a message if messages expire.
    short_retention: Duration,
}

/// The queue's `MessageRetentionPeriod`.
const RETENTION: Duration = Duration::from_secs(4 * 24 * 60 * 60);

impl Swarm {
    /// Draws from the seed. The classes that were added are drawn from `of_added`.
    pub(crate) fn draw(random: &Random, of_added: &Random) -> Self {
        let is_calm = random.permille(40);
        let mut permille = BTreeMap::new();
        for class in FaultClass::ALL {
            let random = if FaultClass::ADDED.contains(class) { of_added } else { random };
            // Drawn whether the class is on or not, so that a seed stays what it is when a class changes.
            let is_on = random.permille(class.seeds_permille());
            let chance = random.between(1..=u64::from(class.max_permille()));
            if is_on && !is_calm {
                permille.insert(*class, u32::try_from(chance).unwrap_or(1_000));
            }
        }
        let pick = |choices: &[u64]| random.pick(choices).copied().unwrap_or_default();
        Self {
            permille,
            events: random.between(1..=7),
            window: Duration::from_secs(60 * random.between(4..=20)),
            repeat_window: Duration::from_secs(pick(&[90, 600, 12 * 60 * 60])),
            token_lifetime: Duration::from_secs(pick(&[180, 900, 2 * 60 * 60])),
            processors: random.between(1..=3),
            max_receives: u32::try_from(pick(&[3, 6, 25])).unwrap_or(25),
            short_retention: Duration::from_secs(of_added.between(200..=900)),
        }
    }

    /// How long the queue keeps a message.
    pub(crate) fn retention(&self) -> Duration {
        if self.has(FaultClass::ExpiringMessages) { self.short_retention } else { RETENTION }
    }

    /// How often a fault of a class happens, in a thousand of the cases in which it can.
    pub(crate) fn chance(&self, class: FaultClass) -> u32 {
        self.permille.get(&class).copied().unwrap_or(0)
    }

    /// Whether a class is on at all.
    pub(crate) fn has(&self, class: FaultClass) -> bool {
        self.permille.contains_key(&class)
    }

    /// The classes that are on.
    #[must_use]
    pub fn classes(&self) -> Vec<FaultClass> {
        self.permille.keys().copied().collect()
    }

    /// Switches a class off.
    pub(crate) fn remove(&mut self, class: FaultClass) {
        self.permille.remove(&class);
    }
}

impl fmt::Display for Swarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} events a sender in {} min, {} processors, dead after {} receives, states remembered {} s, tokens {} s",
            self.events,
            self.window.as_secs() / 60,
            self.processors,
            self.max_receives,
            self.repeat_window.as_secs(),
            self.token_lifetime.as_secs()
        )?;
        if self.has(FaultClass::ExpiringMessages) {
            write!(f, ", messages kept {} s", self.short_retention.as_secs())?;
        }
        write!(f, "; faults in a thousand:")?;
        if self.permille.is_empty() {
            write!(f, " none")?;
        }
        for (class, chance) in &self.permille {
            write!(f, " {}={chance}", class.as_str())?;
        }
        Ok(())
    }
}
