//! The set-up of log lines and counters. What is logged and counted is in the flows.
//!
//! Counters go out as CloudWatch embedded metrics: a JSON line that CloudWatch reads as metrics. They count at least once: a
//! redelivered record is counted again. The exact numbers are those of the distinct (delivery_id, index) over the log lines.

use std::fmt;
use std::io::Write as _;

use metrics_cloudwatch_embedded::Collector;
use tracing::level_filters::LevelFilter;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::filter::{FilterFn, filter_fn};
use tracing_subscriber::fmt::format::{Format, Json, JsonFields, Writer};
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;

use crate::clock::{Clock as _, SystemClock};

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

/// Lets lines pass: our own from a level on, and those of libraries from `warn` on.
pub fn levels(level: LevelFilter) -> FilterFn<impl Fn(&Metadata<'_>) -> bool> {
    let others = level.min(LevelFilter::WARN);
    filter_fn(move |line: &Metadata<'_>| *line.level() <= if is_ours(line.target()) { level } else { others })
        .with_max_level_hint(level)
}

/// A subscriber that writes JSON lines.
pub fn json_lines<W>(level: LevelFilter, writer: W) -> impl Subscriber + for<'a> LookupSpan<'a> + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer()
        .fmt_fields(JsonFields::new())
        .event_format(JsonLines::default())
        .with_writer(writer);
    tracing_subscriber::registry().with(levels(level)).with(lines)
}

/// The format of a line. Lambda's JSON log format requires `timestamp` and `level`. The message of a line of ours says where it
/// comes from; only those of others need their target beside it.
struct JsonLines {
    ours: Format<Json, Milliseconds>,
    others: Format<Json, Milliseconds>,
}

impl Default for JsonLines {
    fn default() -> Self {
        let format = || {
            tracing_subscriber::fmt::format()
                .json()
                .flatten_event(true)
                .with_current_span(false)
                .with_span_list(false)
                .with_timer(Milliseconds)
        };
        Self { ours: format().with_target(false), others: format() }
    }
}

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let format = if is_ours(event.metadata().target()) { &self.ours } else { &self.others };
        format.format_event(context, writer, event)
    }
}

/// The time of a line, in milliseconds: the precision of CloudWatch Logs.
struct Milliseconds;

impl FormatTime for Milliseconds {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        write!(writer, "{}", SystemClock.now())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use intake_providers::timestamp::Timestamp;

    use super::*;
    use crate::counters::Counter;

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
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let targets: Vec<Option<&str>> = lines.iter().map(|line| line["target"].as_str()).collect();
        assert_eq!(
            targets,
            [None, None, Some("lambda_runtime")],
            "the message of a line of ours says where it is from"
        );
        for line in lines {
            assert!(line["level"].is_string(), "{line}");
            assert!(Timestamp::parse(line["timestamp"].as_str().unwrap()).is_ok(), "{line}");
        }
    }

    /// In a process of its own, because telemetry is started once in a process and writes to standard output.
    #[test]
    fn what_was_counted_is_on_standard_output_once_it_is_flushed() {
        const IS_THAT_PROCESS: &str = "INTAKE_TEST_COUNTS";
        if std::env::var_os(IS_THAT_PROCESS).is_some() {
            let telemetry = Telemetry::start(&TelemetrySettings::default());
            Counter::Failed.count();
            return telemetry.flush();
        }
        let name = "telemetry::tests::what_was_counted_is_on_standard_output_once_it_is_flushed";
        let mut test = std::process::Command::new(std::env::current_exe().unwrap());
        let output = test.args(["--exact", name, "--nocapture"]).env(IS_THAT_PROCESS, "").output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("webhook-intake") && text.contains(r#""failed":1"#), "{text}");
    }
}
