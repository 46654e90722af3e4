//! Settings from environment variables: read once, checked whole, every problem reported together. An empty variable is one
//! that is not set.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use intake_providers::nowcerts::JsonPointer;
use intake_providers::nurturecloud;
use tracing::level_filters::LevelFilter;

use crate::drain::DrainSettings;
use crate::intake::IntakeSettings;
use crate::processor::ProcessorSettings;
use crate::telemetry::TelemetrySettings;

mod resync;

pub use resync::{MAX_CALLS_PER_MINUTE, MAX_LOOKBACK_DAYS, ResyncConfig};

/// Everything that is wrong with the settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigProblems(Vec<String>);

impl fmt::Display for ConfigProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the settings cannot be used: {}", self.0.join("; "))
    }
}

/// Settings of a webhook function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntakeConfig {
    /// `QUEUE_URL`: the queue's URL.
    pub queue_url: String,
    /// `PAYLOADS_BUCKET`: the bucket for bodies that are too large for the queue.
    pub payloads_bucket: String,
    /// `SECRET_ID`: the name or ARN of the secret with the provider's keys.
    pub secret_id: String,
    /// The flow's own settings: `DEADLINE_MILLISECONDS` and `SECRET_REFRESH_SECONDS`.
    pub settings: IntakeSettings,
}

impl IntakeConfig {
    /// Reads the settings.
    ///
    /// # Errors
    /// All problems at once.
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigProblems> {
        let mut reader = Reader::new(variable);
        let config = Self {
            queue_url: reader.required("QUEUE_URL", "the queue's URL"),
            payloads_bucket: reader.required("PAYLOADS_BUCKET", "the name of the bucket for large bodies"),
            secret_id: reader.required("SECRET_ID", "the name or ARN of the secret with the keys"),
            settings: reader.intake_settings(),
        };
        reader.finish(config)
    }
}

/// Settings of the token endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenEndpointConfig {
    /// `SECRET_ID`: the name or ARN of the secret with the authority's whole document.
    pub secret_id: String,
    /// The flow's own settings: `DEADLINE_MILLISECONDS` and `SECRET_REFRESH_SECONDS`.
    pub settings: IntakeSettings,
}

impl TokenEndpointConfig {
    /// Reads the settings.
    ///
    /// # Errors
    /// All problems at once.
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigProblems> {
        let mut reader = Reader::new(variable);
        let config = Self {
            secret_id: reader.required("SECRET_ID", "the name or ARN of the secret with the signing keys"),
            settings: reader.intake_settings(),
        };
        reader.finish(config)
    }
}

/// Settings of the processor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessorConfig {
    /// `EVENTS_TABLE`: the ledger's table.
    pub events_table: String,
    /// `ENTITIES_TABLE`: the table of entities.
    pub entities_table: String,
    /// `PAYLOADS_BUCKET`: the bucket for bodies and data that are too large for the queue and the table.
    pub payloads_bucket: String,
    /// `MACHNET_REPEAT_WINDOW_SECONDS`: for how long a state that Machnet reported is remembered.
    pub machnet_repeat_window: Duration,
    /// `NURTURECLOUD_ORGANISATION` and `NURTURECLOUD_BUSINESSES` (ids separated by commas): if set, entities of others are
    /// quarantined. Unset accepts all.
    pub nurturecloud: nurturecloud::Splitter,
    /// `NOWCERTS_ID_POINTER`: the JSON pointer to the id of an event of NowCerts.
    pub nowcerts_id_pointer: Option<JsonPointer>,
    /// The flow's own settings: `EVENT_CONCURRENCY`.
    pub settings: ProcessorSettings,
}

impl ProcessorConfig {
    /// Reads the settings.
    ///
    /// # Errors
    /// All problems at once.
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigProblems> {
        let mut reader = Reader::new(variable);
        let default_window = intake_providers::machnet::Splitter::default().repeat_window.as_secs();
        let config = Self {
            events_table: reader.required("EVENTS_TABLE", "the name of the events table"),
            entities_table: reader.required("ENTITIES_TABLE", "the name of the entities table"),
            payloads_bucket: reader.required("PAYLOADS_BUCKET", "the name of the bucket for large bodies"),
            nurturecloud: nurturecloud::Splitter {
                organisation: reader.optional("NURTURECLOUD_ORGANISATION"),
                businesses: reader.list("NURTURECLOUD_BUSINESSES").into_iter().collect(),
            },
            machnet_repeat_window: Duration::from_secs(reader.number(
                "MACHNET_REPEAT_WINDOW_SECONDS",
                default_window,
                0..=31_536_000,
            )),
            nowcerts_id_pointer: reader
                .parsed("NOWCERTS_ID_POINTER", None, "a JSON pointer such as /Id", |text| text.parse().ok().map(Some)),
            settings: ProcessorSettings {
                event_concurrency: reader.number(
                    "EVENT_CONCURRENCY",
                    ProcessorSettings::default().event_concurrency,
                    1..=1_000,
                ),
            },
        };
        reader.finish(config)
    }
}

