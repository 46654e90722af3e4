//! The entities and their histories on DynamoDB.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use intake_pipeline::ledger::entity::{ENTITY_SORT, EntityEntry};
use intake_pipeline::ledger::{Entry, EntryKey, EventEntry};
use intake_pipeline::port_error::PortError;
use intake_pipeline::records::Listing;

use super::items::{self, Item};
use crate::port_error::port_error;

const SCAN: &str = "dynamodb Scan";
const QUERY: &str = "dynamodb Query";

/// In how many parts the table is read side by side.
const SEGMENTS: i32 = 8;

/// All entities of the table, ordered by component and id. The whole table is read.
pub(super) async fn all(client: &Client, table: &str) -> Result<Listing<EntityEntry>, PortError> {
    let segments = (0..SEGMENTS).map(|segment| async move {
        let scan = client.scan().table_name(table).total_segments(SEGMENTS).segment(segment);
        let mut pages = scan.into_paginator().send();
        let mut items = Vec::new();
        while let Some(page) = pages.next().await {
            items.extend(page.map_err(|error| port_error(SCAN, &error))?.items.unwrap_or_default());
        }
        Ok::<_, PortError>(items)
    });
    let segments: Vec<_> = segments.collect();
    let parts: Vec<Vec<Item>> = stream::iter(segments).buffer_unordered(SEGMENTS as usize).try_collect().await?;
    let mut listing = Listing::default();
    for item in parts.into_iter().flatten() {
        // The table holds the resync's resume point as well.
        let Some(key) = items::key(&item).filter(|key| key.sort == ENTITY_SORT) else { continue };
        match serde_dynamo::from_item(item) {
            Ok(Entry::Entity(entity)) => listing.found.push(*entity),
            Ok(_) | Err(_) => listing.unreadable.push(key),
        }
    }
    listing.found.sort_by(|one, other| one.entity.cmp(&other.entity));
    Ok(listing)
}

/// The events of an entity, in the order of arrival.
pub(super) async fn history(
    client: &Client,
    events_table: &str,
    entity: &EntryKey,
) -> Result<Listing<EventEntry>, PortError> {
    let mut pages = client
        .query()
        .table_name(events_table)
        .key_condition_expression("pk = :entity AND begins_with(sk, :event)")
        .expression_attribute_values(":entity", AttributeValue::S(entity.partition.clone()))
        .expression_attribute_values(":event", AttributeValue::S("event#".to_owned()))
        .into_paginator()
        .send();
    let mut listing = Listing::default();
    while let Some(page) = pages.next().await {
        for item in page.map_err(|error| port_error(QUERY, &error))?.items.unwrap_or_default() {
            let Some(key) = items::key(&item) else { continue };
            match serde_dynamo::from_item(item) {
                Ok(Entry::Event(event)) => listing.found.push(*event),
                Ok(_) | Err(_) => listing.unreadable.push(key),
            }
        }
    }
    Ok(listing)
}
