//! `drain`: NowCerts' queues are emptied into ours.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use intake_pipeline::drain::{DrainOutcome, DrainReport};
use intake_pipeline::secrets::SecretText;
use intake_pipeline::telemetry::json_lines;
use intake_providers::ProviderName;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::level_filters::LevelFilter;

use super::error::CommandError;
use super::invocation::invocation;
use super::output::print;
use crate::drain::drain;
use crate::terminal::EscapedJsonLines;
use crate::worker::{Worker, wait_until_drained};
use intake_sqlite::{DataDirectory, DataDirectoryError};
use intake_sqlite::{Database, SqliteQueue};
use intake_sqlite::{KeyFile, LocalSecret};

/// How long what was drained may take from our queue to its outcome.
const PATIENCE: Duration = Duration::from_secs(30);

/// The longest time for which messages are taken: a day.
const MAX_TIME_SECONDS: u64 = 24 * 60 * 60;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    account: AccountOptions,
    /// For how long messages are taken at most; the run ends before when the queue is empty.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=MAX_TIME_SECONDS))]
    time: u64,
    /// How much to log, as JSON lines on standard error: off, error, warn, info, debug or trace.
    #[arg(long, value_name = "LEVEL", default_value = "warn")]
    log_level: LevelFilter,
}

/// How NowCerts' broker is reached. Without any of them, keys/nowcerts.json in the data directory says it.
#[derive(Debug, clap::Args)]
pub(super) struct AccountOptions {
    /// nowcerts: the connection string as they gave it: host=HOST:5672;virtualHost=/;username=...;password=...
    ///
    /// Other users of this machine may see a command's options, but not its environment.
    #[arg(long, value_name = "TEXT", env = "NOWCERTS_CONNECTION_STRING", hide_env_values = true, requires = "queue")]
    connection_string: Option<String>,
    /// nowcerts: the password on its own, for one that holds a semicolon.
    #[arg(long, value_name = "TEXT", env = "NOWCERTS_PASSWORD", hide_env_values = true)]
    password: Option<String>,
    /// nowcerts: the queue that events arrive on.
    #[arg(long, value_name = "NAME", env = "NOWCERTS_QUEUE")]
    queue: Option<String>,
    /// nowcerts: the queue that replays arrive on.
    #[arg(long, value_name = "NAME", env = "NOWCERTS_REPLAY_QUEUE")]
    replay_queue: Option<String>,
    /// nowcerts: connect by TLS, and check the broker's certificate.
    #[arg(long)]
    tls: bool,
}

impl AccountOptions {
    /// The account as it was given, if it was.
    fn given(&self) -> Option<LocalSecret> {
        let document = serde_json::json!({
            "account": "main",
            "connection_string": self.connection_string.as_ref()?,
            "password": self.password,
            "queue": self.queue,
            "replay_queue": self.replay_queue,
            "tls": self.tls,
        });
        Some(LocalSecret::Given(SecretText::new(document.to_string())))
    }

    fn in_file(directory: &DataDirectory) -> LocalSecret {
        LocalSecret::File(KeyFile::new(directory.keys(ProviderName::NowCerts)))
    }

    /// The account as it was given, or else the one in the data directory if there is one.
    pub(super) fn any(&self, directory: &DataDirectory) -> Option<LocalSecret> {
        let is_there = directory.keys(ProviderName::NowCerts).exists();
        self.given().or_else(|| is_there.then(|| Self::in_file(directory)))
    }
}

pub(super) async fn run(data_directory: &Path, arguments: Arguments) -> Result<ExitCode, CommandError> {
    // Only a second subscriber in one process is refused, and there is none.
    let _ =
        tracing::subscriber::set_global_default(json_lines(
            arguments.log_level,
            || EscapedJsonLines(std::io::stderr()),
        ));
    let directory = DataDirectory::create(data_directory)?;
    let path = directory.keys(ProviderName::NowCerts);
    let secret = arguments.account.any(&directory).ok_or(CommandError::NoAccount { path })?;
    let database = Database::open(&directory.database())?;
    let queue = SqliteQueue::new(database.clone());
    let drain = drain(&directory, &database, queue.clone(), secret);
    // A run stops taking messages some time before it has to end.
    let end_by = Instant::now() + Duration::from_secs(arguments.time) + drain.settings.margin;
    let report = drain.run(end_by).await;
    print(&summary(&report))?;
    // A server that is at work takes what was drained; without one, it is taken here.
    match directory.lock() {
        Ok(_lock) => process(&queue, database).await?,
        Err(DataDirectoryError::InUse { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    print(&format!("Look at the events with `{} events --provider nowcerts`.\n", invocation(data_directory)))?;
    let failed = matches!(report.outcome, DrainOutcome::Failed(_));
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What a run did, in one line.
pub(super) fn summary(report: &DrainReport) -> String {
    let (outcome, reason) = report.outcome.names();
    let reason = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
    let pause = report.paused_until.map(|until| {
        format!("Our side refused messages: no run begins before {until}. Remove nowcerts-pause.json to lift that.\n")
    });
    format!(
        "NowCerts: {outcome}{reason}. {} messages came, {} are on our queue and acknowledged, {} went back; {:.1} s.\n{}",
        report.received,
        report.acknowledged,
        report.returned,
        report.duration.as_secs_f64(),
        pause.unwrap_or_default(),
    )
}

/// Works off the queue, until only what failed and rests is left.
async fn process(queue: &SqliteQueue, database: Database) -> Result<(), CommandError> {
    let (stop, stopped) = watch::channel(false);
    let working = Worker::new(queue.clone(), database).start(stopped);
    let mut left = wait_until_drained(queue, Instant::now() + PATIENCE).await?;
    let _ = stop.send(true);
    if !matches!(working.await, Ok(Ok(()))) {
        left = queue.depth().await?.queued;
    }
    let left = if left == 0 { "Nothing".to_owned() } else { left.to_string() };
    print(&format!("{left} left on our queue.\n"))
}
