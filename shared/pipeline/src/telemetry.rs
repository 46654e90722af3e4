//! The set-up of log lines and counters. What is logged and counted is in the flows.
//!
//! Counters go out as CloudWatch embedded metrics: a JSON line that CloudWatch reads as metrics. They count at least once: a
//! redelivered record is counted again. The exact numbers are those of the distinct (delivery_id, index) over the log lines.

use std::io::Write as _;

use metrics_cloudwatch_embedded::Collector;
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;

/// How telemetry is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TelemetrySettings {
    /// The CloudWatch namespace of the counters.
    pub metrics_namespace: String,
    /// Minimum level of our own lines. Lines of libraries are kept from `warn` on.
    pub log_level: LevelFilter,
}

impl Default for TelemetrySettings {
    fn default() -> Self {
        Self { metrics_namespace: "webhook-intake".to_owned(), log_level: LevelFilter::INFO }
    }
}

/// The process's telemetry, once it is started.
#[derive(Clone, Copy)]
pub struct Telemetry {
    collector: Option<&'static Collector>,
}

impl Telemetry {
    /// Starts telemetry for the process: JSON lines and counters on standard output, where Lambda collects both. Only the first
    /// call of a process takes effect; it never fails, because a function without telemetry still has deliveries to take.
    #[must_use]
    pub fn start(settings: &TelemetrySettings) -> Self {
        let lines = json_lines(settings.log_level, std::io::stdout);
        if tracing::subscriber::set_global_default(lines).is_err() {
            tracing::warn!("telemetry was started twice");
        }
        let collector = metrics_cloudwatch_embedded::Builder::new()
            .cloudwatch_namespace(settings.metrics_namespace.clone())
            .init()
            .inspect_err(|error| tracing::error!(%error, "counters cannot be written"))
            .ok();
        Self { collector }
    }

    /// Writes the counters since the last flush.
    pub fn flush(self) {
        if let Some(collector) = self.collector {
            let mut output = std::io::stdout().lock();
            // Nothing can be done about a standard output that is gone; the invocation matters more.
            let _ = collector.flush(&mut output);
            let _ = output.flush();
        }
    }
}

/// What the names of our crates begin with, as targets name them. No crate of others does.
const OUR_PREFIX: &str = "intake_";

/// Whether a target is one of our crates or a module in one. Those of others may write secrets down: at its finest level
/// `lambda_runtime` writes down whole requests.
fn is_ours(target: &str) -> bool {
    target.starts_with(OUR_PREFIX)
}

/// A subscriber that writes JSON lines.
pub fn json_lines<W>(level: LevelFilter, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let others = level.min(LevelFilter::WARN);
    let filter = filter_fn(move |line| *line.level() <= if is_ours(line.target()) { level } else { others })
        .with_max_level_hint(level);
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_writer(writer);
    tracing_subscriber::registry().with(filter).with(lines)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Output(Arc<Mutex<Vec<u8>>>);

    impl Write for Output {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_level_is_that_of_our_own_lines_and_libraries_are_heard_from_warn_on() {
        let written = Output::default();
        let writer = written.clone();
        tracing::subscriber::with_default(json_lines(LevelFilter::TRACE, move || writer.clone()), || {
            tracing::trace!(target: "intake_functions", "ours 1");
            tracing::trace!(target: "intake_pipeline::intake", "ours 2");
            tracing::warn!(target: "lambda_runtime", "a warning");
            tracing::info!(target: "lambda_runtime::layers", "theirs");
            tracing::trace!(target: "aws_smithy_runtime", "theirs");
        });
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let messages: Vec<&str> =
            ["ours 1", "ours 2", "a warning", "theirs"].into_iter().filter(|line| text.contains(line)).collect();
        assert_eq!(messages, ["ours 1", "ours 2", "a warning"]);
    }
}
