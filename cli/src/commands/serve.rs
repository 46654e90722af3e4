//! `serve`: nothing but the server.

use std::io::IsTerminal as _;
use std::num::NonZeroU32;
use std::path::Path;
use std::process::ExitCode;

use intake_outbound::ReceiverUrl;
use intake_pipeline::telemetry::json_lines;
use tracing::level_filters::LevelFilter;

use super::banner::{print_entrances, print_forwarding};
use super::error::CommandError;
use super::listen::Listen;
use super::live::{self, LiveLines, Printing};
use super::output::print;
use crate::forwarding::Forwarding;
use crate::server::{Server, stop_signal};
use crate::terminal::EscapedJsonLines;
use intake_sqlite::DataDirectory;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    listen: Listen,
    /// Post each event to this URL too: a CloudEvent, signed as the Standard Webhooks specification says.
    ///
    /// What is sent is what is recorded from the first time on, in order for each entity, at least once. It needs a secret, which
    /// `keys add forwarding` makes. Plain http is for this machine and its own network. Only one URL is taken, because a second consumer
    /// would need a place in the events of its own.
    #[arg(long, value_name = "URL", env = "WEBHOOK_INTAKE_FORWARD_TO", hide_env_values = true)]
    forward_to: Option<ReceiverUrl>,
    /// Number of attempts after which an event is given up; 30 take about a day. `dead-letters` lists those events and puts them
    /// back.
    #[arg(long, value_name = "NUMBER", default_value = "30")]
    forward_attempts: NonZeroU32,
    /// How much to log on standard error: off, error, warn, info, debug or trace. A terminal gets one line for each delivery and
    /// each refused request, anything else gets JSON lines.
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log_level: LevelFilter,
    /// Log JSON lines to a terminal too.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(data_directory: &Path, arguments: Arguments) -> Result<ExitCode, CommandError> {
    let lines = start_log(&arguments);
    let directory = DataDirectory::create(data_directory)?;
    let server = Server::start(arguments.listen.address().await?, directory.clone()).await?;
    let forwarding = match arguments.forward_to {
        Some(url) => Some(Forwarding::start(url, arguments.forward_attempts, &directory, server.database()).await?),
        None => None,
    };
    let stop = stop_signal()?;
    print(&format!("Serving on http://{} until Ctrl-C; data in {}.\n", server.address(), data_directory.display()))?;
    print_entrances(server.address(), &directory)?;
    let server = match forwarding {
        Some(forwarding) => {
            print_forwarding(forwarding.beginning())?;
            server.with_forwarding(forwarding)
        }
        None => server,
    };
    let printing = lines.map(|lines| Printing::start(lines, server.database().clone()));
    server.run(stop).await;
    if let Some(printing) = printing {
        printing.finish().await;
    }
    Ok(ExitCode::SUCCESS)
}

/// Starts the log, and returns what is to be printed of it, if it is for a reader.
fn start_log(arguments: &Arguments) -> Option<LiveLines> {
    // Only a second subscriber in one process is refused, and there is none.
    if arguments.json || !std::io::stderr().is_terminal() {
        let lines = json_lines(arguments.log_level, || EscapedJsonLines(std::io::stderr()));
        let _ = tracing::subscriber::set_global_default(lines);
        return None;
    }
    let (log, lines) = live::channel();
    let _ = tracing::subscriber::set_global_default(live::live_log(arguments.log_level, log));
    Some(lines)
}
