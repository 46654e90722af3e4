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
mod tests;
