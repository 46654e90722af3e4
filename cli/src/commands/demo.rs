//! `demo`: the whole way of a delivery, shown once with test keys.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Duration;

use intake_pipeline::clock::{Clock as _, SystemClock};
use intake_pipeline::drain::DrainOutcome;
use intake_pipeline::forwarding::ForwardingSettings;
use intake_pipeline::ledger::entity::Change;
use intake_pipeline::ledger::{Entry, Outcome};
use intake_pipeline::telemetry::json_lines;
use intake_providers::ProviderName;
use intake_providers::delivery::DeliveryId;
use intake_providers::registry::webhook_route;
use intake_providers::timestamp::Timestamp;
use intake_simulator::IMITATIONS;
use intake_simulator::scenario::{Expected, Sent, Step, StepResult};
use intake_simulator::signed_delivery::SignedDelivery;
use intake_simulator::token::TokenRequest;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;

use self::outcome_log::OutcomeLog;
use self::receiver::DemoReceiver;
use super::banner::print_entrances;
use super::describe::{remark, short_id, table};
use super::drain::{AccountOptions, summary};
use super::error::CommandError;
use super::invocation::invocation;
use super::listen::Listen;
use super::live::{self, LiveLines, Printing};
use super::output::print;
use crate::client::{Reply, SendError, Sender, webhook_url};
use crate::drain::drain;
use crate::forwarding::{Forwarding, ensure_secret};
use crate::key_files::{self, ensure_test_keys};
use crate::server::{Server, stop_signal};
use crate::worker::wait_until_drained;
use intake_pipeline::records::{EventFilter, Records as _, TimeRange};
use intake_sqlite::DataDirectory;
use intake_sqlite::{Database, SqliteOutbox, SqliteQueue, SqliteRecords};

mod outcome_log;
mod receiver;

/// How long a delivery may take from the queue to its outcome.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    listen: Listen,
    #[command(flatten)]
    account: AccountOptions,
    /// Stop after the table. The exit code is 0 only if every delivery ended as it should.
    #[arg(long)]
    exit: bool,
}

