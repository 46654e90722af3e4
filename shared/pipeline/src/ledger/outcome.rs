//! Outcomes of events.

use std::fmt;

use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};

/// Outcome of an event.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Outcome {
    /// New, and stored.
    Stored,
    /// The same event with the same content was recorded before; nothing more is stored.
    Duplicate,
    /// Stored, and marked as a repeat of the state that an earlier event reported.
    Repeat,
    /// The same event with other content was recorded before; this one is stored beside it.
    Conflict,
    /// Authentic, but not readable as an event; stored whole, with the reason.
    Quarantined,
}

impl Outcome {
    /// The outcome as logs and entries name it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Number of events by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeCounts {
    /// Events stored.
    pub stored: u32,
    /// Duplicates.
    pub duplicate: u32,
    /// Repeats.
    pub repeat: u32,
    /// Conflicts.
    pub conflict: u32,
    /// Events quarantined.
    pub quarantined: u32,
}

impl OutcomeCounts {
    /// Whether no event was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Counts one more event with this outcome.
    pub const fn add(&mut self, outcome: Outcome) {
        let count = match outcome {
            Outcome::Stored => &mut self.stored,
            Outcome::Duplicate => &mut self.duplicate,
            Outcome::Repeat => &mut self.repeat,
            Outcome::Conflict => &mut self.conflict,
            Outcome::Quarantined => &mut self.quarantined,
        };
        *count = count.saturating_add(1);
    }
}

impl fmt::Display for OutcomeCounts {
    /// Writes the outcomes that occurred, such as `stored=7,duplicate=2`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [self.stored, self.duplicate, self.repeat, self.conflict, self.quarantined];
        let mut separator = "";
        for (outcome, count) in Outcome::VARIANTS.iter().zip(counts).filter(|(_, count)| *count > 0) {
            write!(f, "{separator}{}={count}", outcome.as_str())?;
            separator = ",";
        }
        Ok(())
    }
}
