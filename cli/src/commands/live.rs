//! One line for each delivery and each refused request, on a terminal.
//!
//! The lines are made of the log's own: [`LiveLog`] takes them, and [`LiveLines`] adds what the log does not have, the types of the
//! events and the reason of a quarantine, from the record of the delivery.

use std::collections::HashMap;
use std::fmt::Debug;
use std::future::Future;
use std::io::Write;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anstyle::Style;
use intake_pipeline::clock::{Clock as _, SystemClock};
use intake_pipeline::forwarding::{FORWARDED, FORWARDING_FAILED, GIVEN_UP};
use intake_pipeline::ledger::Outcome;
use intake_pipeline::records::Records;
use intake_pipeline::telemetry::levels;
use intake_providers::ProviderName;
use intake_providers::delivery::DeliveryId;
use intake_providers::oauth::TOKEN_PATH;
use intake_providers::timestamp::Timestamp;
use intake_sqlite::{Database, MAX_RECEIVES, SqliteRecords};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt as _};

use self::row::{Row, message, outcomes};
use super::deliveries::{quarantine_reason, time_to_record};
use super::describe::short_type;
use super::style::{ERROR, OK, WARNING};
use crate::refused::REQUEST_REFUSED;

mod row;

/// Maximum number of lines that wait to be printed. Further ones are counted, so that a slow terminal holds nothing up.
const MAX_WAITING_LINES: usize = 1_024;

/// Maximum number of deliveries whose answers are remembered until they are recorded.
const MAX_ANSWERS: usize = 10_000;

/// From this time on it is said how long after its arrival a delivery was recorded.
const LATE: Duration = Duration::from_secs(2);

/// Who asks for tokens.
const TOKENS_ARE_FOR: ProviderName = ProviderName::Sterling;

/// Takes log lines, beside or in place of a log.
pub(super) struct LiveLog {
    lines: mpsc::Sender<LogLine>,
    left_out: Arc<AtomicU64>,
}

/// The lines that a [`LiveLog`] took and that are not printed yet.
pub(super) struct LiveLines {
    lines: mpsc::Receiver<LogLine>,
    left_out: Arc<AtomicU64>,
    /// What was answered to the deliveries whose own line is still to come, by their ids.
    answers: HashMap<String, AnswerLine>,
}

/// What the log line of an answer says.
struct AnswerLine {
    provider: String,
    took: Option<Duration>,
    /// What is wrong with a proof that did not hold.
    detail: Option<String>,
}

/// A log line.
struct LogLine {
    at: Timestamp,
    level: Level,
    fields: Fields,
}

/// Its message and its fields.
#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, String)>,
}

/// A log and what it took.
pub(super) fn channel() -> (LiveLog, LiveLines) {
    let (sender, receiver) = mpsc::channel(MAX_WAITING_LINES);
    let left_out = Arc::new(AtomicU64::new(0));
    let lines = LiveLines { lines: receiver, left_out: Arc::clone(&left_out), answers: HashMap::new() };
    (LiveLog { lines: sender, left_out }, lines)
}

/// A subscriber that has no other log.
pub(super) fn live_log(level: LevelFilter, log: LiveLog) -> impl Subscriber + Send + Sync {
    tracing_subscriber::registry().with(levels(level)).with(log)
}

impl<S: Subscriber> Layer<S> for LiveLog {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let line = LogLine { at: SystemClock.now(), level: *event.metadata().level(), fields };
        if self.lines.try_send(line).is_err() {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.others.push((field.name(), value.to_owned()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            name => self.others.push((name, format!("{value:?}"))),
        }
    }
}

impl Fields {
    fn get(&self, name: &str) -> Option<&str> {
        self.others.iter().find(|(field, _)| *field == name).map(|(_, value)| value.as_str())
    }

    fn text(&self, name: &str) -> String {
        self.get(name).unwrap_or_default().to_owned()
    }

    fn took(&self) -> Option<Duration> {
        self.get("duration_microseconds")?.parse().ok().map(Duration::from_micros)
    }
}

/// Lines being printed.
pub(super) struct Printing {
    task: JoinHandle<()>,
    stop: oneshot::Sender<()>,
}

impl Printing {
    /// Prints until [`Printing::finish`], in colours if standard error takes them.
    pub(super) fn start(lines: LiveLines, database: Database) -> Self {
        let (stop, stopped) = oneshot::channel();
        let stopped = async move {
            let _ = stopped.await;
        };
        Self { task: tokio::spawn(lines.print(database, anstream::stderr(), stopped)), stop }
    }

