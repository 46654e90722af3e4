//! Entities whose state is reported by events, for a provider whose events have no id of their own.

use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr};

use crate::account::AccountName;
use crate::identity::Identity;
use crate::registry::name::ProviderName;

/// Identifies an entity of an account at a provider. The same organisation, business and id under two accounts are two entities.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EntityReference {
    /// The account that its events belong to.
    pub account: AccountName,
    /// The kind of entity, such as `contact`.
    pub component: String,
    /// The organisation that it belongs to.
    pub organisation: String,
    /// The business within the organisation.
    pub business_id: String,
    /// The provider's id of the entity.
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

/// What an event reports about its entity. As a string it is the word of NurtureCloud's notifications, such as `Created`.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, EnumString, IntoStaticStr, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum EntityState {
    /// The entity was created, with this content.
    Created,
    /// The entity's content changed to this.
    Updated,
    /// The entity exists, with this content.
    Current,
    /// The entity was deleted.
    Deleted,
}

impl EntityState {
    /// The word that reports the state.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Whether the event carries the entity's content.
    #[must_use]
    pub const fn carries_content(self) -> bool {
        matches!(self, Self::Created | Self::Updated | Self::Current)
    }

    /// Whether the event says if the entity exists. An update does not: a late one must not bring a deleted entity back.
    #[must_use]
    pub const fn affects_existence(self) -> bool {
        matches!(self, Self::Created | Self::Current | Self::Deleted)
    }
}

/// The state of an entity as reported by one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntityUpdate {
    /// The entity that the event is about.
    pub entity: EntityReference,
    /// What the event reports.
    pub state: EntityState,
    /// The entity that it was merged into, for one that is deleted.
    pub merged_into: Option<EntityReference>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deletions_carry_no_content_and_updates_do_not_affect_existence() {
        let all = [EntityState::Created, EntityState::Updated, EntityState::Current, EntityState::Deleted];
        let reported = all.map(|state| (state.carries_content(), state.affects_existence()));
        assert_eq!(reported, [(true, true), (true, false), (true, true), (false, true)]);
    }
}