/// Settings of a drain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrainConfig {
    /// `QUEUE_URL`: our queue's URL.
    pub queue_url: String,
    /// `PAYLOADS_BUCKET`: the bucket for bodies that are too large for the queue.
    pub payloads_bucket: String,
    /// `EVENTS_TABLE`: the table that holds the lease.
    pub events_table: String,
    /// `SECRET_ID`: the name or ARN of the secret with the account.
    pub secret_id: String,
    /// The flow's own settings: `PREFETCH`, `IN_FLIGHT_BYTES`, `BATCHES_IN_FLIGHT`, `IDLE_MILLISECONDS`,
    /// `MESSAGE_BUDGET`, `MARGIN_SECONDS` and `LEASE_SECONDS`.
    pub settings: DrainSettings,
}

impl DrainConfig {
    /// Reads the settings.
    ///
    /// # Errors
    /// All problems at once.
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigProblems> {
        let mut reader = Reader::new(variable);
        let defaults = DrainSettings::default();
        let config = Self {
            queue_url: reader.required("QUEUE_URL", "the queue's URL"),
            payloads_bucket: reader.required("PAYLOADS_BUCKET", "the name of the bucket for large bodies"),
            events_table: reader.required("EVENTS_TABLE", "the name of the events table, which holds the lease"),
            secret_id: reader.required("SECRET_ID", "the name or ARN of the secret with the account"),
            settings: DrainSettings {
                prefetch: reader.number("PREFETCH", defaults.prefetch, 1..=10_000),
                in_flight_bytes: reader.number("IN_FLIGHT_BYTES", defaults.in_flight_bytes, 1_048_576..=1_073_741_824),
                batches_in_flight: reader.number("BATCHES_IN_FLIGHT", defaults.batches_in_flight, 1..=256),
                idle: Duration::from_millis(reader.number(
                    "IDLE_MILLISECONDS",
                    whole(defaults.idle.as_millis()),
                    100..=600_000,
                )),
                message_budget: reader.number("MESSAGE_BUDGET", defaults.message_budget, 1..=u64::MAX),
                margin: Duration::from_secs(reader.number("MARGIN_SECONDS", defaults.margin.as_secs(), 3..=300)),
                lease: Duration::from_secs(reader.number("LEASE_SECONDS", defaults.lease.as_secs(), 5..=900)),
                ..defaults
            },
        };
        reader.finish(config)
    }
}

impl TelemetrySettings {
    /// Reads `METRICS_NAMESPACE` and `LOG_LEVEL`. Telemetry must work to report what else is wrong, so a value that can't be
    /// used gives way to its default, and is returned as a problem beside the settings.
    #[must_use]
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> (Self, Option<ConfigProblems>) {
        let mut reader = Reader::new(variable);
        let defaults = Self::default();
        let settings = Self {
            metrics_namespace: reader.optional("METRICS_NAMESPACE").unwrap_or(defaults.metrics_namespace),
            log_level: reader.parsed(
                "LOG_LEVEL",
                defaults.log_level,
                "off, error, warn, info, debug or trace",
                |text| LevelFilter::from_str(text).ok(),
            ),
        };
        let problems = (!reader.problems.is_empty()).then_some(ConfigProblems(reader.problems));
        (settings, problems)
    }
}

struct Reader<F> {
    variable: F,
    problems: Vec<String>,
}

impl<F: Fn(&str) -> Option<String>> Reader<F> {
    const fn new(variable: F) -> Self {
        Self { variable, problems: Vec::new() }
    }

