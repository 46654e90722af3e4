//! What a check found.

use serde::Serialize;
use strum::IntoStaticStr;

/// What to do about a part of a stack that was deleted by hand.
#[cfg(feature = "aws")]
pub const DELETED: &str = "docs/operations.md#a-part-that-was-deleted-by-hand says how it comes back";

/// A check, and what it found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at, such as `keys of machnet`.
    pub subject: String,
    /// Whether it is well.
    pub verdict: Verdict,
    /// What was found, as a sentence without its full stop.
    pub finding: String,
    /// What to do, if there is anything to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// Whether something is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, IntoStaticStr)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Verdict {
    /// It is well.
    Well,
    /// It may be meant so, and is worth a look.
    Notice,
    /// It is not well.
    Wrong,
    /// It could not be looked at.
    Unknown,
}

impl Verdict {
    /// Whether all is well as far as this says.
    #[must_use]
    pub const fn is_healthy(self) -> bool {
        matches!(self, Self::Well | Self::Notice)
    }
}

impl Check {
    /// It is well.
    #[must_use]
    pub fn well(subject: impl Into<String>, finding: impl Into<String>) -> Self {
        Self { subject: subject.into(), verdict: Verdict::Well, finding: finding.into(), remedy: None }
    }

    /// It may be meant so.
    #[must_use]
    pub fn notice(subject: impl Into<String>, finding: impl Into<String>) -> Self {
        Self { verdict: Verdict::Notice, ..Self::well(subject, finding) }
    }

    /// It is not well.
    #[must_use]
    pub fn wrong(subject: impl Into<String>, finding: impl Into<String>) -> Self {
        Self { verdict: Verdict::Wrong, ..Self::well(subject, finding) }
    }

    /// It could not be looked at.
    #[must_use]
    pub fn unknown(subject: impl Into<String>, error: &dyn std::error::Error) -> Self {
        Self { verdict: Verdict::Unknown, ..Self::well(subject, with_causes(error)) }
    }

    /// With what to do.
    #[must_use]
    pub fn remedy(self, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..self }
    }
}

/// An error and its causes, of which each is named once.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}