    /// Prints what was taken before, and ends.
    pub(super) async fn finish(self) {
        drop(self.stop);
        if self.task.await.is_err() {
            tracing::error!("the lines on the terminal broke off");
        }
    }
}

impl LiveLines {
    /// Drops what was taken before.
    pub(super) fn skip(&mut self) {
        while self.lines.try_recv().is_ok() {}
        self.left_out.store(0, Ordering::Relaxed);
    }

    async fn print(mut self, database: Database, mut output: impl Write, stop: impl Future<Output = ()>) {
        let records = SqliteRecords::new(database);
        let mut stop = pin!(stop);
        let mut is_stopping = false;
        loop {
            let line = tokio::select! {
                line = self.lines.recv() => line,
                () = &mut stop, if !is_stopping => {
                    is_stopping = true;
                    self.lines.close();
                    continue;
                }
            };
            let Some(line) = line else { break };
            let mut text = self.shown(line, &records).await.unwrap_or_default();
            let left_out = self.left_out.swap(0, Ordering::Relaxed);
            if left_out > 0 {
                text += &message(SystemClock.now(), Level::WARN, &format!("{left_out} lines were left out"), &[]);
            }
            // Nothing can be done about a terminal that is gone; the deliveries matter more.
            let _ = output.write_all(text.as_bytes()).and_then(|()| output.flush());
        }
    }

    /// The line as it is shown, if it says anything that no other line says.
    async fn shown(&mut self, line: LogLine, records: &impl Records) -> Option<String> {
        let LogLine { at, level, fields } = line;
        match fields.message.as_str() {
            // What became of it follows: its record, or the line of the refused request.
            "delivery" => {
                self.remember(&fields);
                None
            }
            "token" => (fields.get("outcome") == Some("issued")).then(|| token(at, &fields)),
            REQUEST_REFUSED => Some(self.refused(at, &fields)),
            "record processed" => Some(self.processed(at, &fields, records).await),
            "record failed" => Some(self.failed(at, &fields)),
            FORWARDED => forwarded_at_last(at, &fields, records).await,
            FORWARDING_FAILED => {
                let next = format!("not forwarded, again in {} s", fields.text("next_in_seconds"));
                Some(forwarded(at, &fields, vec![(WARNING, next)], records).await)
            }
            GIVEN_UP => {
                Some(forwarded(at, &fields, vec![(ERROR, "not forwarded, given up".to_owned())], records).await)
            }
            text => Some(message(at, level, text, &fields.others)),
        }
    }

    fn remember(&mut self, fields: &Fields) {
        if self.answers.len() >= MAX_ANSWERS {
            self.answers.clear();
        }
        let answer = AnswerLine {
            provider: fields.text("provider"),
            took: fields.took(),
            detail: fields.get("detail").map(str::to_owned),
        };
        self.answers.insert(fields.text("delivery_id"), answer);
    }

    async fn processed(&mut self, at: Timestamp, fields: &Fields, records: &impl Records) -> String {
        let id = fields.text("delivery_id");
        let took = self.answers.remove(&id).and_then(|answer| answer.took);
        let provider = fields.text("provider");
        let record = match id.parse::<DeliveryId>() {
            Ok(id) => records.delivery(id).await.ok().flatten(),
            Err(_) => None,
        };
        let Some(record) = record else {
            let outcomes = vec![(OK, fields.text("outcomes"))];
            return Row { at, provider, took, what: String::new(), result: outcomes, remark: None, hint: None }.shown();
        };
        let counts = record.counts();
        let mut remarks = Vec::new();
        let first = |wanted| record.outcomes.iter().find(|event| event.outcome == wanted);
        if let Some(event) = first(Outcome::Quarantined) {
            remarks.extend(quarantine_reason(records, &record, event).await.ok().flatten());
        }
        if let Some(first) = first(Outcome::Conflict).and_then(|event| event.first_delivery) {
            remarks.push(format!("other content than in {first}"));
        }
        if record.receive_count > 1 {
            remarks.push(format!("at receive {}", record.receive_count));
        }
        let recorded_after = time_to_record(&record);
        if recorded_after >= LATE {
            remarks.push(format!("recorded after {} s", recorded_after.as_secs()));
        }
        let needs_a_look = counts.quarantined + counts.conflict > 0;
        Row {
            at: record.received_at,
            provider,
            took,
            what: what(&record.event_types, record.events),
            result: outcomes(counts),
            remark: Some(remarks.join("; ")).filter(|remark| !remark.is_empty()),
            hint: needs_a_look.then(|| format!("deliveries show {id}")),
        }
        .shown()
    }

