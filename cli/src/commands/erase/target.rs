//! What is to be erased.

use intake_pipeline::clock::{Clock as _, SystemClock};
use intake_pipeline::ledger::entity::EntityEntry;
use intake_pipeline::records::{EventFilter, EventWalk, RecordedEvent, Records, TimeRange};
use intake_providers::delivery::DeliveryId;
use intake_providers::nurturecloud::component::component_name;
use intake_providers::timestamp::Timestamp;

use super::Arguments;
use crate::commands::error::CommandError;
use crate::commands::unreadable::found;
use crate::commands::{deliveries, entities};
use crate::records::AnyRecords;
use crate::terminal::escape;

/// What is to be erased.
pub(super) enum Target {
    /// An entity.
    Entity(Box<EntityEntry>),
    /// Events.
    Events(Vec<RecordedEvent>),
    /// Everything before a time.
    Before(Timestamp),
}

impl Target {
    /// Finds what was named.
    pub(super) async fn find(records: &AnyRecords, arguments: &Arguments) -> Result<Self, CommandError> {
        if let Some([component, id]) = arguments.entity.as_deref() {
            let mut entities = found(records.entities().await?)?;
            let name = component_name(component);
            entities.retain(|found| {
                let found = &found.entity;
                let is = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| wanted == found);
                found.component == *name
                    && found.id == *id
                    && arguments.account.as_ref().is_none_or(|account| *account == found.account)
                    && is(&arguments.business, &found.business_id)
                    && is(&arguments.organisation, &found.organisation)
            });
            return Ok(Self::Entity(Box::new(entities::the_only(entities, component, id)?)));
        }
        if let Some(before) = arguments.before {
            return Ok(Self::Before(before));
        }
        let mut events = Vec::new();
        for id in &arguments.events {
            let named = named(records, arguments, id).await?;
            if named.is_empty() {
                return Err(unknown(records, id).await?);
            }
            events.extend(named);
        }
        Ok(Self::Events(events))
    }
}

/// The events that an id names: by their place, by their delivery, or by their own id.
async fn named(records: &AnyRecords, arguments: &Arguments, id: &str) -> Result<Vec<RecordedEvent>, CommandError> {
    if let Some(of_delivery) = of_delivery(id) {
        let mut events = found(records.events(&of_delivery).await?)?;
        events.extend(found(records.events(&EventFilter { released: true, ..of_delivery }).await?)?);
        events.retain(|event| arguments.provider.is_none_or(|wanted| provider_of(event) == Some(wanted)));
        if !events.is_empty() {
            return Ok(events);
        }
    }
    let received = TimeRange { since: arguments.since, until: None };
    let filter =
        EventFilter { provider: arguments.provider, id: Some(id.to_owned()), received, ..EventFilter::default() };
    let mut walk = EventWalk::new(records, filter, SystemClock.now());
    let mut events = Vec::new();
    while let Some(window) = walk.next().await? {
        events.extend(found(window.listing)?);
    }
    Ok(events)
}

fn provider_of(event: &RecordedEvent) -> Option<intake_providers::ProviderName> {
    use intake_pipeline::ledger::Entry;
    match &event.entry {
        Entry::Event(event) | Entry::Conflict(event) => Some(event.provider),
        Entry::Quarantine(quarantine) => Some(quarantine.provider),
        _ => None,
    }
}

fn of_delivery(id: &str) -> Option<EventFilter> {
    if let Some((delivery_id, index)) = DeliveryId::and_index_of(id) {
        return Some(EventFilter { index: Some(index), ..EventFilter::of_delivery(delivery_id) });
    }
    let delivery_id: DeliveryId = id.parse().ok()?;
    delivery_id.received_at().map(|_| EventFilter::of_delivery(delivery_id))
}

/// Why nothing is found.
async fn unknown(records: &AnyRecords, id: &str) -> Result<CommandError, CommandError> {
    if let Some(delivery_id) = of_delivery(id).and_then(|filter| filter.delivery_id)
        && let Some(record) = records.delivery(delivery_id).await?
    {
        return Ok(CommandError::NoEventOfDelivery { delivery_id, outcomes: deliveries::in_words(record.counts()) });
    }
    Ok(CommandError::UnknownEvent { id: escape(id).into_owned() })
}
