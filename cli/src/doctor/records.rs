//! Whether events come in, and whether any of them wait for somebody.

use std::time::Duration;

use intake_pipeline::ledger::Outcome;
use intake_pipeline::port_error::PortError;
use intake_pipeline::records::{DeliveryFilter, EventFilter, Records, TimeRange};
use intake_providers::ProviderName;
use intake_providers::timestamp::Timestamp;

use super::check::Check;

/// For how long back deliveries and outcomes are looked at, unless something else is said.
pub const LOOK_BACK: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Maximum number of quarantined or conflicting events that are counted.
const MAX_COUNTED: u32 = 1_000;

/// The time that is looked at: from a moment until now.
#[derive(Clone, Copy, Debug)]
pub struct Period {
    since: Timestamp,
    now: Timestamp,
}

impl Period {
    /// The time since a moment, or [`LOOK_BACK`] from now.
    #[must_use]
    pub fn new(since: Option<Timestamp>, now: Timestamp) -> Self {
        Self { since: since.unwrap_or_else(|| now.minus(LOOK_BACK)), now }
    }

    const fn range(self) -> TimeRange {
        TimeRange { since: Some(self.since), until: None }
    }

    fn length(self) -> Duration {
        self.age(self.since)
    }

    fn age(self, of: Timestamp) -> Duration {
        let milliseconds = self.now.unix_milliseconds().saturating_sub(of.unix_milliseconds());
        Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0))
    }
}

/// How far a clock may be off. Beyond it a fresh token may look expired, and times in lists mislead.
const CLOCK_TOLERANCE_SECONDS: u64 = 30;

/// When the latest delivery of a provider arrived, if one did within the period.
///
/// # Errors
/// When the records don't answer.
pub async fn latest(
    records: &impl Records,
    provider: ProviderName,
    period: Period,
) -> Result<Option<Timestamp>, PortError> {
    let received = period.range();
    let deliveries = DeliveryFilter { provider: Some(provider), received, most: Some(1), ..DeliveryFilter::default() };
    if let Some(delivery) = records.deliveries(&deliveries).await?.found.last() {
        return Ok(Some(delivery.received_at));
    }
    // Records of deliveries may be off.
    let events = EventFilter { provider: Some(provider), received, most: Some(1), ..EventFilter::default() };
    Ok(records.events(&events).await?.found.last().and_then(|event| event.made()).map(|(received_at, _)| received_at))
}

/// Judges when the latest delivery arrived. A provider from which something is expected within a time is silent beyond it.
#[must_use]
pub fn silence(
    provider: ProviderName,
    latest: Option<Timestamp>,
    expected_within: Option<Duration>,
    period: Period,
) -> Check {
    let subject = format!("deliveries of {provider}");
    let age = latest.map(|latest| period.age(latest));
    let finding = match age {
        Some(age) => format!("the latest arrived {} ago", in_words(age)),
        None => format!("none arrived in the last {}", in_words(period.length())),
    };
    match (age, expected_within) {
        (_, Some(within)) if age.unwrap_or_else(|| period.length()) > within => {
            Check::wrong(subject, format!("{finding}, and one is expected every {}", in_words(within))).remedy(format!(
                "look with `refused` whether requests of {provider} are refused, and at {provider} whether it sends"
            ))
        }
        (Some(_), _) => Check::well(subject, finding),
        (None, _) => Check::notice(subject, finding),
    }
}

/// Counts what waits for somebody: quarantined events, and conflicts.
///
/// # Errors
/// When the records don't answer.
pub async fn outcomes(records: &impl Records, period: Period) -> Result<Vec<Check>, PortError> {
    let mut checks = Vec::new();
    for (outcome, subject, what, remedy) in [
        (
            Outcome::Quarantined,
            "quarantine",
            "could not be read as an event",
            "`quarantine list` shows each with its reason, and `quarantine release` processes it again",
        ),
        (
            Outcome::Conflict,
            "conflicts",
            "came with the identity of an earlier event and other content",
            "`events --outcome conflict` shows them; docs/operations.md says what they can mean",
        ),
    ] {
        let filter = EventFilter {
            outcome: Some(outcome),
            received: period.range(),
            most: Some(MAX_COUNTED),
            ..EventFilter::default()
        };
        let number = records.events(&filter).await?.found.len();
        let length = in_words(period.length());
        checks.push(match number {
            0 => Check::well(subject, format!("nothing in the last {length}")),
            1 => Check::notice(subject, format!("one in the last {length} {what}")).remedy(remedy),
            number => Check::notice(subject, format!("{number} in the last {length} {what}")).remedy(remedy),
        });
    }
    Ok(checks)
}

