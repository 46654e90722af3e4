//! What is asked of a deployed stack.

use std::collections::BTreeMap;
use std::time::Duration;

use intake_aws::operator::{Schedule, Stack, StackRecords};
use intake_broker::AmqpBroker;
use intake_pipeline::clock::{Clock as _, SystemClock};
use intake_providers::ProviderName;
use intake_providers::nurturecloud::resync::Credentials;
use intake_providers::registry::key_ring;
use intake_providers::timestamp::Timestamp;

use super::check::Check;
use super::keys::{self, Judged, KeyText};
use super::records::Period;
use super::{Call, alarms, broker, functions, records, version};

/// Checks a deployed stack. `call` says how to call the program for it.
pub async fn check(stack: &Stack, since: Option<Timestamp>, call: Call<'_>) -> Vec<Check> {
    let mut checks = vec![version::program()];
    checks.push(state(stack.status()));
    checks.push(version::deployed(stack.output("Version")));
    checks.push(release(stack.parameter("Release")));
    checks.extend(stack.clock_offset_seconds().map(|offset| records::clock(offset, "AWS's")));

    let mut texts = BTreeMap::new();
    for provider in ProviderName::ALL {
        texts.extend(key_text(stack, *provider, call).await.map(|text| (*provider, text)));
    }
    let enabled: Vec<ProviderName> = texts.keys().copied().collect();
    let Judged { checks: key_checks, accounts } = keys::judge(texts);
    checks.extend(key_checks);
    for provider in ProviderName::ALL {
        checks.extend(authority(stack, *provider, call).await);
    }
    checks.extend(resync(stack).await);
    for account in &accounts {
        checks.push(match stack.parameter("NowCertsSubnetIds") {
            Some(subnets) if !subnets.is_empty() => Check::notice(
                format!("broker of {}", account.provider),
                "the function reaches it from a VPC, so it was not tried from here",
            ),
            _ => broker::check(&AmqpBroker, account).await,
        });
    }
    match stack.functions().await {
        Ok(found) => checks.extend(functions::judge(&found)),
        Err(error) => checks.push(Check::unknown("functions", &error)),
    }
    match stack.event_sources().await {
        Ok(found) => checks.extend(functions::event_sources(&found, stack.parameter("ProcessorMaximumConcurrency"))),
        Err(error) => checks.push(Check::unknown("event source mappings", &error)),
    }
    match stack.schedules().await {
        Ok(schedules) => checks.extend(schedules.iter().map(schedule)),
        Err(error) => checks.push(Check::unknown("schedules", &error)),
    }
    checks.extend(recorded(stack, &enabled, Period::new(since, SystemClock.now())).await);
    checks.push(match stack.queue_messages("Queue").await {
        Ok(0) => Check::well("queue", "nothing waits"),
        Ok(number) => {
            Check::well("queue", format!("about {number} wait or are in work; the alarms say if one gets old"))
        }
        Err(error) => Check::unknown("queue", &error),
    });
    checks.push(match stack.queue_messages("DeadLetterQueue").await {
        Ok(number) => records::dead_letters(number),
        Err(error) => Check::unknown("dead letters", &error),
    });
    // Stacks of earlier releases publish nothing.
    if stack.find_resource("UnpublishedQueue").is_some() {
        checks.push(match stack.queue_messages("UnpublishedQueue").await {
            Ok(number) => unpublished(number),
            Err(error) => Check::unknown(UNPUBLISHED, &error),
        });
    }
    match stack.alarms().await {
        Ok(found) => checks.extend(alarms::judge(&found)),
        Err(error) => checks.push(Check::unknown(alarms::ALARMS, &error)),
    }
    checks.push(match stack.subscribers().await {
        Ok(subscribers) => alarms::told(subscribers),
        Err(error) => Check::unknown(alarms::SUBSCRIBERS, &error),
    });
    checks
}

/// What the check of the publisher's queue is called.
const UNPUBLISHED: &str = "unpublished events";

/// Judges the number of messages about events that the publisher gave up.
fn unpublished(messages: u64) -> Check {
    let wrong = |finding: &str| {
        Check::wrong(UNPUBLISHED, finding).remedy(
            "docs/operations.md#publishing-again says how to find the reason and publish them again with `replay`; then empty the queue",
        )
    };
    match messages {
        0 => Check::well(UNPUBLISHED, "none was given up"),
        1 => wrong("one message of the publisher's queue says that events were given up, so consumers lack them"),
        number => wrong(&format!(
            "{number} messages of the publisher's queue say that events were given up, so consumers lack them"
        )),
    }
}

/// Judges the state of the stack itself.
fn state(status: &str) -> Check {
    let finding = format!("its state is {status}");
    match status {
        "CREATE_COMPLETE" | "UPDATE_COMPLETE" | "IMPORT_COMPLETE" => Check::well("stack", finding),
        status if status.ends_with("_IN_PROGRESS") => {
            Check::notice("stack", format!("{finding}: it is being changed at this moment"))
        }
        "UPDATE_ROLLBACK_COMPLETE" | "IMPORT_ROLLBACK_COMPLETE" => {
            Check::notice("stack", format!("{finding}: the latest deployment failed, and the one before it runs"))
                .remedy("the stack's events in the CloudFormation console say why")
        }
        _ => Check::wrong("stack", finding).remedy("the stack's events in the CloudFormation console say why"),
    }
}

