//! Whether the functions of a stack can be invoked, and whether the queue's deliveries get to the processor.

use intake_aws::operator::{DeployedFunction, EventSource, LIVE, Mapping, Readiness, Update};

use super::check::{Check, DELETED};

/// What the template says of an event source mapping.
struct Template {
    logical_id: &'static str,
    /// What happens without it.
    without: &'static str,
    batch_size: i32,
    has_maximum_concurrency: bool,
}

/// The event source mappings of the template.
const TEMPLATES: [Template; 2] = [
    Template {
        logical_id: "ProcessorFunctionDeliveries",
        without: "nothing takes deliveries from the queue",
        batch_size: 10,
        has_maximum_concurrency: true,
    },
    Template {
        logical_id: "PublisherFunctionNewEvents",
        without: "no event gets to the event bus",
        batch_size: 100,
        has_maximum_concurrency: false,
    },
];

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

/// Judges what invokes functions with the messages of a queue or a stream. One of their settings is a parameter of the stack.
#[must_use]
pub fn event_sources(sources: &[EventSource], maximum_concurrency: Option<&str>) -> Vec<Check> {
    let maximum_concurrency = maximum_concurrency.and_then(|number| number.parse().ok());
    let judged = TEMPLATES.iter().map(|template| {
        let subject = format!("event source mapping {}", template.logical_id);
        match sources.iter().find(|source| source.logical_id == template.logical_id) {
            None => Check::wrong(subject, format!("the stack has none, so {}", template.without))
                .remedy("deploy the template of this release"),
            Some(EventSource { mapping: None, .. }) => {
                Check::wrong(subject, format!("it was deleted by hand, so {}", template.without)).remedy(DELETED)
            }
            Some(EventSource { uuid, mapping: Some(mapping), alias, is_by_hand, .. }) => {
                let change = format!("aws lambda update-event-source-mapping --uuid {uuid}");
                let maximum_concurrency = maximum_concurrency.filter(|_| template.has_maximum_concurrency);
                let mut check = event_source(subject, template, (mapping, *alias), &change, maximum_concurrency);
                if *is_by_hand {
                    check.finding += &format!(" (of {uuid}, which was made by hand, as the stack's own does not work)");
                }
                check
            }
        }
    });
    judged.collect()
}

/// Judges one that is there, and is to invoke this alias. `change` is the command that changes it.
fn event_source(
    subject: String,
    template: &Template,
    (mapping, alias): (&Mapping, Option<&str>),
    change: &str,
    maximum_concurrency: Option<i32>,
) -> Check {
    match mapping.state.as_str() {
        "Enabled" => {}
        "Disabled" | "Disabling" => {
            return Check::wrong(subject, format!("it is disabled, so {}", template.without))
                .remedy(format!("turn it on: `{change} --enabled`"));
        }
        state => {
            return Check::notice(subject, format!("it is being changed: its state is {state}"));
        }
    }
    if let Some(result) = mapping.failure() {
        return Check::wrong(subject, format!("the last batch failed: {result}")).remedy(
            "the function's log lines say why (output LogGroupName); the batch is tried again until it succeeds or is given up",
        );
    }
    let different = different(mapping, alias, template.batch_size, maximum_concurrency);
    if !different.is_empty() {
        let findings: Vec<&str> = different.iter().map(|(finding, _)| finding.as_str()).collect();
        let options: String = different.iter().map(|(_, option)| format!(" {option}")).collect();
        return Check::wrong(subject, format!("its settings are not the template's: {}", findings.join("; ")))
            .remedy(format!("`{change}{options}` puts them back, which a deployment alone does not"));
    }
    let result = mapping.last_result.as_ref().map(|result| format!("; the last result: {result}"));
    Check::well(subject, format!("enabled{}", result.unwrap_or_default()))
}

/// The settings that are not as the template has them, each with the option that puts it back.
fn different(
    mapping: &Mapping,
    alias: Option<&str>,
    batch_size: i32,
    maximum_concurrency: Option<i32>,
) -> Vec<(String, String)> {
    let number = |number: Option<i32>| number.map_or_else(|| "none".to_owned(), |number| number.to_string());
    let mut different = Vec::new();
    if !mapping.reports_failures {
        different.push((
            "it does not ask which messages of a batch failed, so those are taken for done with the others".to_owned(),
            "--function-response-types ReportBatchItemFailures".to_owned(),
        ));
    }
    if let Some(alias) = alias
        && !mapping.function_arn.ends_with(&format!(":{alias}"))
    {
        different.push((
            format!("it does not invoke the alias {alias} but {}", mapping.function_arn),
            format!("--function-name {}:{alias}", unqualified(&mapping.function_arn)),
        ));
    }
    if mapping.batch_size != Some(batch_size) {
        different.push((
            format!("the batch size is {} and not {batch_size}", number(mapping.batch_size)),
            format!("--batch-size {batch_size}"),
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
