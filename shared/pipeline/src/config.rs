//! Settings from environment variables: read once, checked whole, every problem reported together. An empty variable is one
//! that is not set.

use std::str::FromStr;
use std::time::Duration;

use intake_providers::registry;
pub use intake_providers::settings::ConfigProblems;
use intake_providers::settings::Reader;
use tracing::level_filters::LevelFilter;

use crate::drain::DrainSettings;
use crate::intake::IntakeSettings;
use crate::processor::ProcessorSettings;
use crate::refused::keeper::MAX_KEPT_PER_HOUR;
use crate::telemetry::TelemetrySettings;

mod resync;

pub use resync::{MAX_CALLS_PER_MINUTE, MAX_LOOKBACK_DAYS, ResyncConfig};

/// Settings of a webhook function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntakeConfig {
    /// `QUEUE_URL`: the queue's URL.
    pub queue_url: String,
    /// `PAYLOADS_BUCKET`: the bucket for bodies that are too large for the queue.
    pub payloads_bucket: String,
    /// `SECRET_ID`: the name or ARN of the secret with the provider's keys.
    pub secret_id: String,
    /// `KEEP_REFUSED`: how many refused requests are kept an hour.
    pub keep_refused: Option<KeepRefused>,
    /// The flow's own settings: `DEADLINE_MILLISECONDS` and `SECRET_REFRESH_SECONDS`.
    pub settings: IntakeSettings,
}

impl IntakeConfig {
    /// Reads the settings.
    ///
    /// # Errors
    /// All problems at once.
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigProblems> {
        let mut reader = Reader::new(&variable);
        let config = Self {
            queue_url: reader.required("QUEUE_URL", "the queue's URL"),
            payloads_bucket: reader.required("PAYLOADS_BUCKET", "the name of the bucket for large bodies"),
            secret_id: reader.required("SECRET_ID", "the name or ARN of the secret with the keys"),
            keep_refused: keep_refused(&mut reader),
            settings: intake_settings(&mut reader),
        };
        reader.finish(config)
    }
}

/// Settings of the token endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenEndpointConfig {
    /// `SECRET_ID`: the name or ARN of the secret with the authority's whole document.
    pub secret_id: String,
    /// `KEEP_REFUSED`: how many refused requests are kept an hour. They need `PAYLOADS_BUCKET`.
    pub keep_refused: Option<KeepRefused>,
    /// The flow's own settings: `DEADLINE_MILLISECONDS` and `SECRET_REFRESH_SECONDS`.
    pub settings: IntakeSettings,
}

impl TokenEndpointConfig {
    /// Reads the settings.
    ///
    /// # Errors
    /// All problems at once.
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigProblems> {
        let mut reader = Reader::new(&variable);
        let config = Self {
            secret_id: reader.required("SECRET_ID", "the name or ARN of the secret with the signing keys"),
            keep_refused: keep_refused(&mut reader),
            settings: intake_settings(&mut reader),
        };
        reader.finish(config)
    }
}

/// That refused requests are kept, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeepRefused {
    /// Maximum number of requests that the function keeps an hour.
    pub max_per_hour: u8,
    /// The bucket.
    pub bucket: String,
}

/// Settings of the processor.
#[derive(Clone, Debug)]
pub struct ProcessorConfig {
    /// `EVENTS_TABLE`: the ledger's table.
    pub events_table: String,
    /// `ENTITIES_TABLE`: the table of entities.
    pub entities_table: String,
    /// `PAYLOADS_BUCKET`: the bucket for bodies and data that are too large for the queue and the table.
    pub payloads_bucket: String,
    /// The settings of each provider, which its own file names.
    pub providers: registry::Settings,
    /// The flow's own settings: `EVENT_CONCURRENCY` and `DELIVERY_RETENTION_DAYS`.
    pub settings: ProcessorSettings,
}

