//! The dead letters of a deployed stack: its dead-letter queue, and the reasons in its log.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, Message, MessageSystemAttributeName, QueueAttributeName,
};
use intake_pipeline::dead_letters::{DeadLetter, DeadLetters, FoundDeadLetters};
use intake_pipeline::port_error::PortError;
use intake_pipeline::rate_limiter::RateLimiter;
use intake_providers::timestamp::Timestamp;

use super::failures::FailureLog;
use super::stack::Stack;
use super::stack_error::StackError;
use crate::port_error::port_error;
use crate::{RELEASE_ATTRIBUTE, SqsQueue};

const RECEIVE_MESSAGE: &str = "sqs ReceiveMessage";
const SEND_MESSAGE: &str = "sqs SendMessage";
const DELETE_MESSAGE: &str = "sqs DeleteMessage";
const CHANGE_MESSAGE_VISIBILITY_BATCH: &str = "sqs ChangeMessageVisibilityBatch";
const GET_QUEUE_ATTRIBUTES: &str = "sqs GetQueueAttributes";
const START_MESSAGE_MOVE_TASK: &str = "sqs StartMessageMoveTask";
const LIST_MESSAGE_MOVE_TASKS: &str = "sqs ListMessageMoveTasks";

/// Maximum number of messages that SQS hands out at once.
const MAX_BATCH: i32 = 10;

/// How long a message that is listed is hidden, if the command ends before it shows it again.
const LISTING_SECONDS: i32 = 30;

/// How long a message is hidden while others are searched for, or while it is moved.
const MOVING_SECONDS: i32 = 120;

/// How long SQS looks for messages. Without a wait it asks only some of its servers and may find none.
const WAIT_SECONDS: i32 = 2;

/// Maximum rate of SQS when it moves messages itself, in messages a second.
const MAX_MOVES_PER_SECOND: u32 = 500;

/// How often a move by SQS is asked for.
const POLL: Duration = Duration::from_secs(2);

impl Stack {
    /// The stack's queue, for what is released from quarantine.
    ///
    /// # Errors
    /// When the stack has none.
    pub fn queue(&self) -> Result<SqsQueue, StackError> {
        Ok(SqsQueue::new(Client::new(self.config()), self.resource("Queue")?.to_owned()))
    }
}

/// The dead-letter queue of a stack.
///
/// SQS has no way to look at messages: they are received, which hides them from others for a while and counts as a receive. The
/// queue is never emptied by that, because it gives up on no message itself.
#[derive(Debug)]
pub struct StackDeadLetters {
    client: Client,
    queue_url: String,
    dead_letter_queue_url: String,
    failures: FailureLog,
    poll: Duration,
}

impl StackDeadLetters {
    /// The dead letters of a stack.
    ///
    /// # Errors
    /// When the stack lacks a queue or the log group.
    pub fn new(stack: &Stack) -> Result<Self, StackError> {
        Ok(Self {
            client: Client::new(stack.config()),
            queue_url: stack.resource("Queue")?.to_owned(),
            dead_letter_queue_url: stack.resource("DeadLetterQueue")?.to_owned(),
            failures: FailureLog::new(stack)?,
            poll: POLL,
        })
    }

    async fn receive(&self, most: usize, hidden_seconds: i32) -> Result<Vec<Message>, PortError> {
        let received = self
            .client
            .receive_message()
            .queue_url(&self.dead_letter_queue_url)
            .max_number_of_messages(i32::try_from(most).unwrap_or(MAX_BATCH).clamp(1, MAX_BATCH))
            .visibility_timeout(hidden_seconds)
            .wait_time_seconds(WAIT_SECONDS)
            .message_system_attribute_names(MessageSystemAttributeName::All)
            .message_attribute_names("All")
            .send()
            .await
            .map_err(|error| port_error(RECEIVE_MESSAGE, &error))?;
        Ok(received.messages.unwrap_or_default())
    }

