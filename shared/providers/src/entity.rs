//! Things whose state events tell, for a provider whose events have no identity of their own.

use serde::{Deserialize, Serialize};

use crate::account::AccountName;
use crate::identity::Identity;
use crate::registry::name::ProviderName;

/// Which thing of an account at a provider. The same organisation, business and id under two accounts are two entities.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EntityReference {
    /// The account that its events belong to.
    pub account: AccountName,
    /// What it is, such as `contact`.
    pub component: String,
    /// The organisation that it belongs to.
    pub organisation: String,
    /// The business within the organisation.
    pub business_id: String,
    /// Its own id.
    pub id: String,
}

impl EntityReference {
    /// The identity of the entity, which all its events share.
    #[must_use]
    pub fn identity(&self, provider: ProviderName) -> Identity {
        let parts = ["entity", &self.component, &self.organisation, &self.business_id, &self.id];
        Identity::new(provider, &self.account, parts.map(str::as_bytes))
    }
}

/// What an event says of its entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntityState {
    /// It came to be, with this content.
    Created,
    /// It has this content now.
    Updated,
    /// It is there, with this content.
    Current,
    /// It is gone.
    Deleted,
}

impl EntityState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Created, Self::Updated, Self::Current, Self::Deleted];

    /// Whether it tells the entity's content.
    #[must_use]
    pub const fn tells_content(self) -> bool {
        matches!(self, Self::Created | Self::Updated | Self::Current)
    }

    /// Whether it tells if the entity is there. An update doesn't: one that comes late must not bring a deleted entity back.
    #[must_use]
    pub const fn tells_existence(self) -> bool {
        matches!(self, Self::Created | Self::Current | Self::Deleted)
    }
}

/// The state of an entity, as one event tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntityUpdate {
    /// Which entity.
    pub entity: EntityReference,
    /// What happened to it.
    pub state: EntityState,
    /// The entity that it was merged into, for one that is deleted.
    pub merged_into: Option<EntityReference>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_deletion_tells_no_content_and_only_an_update_tells_nothing_of_life() {
        let tells = EntityState::ALL.map(|state| (state.tells_content(), state.tells_existence()));
        assert_eq!(tells, [(true, true), (true, false), (true, true), (false, true)]);
    }
}
