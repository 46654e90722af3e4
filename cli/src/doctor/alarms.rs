//! Which alarms are raised, and whether anybody is told.

use intake_aws::operator::{Alarm, Alarms, Subscribers};

use super::check::{Check, DELETED};

/// What alarms are called where more than one is judged.
pub const ALARMS: &str = "alarms";
/// What those are called who get them.
pub const SUBSCRIBERS: &str = "subscribers of the alarms";

/// Judges the alarms.
#[must_use]
pub fn judge(Alarms { found, missing }: &Alarms) -> Vec<Check> {
    let raised = found.iter().filter(|alarm| alarm.is_raised).map(raised);
    let mut checks: Vec<Check> = raised.collect();
    let names = |is_meant: fn(&Alarm) -> bool| {
        found.iter().filter(|alarm| is_meant(alarm)).map(|alarm| alarm.name.as_str()).collect::<Vec<_>>()
    };
    let disabled = names(|alarm| alarm.has_actions && !alarm.is_enabled);
    if !disabled.is_empty() {
        checks.push(
            Check::wrong(ALARMS, format!("the actions of these are off, so nobody is told: {}", disabled.join(", ")))
                .remedy(format!(
                    "turn them on: `aws cloudwatch enable-alarm-actions --alarm-names {}`",
                    disabled.join(" ")
                )),
        );
    }
    let without = names(|alarm| !alarm.has_actions);
    if !without.is_empty() {
        checks.push(
            Check::wrong(ALARMS, format!("these have lost their actions, so nobody is told: {}", without.join(", ")))
                .remedy(
                    "add the topic of the output AlarmTopicArn to each in the CloudWatch console (Edit, Configure actions); a                      deployment does not put back what was changed by hand",
                ),
        );
    }
    if !missing.is_empty() {
        checks.push(
            Check::wrong(ALARMS, format!("these were deleted by hand, so nobody is told: {}", missing.join(", ")))
                .remedy(DELETED),
        );
    }
    if checks.is_empty() {
        checks.push(Check::well(ALARMS, format!("none of {} is raised", found.len())));
    }
    checks
}

fn raised(alarm: &Alarm) -> Check {
    let remedy = match alarm.description.as_str() {
        "" => "docs/operations.md#alarms-and-what-to-do",
        description => description,
    };
    Check::wrong(format!("alarm {}", alarm.name), "it is raised").remedy(remedy)
}

/// Judges who is told of the alarms.
#[must_use]
pub fn told(Subscribers { confirmed, unconfirmed }: Subscribers) -> Check {
    match (confirmed, unconfirmed) {
        (0, 0) => Check::wrong(SUBSCRIBERS, "nobody gets the alarms")
            .remedy("deploy with AlarmEmail=<address>, or subscribe to the topic by other means"),
        (0, _) => Check::wrong(SUBSCRIBERS, "nobody has confirmed the subscription, so nobody gets the alarms")
            .remedy("open the link in the mail that AWS sent when the stack was deployed"),
        (1, 0) => Check::well(SUBSCRIBERS, "one gets the alarms"),
        (confirmed, 0) => Check::well(SUBSCRIBERS, format!("{confirmed} get the alarms")),
        (confirmed, unconfirmed) => Check::notice(
            SUBSCRIBERS,
            format!("{confirmed} get the alarms, and {unconfirmed} have not confirmed their subscription"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::Verdict;
    use super::*;

    fn alarm(name: &str) -> Alarm {
        Alarm {
            name: name.to_owned(),
            description: String::new(),
            is_raised: false,
            is_enabled: true,
            has_actions: true,
        }
    }

    fn findings(alarms: &Alarms) -> Vec<(Verdict, String)> {
        judge(alarms).into_iter().map(|check| (check.verdict, check.finding)).collect()
    }

    #[test]
    fn alarms_that_tell_nobody_are_named_by_the_cause() {
        let found = vec![
            alarm("quiet"),
            Alarm { is_raised: true, ..alarm("raised") },
            Alarm { is_enabled: false, ..alarm("off") },
            Alarm { has_actions: false, ..alarm("bare") },
        ];
        let wrong = |finding: &str| (Verdict::Wrong, finding.to_owned());
        assert_eq!(
            findings(&Alarms { found, missing: vec!["gone".to_owned()] }),
            [
                wrong("it is raised"),
                wrong("the actions of these are off, so nobody is told: off"),
                wrong("these have lost their actions, so nobody is told: bare"),
                wrong("these were deleted by hand, so nobody is told: gone"),
            ]
        );
        let quiet = Alarms { found: vec![alarm("quiet"), alarm("calm")], missing: Vec::new() };
        assert_eq!(findings(&quiet), [(Verdict::Well, "none of 2 is raised".to_owned())]);
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
