//! What a deployed stack says of its own health.

use aws_sdk_cloudwatch::types::StateValue;
use aws_sdk_scheduler::types::ScheduleState;
use aws_sdk_sqs::types::QueueAttributeName;
use intake_pipeline::port_error::PortError;
use intake_pipeline::secrets::SecretText;

use super::stack::Stack;
use super::stack_error::StackError;
use crate::port_error::port_error;

const DESCRIBE_ALARMS: &str = "cloudwatch DescribeAlarms";
const LIST_SUBSCRIPTIONS: &str = "sns ListSubscriptionsByTopic";
const GET_SCHEDULE: &str = "scheduler GetSchedule";
const GET_QUEUE_ATTRIBUTES: &str = "sqs GetQueueAttributes";
const GET_SECRET_VALUE: &str = "secretsmanager GetSecretValue";

/// Maximum number of alarms that one call describes by name.
const MAX_ALARMS_PER_CALL: usize = 100;

/// An alarm of the stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// Its name.
    pub name: String,
    /// What it means, as the template describes it.
    pub description: String,
    /// Whether it is in alarm.
    pub is_raised: bool,
    /// Whether its actions are on, so that somebody is told.
    pub has_actions: bool,
}

/// Who is told of the alarms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Subscribers {
    /// Number of subscriptions that get messages.
    pub confirmed: usize,
    /// Number of subscriptions that nobody has confirmed yet.
    pub unconfirmed: usize,
}

/// A schedule of the stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Its name.
    pub name: String,
    /// When it runs.
    pub expression: String,
    /// Whether it runs.
    pub is_on: bool,
}

impl Stack {
    /// The alarms of the stack.
    ///
    /// # Errors
    /// When CloudWatch doesn't answer.
    pub async fn alarms(&self) -> Result<Vec<Alarm>, StackError> {
        let client = aws_sdk_cloudwatch::Client::new(self.config());
        let names: Vec<String> = self.resources_of_type("AWS::CloudWatch::Alarm").map(str::to_owned).collect();
        let mut alarms = Vec::new();
        for names in names.chunks(MAX_ALARMS_PER_CALL) {
            let described = client
                .describe_alarms()
                .set_alarm_names(Some(names.to_vec()))
                .max_records(100)
                .send()
                .await
                .map_err(|error| port_error(DESCRIBE_ALARMS, &error))?;
            alarms.extend(described.metric_alarms().iter().map(|alarm| Alarm {
                name: alarm.alarm_name().unwrap_or_default().to_owned(),
                description: alarm.alarm_description().unwrap_or_default().to_owned(),
                is_raised: alarm.state_value() == Some(&StateValue::Alarm),
                has_actions: alarm.actions_enabled().unwrap_or(true),
            }));
        }
        Ok(alarms)
    }

    /// Who is told of the alarms.
    ///
    /// # Errors
    /// When SNS doesn't answer.
    pub async fn subscribers(&self) -> Result<Subscribers, StackError> {
        let client = aws_sdk_sns::Client::new(self.config());
        let topic = self.resource("AlarmTopic")?;
        let mut pages = client.list_subscriptions_by_topic().topic_arn(topic).into_paginator().send();
        let mut subscribers = Subscribers::default();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| port_error(LIST_SUBSCRIPTIONS, &error))?;
            for subscription in page.subscriptions() {
                // In the place of an ARN there is "PendingConfirmation", or "Deleted".
                match subscription.subscription_arn() {
                    Some(arn) if arn.starts_with("arn:") => subscribers.confirmed += 1,
                    Some("Deleted") => {}
                    _ => subscribers.unconfirmed += 1,
                }
            }
        }
        Ok(subscribers)
    }

    /// The schedules of the stack.
    ///
    /// # Errors
    /// When EventBridge Scheduler doesn't answer.
    pub async fn schedules(&self) -> Result<Vec<Schedule>, StackError> {
        let client = aws_sdk_scheduler::Client::new(self.config());
        let mut schedules = Vec::new();
        for name in self.resources_of_type("AWS::Scheduler::Schedule") {
            let found =
                client.get_schedule().name(name).send().await.map_err(|error| port_error(GET_SCHEDULE, &error))?;
            schedules.push(Schedule {
                name: name.to_owned(),
                expression: found.schedule_expression().unwrap_or_default().to_owned(),
                is_on: found.state() == Some(&ScheduleState::Enabled),
            });
        }
        Ok(schedules)
    }

    /// About how many messages a queue of the stack holds, those that are being processed included.
    ///
    /// # Errors
    /// When SQS doesn't answer, or there is no such queue.
    pub async fn queue_messages(&self, logical_id: &str) -> Result<u64, StackError> {
        let waiting = QueueAttributeName::ApproximateNumberOfMessages;
        let in_flight = QueueAttributeName::ApproximateNumberOfMessagesNotVisible;
        let attributes = aws_sdk_sqs::Client::new(self.config())
            .get_queue_attributes()
            .queue_url(self.resource(logical_id)?)
            .attribute_names(waiting.clone())
            .attribute_names(in_flight.clone())
            .send()
            .await
            .map_err(|error| port_error(GET_QUEUE_ATTRIBUTES, &error))?;
        let number = |name: &QueueAttributeName| {
            let number = attributes.attributes().and_then(|attributes| attributes.get(name)?.parse::<u64>().ok());
            number.ok_or_else(|| PortError::of(GET_QUEUE_ATTRIBUTES, "the answer lacks a number of messages"))
        };
        Ok(number(&waiting)?.saturating_add(number(&in_flight)?))
    }

    /// The current text of a secret of the stack.
    ///
    /// # Errors
    /// When Secrets Manager doesn't answer, or there is no such secret.
    pub async fn secret_text(&self, logical_id: &str) -> Result<SecretText, StackError> {
        let value = aws_sdk_secretsmanager::Client::new(self.config())
            .get_secret_value()
            .secret_id(self.resource(logical_id)?)
            .send()
            .await
            .map_err(|error| port_error(GET_SECRET_VALUE, &error))?;
        let text = value.secret_string.ok_or_else(|| PortError::of(GET_SECRET_VALUE, "the secret is binary"))?;
        Ok(SecretText::new(text))
    }
}
