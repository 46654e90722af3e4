//! A deployed stack: what it is made of, and the clients to ask about it.

use std::collections::BTreeMap;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_cloudformation::Client;
use aws_sdk_cloudformation::error::ProvideErrorMetadata as _;
use aws_sdk_cloudformation::types::ResourceStatus;
use intake_pipeline::port_error::PortError;

use crate::SecretDocument;
use crate::clients::http_client;
use crate::port_error::port_error;
use crate::timeouts::OPERATOR;

const LIST_STACK_RESOURCES: &str = "cloudformation ListStackResources";
const DESCRIBE_STACKS: &str = "cloudformation DescribeStacks";

/// A stack's resources, parameters and outputs, read once with the operator's own credentials.
#[derive(Clone, Debug)]
pub struct Stack {
    config: SdkConfig,
    name: String,
    resources: BTreeMap<String, String>,
    parameters: BTreeMap<String, String>,
    outputs: BTreeMap<String, String>,
}

/// Why a stack can't be asked.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// No region is known.
    #[error("no region is known; give --region, set AWS_REGION, or set a region in your AWS profile")]
    NoRegion,
    /// There is no such stack.
    #[error("there is no stack {name} in {region}; check its name, --region, and the account of your credentials")]
    NoStack {
        /// The stack's name.
        name: String,
        /// The region.
        region: String,
    },
    /// The stack lacks a resource.
    #[error(
        "the stack {name} has no {logical_id}; it may be another kind of stack, or the part that has it is disabled there"
    )]
    NoResource {
        /// The stack's name.
        name: String,
        /// The resource's logical id in the template.
        logical_id: String,
    },
    /// A service failed.
    #[error(transparent)]
    Port(#[from] PortError),
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
        let client = Client::new(&config);
        let described = client.describe_stacks().stack_name(name).send().await.map_err(|error| {
            let is_missing = error.code() == Some("ValidationError")
                && error.message().is_some_and(|message| message.contains("does not exist"));
            if is_missing {
                StackError::NoStack { name: name.to_owned(), region: region.clone() }
            } else {
                port_error(DESCRIBE_STACKS, &error).into()
            }
        })?;
        let Some(stack) = described.stacks().first() else {
            return Err(StackError::NoStack { name: name.to_owned(), region });
        };
        let pair = |name: Option<&str>, value: Option<&str>| Some((name?.to_owned(), value?.to_owned()));
        let parameters = stack
            .parameters()
            .iter()
            .filter_map(|parameter| pair(parameter.parameter_key(), parameter.parameter_value()))
            .collect();
        let outputs =
            stack.outputs().iter().filter_map(|output| pair(output.output_key(), output.output_value())).collect();
        let mut resources = BTreeMap::new();
        let mut pages = client.list_stack_resources().stack_name(name).into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| port_error(LIST_STACK_RESOURCES, &error))?;
            let existing = page
                .stack_resource_summaries()
                .iter()
                .filter(|resource| resource.resource_status() != Some(&ResourceStatus::DeleteComplete));
            resources.extend(
                existing.filter_map(|resource| pair(resource.logical_resource_id(), resource.physical_resource_id())),
            );
        }
        Ok(Self { config, name: name.to_owned(), resources, parameters, outputs })
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
        self.find_resource(logical_id)
            .ok_or_else(|| StackError::NoResource { name: self.name.clone(), logical_id: logical_id.to_owned() })
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

    /// The configuration of the clients.
    pub(crate) const fn config(&self) -> &SdkConfig {
        &self.config
    }
}
