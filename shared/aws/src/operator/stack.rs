//! A deployed stack: what it is made of, and the clients to ask about it.

use std::collections::BTreeMap;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_cloudformation::Client;
use aws_sdk_cloudformation::types::ResourceStatus;

use super::server_clock::ServerClock;
use super::stack_error::StackError;
use crate::SecretDocument;
use crate::clients::http_client;
use crate::timeouts::OPERATOR;

const LIST_STACK_RESOURCES: &str = "cloudformation ListStackResources";
const DESCRIBE_STACKS: &str = "cloudformation DescribeStacks";

/// A stack's resources, parameters and outputs, read once with the operator's own credentials.
#[derive(Clone, Debug)]
pub struct Stack {
    config: SdkConfig,
    name: String,
    status: String,
    resources: BTreeMap<String, String>,
    /// The type of each resource.
    types: BTreeMap<String, String>,
    clock: ServerClock,
    parameters: BTreeMap<String, String>,
    outputs: BTreeMap<String, String>,
}

impl Stack {
    /// Reads what a stack is made of. Region and credentials come from the environment and the AWS profile; a given region
    /// has precedence.
    ///
    /// # Errors
    /// [`StackError`].
    pub async fn open(name: &str, region: Option<&str>) -> Result<Self, StackError> {
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http_client())
            .timeout_config(OPERATOR.timeout_config())
            .retry_config(OPERATOR.retry_config());
        if let Some(region) = region {
            loader = loader.region(Region::new(region.to_owned()));
        }
        Self::read(loader.load().await, name).await
    }

    async fn read(config: SdkConfig, name: &str) -> Result<Self, StackError> {
        let region = config.region().ok_or(StackError::NoRegion)?.to_string();
        let clock = ServerClock::default();
        let with_clock = aws_sdk_cloudformation::config::Builder::from(&config).interceptor(clock.clone()).build();
        let client = Client::from_conf(with_clock);
        let described = client.describe_stacks().stack_name(name).send().await;
        let described = described.map_err(|error| StackError::of(DESCRIBE_STACKS, &error, name, &region))?;
        let Some(stack) = described.stacks().first() else {
            return Err(StackError::NoStack { name: name.to_owned(), region });
        };
        let status = stack.stack_status().map_or_else(String::new, |status| status.as_str().to_owned());
        if let Some(hint) = not_deployed(&status) {
            return Err(StackError::NotDeployed { name: name.to_owned(), status, hint });
        }
        let pair = |name: Option<&str>, value: Option<&str>| Some((name?.to_owned(), value?.to_owned()));
        let parameters = stack
            .parameters()
            .iter()
            .filter_map(|parameter| pair(parameter.parameter_key(), parameter.parameter_value()))
            .collect();
        let outputs =
            stack.outputs().iter().filter_map(|output| pair(output.output_key(), output.output_value())).collect();
        let (mut resources, mut types) = (BTreeMap::new(), BTreeMap::new());
        let mut pages = client.list_stack_resources().stack_name(name).into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| StackError::of(LIST_STACK_RESOURCES, &error, name, &region))?;
            let existing = page
                .stack_resource_summaries()
                .iter()
                .filter(|resource| resource.resource_status() != Some(&ResourceStatus::DeleteComplete));
            for resource in existing {
                let id = resource.physical_resource_id();
                resources.extend(pair(resource.logical_resource_id(), id));
                types.extend(pair(resource.logical_resource_id(), resource.resource_type()));
            }
        }
        Ok(Self { config, name: name.to_owned(), status, resources, types, clock, parameters, outputs })
    }

    /// The stack's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The physical id of a resource: a table's name, a queue's URL, a secret's ARN.
    ///
    /// # Errors
    /// When the stack has no such resource.
    pub fn resource(&self, logical_id: &str) -> Result<&str, StackError> {
        self.find_resource(logical_id).ok_or_else(|| StackError::NoResource {
            name: self.name.clone(),
            status: self.status.clone(),
            logical_id: logical_id.to_owned(),
        })
    }

    /// The physical id of a resource, if the stack has it. A provider that is disabled has none.
    #[must_use]
    pub fn find_resource(&self, logical_id: &str) -> Option<&str> {
        self.resources.get(logical_id).map(String::as_str)
    }

    /// A secret of the stack that a command reads and changes.
    ///
    /// # Errors
    /// When the stack has no such secret.
    pub fn secret(&self, logical_id: &str) -> Result<SecretDocument, StackError> {
        Ok(SecretDocument::with(&self.config, self.resource(logical_id)?))
    }

    /// The logical and the physical id of each resource of a type, such as `AWS::SQS::Queue`.
    pub fn resources_of_type<'a>(&'a self, resource_type: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let of_type = self.types.iter().filter(move |(_, found)| *found == resource_type);
        of_type.filter_map(|(logical_id, _)| Some((logical_id.as_str(), self.find_resource(logical_id)?)))
    }

    /// The state of the stack itself, such as `UPDATE_COMPLETE`.
    #[must_use]
    pub fn status(&self) -> &str {
        &self.status
    }

    /// How far AWS's clock was ahead of this machine's when the stack was read, in seconds; negative if it was behind.
    #[must_use]
    pub fn clock_offset_seconds(&self) -> Option<i64> {
        self.clock.offset_seconds()
    }

    /// The value of a parameter, if the template has it.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    /// The value of an output, if the stack has it.
    #[must_use]
    pub fn output(&self, name: &str) -> Option<&str> {
        self.outputs.get(name).map(String::as_str)
    }

    /// The event bus of this name or ARN, in the stack's account and region.
    #[cfg(feature = "event-bus")]
    #[must_use]
    pub fn event_bus(&self, bus: String) -> crate::EventBridge {
        crate::EventBridge::new(aws_sdk_eventbridge::Client::new(&self.config), bus)
    }

    /// The configuration of the clients.
    pub(crate) const fn config(&self) -> &SdkConfig {
        &self.config
    }
}

/// What to do about a stack of this state, if nothing of it is there (yet, or any more).
fn not_deployed(status: &str) -> Option<&'static str> {
    match status {
        "REVIEW_IN_PROGRESS" => Some("its change set was never executed; deploy it"),
        "CREATE_IN_PROGRESS" => Some("it is being deployed; try again when it is"),
        "CREATE_FAILED" | "ROLLBACK_IN_PROGRESS" | "ROLLBACK_FAILED" | "ROLLBACK_COMPLETE" => Some(
            "its first deployment failed and nothing of it is there; see the reason in its events, delete it, and deploy it again",
        ),
        "DELETE_COMPLETE" => Some(
            "it was deleted; its tables and its bucket are kept, and docs/operations.md says how to deploy again onto them",
        ),
        _ => None,
    }
}

#[cfg(test)]
impl Stack {
    /// A stack of these resources: of each its logical id, its physical id and its type.
    pub(super) fn of(config: SdkConfig, resources: &[(&str, &str, &str)]) -> Self {
        let by_logical_id = |value: fn(&(&str, &str, &str)) -> String| {
            resources.iter().map(|resource| (resource.0.to_owned(), value(resource))).collect()
        };
        Self {
            config,
            name: "hooks".to_owned(),
            status: "CREATE_COMPLETE".to_owned(),
            resources: by_logical_id(|(_, physical_id, _)| (*physical_id).to_owned()),
            types: by_logical_id(|(_, _, resource_type)| (*resource_type).to_owned()),
            clock: ServerClock::default(),
            parameters: BTreeMap::new(),
            outputs: BTreeMap::new(),
        }
    }
}

#[cfg(test)]
mod tests;
