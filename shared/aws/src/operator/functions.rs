//! The functions of a deployed stack, and what invokes them with the messages of a queue or a stream.

use aws_sdk_lambda::Client;
use aws_sdk_lambda::error::SdkError;
use aws_sdk_lambda::operation::get_event_source_mapping::GetEventSourceMappingError;
use aws_sdk_lambda::operation::get_function_configuration::{
    GetFunctionConfigurationError, GetFunctionConfigurationOutput,
};
use aws_sdk_lambda::types::{FunctionResponseType, LastUpdateStatus, State};

use super::stack::Stack;
use super::stack_error::StackError;
use crate::port_error::port_error;

const GET_FUNCTION_CONFIGURATION: &str = "lambda GetFunctionConfiguration";
const GET_EVENT_SOURCE_MAPPING: &str = "lambda GetEventSourceMapping";
const LIST_EVENT_SOURCE_MAPPINGS: &str = "lambda ListEventSourceMappings";

/// The alias under which each function of the stack is called.
pub const LIVE: &str = "live";

/// A function of the stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeployedFunction {
    /// Its logical id in the template.
    pub logical_id: String,
    /// Its name.
    pub name: String,
    /// How the latest change of it went; `None` if Lambda does not have it.
    pub latest: Option<Update>,
    /// The version that the alias [`LIVE`] names, or the latest code of a function that the stack has no alias of; `None` if there
    /// is no such alias or version.
    pub live: Option<Version>,
}

/// How the latest change of a function went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Update {
    /// It succeeded.
    Succeeded,
    /// It is not yet complete.
    InProgress,
    /// It failed.
    Failed {
        /// Lambda's reason.
        reason: String,
    },
}

/// A version of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Its number.
    pub number: String,
    /// Whether it can be invoked.
    pub readiness: Readiness,
}

/// Whether a version can be invoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It can.
    Active,
    /// It was idle for so long that Lambda took its resources; the next invocation brings them back.
    Inactive,
    /// It is being created.
    Pending,
    /// It can't.
    Failed {
        /// Lambda's reason.
        reason: String,
    },
}

/// What polls a queue or a stream and invokes a function with what it finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventSource {
    /// Its logical id in the template.
    pub logical_id: String,
    /// The id by which Lambda knows it.
    pub uuid: String,
    /// Its settings and state; `None` if Lambda does not have it.
    pub mapping: Option<Mapping>,
    /// The alias that it is to invoke, if the stack has one of its function.
    pub alias: Option<&'static str>,
    /// Whether it is one that was made by hand, because the stack's own does not work and this one does.
    pub is_by_hand: bool,
}

/// Settings and state of an event source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mapping {
    /// Lambda's word for its state, such as `Enabled`.
    pub state: String,
    /// The ARN that is invoked, with alias or version where one is named.
    pub function_arn: String,
    /// Lambda's word for the result of the last batch, where it says one.
    pub last_result: Option<String>,
    /// Maximum number of records in a batch.
    pub batch_size: Option<i32>,
    /// Maximum number of copies of the function that it invokes at a time.
    pub maximum_concurrency: Option<i32>,
    /// Whether the function reports which records of a batch failed.
    pub reports_failures: bool,
}

impl Mapping {
    /// The result of the last batch, if it failed. Lambda says `OK`, `No records processed`, or `PROBLEM:` and what it was.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        let is_failure = |result: &&str| !result.starts_with("OK") && !result.starts_with("No records processed");
        self.last_result.as_deref().filter(is_failure)
    }

    fn works(&self) -> bool {
        self.state == "Enabled" && self.failure().is_none()
    }
}

impl Stack {
    /// The functions of the stack.
    ///
    /// # Errors
    /// When Lambda doesn't answer.
    pub async fn functions(&self) -> Result<Vec<DeployedFunction>, StackError> {
        let client = Client::new(self.config());
        let mut functions = Vec::new();
        for (logical_id, name) in self.resources_of_type("AWS::Lambda::Function") {
            functions.push(DeployedFunction {
                logical_id: logical_id.to_owned(),
                name: name.to_owned(),
                latest: configuration(&client, name, None).await?.map(|found| update(&found)),
                live: configuration(&client, name, self.alias_of(logical_id)).await?.map(|found| version(&found)),
            });
        }
        Ok(functions)
    }

