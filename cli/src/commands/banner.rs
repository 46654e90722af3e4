//! What `serve` and `demo` say about each provider: where its events come in, and whether its keys let them.

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use intake_pipeline::token_endpoint::read_authority;
use intake_providers::ProviderName;
use intake_providers::oauth::TOKEN_PATH;
use intake_providers::queue_source::QueueSource;
use intake_providers::registry::{VisitQueueSources, VisitWebhooks, visit_queue_sources, visit_webhooks};
use intake_providers::webhook::Webhook;
use intake_sqlite::DataDirectory;

use super::error::CommandError;
use super::invocation::invocation;
use super::output::print_styled;
use super::style::{OK, WARNING};
use crate::forwarding::Beginning;
use crate::terminal::escape;

/// Where events come in, and whether they do.
#[derive(Debug, PartialEq, Eq)]
struct Entrance {
    provider: ProviderName,
    place: String,
    state: State,
}

/// Whether keys let events in.
#[derive(Debug, PartialEq, Eq)]
struct State {
    is_open: bool,
    /// In a few words, with what to do if it is closed.
    summary: String,
    /// What is wrong with single keys.
    problems: Vec<String>,
}

/// Prints a line for each entrance, and one for each problem with its keys.
pub(super) fn print_entrances(address: SocketAddr, directory: &DataDirectory) -> Result<(), CommandError> {
    print_styled(&in_lines(&entrances(address, directory)))
}

/// Prints where events are forwarded to.
pub(super) fn print_forwarding(beginning: &Beginning) -> Result<(), CommandError> {
    let Beginning { url, is_first, waiting, secrets } = beginning;
    let signed = match secrets {
        1 => "signed with one secret".to_owned(),
        secrets => format!("signed with {secrets} secrets"),
    };
    let what = match (is_first, waiting) {
        (true, _) => "what is recorded from now on",
        (false, 0) => "nothing waits",
        (false, waiting) => {
            &format!("{waiting} {} first", if *waiting == 1 { "event that waits" } else { "events that wait" })
        }
    };
    print_styled(&format!("  forwarding to {}, {OK}{signed}{OK:#}: {what}\n", escape(&url.to_string())))
}

fn in_lines(entrances: &[Entrance]) -> String {
    let longest = |length: fn(&Entrance) -> usize| entrances.iter().map(length).max().unwrap_or_default();
    let provider_width = longest(|entrance| entrance.provider.as_str().len());
    let place_width = longest(|entrance| entrance.place.chars().count());
    let mut text = String::new();
    for Entrance { provider, place, state } in entrances {
        let style = if state.is_open && state.problems.is_empty() { OK } else { WARNING };
        let (provider, place, summary) = (provider.as_str(), escape(place), escape(&state.summary));
        let _ = writeln!(text, "  {provider:<provider_width$}  {place:<place_width$}  {style}{summary}{style:#}");
        for problem in &state.problems {
            let _ = writeln!(text, "  {:provider_width$}  {WARNING}{}{WARNING:#}", "", escape(problem));
        }
    }
    text
}

/// Every entrance by provider. The token endpoint comes last.
fn entrances(address: SocketAddr, directory: &DataDirectory) -> Vec<Entrance> {
    let mut visitor = Visitor { address, directory, invocation: invocation(directory.path()), entrances: Vec::new() };
    visit_webhooks(&mut visitor);
    visit_queue_sources(&mut visitor);
    visitor.entrances.sort_by_key(|entrance| entrance.provider);
    let tokens = visitor.token_endpoint();
    visitor.entrances.push(tokens);
    visitor.entrances
}

struct Visitor<'a> {
    address: SocketAddr,
    directory: &'a DataDirectory,
    invocation: String,
    entrances: Vec<Entrance>,
}

impl VisitWebhooks for Visitor<'_> {
    fn visit<W: Webhook>(&mut self) {
        let place = format!("POST http://{}{}", self.address, W::ROUTE.shown());
        let kind = if W::ROUTE.ends_with_secret() { "URL" } else { "key" };
        let state = self.state(W::NAME, self.directory.keys(W::NAME), kind, "nothing verifies", |text| {
            let read = W::read_keys(text).map_err(|error| error.to_string())?;
            let problems = read.problems.iter().map(ToString::to_string).collect();
            Ok(Read { is_empty: W::is_unset(&read.keys), ready: "ready".to_owned(), problems })
        });
        self.entrances.push(Entrance { provider: W::NAME, place, state });
    }
}

impl VisitQueueSources for Visitor<'_> {
    fn visit<Q: QueueSource>(&mut self) {
        let drain = format!("ready; `{} drain` takes what waits there", self.invocation);
        let state = self.state(Q::NAME, self.directory.keys(Q::NAME), "login", "nothing is drained", |text| {
            Q::read_account(text).map_err(|error| error.to_string())?;
            Ok(Read { is_empty: false, ready: drain, problems: Vec::new() })
        });
        self.entrances.push(Entrance { provider: Q::NAME, place: "a queue of theirs, no webhook".to_owned(), state });
    }
}

/// What reading a document with keys came to.
struct Read {
    is_empty: bool,
    /// What to say if it is not empty.
    ready: String,
    problems: Vec<String>,
}

impl Visitor<'_> {
    fn token_endpoint(&self) -> Entrance {
        let provider = ProviderName::Sterling;
        let path = self.directory.sterling_authority();
        let state = self.state(provider, path, "client", "no token is issued", |text| {
            let read = read_authority(text).map_err(|error| error.to_string())?;
            let ready = match read.keys.clients.len() {
                1 => "ready, for one client".to_owned(),
                clients => format!("ready, for {clients} clients"),
            };
            let problems = read.problems.iter().map(ToString::to_string).collect();
            Ok(Read { is_empty: read.keys.clients.is_empty(), ready, problems })
        });
        Entrance { provider, place: format!("POST http://{}{TOKEN_PATH}", self.address), state }
    }

    /// The state of the document at a path. `kind` is what it holds, and `consequence` what follows when it holds none.
    fn state(
        &self,
        provider: ProviderName,
        path: PathBuf,
        kind: &str,
        consequence: &str,
        read: impl FnOnce(&str) -> Result<Read, String>,
    ) -> State {
        let place = place(self.directory, &path);
        let add = format!("`{} keys add {provider}` adds one", self.invocation);
        let closed = |summary| State { is_open: false, summary, problems: Vec::new() };
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return closed(format!("no {kind} yet, so {consequence}; {add}"));
            }
            Err(error) => return closed(format!("{place} cannot be read, so {consequence}: {error}")),
        };
        match read(&text) {
            Ok(Read { is_empty: false, ready, problems }) => State { is_open: true, summary: ready, problems },
            Ok(Read { problems, .. }) => {
                let summary = if problems.is_empty() {
                    format!("{place} holds no {kind}, so {consequence}; {add}")
                } else {
                    format!("{place} holds no usable {kind}, so {consequence}; {add}")
                };
                State { is_open: false, summary, problems }
            }
            Err(error) => {
                State { problems: vec![error], ..closed(format!("{place} cannot be used, so {consequence}")) }
            }
        }
    }
}

/// A file's place in the data directory.
fn place(directory: &DataDirectory, path: &Path) -> String {
    path.strip_prefix(directory.path()).unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests;