    /// Makes messages visible again. What cannot be shown appears by itself a little later.
    async fn show(&self, messages: &[Message]) -> Result<(), PortError> {
        for batch in messages.chunks(MAX_BATCH.unsigned_abs() as usize) {
            let entries = batch.iter().zip(0..).filter_map(|(message, index)| {
                let entry = ChangeMessageVisibilityBatchRequestEntry::builder()
                    .id(index.to_string())
                    .receipt_handle(message.receipt_handle()?)
                    .visibility_timeout(0);
                entry.build().ok()
            });
            self.client
                .change_message_visibility_batch()
                .queue_url(&self.dead_letter_queue_url)
                .set_entries(Some(entries.collect()))
                .send()
                .await
                .map_err(|error| port_error(CHANGE_MESSAGE_VISIBILITY_BATCH, &error))?;
        }
        Ok(())
    }

    /// Sends a message to the source queue as it is, and then deletes it here.
    async fn move_back(&self, message: &Message) -> Result<(), PortError> {
        let group =
            message.attributes().and_then(|attributes| attributes.get(&MessageSystemAttributeName::MessageGroupId));
        self.client
            .send_message()
            .queue_url(&self.queue_url)
            .set_message_body(message.body.clone())
            .set_message_attributes(message.message_attributes.clone())
            .set_message_group_id(group.cloned())
            .send()
            .await
            .map_err(|error| port_error(SEND_MESSAGE, &error))?;
        self.client
            .delete_message()
            .queue_url(&self.dead_letter_queue_url)
            .set_receipt_handle(message.receipt_handle.clone())
            .send()
            .await
            .map(drop)
            .map_err(|error| port_error(DELETE_MESSAGE, &error))
    }

    /// Searches the queue for messages and moves those that are wanted; the others are kept aside until the end.
    async fn move_wanted(
        &self,
        wanted: &mut BTreeSet<&str>,
        mut pace: Option<RateLimiter>,
        aside: &mut Vec<Message>,
    ) -> Result<Vec<String>, PortError> {
        let mut moved = Vec::new();
        while !wanted.is_empty() {
            let received = self.receive(MAX_BATCH.unsigned_abs() as usize, MOVING_SECONDS).await?;
            let first = aside.len();
            aside.extend(received);
            // All that there is has been seen, or what was put aside first comes again.
            let is_over = aside.len() == first
                || aside
                    .iter()
                    .take(first)
                    .any(|seen| aside.iter().skip(first).any(|message| message.message_id() == seen.message_id()));
            for message in aside.split_off(first) {
                let is_wanted = message.message_id().is_some_and(|id| wanted.contains(id));
                if !is_wanted {
                    aside.push(message);
                    continue;
                }
                if let Some(pace) = &mut pace {
                    pace.turn().await;
                }
                self.move_back(&message).await?;
                let message_id = message.message_id.unwrap_or_default();
                wanted.remove(message_id.as_str());
                moved.push(message_id);
            }
            if is_over {
                break;
            }
        }
        Ok(moved)
    }

    async fn dead_letter_queue_arn(&self) -> Result<String, PortError> {
        let answer = self
            .client
            .get_queue_attributes()
            .queue_url(&self.dead_letter_queue_url)
            .attribute_names(QueueAttributeName::QueueArn)
            .send()
            .await
            .map_err(|error| port_error(GET_QUEUE_ATTRIBUTES, &error))?;
        let arn = answer.attributes().and_then(|attributes| attributes.get(&QueueAttributeName::QueueArn));
        arn.cloned().ok_or(PortError::of(GET_QUEUE_ATTRIBUTES, "the answer has no arn"))
    }
}