pub(super) async fn run(data_directory: &Path, arguments: Arguments) -> Result<ExitCode, CommandError> {
    let directory = DataDirectory::create(data_directory)?;
    let server = Server::start(arguments.listen.address().await?, directory.clone()).await?;
    ensure_test_keys(&directory).await?;
    let (server, receiver) = with_receiver(server, &directory).await?;
    let outcome_log = OutcomeLog::open(&directory.log())?;
    let lines = start_log(&directory, arguments.exit)?;

    let queue = server.queue().clone();
    let database = server.database().clone();
    let records = SqliteRecords::new(database.clone());
    let token_url = server.token_url();
    let address = server.address();
    let signal = stop_signal()?;
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(server.run(async move {
        tokio::select! {
            () = signal => {}
            // The sender goes away when the demo fails; then there is nothing left to serve.
            _ = stopped => {}
        }
    }));

    print(&format!("Serving on http://{address}, and sending signed test deliveries:\n\n"))?;
    let mut demonstration = run_steps(&directory, address, &token_url, &outcome_log, &queue, &records).await?;
    print(&format!("{}\n", demonstration.text))?;
    if let Some(receiver) = &receiver {
        demonstration.as_expected &= wait_until_forwarded(&database).await?;
        print(&arrived(receiver))?;
    }
    if let Some(secret) = arguments.account.any(&directory) {
        print("Draining NowCerts' queue as well; what is received is acknowledged, and so gone from theirs.\n")?;
        let report = drain(&directory, &database, queue.clone(), secret).run(Instant::now() + PATIENCE).await;
        print(&summary(&report))?;
        let left = wait_until_drained(&queue, Instant::now() + PATIENCE).await?;
        demonstration.as_expected &= left == 0 && !matches!(report.outcome, DrainOutcome::Failed(_));
    }
    if arguments.exit {
        drop(stop);
    } else {
        print(&where_to_go_on(data_directory, &directory))?;
        print_entrances(address, &directory)?;
    }
    let printing = lines.map(|mut lines| {
        // The table has shown these.
        lines.skip();
        Printing::start(lines, database)
    });
    let served = serving.await;
    if let Some(printing) = printing {
        printing.finish().await;
    }
    if let Err(error) = served {
        tracing::error!(%error, "the server broke");
    }
    Ok(if demonstration.as_expected { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Forwards to a small receiver of the demo's own, unless events wait there for another one.
async fn with_receiver(
    server: Server,
    directory: &DataDirectory,
) -> Result<(Server, Option<DemoReceiver>), CommandError> {
    let outbox = SqliteOutbox::new(server.database().clone());
    if outbox.depth().await?.waiting > 0 {
        return Ok((server, None));
    }
    let receiver = DemoReceiver::start(ensure_secret(directory)?).await.map_err(CommandError::Terminal)?;
    let max_attempts = ForwardingSettings::default().max_attempts;
    let forwarding = Forwarding::start(receiver.url.clone(), max_attempts, directory, server.database()).await?;
    Ok((server.with_forwarding(forwarding), Some(receiver)))
}

/// Waits until nothing is left to forward, and returns whether that came about.
async fn wait_until_forwarded(database: &Database) -> Result<bool, CommandError> {
    let outbox = SqliteOutbox::new(database.clone());
    let until = Instant::now() + PATIENCE;
    while outbox.depth().await?.waiting > 0 {
        if Instant::now() > until {
            return Ok(false);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(true)
}

/// What arrived at the receiver, in words.
fn arrived(receiver: &DemoReceiver) -> String {
    let outcomes = receiver.outcomes();
    let counts: Vec<String> = outcomes.iter().map(|(outcome, number)| format!("{number} {outcome}")).collect();
    format!(
        "Forwarded to {}, a small receiver of this demo, which verified each signature: {} events, {}.\n\
         Duplicates and what is quarantined are not sent.\n",
        receiver.url,
        outcomes.values().sum::<usize>(),
        counts.join(", "),
    )
}

/// Starts the log, which goes to a file so that the terminal stays readable. Returns what is to be printed of it after the table, if
/// somebody is there to read it.
fn start_log(directory: &DataDirectory, exits: bool) -> Result<Option<LiveLines>, CommandError> {
    let path = directory.log();
    let file =
        std::fs::File::options().append(true).open(&path).map_err(|source| CommandError::Log { path, source })?;
    let json = json_lines(LevelFilter::INFO, Mutex::new(file));
    // Only a second subscriber in one process is refused, and there is none.
    if exits || !std::io::stderr().is_terminal() {
        let _ = tracing::subscriber::set_global_default(json);
        return Ok(None);
    }
    let (log, lines) = live::channel();
    let _ = tracing::subscriber::set_global_default(json.with(log));
    Ok(Some(lines))
}

struct Demonstration {
    text: String,
    as_expected: bool,
}

/// What a delivery came to.
struct DemoResult {
    status: u16,
    result: Option<StepResult>,
    changes: Vec<Change>,
    remark: String,
}

impl DemoResult {
    const fn of(status: u16, result: StepResult, remark: String) -> Self {
        Self { status, result: Some(result), changes: Vec::new(), remark }
    }

    fn is(&self, expected: &Expected) -> bool {
        self.status == expected.status
            && self.result.as_ref() == Some(&expected.result)
            && self.changes == expected.changes
    }
}

async fn run_steps(
    directory: &DataDirectory,
    address: SocketAddr,
    token_url: &str,
    outcome_log: &OutcomeLog,
    queue: &SqliteQueue,
    records: &SqliteRecords,
) -> Result<Demonstration, CommandError> {
    let since = SystemClock.now();
    let mut rows = Vec::new();
    let mut as_expected = true;
    let mut numbers = HashMap::new();
    let token_url = webhook_url(token_url, TokenRequest::PATH)?;
    let mut token = SecretString::default();
    for ((provider, Step { what, sent, expected }), number) in steps(directory)?.into_iter().zip(1_u32..) {
        let url = webhook_url(&format!("http://{address}"), provider.source_path())?;
        let sender = Sender::new(&url)?;
        // One after the other, because a retry that overtakes its first try would be the one that is stored; and not two in one
        // millisecond, because the order of arrival would be left to chance then.
        tokio::time::sleep(Duration::from_millis(2)).await;
        let delivery = match sent {
            Sent::Delivery(delivery) => Ok(delivery),
            Sent::WithToken(body) => Ok(SignedDelivery::with_bearer_token(token.expose_secret(), body)),
            Sent::TokenRequest(request) => Err(request),
        };
        let came_to = match delivery {
            Ok(delivery) => {
                let reply = sender.post(&url, &delivery).await?;
                result_of(reply, number, outcome_log, records, since, &mut numbers).await?
            }
            Err(request) => match sender.token(&token_url, &request).await {
                Ok(given) => {
                    token = given.access_token;
                    DemoResult::of(200, StepResult::Token, format!("valid for {} s", given.expires_in))
                }
                Err(SendError::NoToken { status, error, .. }) => {
                    DemoResult::of(status, StepResult::Refused, error.unwrap_or_default())
                }
                Err(error) => return Err(error.into()),
            },
        };
        let mut result = came_to.result.as_ref().map_or_else(|| "not known".to_owned(), StepResult::to_string);
        if !came_to.is(&expected) {
            as_expected = false;
            let _ = write!(result, " (expected {expected})");
        }
        rows.push([number.to_string(), provider.to_string(), what, came_to.status.to_string(), result, came_to.remark]);
    }
    let left = wait_until_drained(queue, Instant::now() + PATIENCE).await?;
    as_expected &= left == 0;
    let left = if left == 0 { "Nothing".to_owned() } else { left.to_string() };
    let table = table(["no.", "provider", "what was sent", "answer", "outcome", "remark"], rows);
    Ok(Demonstration { text: format!("{table}\n{left} left on the queue."), as_expected })
}

/// Every provider's steps, in the order in which they must be sent.
fn steps(directory: &DataDirectory) -> Result<Vec<(ProviderName, Step)>, CommandError> {
    let keys = key_files::of_directory(directory);
    let mut steps = Vec::new();
    for imitation in IMITATIONS {
        let of_provider = imitation.demo(&keys, steps.len() + 1, SystemClock.now())?;
        steps.extend(of_provider.into_iter().map(|step| (imitation.name(), step)));
    }
    Ok(steps)
}

async fn result_of(
    reply: Reply,
    number: u32,
    outcome_log: &OutcomeLog,
    records: &SqliteRecords,
    since: Timestamp,
    numbers: &mut HashMap<String, u32>,
) -> Result<DemoResult, CommandError> {
    #[derive(Deserialize)]
    struct Receipt {
        delivery_id: DeliveryId,
    }
    #[derive(Deserialize)]
    struct Problem {
        r#type: String,
    }
    let status = reply.status;
    let Ok(Receipt { delivery_id }) = serde_json::from_str(&reply.body) else {
        let problem: Option<Problem> = serde_json::from_str(&reply.body).ok();
        let reason = problem.and_then(|problem| problem.r#type.rsplit(':').next().map(str::to_owned));
        return Ok(DemoResult::of(status, StepResult::Refused, reason.unwrap_or_default()));
    };
    let outcomes = outcome_log.wait_for(delivery_id, PATIENCE).await?;
    let recorded = records
        .events(&EventFilter { received: TimeRange { since: Some(since), until: None }, ..EventFilter::default() })
        .await?
        .found;
    let entries = || recorded.iter().filter(|event| event.delivery_id() == Some(delivery_id)).map(|event| &event.entry);
    let name = |id: &str| numbers.get(id).map_or_else(|| short_id(id), |number| format!("no. {number}"));
    let mut remarks: Vec<String> = entries()
        .map(|entry| {
            let remark = remark(entry, name);
            match entry {
                Entry::Event(event) if event.outcome == Outcome::Stored && event.entity.is_none() => {
                    format!(
                        "event {}{}{remark}",
                        short_id(&event.cloud_event.id),
                        if remark.is_empty() { "" } else { "; " }
                    )
                }
                _ => remark,
            }
        })
        .collect();
    remarks.dedup();
    let mut changes = Vec::new();
    for entry in entries() {
        if let Entry::Event(event) = entry {
            numbers.insert(event.cloud_event.id.clone(), number);
            changes.extend(event.entity.as_ref().map(|entity| entity.change));
        }
    }
    if changes.is_empty() && outcomes.as_ref().is_some_and(|outcomes| outcomes.contains(&Outcome::Duplicate)) {
        remarks.push("nothing more is kept".to_owned());
    }
    Ok(DemoResult { status, result: outcomes.map(StepResult::Recorded), changes, remark: remarks.join("; ") })
}

fn where_to_go_on(data_directory: &Path, directory: &DataDirectory) -> String {
    let invocation = invocation(data_directory);
    let mut text = format!(
        "\nEverything is in {}: events and queue in {}, the log in {}, test keys in keys/.\n\n\
         In another terminal:\n",
        data_directory.display(),
        file_name(&directory.database()),
        file_name(&directory.log()),
    );
    for provider in ProviderName::ALL.iter().filter(|provider| webhook_route(**provider).is_some()) {
        let _ = writeln!(text, "  {invocation} send {provider} --wait");
    }
    let _ = writeln!(text, "  {invocation} send machnet --tamper");
    let _ = writeln!(text, "  {invocation} events");
    let _ = writeln!(text, "  {invocation} entities\n");
    text.push_str("Serving until Ctrl-C:\n");
    text
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