/// Judges the number of dead letters.
#[must_use]
pub fn dead_letters(number: u64) -> Check {
    match number {
        0 => Check::well("dead letters", "there is none"),
        1 => Check::wrong("dead letters", "one delivery was given up"),
        number => Check::wrong("dead letters", format!("{number} deliveries were given up")),
    }
    .with_remedy_if_wrong(
        "`dead-letters list` shows the reason of each, and `dead-letters redrive` puts them back on the queue",
    )
}

/// Judges how far the other clock is ahead of this machine's.
#[must_use]
pub fn clock(offset_seconds: i64, whose: &str) -> Check {
    let off = offset_seconds.unsigned_abs();
    if off <= CLOCK_TOLERANCE_SECONDS {
        return Check::well("clock", format!("this machine's clock agrees with {whose}"));
    }
    let direction = if offset_seconds > 0 { "behind" } else { "ahead of" };
    let off = in_words(Duration::from_secs(off));
    Check::wrong("clock", format!("this machine's clock is {off} {direction} {whose}"))
        .remedy("set the clock, best by NTP; times in lists and what `explain` says of tokens are off until then")
}

/// Judges this machine's clock by the time at which a delivery was last received on it. It can't have been in the future.
#[must_use]
pub fn clock_since(last: Option<Timestamp>, now: Timestamp) -> Check {
    let ahead = last.map_or(0, |last| last.unix_milliseconds().saturating_sub(now.unix_milliseconds()));
    let ahead = Duration::from_millis(u64::try_from(ahead).unwrap_or(0));
    if ahead.as_secs() <= CLOCK_TOLERANCE_SECONDS {
        return Check::well("clock", "nothing was received later than it is now");
    }
    Check::wrong("clock", format!("a delivery was received {} later than it is now", in_words(ahead)))
        .remedy("set the clock, best by NTP: it is behind, or it was ahead then; times in lists are off until then")
}

impl Check {
    fn with_remedy_if_wrong(self, remedy: &str) -> Self {
        if self.verdict.is_healthy() { self } else { self.remedy(remedy) }
    }
}

/// A duration in words, in its largest unit.
#[must_use]
pub fn in_words(time: Duration) -> String {
    let seconds = time.as_secs();
    let (number, unit) = match seconds {
        0..=119 => (seconds, "second"),
        120..=7_199 => (seconds / 60, "minute"),
        7_200..=172_799 => (seconds / 3_600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{number} {unit}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::super::check::Verdict;
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_milliseconds(seconds * 1_000).unwrap()
    }

    #[test]
    fn a_provider_is_silent_only_when_something_was_expected() {
        let week = Period::new(None, at(86_400));
        let two_hours = Period::new(Some(at(86_400 - 7_200)), at(86_400));
        for (period, latest, expected, verdict) in [
            (week, Some(at(86_000)), None, Verdict::Well),
            (week, None, None, Verdict::Notice),
            (week, Some(at(86_400 - 3_600)), Some(HOUR), Verdict::Well),
            (week, Some(at(86_400 - 3_601)), Some(HOUR), Verdict::Wrong),
            (week, None, Some(HOUR), Verdict::Wrong),
            (two_hours, None, Some(HOUR), Verdict::Wrong),
            // It has only looked as far as that.
            (week, None, Some(LOOK_BACK), Verdict::Notice),
            (two_hours, None, Some(3 * HOUR), Verdict::Notice),
        ] {
            let check = silence(ProviderName::Machnet, latest, expected, period);
            assert_eq!(check.verdict, verdict, "{latest:?} {expected:?} {check:?}");
            assert_eq!(check.remedy.is_some(), verdict == Verdict::Wrong);
        }
    }

    #[test]
    fn a_clock_is_wrong_beyond_half_a_minute_in_either_direction() {
        assert_eq!(clock(30, "AWS's").verdict, Verdict::Well);
        assert_eq!(clock(90, "AWS's").finding, "this machine's clock is 90 seconds behind AWS's");
        assert_eq!(clock(-7_200, "AWS's").finding, "this machine's clock is 2 hours ahead of AWS's");
    }

    #[test]
    fn a_delivery_from_the_future_betrays_a_clock_that_was_put_back() {
        for (last, verdict) in
            [(None, Verdict::Well), (Some(at(1_000)), Verdict::Well), (Some(at(1_030)), Verdict::Well)]
        {
            assert_eq!(clock_since(last, at(1_000)).verdict, verdict);
        }
        let check = clock_since(Some(at(8_200)), at(1_000));
        assert_eq!(
            (check.verdict, check.finding.as_str()),
            (Verdict::Wrong, "a delivery was received 2 hours later than it is now")
        );
    }

    #[test]
    fn every_dead_letter_is_wrong() {
        assert_eq!(dead_letters(0).verdict, Verdict::Well);
        assert_eq!(dead_letters(1).finding, "one delivery was given up");
        assert!(dead_letters(2).remedy.is_some());
    }
}