impl DeadLetters for StackDeadLetters {
    async fn list(&self, most: usize) -> Result<FoundDeadLetters, PortError> {
        let mut found: BTreeMap<String, Message> = BTreeMap::new();
        let mut receipts = Vec::new();
        let is_partial = loop {
            let received = self.receive(most.saturating_sub(found.len()), LISTING_SECONDS).await?;
            let known = found.len();
            receipts.extend(received.iter().cloned());
            found.extend(received.into_iter().filter_map(|message| Some((message.message_id.clone()?, message))));
            if found.len() >= most {
                break true;
            }
            if found.len() == known {
                break false;
            }
        };
        let mut remarks = vec![format!(
            "To look at them, they were received: each receive counts, and others do not see them for up to \
             {LISTING_SECONDS} seconds."
        )];
        if self.show(&receipts).await.is_err() {
            remarks.push(format!("They are hidden for {LISTING_SECONDS} seconds: sqs:ChangeMessageVisibility failed."));
        }
        let mut dead_letters: Vec<DeadLetter> = found.into_values().map(dead_letter).collect();
        dead_letters.sort_by_key(|letter| letter.sent_at);
        Ok(FoundDeadLetters { dead_letters, is_partial, remarks })
    }

    async fn find_failures(&self, dead_letters: &mut [DeadLetter]) -> Result<(), PortError> {
        let since = dead_letters.iter().filter_map(|letter| letter.sent_at).min();
        let message_ids: Vec<&str> = dead_letters.iter().map(|letter| letter.message_id.as_str()).collect();
        let mut failures = self.failures.find(&message_ids, since).await?;
        for letter in dead_letters {
            letter.failure = failures.remove(&letter.message_id);
        }
        Ok(())
    }

    async fn redrive(&self, message_ids: &[String], rate: Option<NonZeroU32>) -> Result<Vec<String>, PortError> {
        let mut wanted: BTreeSet<&str> = message_ids.iter().map(String::as_str).collect();
        let mut aside = Vec::new();
        let moved = self.move_wanted(&mut wanted, rate.map(RateLimiter::per_second), &mut aside).await;
        // What is not shown now appears by itself.
        let _ = self.show(&aside).await;
        moved
    }

    /// SQS moves them itself, also if this program ends meanwhile.
    async fn redrive_all(&self, rate: Option<NonZeroU32>) -> Result<u64, PortError> {
        let arn = self.dead_letter_queue_arn().await?;
        let rate = rate.map(|rate| i32::try_from(rate.get().min(MAX_MOVES_PER_SECOND)).unwrap_or(1));
        self.client
            .start_message_move_task()
            .source_arn(&arn)
            .set_max_number_of_messages_per_second(rate)
            .send()
            .await
            .map_err(|error| port_error(START_MESSAGE_MOVE_TASK, &error))?;
        loop {
            tokio::time::sleep(self.poll).await;
            let tasks = self
                .client
                .list_message_move_tasks()
                .source_arn(&arn)
                .max_results(1)
                .send()
                .await
                .map_err(|error| port_error(LIST_MESSAGE_MOVE_TASKS, &error))?;
            let Some(task) = tasks.results().first() else {
                return Err(PortError::of(LIST_MESSAGE_MOVE_TASKS, "the task is not listed"));
            };
            match task.status() {
                Some("RUNNING" | "CANCELLING") => {}
                Some("COMPLETED") => return Ok(task.approximate_number_of_messages_moved().unsigned_abs()),
                other => {
                    let status = other.unwrap_or("unknown");
                    let reason = task.failure_reason().unwrap_or("no reason is given");
                    return Err(PortError::of(START_MESSAGE_MOVE_TASK, format!("the task is {status}: {reason}")));
                }
            }
        }
    }
}

fn dead_letter(message: Message) -> DeadLetter {
    let sent_at = attribute(&message, &MessageSystemAttributeName::SentTimestamp);
    DeadLetter {
        receive_count: attribute(&message, &MessageSystemAttributeName::ApproximateReceiveCount).unwrap_or(0),
        is_release: message.message_attributes().is_some_and(|attributes| attributes.contains_key(RELEASE_ATTRIBUTE)),
        sent_at: sent_at.and_then(|milliseconds| Timestamp::from_unix_milliseconds(milliseconds).ok()),
        failure: None,
        message_id: message.message_id.unwrap_or_default(),
        body: message.body.unwrap_or_default(),
    }
}

fn attribute<T: std::str::FromStr>(message: &Message, name: &MessageSystemAttributeName) -> Option<T> {
    message.attributes()?.get(name)?.parse().ok()
}

#[cfg(test)]
mod tests;
