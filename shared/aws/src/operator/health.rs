//! What a deployed stack says of its own health.

use aws_sdk_cloudwatch::types::StateValue;
use aws_sdk_scheduler::types::ScheduleState;
use aws_sdk_sqs::types::QueueAttributeName;
use intake_pipeline::port_error::PortError;

use super::stack::Stack;
use super::stack_error::StackError;
use crate::port_error::port_error;

const DESCRIBE_ALARMS: &str = "cloudwatch DescribeAlarms";
const LIST_SUBSCRIPTIONS: &str = "sns ListSubscriptionsByTopic";
const GET_SCHEDULE: &str = "scheduler GetSchedule";
const GET_QUEUE_ATTRIBUTES: &str = "sqs GetQueueAttributes";

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
    /// Whether its actions are on.
    pub is_enabled: bool,
    /// Whether it has an action for when it is raised.
    pub has_actions: bool,
}

/// The alarms of the stack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alarms {
    /// Those that CloudWatch has.
    pub found: Vec<Alarm>,
    /// The names of those that the stack lists and CloudWatch does not have.
    pub missing: Vec<String>,
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
    pub async fn alarms(&self) -> Result<Alarms, StackError> {
        let client = aws_sdk_cloudwatch::Client::new(self.config());
        let mut names: Vec<String> =
            self.resources_of_type("AWS::CloudWatch::Alarm").map(|(_, name)| name.to_owned()).collect();
        let mut found = Vec::new();
        for names in names.chunks(MAX_ALARMS_PER_CALL) {
            let described = client
                .describe_alarms()
                .set_alarm_names(Some(names.to_vec()))
                .max_records(100)
                .send()
                .await
                .map_err(|error| port_error(DESCRIBE_ALARMS, &error))?;
            found.extend(described.metric_alarms().iter().map(|alarm| Alarm {
                name: alarm.alarm_name().unwrap_or_default().to_owned(),
                description: alarm.alarm_description().unwrap_or_default().to_owned(),
                is_raised: alarm.state_value() == Some(&StateValue::Alarm),
                is_enabled: alarm.actions_enabled().unwrap_or(true),
                // An answer without the list does not say that it is empty.
                has_actions: alarm.alarm_actions.as_ref().is_none_or(|actions| !actions.is_empty()),
            }));
        }
        names.retain(|name| found.iter().all(|alarm| alarm.name != *name));
        Ok(Alarms { found, missing: names })
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
        for (_, name) in self.resources_of_type("AWS::Scheduler::Schedule") {
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_service::{Reply, TestService};

    #[tokio::test]
    async fn an_alarm_is_known_by_whether_its_actions_are_on_whether_it_has_any_and_whether_it_is_there() {
        let member = |name: &str, more: &str| {
            format!("<member><AlarmName>{name}</AlarmName><StateValue>OK</StateValue>{more}</member>")
        };
        let action = "<AlarmActions><member>arn:aws:sns:eu-west-1:1:topic</member></AlarmActions>";
        let alarms = [
            member("hooks-quiet", &format!("<ActionsEnabled>true</ActionsEnabled>{action}")),
            member("hooks-off", &format!("<ActionsEnabled>false</ActionsEnabled>{action}")),
            member("hooks-bare", "<ActionsEnabled>true</ActionsEnabled><AlarmActions/>"),
            member("hooks-unsaid", ""),
        ];
        let body = format!(
            "<DescribeAlarmsResponse><DescribeAlarmsResult><MetricAlarms>{}</MetricAlarms></DescribeAlarmsResult></DescribeAlarmsResponse>",
            alarms.concat()
        );
        let service = TestService::replying(&[Reply::Answer { status: 200, body }]);
        let resources = ["quiet", "off", "bare", "unsaid", "gone"].map(|name| (name, format!("hooks-{name}")));
        let resources: Vec<_> =
            resources.iter().map(|(id, name)| (*id, name.as_str(), "AWS::CloudWatch::Alarm")).collect();
        let Alarms { found, missing } = Stack::of(service.config(), &resources).alarms().await.unwrap();
        let found: Vec<_> =
            found.iter().map(|alarm| (alarm.name.as_str(), alarm.is_enabled, alarm.has_actions)).collect();
        assert_eq!(
            found,
            [
                ("hooks-quiet", true, true),
                ("hooks-off", false, true),
                ("hooks-bare", true, false),
                ("hooks-unsaid", true, true),
            ]
        );
        assert_eq!(missing, ["hooks-gone"]);
    }
}
