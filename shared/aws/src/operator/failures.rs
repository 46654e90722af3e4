//! Why records failed, as the functions' log says.

use std::collections::BTreeMap;

use aws_sdk_cloudwatchlogs::Client;
use intake_pipeline::dead_letters::Failure;
use intake_pipeline::port_error::PortError;
use intake_providers::timestamp::Timestamp;
use serde::Deserialize;

use super::stack::Stack;
use super::stack_error::StackError;
use crate::port_error::port_error;

const FILTER_LOG_EVENTS: &str = "logs FilterLogEvents";

/// Number of messages in one search. A pattern may have 1,024 characters.
const MESSAGES_PER_SEARCH: usize = 10;

/// Maximum number of pages that one search reads. A page without a match still takes time to search.
const MAX_PAGES_PER_SEARCH: usize = 100;

/// The lines `record failed` in the functions' log group.
#[derive(Debug)]
pub(super) struct FailureLog {
    client: Client,
    log_group: String,
}

/// The fields of such a line.
#[derive(Deserialize)]
struct Line {
    message: String,
    message_id: String,
    error: String,
}

impl FailureLog {
    pub(super) fn new(stack: &Stack) -> Result<Self, StackError> {
        Ok(Self { client: Client::new(stack.config()), log_group: stack.resource("FunctionLogs")?.to_owned() })
    }

    #[cfg(test)]
    pub(super) fn of(client: Client) -> Self {
        Self { client, log_group: "functions".to_owned() }
    }

    /// The latest failure of each of these messages that the log has since then, by message.
    pub(super) async fn find(
        &self,
        message_ids: &[&str],
        since: Option<Timestamp>,
    ) -> Result<BTreeMap<String, Failure>, PortError> {
        let mut failures: BTreeMap<String, Failure> = BTreeMap::new();
        for message_ids in message_ids.chunks(MESSAGES_PER_SEARCH) {
            let mut pages = self
                .client
                .filter_log_events()
                .log_group_name(&self.log_group)
                .set_start_time(since.map(Timestamp::unix_milliseconds))
                .filter_pattern(pattern(message_ids))
                .into_paginator()
                .send();
            for _ in 0..MAX_PAGES_PER_SEARCH {
                let Some(page) = pages.next().await else { break };
                let page = page.map_err(|error| port_error(FILTER_LOG_EVENTS, &error))?;
                for event in page.events() {
                    let Some((message_id, failure)) = event.message().and_then(|text| failure(text, event.timestamp()))
                    else {
                        continue;
                    };
                    let is_wanted = message_ids.contains(&message_id.as_str());
                    let is_latest = failures.get(&message_id).is_none_or(|known| known.at <= failure.at);
                    if is_wanted && is_latest {
                        failures.insert(message_id, failure);
                    }
                }
            }
        }
        Ok(failures)
    }
}

fn pattern(message_ids: &[&str]) -> String {
    // An id of SQS is a UUID; whatever else there may be would have to be escaped.
    let plain = message_ids
        .iter()
        .filter(|id| id.chars().all(|character| character.is_ascii_alphanumeric() || character == '-'));
    let ids: Vec<String> = plain.map(|id| format!(r#"($.message_id = "{id}")"#)).collect();
    format!(r#"{{ ($.message = "record failed") && ({}) }}"#, ids.join(" || "))
}

fn failure(text: &str, milliseconds: Option<i64>) -> Option<(String, Failure)> {
    let Line { message, message_id, error } = serde_json::from_str(text).ok()?;
    let at = Timestamp::from_unix_milliseconds(milliseconds?).ok()?;
    (message == "record failed").then_some((message_id, Failure { at, error }))
}
