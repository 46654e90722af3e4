//! `serve`: nothing but the server.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use intake_pipeline::telemetry::json_lines;
use intake_providers::registry::{VisitWebhooks, visit_webhooks};
use intake_providers::webhook::Webhook;
use tracing::level_filters::LevelFilter;

use super::{CommandError, Listen, print};
use crate::server::{Server, stop_signal};
use crate::terminal::EscapedJsonLines;
use intake_sqlite::DataDirectory;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    listen: Listen,
    /// How much to log, as JSON lines on standard error: off, error, warn, info, debug or trace.
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log_level: LevelFilter,
}

pub(super) async fn run(data_directory: &Path, arguments: Arguments) -> Result<ExitCode, CommandError> {
    // Only a second subscriber in one process is refused, and there is none.
    let _ =
        tracing::subscriber::set_global_default(json_lines(
            arguments.log_level,
            || EscapedJsonLines(std::io::stderr()),
        ));
    let directory = DataDirectory::create(data_directory)?;
    let server = Server::start(arguments.listen.listen, directory.clone()).await?;
    let stop = stop_signal()?;
    let text = format!("Serving on http://{} until Ctrl-C; data in {}.\n", server.address(), data_directory.display());
    let mut webhooks = Webhooks { server: &server, directory: &directory, text };
    visit_webhooks(&mut webhooks);
    let mut text = webhooks.text;
    let _ = writeln!(text, "  POST {}  {}", server.token_url(), authority_summary(&directory));
    print(&text)?;
    server.run(stop).await?;
    Ok(ExitCode::SUCCESS)
}

/// Describes each webhook on a line.
struct Webhooks<'a> {
    server: &'a Server,
    directory: &'a DataDirectory,
    text: String,
}

impl VisitWebhooks for Webhooks<'_> {
    fn visit<W: Webhook>(&mut self) {
        let _ = writeln!(
            self.text,
            "  POST http://{}{}  {}",
            self.server.address(),
            W::ROUTE.shown(),
            keys_summary::<W>(self.directory)
        );
    }
}

fn authority_summary(directory: &DataDirectory) -> String {
    let path = directory.sterling_authority();
    if path.exists() {
        format!("authority in {}", path.display())
    } else {
        "no authority yet, so there are no tokens: make one with `keys add sterling <CLIENT-ID>`".to_owned()
    }
}

/// How many keys verify, or what to do when none does.
fn keys_summary<W: Webhook>(directory: &DataDirectory) -> String {
    let path = directory.keys(W::NAME);
    let place = path.display();
    let Ok(text) = std::fs::read_to_string(&path) else {
        return format!("no key yet, so nothing verifies: add one with `keys add {}`, or run `demo` once", W::NAME);
    };
    match W::read_keys(&text) {
        Ok(read) if W::is_unset(&read.keys) => format!("no usable key in {place}, so nothing verifies"),
        Ok(read) if read.problems.is_empty() => format!("keys in {place}"),
        Ok(read) => format!("keys in {place}, of which {} cannot be used (see the log)", read.problems.len()),
        Err(error) => format!("{place} cannot be used: {error}"),
    }
}
