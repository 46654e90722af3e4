//! What is asked of a deployed stack.

use std::collections::BTreeMap;
use std::time::Duration;

use intake_aws::operator::{Schedule, Stack, StackRecords, Subscribers};
use intake_broker::AmqpBroker;
use intake_pipeline::clock::{Clock as _, SystemClock};
use intake_providers::ProviderName;
use intake_providers::nurturecloud::resync::Credentials;

use super::check::Check;
use super::keys::{self, Judged, KeyText};
use super::{Call, broker, records};

/// How a provider's secret is called in the template: its type's name and one of these.
const SECRET_SUFFIXES: [&str; 2] = ["Secret", "VerificationSecret"];

/// Checks a deployed stack. `call` says how to call the program for it.
pub async fn check(stack: &Stack, call: Call<'_>) -> Vec<Check> {
    let mut checks = vec![Check::well("program", format!("version {}", env!("CARGO_PKG_VERSION")))];
    checks.push(state(stack.status()));
    checks.push(release(stack.parameter("Release")));
    checks.extend(stack.clock_offset_seconds().map(|offset| records::clock(offset, "AWS's")));

    let mut texts = BTreeMap::new();
    for provider in ProviderName::ALL {
        texts.extend(key_text(stack, *provider, call).await.map(|text| (*provider, text)));
    }
    let enabled: Vec<ProviderName> = texts.keys().copied().collect();
    let Judged { checks: key_checks, accounts } = keys::judge(texts);
    checks.extend(key_checks);
    checks.extend(authority(stack, call).await);
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
    match stack.schedules().await {
        Ok(schedules) => checks.extend(schedules.iter().map(schedule)),
        Err(error) => checks.push(Check::unknown("schedules", &error)),
    }
    checks.extend(recorded(stack, &enabled).await);
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
    checks.extend(alarms(stack).await);
    checks
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

/// The secret of a provider, if it is enabled.
async fn key_text(stack: &Stack, provider: ProviderName, call: Call<'_>) -> Option<KeyText> {
    let logical_id = SECRET_SUFFIXES
        .iter()
        .map(|suffix| format!("{provider:?}{suffix}"))
        .find(|logical_id| stack.find_resource(logical_id).is_some())?;
    Some(match stack.secret_text(&logical_id).await {
        Ok(text) => KeyText::Read {
            place: format!("the secret {logical_id}"),
            text,
            remedy: format!(
                "`{}` puts it right, and docs/providers/{provider}.md says how",
                call(&format!("keys add {provider}"))
            ),
        },
        Err(error) => KeyText::Unreadable(Check::unknown(keys::subject(provider), &error)),
    })
}

async fn authority(stack: &Stack, call: Call<'_>) -> Option<Check> {
    const SECRET: &str = "SterlingAuthoritySecret";
    stack.find_resource(SECRET)?;
    let text = match stack.secret_text(SECRET).await {
        Ok(text) => text,
        Err(error) => return Some(Check::unknown(keys::AUTHORITY, &error)),
    };
    let add_client = format!("`{}` makes one", call("keys add sterling <CLIENT-ID>"));
    Some(keys::authority(text.reveal(), &format!("the secret {SECRET}"), &add_client))
}

/// The credentials of the resync, if it is used.
async fn resync(stack: &Stack) -> Option<Check> {
    const SECRET: &str = "NurtureCloudResyncSecret";
    const SUBJECT: &str = "credentials of the resync";
    stack.find_resource(SECRET)?;
    Some(match stack.secret_text(SECRET).await {
        Ok(text) => match Credentials::read(text.reveal()) {
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
async fn recorded(stack: &Stack, enabled: &[ProviderName]) -> Vec<Check> {
    let now = SystemClock.now();
    let recorded = match StackRecords::new(stack) {
        Ok(recorded) => recorded,
        Err(error) => return vec![Check::unknown("records", &error)],
    };
    let mut checks = Vec::new();
    for provider in enabled {
        let expected_within = stack.parameter(&format!("{provider:?}Silence")).and_then(look_back);
        checks.push(match records::latest(&recorded, *provider, now).await {
            Ok(latest) => records::silence(*provider, latest, expected_within, now),
            Err(error) => Check::unknown(format!("deliveries of {provider}"), &error),
        });
    }
    match records::outcomes(&recorded, now).await {
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

/// Which alarms are raised, and who is told.
async fn alarms(stack: &Stack) -> Vec<Check> {
    let mut checks = Vec::new();
    match stack.alarms().await {
        Ok(alarms) => {
            let raised: Vec<_> = alarms.iter().filter(|alarm| alarm.is_raised).collect();
            checks.extend(raised.iter().map(|alarm| {
                let remedy = match alarm.description.as_str() {
                    "" => "docs/operations.md#alarms-and-what-to-do",
                    description => description,
                };
                Check::wrong(format!("alarm {}", alarm.name), "it is raised").remedy(remedy)
            }));
            let mute: Vec<&str> =
                alarms.iter().filter(|alarm| !alarm.has_actions).map(|alarm| alarm.name.as_str()).collect();
            if !mute.is_empty() {
                checks.push(
                    Check::wrong("alarms", format!("nobody is told when these are raised: {}", mute.join(", ")))
                        .remedy("turn their actions on again, or deploy once more"),
                );
            }
            if raised.is_empty() && mute.is_empty() {
                checks.push(Check::well("alarms", format!("none of {} is raised", alarms.len())));
            }
        }
        Err(error) => checks.push(Check::unknown("alarms", &error)),
    }
    checks.push(match stack.subscribers().await {
        Ok(subscribers) => told(subscribers),
        Err(error) => Check::unknown("subscribers of the alarms", &error),
    });
    checks
}

/// Judges who is told of the alarms.
fn told(Subscribers { confirmed, unconfirmed }: Subscribers) -> Check {
    let subject = "subscribers of the alarms";
    match (confirmed, unconfirmed) {
        (0, 0) => Check::wrong(subject, "nobody gets the alarms")
            .remedy("deploy with AlarmEmail=<address>, or subscribe to the topic by other means"),
        (0, _) => Check::wrong(subject, "nobody has confirmed the subscription, so nobody gets the alarms")
            .remedy("open the link in the mail that AWS sent when the stack was deployed"),
        (1, 0) => Check::well(subject, "one gets the alarms"),
        (confirmed, 0) => Check::well(subject, format!("{confirmed} get the alarms")),
        (confirmed, unconfirmed) => Check::notice(
            subject,
            format!("{confirmed} get the alarms, and {unconfirmed} have not confirmed their subscription"),
        ),
    }
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

    #[test]
    fn alarms_that_nobody_gets_are_wrong() {
        for (confirmed, unconfirmed, verdict) in
            [(0, 0, Verdict::Wrong), (0, 1, Verdict::Wrong), (1, 0, Verdict::Well), (2, 1, Verdict::Notice)]
        {
            assert_eq!(told(Subscribers { confirmed, unconfirmed }).verdict, verdict);
        }
    }
}
