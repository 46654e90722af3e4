//! What must hold whatever happens, stated about the ledger and not about how it is written.

use intake_providers::event::EventIndex;
use intake_providers::timestamp::Timestamp;

use super::known::Known;
use super::process::{Message, Put};
use super::store::Entries;
use crate::ledger::entity::{EntityEntry, Visibility};
use crate::ledger::{EVENT_SORT, Entry, EntryKey, EventData, EventEntry, Occurrence, Outcome};

/// A promise of the ledger, which a state has broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Broken {
    OneEventOfAnIdentity,
    ContentAsDelivered,
    OutcomeIsKept,
    OutcomeNeverChanges,
    ClaimHolds,
    RepeatNamesAClaimant,
    OneStoredOfAState,
    EntityIsTheLastArrivals,
    FailsOnlyByAFault,
}

/// The message whose event has claimed its alias by this entry.
pub(super) fn claimant(messages: &[Message], key: &EntryKey, entry: &Entry) -> Option<usize> {
    let Entry::Alias(claim) = entry else { return None };
    messages.iter().position(|message| {
        message.event.cloud_event.id == claim.owner_id && message.alias.as_ref() == Some(&key.partition)
    })
}

/// Checks what is about to be put, on the ledger as it was before. `claimed` says which messages' events have claimed their alias.
pub(super) fn check_put(
    messages: &[Message],
    before: &Entries,
    now: Timestamp,
    put: &Put,
    claimed: &[bool],
) -> Result<(), Broken> {
    let existing = before.get(&put.key).map(|existing| &**existing);
    match (&*put.entry, existing) {
        (Entry::Event(_) | Entry::Conflict(_), Some(_)) => Err(Broken::OneEventOfAnIdentity),
        (Entry::Event(event) | Entry::Conflict(event), None) => {
            let is_delivered = messages.iter().any(|message| {
                let data = std::str::from_utf8(&message.event.data).unwrap();
                let holds = match &event.data {
                    EventData::Inline { data: kept } => kept == data,
                    EventData::Elsewhere { same_data_as } => holds_the_same(before, same_data_as, event),
                    EventData::Payload { .. } | EventData::Erased { .. } => false,
                };
                event.occurrence.delivery_id == message.delivery.id && event.digest == message.event.digest && holds
            });
            if !is_delivered {
                return Err(Broken::ContentAsDelivered);
            }
            check_alias(messages, event, claimed)
        }
        (Entry::Alias(claim), Some(Entry::Alias(holder))) => {
            let owner = EntryKey { partition: holder.owner.clone(), sort: EVENT_SORT.to_owned() };
            let is_void = match before.get(&Known::of(owner)).map(|owner| &**owner) {
                Some(Entry::Event(owner)) => owner.alias.as_ref() != Some(&put.key.partition),
                _ => false,
            };
            let may_pass = holder.owner == claim.owner || holder.expires_at <= now.unix_seconds() || is_void;
            if may_pass { Ok(()) } else { Err(Broken::ClaimHolds) }
        }
        _ => Ok(()),
    }
}

/// Whether the event that is said to hold the same data is there with the same content.
fn holds_the_same(before: &Entries, id: &str, event: &EventEntry) -> bool {
    before.values().any(|entry| match &**entry {
        Entry::Event(known) => known.cloud_event.id == id && known.digest == event.digest,
        _ => false,
    })
}

/// An event is stored once it has claimed its alias, and repeats one that has.
fn check_alias(messages: &[Message], event: &EventEntry, claimed: &[bool]) -> Result<(), Broken> {
    let Some(alias) = &event.alias else { return Ok(()) };
    let owner = event.repeat_of.as_ref().unwrap_or(&event.cloud_event.id);
    let has_claimed = messages.iter().zip(claimed).any(|(message, claimed)| {
        *claimed && message.event.cloud_event.id == *owner && message.alias.as_ref() == Some(alias)
    });
    let names_itself = event.repeat_of.as_ref() == Some(&event.cloud_event.id);
    let is_marked = event.repeat_of.is_some() == (event.outcome == Outcome::Repeat);
    if has_claimed && is_marked && !names_itself { Ok(()) } else { Err(Broken::RepeatNamesAClaimant) }
}

/// Checks the whole ledger. While no time has passed, no claim has expired.
pub(super) fn check_entries(entries: &Entries, has_waited: bool) -> Result<(), Broken> {
    if !has_waited {
        let stored = entries.values().filter_map(|entry| match &**entry {
            Entry::Event(event) if event.outcome == Outcome::Stored => event.alias.as_ref(),
            _ => None,
        });
        let mut stored: Vec<_> = stored.collect();
        stored.sort();
        if stored.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(Broken::OneStoredOfAState);
        }
    }
    for (key, entry) in entries {
        if let Entry::Entity(entity) = &**entry
            && !is_of_the_last_arrivals(entries, key, entity)
        {
            return Err(Broken::EntityIsTheLastArrivals);
        }
    }
    Ok(())
}

/// Whether an entity has applied all its events, and is what the last of them to arrive said.
fn is_of_the_last_arrivals(entries: &Entries, key: &EntryKey, entity: &EntityEntry) -> bool {
    let events = entries.iter().filter(|(event_key, _)| event_key.partition == key.partition);
    let mut events: Vec<&EventEntry> = events
        .filter_map(|(_, entry)| match &**entry {
            Entry::Event(event) => Some(&**event),
            _ => None,
        })
        .collect();
    events.sort_by_key(|event| (event.received_at, event.occurrence));
    let state = |event: &EventEntry| event.entity.as_ref().unwrap().state;
    let content = events.iter().rev().find(|event| state(event).carries_content());
    let existence = events.iter().rev().find(|event| state(event).affects_existence());
    let is_absent = existence.is_some_and(|event| !state(event).carries_content());
    let kept = |event: &EventEntry| (event.occurrence.delivery_id, event.digest, state(event));
    entity.version == events.len() as u64
        && entity.content.as_ref().map(|content| (content.arrival.delivery_id, content.digest, content.state))
            == content.map(|event| kept(event))
        && entity.existence.as_ref().map(|existence| (existence.arrival.delivery_id, existence.digest, existence.state))
            == existence.map(|event| kept(event))
        && entity.deleted == is_absent
        && matches!(entity.visibility(), Visibility::Absent(_)) == is_absent
}

/// What became of a message's event, read off the ledger.
pub(super) fn outcome_of(entries: &Entries, message: &Message) -> Option<Outcome> {
    let occurrence = Occurrence { delivery_id: message.delivery.id, index: EventIndex(0) };
    let of_identity =
        || entries.iter().filter(|(key, _)| key.partition == message.partition).map(|(_, entry)| &**entry);
    let own = of_identity().find_map(|entry| match entry {
        Entry::Event(event) | Entry::Conflict(event) if event.occurrence == occurrence => Some(event.outcome),
        _ => None,
    });
    let same = of_identity().any(|entry| match entry {
        Entry::Event(event) | Entry::Conflict(event) => event.digest == message.event.digest,
        _ => false,
    });
    let first = of_identity().find_map(|entry| match entry {
        Entry::Event(event) => Some(event),
        _ => None,
    });
    // A conflict is exactly what has another content than the first.
    let is_conflict = first.is_some_and(|first| first.digest != message.event.digest);
    match own {
        Some(Outcome::Conflict) => is_conflict.then_some(Outcome::Conflict),
        Some(outcome) => Some(outcome),
        None => same.then_some(Outcome::Duplicate),
    }
}