    fn optional(&self, name: &str) -> Option<String> {
        (self.variable)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    fn list(&self, name: &str) -> Vec<String> {
        let text = self.optional(name).unwrap_or_default();
        text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
    }

    fn required(&mut self, name: &str, meaning: &str) -> String {
        self.optional(name).unwrap_or_else(|| {
            self.problems.push(format!("{name} is not set; it is {meaning}"));
            String::new()
        })
    }

    fn parsed<T>(&mut self, name: &str, default: T, expected: &str, parse: impl Fn(&str) -> Option<T>) -> T {
        let Some(text) = self.optional(name) else {
            return default;
        };
        parse(&text).unwrap_or_else(|| {
            self.problems.push(format!("{name} is {text:?} and should be {expected}"));
            default
        })
    }

    fn number<N: FromStr + PartialOrd + fmt::Display>(
        &mut self,
        name: &str,
        default: N,
        range: std::ops::RangeInclusive<N>,
    ) -> N {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        self.parsed(name, default, &expected, |text| text.parse().ok().filter(|number| range.contains(number)))
    }

    fn intake_settings(&mut self) -> IntakeSettings {
        let defaults = IntakeSettings::default();
        let deadline = whole(defaults.deadline.as_millis());
        IntakeSettings {
            deadline: Duration::from_millis(self.number("DEADLINE_MILLISECONDS", deadline, 100..=29_000)),
            secret_refresh: Duration::from_secs(self.number(
                "SECRET_REFRESH_SECONDS",
                defaults.secret_refresh.as_secs(),
                15..=86_400,
            )),
        }
    }

    fn finish<T>(self, config: T) -> Result<T, ConfigProblems> {
        if self.problems.is_empty() { Ok(config) } else { Err(ConfigProblems(self.problems)) }
    }
}

fn whole(milliseconds: u128) -> u64 {
    u64::try_from(milliseconds).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &'static [(&'static str, &'static str)]) -> impl Fn(&str) -> Option<String> {
        move |name| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    }

    #[test]
    fn every_problem_is_reported_at_once() {
        let problems = IntakeConfig::from_environment(variables(&[
            ("QUEUE_URL", " "),
            ("PAYLOADS_BUCKET", "b"),
            ("DEADLINE_MILLISECONDS", "soon"),
            ("SECRET_REFRESH_SECONDS", "1"),
        ]))
        .unwrap_err()
        .to_string();
        for expected in [
            "QUEUE_URL is not set",
            "SECRET_ID is not set",
            "DEADLINE_MILLISECONDS is \"soon\" and should be a whole number from 100 to 29000",
            "SECRET_REFRESH_SECONDS is \"1\" and should be a whole number from 15 to 86400",
        ] {
            assert!(problems.contains(expected), "{problems}");
        }
        assert!(!problems.contains("PAYLOADS_BUCKET"), "{problems}");
    }

    #[test]
    fn a_drain_without_settings_is_said_to_lack_them_all() {
        let problems = DrainConfig::from_environment(variables(&[("PREFETCH", "0"), ("IN_FLIGHT_BYTES", "1")]))
            .unwrap_err()
            .to_string();
        let missing = ["QUEUE_URL", "PAYLOADS_BUCKET", "EVENTS_TABLE", "SECRET_ID"];
        let wrong = ["PREFETCH is \"0\"", "IN_FLIGHT_BYTES is \"1\""];
        for expected in missing.into_iter().chain(wrong) {
            assert!(problems.contains(expected), "{problems}");
        }
    }

    #[test]
    fn an_empty_variable_means_the_default() {
        let config = ProcessorConfig::from_environment(variables(&[
            ("EVENTS_TABLE", "events"),
            ("ENTITIES_TABLE", "entities"),
            ("PAYLOADS_BUCKET", "payloads"),
            ("EVENT_CONCURRENCY", ""),
            ("NURTURECLOUD_ORGANISATION", ""),
            ("NURTURECLOUD_BUSINESSES", " a, ,b "),
        ]))
        .unwrap();
        assert_eq!(config.settings, ProcessorSettings::default());
        let businesses = ["a".to_owned(), "b".to_owned()].into();
        assert_eq!(config.nurturecloud, nurturecloud::Splitter { organisation: None, businesses });
        assert_eq!(config.machnet_repeat_window, Duration::from_secs(43_200));
    }

    #[test]
    fn a_pointer_that_is_none_is_a_problem() {
        let settings = |pointer| {
            move |name: &str| {
                match name {
                    "NOWCERTS_ID_POINTER" => Some(pointer),
                    "EVENTS_TABLE" | "ENTITIES_TABLE" | "PAYLOADS_BUCKET" => Some("there"),
                    _ => None,
                }
                .map(str::to_owned)
            }
        };
        let config = ProcessorConfig::from_environment(settings("/data/Id")).unwrap();
        assert_eq!(config.nowcerts_id_pointer, "/data/Id".parse().ok());
        assert_eq!(ProcessorConfig::from_environment(settings("")).unwrap().nowcerts_id_pointer, None);
        let problems = ProcessorConfig::from_environment(settings("$.Id")).unwrap_err().to_string();
        assert!(problems.contains("NOWCERTS_ID_POINTER is \"$.Id\" and should be a JSON pointer"), "{problems}");
    }

    #[test]
    fn telemetry_works_with_a_level_that_it_does_not_know_and_says_so() {
        let (settings, problems) = TelemetrySettings::from_environment(variables(&[("LOG_LEVEL", "loud")]));
        assert_eq!(settings.log_level, TelemetrySettings::default().log_level);
        assert!(problems.unwrap().to_string().contains("LOG_LEVEL is \"loud\""));
    }
}