/// `make deploy` sets a digest, without which changed settings alone reach no function.
fn release(digest: Option<&str>) -> Check {
    match digest {
        Some(digest) if !digest.is_empty() => Check::well("release", digest),
        _ => Check::notice("release", "the stack was not deployed with `make deploy`, so no digest names what runs")
            .remedy("a change of settings alone reaches the functions only with another Release"),
    }
}

/// The secret by which a provider is verified, if it is enabled.
async fn key_text(stack: &Stack, provider: ProviderName, call: Call<'_>) -> Option<KeyText> {
    let logical_id = key_ring(provider).verifying_document()?.secret;
    Some(match stack.secret_text(logical_id).await {
        Ok(text) => KeyText::Read {
            place: format!("the secret {logical_id}"),
            text: text?,
            remedy: format!(
                "`{}` puts it right, and docs/providers/{provider}.md says how",
                call(&format!("keys add {provider}"))
            ),
        },
        Err(error) => KeyText::Unreadable(Check::unknown(keys::subject(provider), &error)),
    })
}

/// The document of a provider's own authority, if it has one and is enabled.
async fn authority(stack: &Stack, provider: ProviderName, call: Call<'_>) -> Option<Check> {
    let logical_id = key_ring(provider).authority_document()?.secret;
    let text = match stack.secret_text(logical_id).await {
        Ok(text) => text?,
        Err(error) => return Some(Check::unknown(keys::AUTHORITY, &error)),
    };
    let add_client = format!("`{}` makes one", call(&format!("keys add {provider} <CLIENT-ID>")));
    Some(keys::authority(text.reveal(), &format!("the secret {logical_id}"), &add_client))
}

/// The credentials of the resync, if it is used.
async fn resync(stack: &Stack) -> Option<Check> {
    const SECRET: &str = "NurtureCloudResyncSecret";
    const SUBJECT: &str = "credentials of the resync";
    Some(match stack.secret_text(SECRET).await {
        Ok(text) => match Credentials::read(text?.reveal()) {
            Ok(_) => Check::well(SUBJECT, "they can be read"),
            Err(error) => Check::wrong(SUBJECT, format!("the secret {SECRET}: {error}"))
                .remedy("docs/providers/nurturecloud.md says what belongs in it"),
        },
        Err(error) => Check::unknown(SUBJECT, &error),
    })
}

fn schedule(schedule: &Schedule) -> Check {
    let subject = format!("schedule {}", schedule.name);
    if schedule.is_on {
        Check::well(subject, format!("on, {}", schedule.expression))
    } else {
        Check::wrong(subject, "it is off, so its function never runs")
            .remedy("deploy with NowCertsScheduleState=ENABLED once the secret is in place, or disable the provider")
    }
}

/// What the tables say.
async fn recorded(stack: &Stack, enabled: &[ProviderName], period: Period) -> Vec<Check> {
    let recorded = match StackRecords::new(stack) {
        // Each of the checks below asks about the same hours.
        Ok(recorded) => recorded.of_this_moment(),
        Err(error) => return vec![Check::unknown("records", &error)],
    };
    let mut checks = Vec::new();
    for provider in enabled {
        let expected_within = stack.parameter(&format!("{provider:?}Silence")).and_then(look_back);
        checks.push(match records::latest(&recorded, *provider, period).await {
            Ok(latest) => records::silence(*provider, latest, expected_within, period),
            Err(error) => Check::unknown(format!("deliveries of {provider}"), &error),
        });
    }
    match records::outcomes(&recorded, period).await {
        Ok(outcomes) => checks.extend(outcomes),
        Err(error) => checks.push(Check::unknown("quarantine", &error)),
    }
    checks
}

/// Reads a value of the silence parameters; `off` expects nothing.
fn look_back(value: &str) -> Option<Duration> {
    let (number, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
    let seconds = match unit {
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    number.parse::<u64>().ok().map(|number| Duration::from_secs(number * seconds))
}

#[cfg(test)]
mod tests {
    use super::super::check::Verdict;
    use super::*;

    #[test]
    fn the_values_of_the_silence_parameters_are_durations() {
        let read = |value| look_back(value).map(|time| time.as_secs());
        assert_eq!(["off", "15m", "6h", "3d", ""].map(read), [None, Some(900), Some(21_600), Some(259_200), None]);
    }

    #[test]
    fn events_that_were_given_up_before_the_bus_are_wrong() {
        assert_eq!(unpublished(0).verdict, Verdict::Well);
        let one = unpublished(1);
        assert_eq!(one.verdict, Verdict::Wrong);
        assert!(one.remedy.unwrap_or_default().contains("`replay`"));
        assert!(unpublished(2).finding.starts_with("2 messages "));
    }

    #[test]
    fn a_stack_is_well_only_where_its_latest_deployment_succeeded() {
        for (status, verdict) in [
            ("UPDATE_COMPLETE", Verdict::Well),
            ("UPDATE_IN_PROGRESS", Verdict::Notice),
            ("UPDATE_ROLLBACK_COMPLETE", Verdict::Notice),
            ("ROLLBACK_COMPLETE", Verdict::Wrong),
            ("UPDATE_ROLLBACK_FAILED", Verdict::Wrong),
            ("DELETE_FAILED", Verdict::Wrong),
        ] {
            assert_eq!(state(status).verdict, verdict, "{status}");
        }
    }
}