impl ProcessorConfig {
    /// Reads the settings.
    ///
    /// # Errors
    /// All problems at once.
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigProblems> {
        let mut reader = Reader::new(&variable);
        let defaults = ProcessorSettings::default();
        let config = Self {
            events_table: reader.required("EVENTS_TABLE", "the name of the events table"),
            entities_table: reader.required("ENTITIES_TABLE", "the name of the entities table"),
            payloads_bucket: reader.required("PAYLOADS_BUCKET", "the name of the bucket for large bodies"),
            providers: registry::Settings::read(&mut reader),
            settings: ProcessorSettings {
                event_concurrency: reader.number("EVENT_CONCURRENCY", defaults.event_concurrency, 1..=1_000),
                delivery_retention: delivery_retention(&mut reader, defaults.delivery_retention),
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
        let mut reader = Reader::new(&variable);
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

/// Settings of the publisher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublisherConfig {
    /// `EVENT_BUS`: the name or ARN of the event bus.
    pub event_bus: String,
    /// `PAYLOADS_BUCKET`: the bucket for data that are too large for the table.
    pub payloads_bucket: String,
}

impl PublisherConfig {
    /// Reads the settings.
    ///
    /// # Errors
    /// All problems at once.
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigProblems> {
        let mut reader = Reader::new(&variable);
        let config = Self {
            event_bus: reader.required("EVENT_BUS", "the name or ARN of the event bus"),
            payloads_bucket: reader.required("PAYLOADS_BUCKET", "the name of the bucket for large data"),
        };
        reader.finish(config)
    }
}

impl TelemetrySettings {
    /// Reads `METRICS_NAMESPACE` and `LOG_LEVEL`. Telemetry must work to report what else is wrong, so a value that can't be
    /// used gives way to its default, and is returned as a problem beside the settings.
    #[must_use]
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> (Self, Option<ConfigProblems>) {
        let mut reader = Reader::new(&variable);
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
        (settings, reader.problems())
    }
}

/// The settings that intakes and the token endpoint have in common.
fn intake_settings(reader: &mut Reader<'_>) -> IntakeSettings {
    let defaults = IntakeSettings::default();
    let deadline = whole(defaults.deadline.as_millis());
    IntakeSettings {
        deadline: Duration::from_millis(reader.number("DEADLINE_MILLISECONDS", deadline, 100..=29_000)),
        secret_refresh: Duration::from_secs(reader.number(
            "SECRET_REFRESH_SECONDS",
            defaults.secret_refresh.as_secs(),
            15..=86_400,
        )),
    }
}

/// Whether refused requests are kept. 0 keeps none.
fn keep_refused(reader: &mut Reader<'_>) -> Option<KeepRefused> {
    match reader.number("KEEP_REFUSED", 0, 0..=MAX_KEPT_PER_HOUR) {
        0 => None,
        max_per_hour => {
            let bucket = reader.required("PAYLOADS_BUCKET", "the name of the bucket for refused requests");
            Some(KeepRefused { max_per_hour, bucket })
        }
    }
}

/// How long delivery records are kept. 0 days keep none.
fn delivery_retention(reader: &mut Reader<'_>, default: Option<Duration>) -> Option<Duration> {
    const SECONDS_PER_DAY: u64 = 24 * 60 * 60;
    let default_days = default.map_or(0, |retention| retention.as_secs() / SECONDS_PER_DAY);
    match reader.number("DELIVERY_RETENTION_DAYS", default_days, 0..=3_650) {
        0 => None,
        days => Some(Duration::from_secs(days * SECONDS_PER_DAY)),
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
        assert_eq!(config.providers.nurturecloud.businesses, businesses);
        assert_eq!(config.providers.nurturecloud.organisation, None);
        assert_eq!(config.providers.machnet.repeat_window, Duration::from_secs(43_200));
    }

    #[test]
    fn delivery_records_are_kept_for_a_number_of_days_and_not_at_all_for_none() {
        let retention = |days| {
            let config = ProcessorConfig::from_environment(move |name: &str| match name {
                "DELIVERY_RETENTION_DAYS" => Some(str::to_owned(days)),
                "EVENTS_TABLE" | "ENTITIES_TABLE" | "PAYLOADS_BUCKET" => Some("there".to_owned()),
                _ => None,
            });
            config.map(|config| config.settings.delivery_retention)
        };
        assert_eq!(retention("").unwrap(), Some(Duration::from_secs(2_592_000)));
        assert_eq!(retention("7").unwrap(), Some(Duration::from_secs(604_800)));
        assert_eq!(retention("0").unwrap(), None);
        assert!(retention("-1").unwrap_err().to_string().contains("DELIVERY_RETENTION_DAYS"));
    }

    #[test]
    fn refused_requests_are_kept_only_if_asked_for_and_then_need_a_bucket() {
        let kept = |number: &str, bucket: &str| {
            let config = TokenEndpointConfig::from_environment(|name| {
                let known = [("SECRET_ID", "secret"), ("KEEP_REFUSED", number), ("PAYLOADS_BUCKET", bucket)];
                known.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            });
            config.map(|config| config.keep_refused)
        };
        assert_eq!(kept("", "").unwrap(), None);
        assert_eq!(kept("0", "b").unwrap(), None);
        assert_eq!(kept("20", "b").unwrap(), Some(KeepRefused { max_per_hour: 20, bucket: "b".to_owned() }));
        assert!(kept("20", "").unwrap_err().to_string().contains("PAYLOADS_BUCKET is not set"));
        assert!(kept("101", "b").unwrap_err().to_string().contains("KEEP_REFUSED is \"101\""));
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
        assert_eq!(config.providers.nowcerts.id_pointer, "/data/Id".parse().ok());
        assert_eq!(ProcessorConfig::from_environment(settings("")).unwrap().providers.nowcerts.id_pointer, None);
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
