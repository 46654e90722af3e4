//! `refused`: the requests that the server refused.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use http::{HeaderName, HeaderValue};
use intake_pipeline::refused::{RefusedReader as _, RefusedRequest, RefusedSummary};
use intake_providers::ProviderName;
use intake_providers::delivery::DeliveryId;
use intake_providers::explain::case::CapturedRequest;
use intake_providers::timestamp::Timestamp;
use intake_sqlite::MAX_REFUSED_REQUESTS;
use serde::Serialize;

use super::describe::{in_seconds, table};
use super::error::CommandError;
use super::listing::ListUnless;
use super::output::{print, print_json_lines};
use super::place::Place;
use crate::capture;
use crate::refused::shown_target;
use crate::terminal::escape;

pub(super) type Arguments = ListUnless<Action, List>;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Action {
    /// List refused requests, the latest last.
    List(List),
    /// Show one refused request. What may be a token or a secret is hidden, unless --raw writes it as it came.
    Show {
        /// The request's id, as `refused` lists it and the answer has it in `instance`.
        #[arg(value_parser = parse_id_argument)]
        id: DeliveryId,
        /// Write the request byte for byte as it came, secrets included: a file for `explain`, or for the sender to compare.
        #[arg(long)]
        raw: bool,
        /// Print one JSON object.
        #[arg(long, conflicts_with = "raw")]
        json: bool,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct List {
    /// Maximum number of requests to list, the latest ones.
    #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_REFUSED_REQUESTS)))]
    limit: u32,
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(data_directory: &Path, arguments: Arguments) -> Result<ExitCode, CommandError> {
    let place = arguments.place.place(data_directory);
    match arguments.action.unwrap_or(Action::List(arguments.list)) {
        Action::List(List { limit, json }) => {
            let refused = place.refused().await?;
            let listed = refused.list(limit).await?;
            if json {
                print_json_lines(&listed.iter().map(|summary| json_line(&Listed::of(summary))).collect::<String>())?;
            } else if listed.is_empty() && !refused.is_keeping() {
                print(NOTHING_KEPT)?;
            } else {
                print(&in_words(&listed, limit, &place))?;
            }
        }
        Action::Show { id, raw, json } => {
            let request = get(&place, id).await?;
            if raw {
                io::stdout().lock().write_all(&request.raw()).map_err(CommandError::Terminal)?;
            } else if json {
                print_json_lines(&json_line(&Shown::of(&request)))?;
            } else {
                print(&shown(&request))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

const NOTHING_KEPT: &str = "\
This stack keeps no refused requests. The log lines of its functions have the reason of each; to keep some whole, deploy it with
the parameter KeepRefused, such as 20 an hour.
";

/// A refused request of this place.
pub(super) async fn get(place: &Place, id: DeliveryId) -> Result<RefusedRequest, CommandError> {
    place.refused().await?.get(id).await?.ok_or(CommandError::UnknownRefusal { id })
}

/// Reads a request's id: a UUID, alone or as the URN in an answer's `instance`.
pub(super) fn parse_id(text: &str) -> Option<DeliveryId> {
    text.strip_prefix("urn:uuid:").unwrap_or(text).parse().ok()
}

fn parse_id_argument(text: &str) -> Result<DeliveryId, String> {
    parse_id(text).ok_or_else(|| "an id is a UUID, as `refused` lists it".to_owned())
}

fn in_words(listed: &[RefusedSummary], limit: u32, place: &Place) -> String {
    if listed.is_empty() {
        return "No request was refused.\n".to_owned();
    }
    let row = |summary: &RefusedSummary| {
        [
            in_seconds(summary.received_at),
            summary.id.to_string(),
            summary.status.to_string(),
            summary.reason.clone(),
            format!("{} {}", summary.method, shown_target(summary)),
        ]
    };
    let rows = listed.iter().map(row).collect();
    let mut text = format!("{}\n", table(["received (UTC)", "id", "answer", "reason", "request"], rows));
    if listed.len() as u64 == u64::from(limit) {
        let _ = writeln!(text, "The latest {limit}; --limit shows more.");
    }
    let _ = writeln!(text, "`{}` says why a proof did not hold.", place.call("explain <ID>"));
    text
}

/// Headers of HTTP itself, in which nobody puts a secret.
const PLAIN_HEADERS: [&str; 9] = [
    "accept",
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "user-agent",
    "x-forwarded-for",
];

/// The headers as they are shown: of those that may hold a credential only the length and the scheme.
fn shown_headers(request: &CapturedRequest) -> Vec<(String, String)> {
    let shown = |name: &HeaderName, value: &HeaderValue| {
        let text = String::from_utf8_lossy(value.as_bytes());
        if PLAIN_HEADERS.contains(&name.as_str()) {
            return text.into_owned();
        }
        let is_scheme = |text: &&str| ["bearer", "basic"].iter().any(|scheme| text.eq_ignore_ascii_case(scheme));
        let scheme = text.split_once(' ').map(|(scheme, _)| scheme).filter(is_scheme);
        let hidden = format!("<{} characters>", text.chars().count());
        scheme.map_or(hidden.clone(), |scheme| format!("{scheme} {hidden}"))
    };
    request.headers.iter().map(|(name, value)| (name.to_string(), shown(name, value))).collect()
}

fn shown(request: &RefusedRequest) -> String {
    let summary = &request.summary;
    let mut text = format!("{}\nreceived {}, ", summary.id, summary.received_at);
    let _ = writeln!(text, "answered {}, reason {}\n", summary.status, escape(&summary.reason));
    let _ = writeln!(text, "{} {}", escape(&summary.method), escape(&shown_target(summary)));
    if let Ok(capture) = capture::read(&request.raw()) {
        for (name, value) in shown_headers(&capture.request) {
            let _ = writeln!(text, "{}: {}", escape(&name), escape(&value));
        }
    }
    let whole = if summary.is_whole { "" } else { ", not whole" };
    let _ = writeln!(text, "\nbody: {} bytes{whole}", summary.body_bytes);
    match std::str::from_utf8(&request.body) {
        Ok("") => {}
        // A token request's body may hold the client's secret.
        Ok(_) if summary.provider.is_none() => text.push_str("(not shown; --raw writes it)\n"),
        Ok(body) => {
            let _ = writeln!(text, "{body}");
        }
        Err(_) => text.push_str("(not text; --raw writes it)\n"),
    }
    text
}

fn json_line(document: &impl Serialize) -> String {
    // The documents are plain text and numbers, which always serialise.
    serde_json::to_string(document).unwrap_or_default() + "\n"
}

#[derive(Serialize)]
struct Listed<'a> {
    id: DeliveryId,
    received_at: Timestamp,
    provider: Option<ProviderName>,
    status: u16,
    reason: &'a str,
    method: &'a str,
    path: Cow<'a, str>,
    body_bytes: u64,
    whole: bool,
}

impl<'a> Listed<'a> {
    fn of(summary: &'a RefusedSummary) -> Self {
        Self {
            id: summary.id,
            received_at: summary.received_at,
            provider: summary.provider,
            status: summary.status,
            reason: &summary.reason,
            method: &summary.method,
            path: shown_target(summary),
            body_bytes: summary.body_bytes,
            whole: summary.is_whole,
        }
    }
}

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    listed: Listed<'a>,
    headers: Vec<(String, String)>,
    /// Only of a webhook's request, if it is text.
    body: Option<&'a str>,
}

impl<'a> Shown<'a> {
    fn of(request: &'a RefusedRequest) -> Self {
        let headers = capture::read(&request.raw()).map(|capture| shown_headers(&capture.request)).unwrap_or_default();
        let body = request.summary.provider.and_then(|_| std::str::from_utf8(&request.body).ok());
        Self { listed: Listed::of(&request.summary), headers, body }
    }
}