    /// What invokes functions of the stack with the messages of a queue or a stream.
    ///
    /// # Errors
    /// When Lambda doesn't answer.
    pub async fn event_sources(&self) -> Result<Vec<EventSource>, StackError> {
        let client = Client::new(self.config());
        let mut sources = Vec::new();
        for (logical_id, uuid) in self.resources_of_type("AWS::Lambda::EventSourceMapping") {
            let mapping = mapping(&client, uuid).await?;
            let function = self.function_of(logical_id);
            let own = EventSource {
                logical_id: logical_id.to_owned(),
                uuid: uuid.to_owned(),
                mapping,
                alias: function.and_then(|(function, _)| self.alias_of(function)),
                is_by_hand: false,
            };
            let works = own.mapping.as_ref().is_some_and(Mapping::works);
            sources.push(match function {
                Some((_, function)) if !works => replacement(&client, function, &own).await?.unwrap_or(own),
                _ => own,
            });
        }
        Ok(sources)
    }

    /// Logical id and name of the function of an event source, whose logical id begins with that of the function.
    fn function_of(&self, event_source: &str) -> Option<(&str, &str)> {
        self.resources_of_type("AWS::Lambda::Function").find(|(logical_id, _)| event_source.starts_with(logical_id))
    }

    /// The alias under which a function is called, if the stack has it.
    fn alias_of(&self, function: &str) -> Option<&'static str> {
        self.find_resource(&format!("{function}Alias{LIVE}")).map(|_| LIVE)
    }
}

async fn mapping(client: &Client, uuid: &str) -> Result<Option<Mapping>, StackError> {
    match client.get_event_source_mapping().uuid(uuid).send().await {
        Ok(found) => Ok(Some(Mapping {
            state: found.state().unwrap_or_default().to_owned(),
            function_arn: found.function_arn().unwrap_or_default().to_owned(),
            last_result: found.last_processing_result().map(str::to_owned),
            batch_size: found.batch_size(),
            maximum_concurrency: found.scaling_config().and_then(|scaling| scaling.maximum_concurrency()),
            reports_failures: found.function_response_types().contains(&FunctionResponseType::ReportBatchItemFailures),
        })),
        Err(SdkError::ServiceError(error))
            if matches!(error.err(), GetEventSourceMappingError::ResourceNotFoundException(_)) =>
        {
            Ok(None)
        }
        Err(error) => Err(port_error(GET_EVENT_SOURCE_MAPPING, &error).into()),
    }
}

/// One that works and was made by hand in the place of the stack's own, as after a table was restored.
async fn replacement(client: &Client, function: &str, own: &EventSource) -> Result<Option<EventSource>, StackError> {
    let listed = client
        .list_event_source_mappings()
        .function_name(own.alias.map_or_else(|| function.to_owned(), |alias| format!("{function}:{alias}")))
        .send()
        .await
        .map_err(|error| port_error(LIST_EVENT_SOURCE_MAPPINGS, &error))?;
    for uuid in listed.event_source_mappings().iter().filter_map(|listed| listed.uuid()) {
        let found = if uuid == own.uuid { None } else { mapping(client, uuid).await? };
        if let Some(found) = found.filter(Mapping::works) {
            return Ok(Some(EventSource {
                uuid: uuid.to_owned(),
                mapping: Some(found),
                is_by_hand: true,
                ..own.clone()
            }));
        }
    }
    Ok(None)
}

async fn configuration(
    client: &Client,
    name: &str,
    qualifier: Option<&str>,
) -> Result<Option<GetFunctionConfigurationOutput>, StackError> {
    let request = client.get_function_configuration().function_name(name).set_qualifier(qualifier.map(str::to_owned));
    match request.send().await {
        Ok(found) => Ok(Some(found)),
        Err(SdkError::ServiceError(error))
            if matches!(error.err(), GetFunctionConfigurationError::ResourceNotFoundException(_)) =>
        {
            Ok(None)
        }
        Err(error) => Err(port_error(GET_FUNCTION_CONFIGURATION, &error).into()),
    }
}

fn update(found: &GetFunctionConfigurationOutput) -> Update {
    match found.last_update_status() {
        Some(LastUpdateStatus::Failed) => {
            Update::Failed { reason: found.last_update_status_reason().unwrap_or_default().to_owned() }
        }
        Some(LastUpdateStatus::InProgress) => Update::InProgress,
        _ => Update::Succeeded,
    }
}

fn version(found: &GetFunctionConfigurationOutput) -> Version {
    let readiness = match found.state() {
        Some(State::Inactive) => Readiness::Inactive,
        Some(State::Pending) => Readiness::Pending,
        Some(State::Active) | None => Readiness::Active,
        Some(other) => {
            let reason = found.state_reason().map(|reason| format!(": {reason}")).unwrap_or_default();
            Readiness::Failed { reason: format!("{}{reason}", other.as_str()) }
        }
    };
    Version { number: found.version().unwrap_or_default().to_owned(), readiness }
}

#[cfg(test)]
mod tests;
