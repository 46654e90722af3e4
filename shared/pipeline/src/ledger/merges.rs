//! Entities that were merged into others.

use intake_providers::ProviderName;
use intake_providers::entity::EntityReference;

use super::entity::{EntityEntry, Visibility, entity_key};
use super::port::LedgerReader;
use crate::port_error::PortError;

/// Maximum number of merges that are followed. A longer chain is reported.
pub const MAX_MERGES: usize = 32;

/// Where following merges led.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Followed {
    /// The entities on the way, the first one included, and the one that it ends with.
    pub path: Vec<EntityReference>,
    /// How it ended.
    pub end: MergeEnd,
}

/// How following merges ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MergeEnd {
    /// At an entity that is not merged, whether it exists or not.
    At(Box<EntityEntry>),
    /// At an entity of which nothing is known.
    Unknown,
    /// At an entity that is on the way already.
    Cycle,
    /// Nowhere within [`MAX_MERGES`] merges.
    TooLong,
}

/// Follows the merges from an entity to the one that it ended up in.
///
/// # Errors
/// When the ledger does not answer.
pub async fn follow_merges(
    ledger: &impl LedgerReader,
    provider: ProviderName,
    from: EntityReference,
) -> Result<Followed, PortError> {
    let mut path = vec![from.clone()];
    let mut at = from;
    for _ in 0..=MAX_MERGES {
        let Some(entity) = ledger.entity(&entity_key(provider, &at)).await? else {
            return Ok(Followed { path, end: MergeEnd::Unknown });
        };
        let Visibility::Absent(Some(next)) = entity.visibility() else {
            return Ok(Followed { path, end: MergeEnd::At(Box::new(entity)) });
        };
        let is_known = path.contains(next);
        at = next.clone();
        path.push(at.clone());
        if is_known {
            return Ok(Followed { path, end: MergeEnd::Cycle });
        }
    }
    Ok(Followed { path, end: MergeEnd::TooLong })
}

#[cfg(test)]
mod tests;
