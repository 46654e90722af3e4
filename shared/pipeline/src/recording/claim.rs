//! Aliases and hints of events, claimed before the event is put.
//!
//! Each is claimed by a put of its own, because a transaction costs twice as much. What an event has claimed stays its own: an
//! attempt that was interrupted before the event was put finds its claim, and renews it.

use intake_providers::event::Event;
use intake_providers::identity::Alias;

use super::{Recorder, RecordingError, unexpected};
use crate::clock::Clock as _;
use crate::ledger::{AliasEntry, Condition, ConditionalPut, EVENT_SORT, Entry, EntryKey, LedgerReader as _};
use crate::platform::Platform;

const ALIAS_SORT: &str = "alias";
const HINT_SORT: &str = "hint";

/// Maximum number of attempts to claim an alias whose owner has no right to it.
const MAX_ROUNDS: usize = 8;

impl<P: Platform> Recorder<P> {
    /// Claims an event's signed alias, or returns the id of the event that owns it.
    pub(super) async fn claim_alias(
        &self,
        event: &Event,
        alias: Option<&Alias>,
    ) -> Result<Option<String>, RecordingError> {
        let Some(alias) = alias else { return Ok(None) };
        let key = EntryKey { partition: alias.name.partition_key(), sort: ALIAS_SORT.to_owned() };
        let own = event.identity.partition_key();
        let mut from = own.clone();
        for _ in 0..MAX_ROUNDS {
            let entry = Entry::Alias(self.claim(event, alias));
            let put = ConditionalPut { key: key.clone(), entry, condition: Condition::Claimable(from) };
            match self.put_one(put).await? {
                None => return Ok(None),
                // Another attempt at this event has taken the void claim, or this one has and lost the answer.
                Some(Entry::Alias(found)) if found.owner == own => return Ok(None),
                Some(Entry::Alias(found)) if self.is_void(&key, &found).await? => from = found.owner,
                Some(Entry::Alias(found)) => return Ok(Some(found.owner_id)),
                Some(_) => return Err(unexpected(&key)),
            }
        }
        Err(RecordingError::Unsettled)
    }

    /// Claims an event's unsigned hint, or returns the id of the event that owns it.
    pub(super) async fn claim_hint(
        &self,
        event: &Event,
        hint: Option<&Alias>,
    ) -> Result<Option<String>, RecordingError> {
        let Some(hint) = hint else { return Ok(None) };
        let key = EntryKey { partition: hint.name.partition_key(), sort: HINT_SORT.to_owned() };
        let entry = Entry::Hint(self.claim(event, hint));
        let condition = Condition::Claimable(event.identity.partition_key());
        match self.put_one(ConditionalPut { key: key.clone(), entry, condition }).await? {
            None => Ok(None),
            Some(Entry::Hint(found)) => Ok(Some(found.owner_id)),
            Some(_) => Err(unexpected(&key)),
        }
    }

    fn claim(&self, event: &Event, alias: &Alias) -> AliasEntry {
        AliasEntry {
            provider: event.provider,
            owner: event.identity.partition_key(),
            owner_id: event.cloud_event.id.clone(),
            expires_at: self.clock.now().plus(alias.lifetime).unix_seconds(),
        }
    }

    /// Whether an alias was claimed for content that turned out to be a conflict with its owner: the owner is recorded, and it is an
    /// event with another alias. While the owner is on its way, the claim holds.
    async fn is_void(&self, alias: &EntryKey, found: &AliasEntry) -> Result<bool, RecordingError> {
        let key = EntryKey { partition: found.owner.clone(), sort: EVENT_SORT.to_owned() };
        match self.ledger.find(&key).await? {
            None => Ok(false),
            Some(Entry::Event(owner)) => Ok(owner.alias.is_some_and(|of_owner| of_owner != alias.partition)),
            Some(_) => Err(unexpected(&key)),
        }
    }
}