    fn refused(&mut self, at: Timestamp, fields: &Fields) -> String {
        let (id, path) = (fields.text("delivery_id"), fields.text("path"));
        let provider = if path == TOKEN_PATH { TOKENS_ARE_FOR.to_string() } else { fields.text("provider") };
        Row {
            at,
            provider,
            took: fields.took(),
            what: format!("{} {path}", fields.text("method")),
            result: vec![(ERROR, format!("{} {}", fields.text("status"), fields.text("reason")))],
            remark: self.answers.remove(&id).and_then(|answer| answer.detail),
            hint: Some(format!("explain {id}")),
        }
        .shown()
    }

    fn failed(&self, at: Timestamp, fields: &Fields) -> String {
        let receive: u32 = fields.get("receive_count").and_then(|count| count.parse().ok()).unwrap_or_default();
        let answer = fields.get("delivery_id").and_then(|id| self.answers.get(id));
        let end = if receive >= MAX_RECEIVES { "given up" } else { "failed" };
        Row {
            at,
            provider: answer.map_or_else(String::new, |answer| answer.provider.clone()),
            took: fields.took(),
            what: format!("receive {receive} of {MAX_RECEIVES}"),
            result: vec![(ERROR, end.to_owned())],
            remark: fields.get("error").map(str::to_owned),
            hint: fields.get("delivery_id").map(|id| format!("delivery {id}")),
        }
        .shown()
    }
}

/// An event that was posted to its receiver. Of a delivery with several events, those that arrived at the first attempt have no line:
/// a batch may hold thousands, and what failed would not be seen among them.
async fn forwarded_at_last(at: Timestamp, fields: &Fields, records: &impl Records) -> Option<String> {
    let id = fields.text("delivery_id").parse::<DeliveryId>().ok();
    let record = match id {
        Some(id) => records.delivery(id).await.ok().flatten(),
        None => None,
    };
    let is_one_of_many = record.is_some_and(|record| record.events > 1);
    if is_one_of_many && fields.get("attempts") == Some("1") {
        return None;
    }
    Some(forwarded(at, fields, vec![(OK, "forwarded".to_owned())], records).await)
}

/// An event that was posted to its receiver, or was not.
async fn forwarded(at: Timestamp, fields: &Fields, result: Vec<(Style, String)>, records: &impl Records) -> String {
    let id = fields.text("delivery_id");
    let record = match id.parse::<DeliveryId>() {
        Ok(id) => records.delivery(id).await.ok().flatten(),
        Err(_) => None,
    };
    let what = match record {
        Some(record) if record.events == 1 => what(&record.event_types, 1),
        Some(record) => format!("event {} of {}", fields.text("index"), what(&record.event_types, record.events)),
        None => "event".to_owned(),
    };
    let attempts = fields.get("attempts").filter(|attempts| *attempts != "1");
    let remarks = [fields.get("error").map(str::to_owned), attempts.map(|attempts| format!("at attempt {attempts}"))];
    let remarks: Vec<String> = remarks.into_iter().flatten().collect();
    let is_forwarded = fields.get("error").is_none();
    Row {
        at,
        provider: fields.text("provider"),
        took: fields.took(),
        what,
        result,
        remark: Some(remarks.join("; ")).filter(|remark| !remark.is_empty()),
        hint: (!is_forwarded).then(|| "dead-letters".to_owned()).filter(|_| fields.get("next_in_seconds").is_none()),
    }
    .shown()
}

fn token(at: Timestamp, fields: &Fields) -> String {
    Row {
        at,
        provider: TOKENS_ARE_FOR.to_string(),
        took: fields.took(),
        what: format!("POST {TOKEN_PATH}"),
        result: vec![(OK, "token".to_owned())],
        remark: fields.get("client_id").map(|client| format!("for {client}")),
        hint: None,
    }
    .shown()
}

/// The type of a delivery's events, and their number if it is not one.
fn what(types: &[String], events: u32) -> String {
    let types = types.iter().map(|name| short_type(name)).collect::<Vec<_>>().join(", ");
    match (events, types.is_empty()) {
        (1, true) => "1 event".to_owned(),
        (1, false) => types,
        (_, true) => format!("{events} events"),
        (_, false) => format!("{events} events: {types}"),
    }
}

#[cfg(test)]
mod tests;
