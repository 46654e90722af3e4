//! Whether the functions of a stack can be invoked, and whether the queue's deliveries get to the processor.

use intake_aws::operator::{DeployedFunction, EventSource, LIVE, Mapping, Readiness, Update};

use super::check::{Check, DELETED};

/// What polls the queue and invokes the processor, in the template.
const DELIVERIES: &str = "ProcessorFunctionDeliveries";
/// Its maximum number of messages in a batch, in the template.
const BATCH_SIZE: i32 = 10;

/// Judges the functions: a check for each that is not well, or one for all.
#[must_use]
pub fn judge(functions: &[DeployedFunction]) -> Vec<Check> {
    let mut checks: Vec<Check> = functions.iter().filter_map(function).collect();
    if checks.is_empty() {
        checks.push(Check::well("functions", format!("all {} can be invoked", functions.len())));
    }
    checks
}

/// What is not as it should be, if anything is.
fn function(DeployedFunction { logical_id, name, latest, live }: &DeployedFunction) -> Option<Check> {
    let subject = format!("function {logical_id}");
    let Some(latest) = latest else {
        return Some(Check::wrong(subject, format!("{name} was deleted by hand")).remedy(DELETED));
    };
    let Some(live) = live else {
        return Some(
            Check::wrong(subject, format!("it has no alias {LIVE}, or no version of that name, so no call reaches it"))
                .remedy(DELETED),
        );
    };
    let number = &live.number;
    match (&live.readiness, latest) {
        (Readiness::Failed { reason }, _) => Some(
            Check::wrong(subject, format!("its version {number} cannot be invoked: {reason}"))
                .remedy("put right what the reason names, and deploy with another Release"),
        ),
        (Readiness::Pending, _) => Some(Check::notice(subject, format!("its version {number} is being created"))),
        (_, Update::Failed { reason }) => Some(
            Check::wrong(subject, format!("its latest change failed, and version {number} still runs: {reason}"))
                .remedy("put right what the reason names, and deploy with another Release"),
        ),
        (_, Update::InProgress) => {
            Some(Check::notice(subject, format!("it is being changed, and version {number} still runs")))
        }
        (Readiness::Inactive, _) => Some(
            Check::notice(
                subject,
                format!("its version {number} was idle for weeks, so the next call to it fails or is late"),
            )
            .remedy("call it once more; Lambda brings it back within minutes"),
        ),
        (Readiness::Active, Update::Succeeded) => None,
    }
}

/// Judges what invokes functions with the messages of a queue or a stream. That of the processor has settings, of which
/// one is a parameter of the stack.
#[must_use]
pub fn event_sources(sources: &[EventSource], maximum_concurrency: Option<&str>) -> Vec<Check> {
    let maximum_concurrency = maximum_concurrency.and_then(|number| number.parse().ok());
    let mut checks: Vec<Check> = sources.iter().map(|source| event_source(source, maximum_concurrency)).collect();
    if !sources.iter().any(|source| source.logical_id == DELIVERIES) {
        checks.push(
            Check::wrong(subject(DELIVERIES), "the stack has none, so nothing takes deliveries from the queue")
                .remedy("deploy the template of this release"),
        );
    }
    checks
}

fn subject(logical_id: &str) -> String {
    format!("event source mapping {logical_id}")
}

fn event_source(EventSource { logical_id, uuid, mapping }: &EventSource, maximum_concurrency: Option<i32>) -> Check {
    let subject = subject(logical_id);
    let Some(mapping) = mapping else {
        return Check::wrong(subject, "it was deleted by hand, so what comes is not processed").remedy(DELETED);
    };
    let change = format!("`aws lambda update-event-source-mapping --uuid {uuid}");
    match mapping.state.as_str() {
        "Enabled" => {}
        "Disabled" | "Disabling" => {
            return Check::wrong(subject, "it is disabled, so what comes is not processed")
                .remedy(format!("turn it on: {change} --enabled`"));
        }
        state => {
            return Check::notice(subject, format!("it is being changed: its state is {state}"));
        }
    }
    if let Some(result) = mapping.last_result.as_deref().filter(|result| is_failure(result)) {
        return Check::wrong(subject, format!("the last batch failed: {result}")).remedy(
            "the function's log lines say why (output LogGroupName); the batch is tried again until it succeeds or is given up",
        );
    }
    if logical_id == DELIVERIES {
        let different = different(mapping, maximum_concurrency);
        if !different.is_empty() {
            let findings: Vec<&str> = different.iter().map(|(finding, _)| finding.as_str()).collect();
            let options: String = different.iter().map(|(_, option)| format!(" {option}")).collect();
            let finding = format!("its settings are not the template's: {}", findings.join("; "));
            return Check::wrong(subject, finding)
                .remedy(format!("{change}{options}` puts them back, which a deployment alone does not"));
        }
    }
    let result = mapping.last_result.as_ref().map(|result| format!("; the last result: {result}"));
    Check::well(subject, format!("enabled{}", result.unwrap_or_default()))
}

/// Lambda says `OK`, `No records processed`, or `PROBLEM:` and what it was.
fn is_failure(result: &str) -> bool {
    !result.starts_with("OK") && !result.starts_with("No records processed")
}

/// The settings of the processor's that are not as the template has them, each with the option that puts it back.
fn different(mapping: &Mapping, maximum_concurrency: Option<i32>) -> Vec<(String, String)> {
    let number = |number: Option<i32>| number.map_or_else(|| "none".to_owned(), |number| number.to_string());
    let mut different = Vec::new();
    if !mapping.reports_failures {
        different.push((
            "it does not ask which messages of a batch failed, so those are deleted with the others".to_owned(),
            "--function-response-types ReportBatchItemFailures".to_owned(),
        ));
    }
    if !mapping.function_arn.ends_with(&format!(":{LIVE}")) {
        different.push((
            format!("it does not invoke the alias {LIVE} but {}", mapping.function_arn),
            format!("--function-name {}:{LIVE}", unqualified(&mapping.function_arn)),
        ));
    }
    if mapping.batch_size != Some(BATCH_SIZE) {
        different.push((
            format!("the batch size is {} and not {BATCH_SIZE}", number(mapping.batch_size)),
            format!("--batch-size {BATCH_SIZE}"),
        ));
    }
    if let Some(wanted) = maximum_concurrency
        && mapping.maximum_concurrency != Some(wanted)
    {
        different.push((
            format!("the maximum concurrency is {} and not {wanted}", number(mapping.maximum_concurrency)),
            format!("--scaling-config MaximumConcurrency={wanted}"),
        ));
    }
    different
}

/// The ARN of a function without alias or version.
fn unqualified(arn: &str) -> String {
    arn.splitn(8, ':').take(7).collect::<Vec<_>>().join(":")
}

#[cfg(test)]
mod tests;
