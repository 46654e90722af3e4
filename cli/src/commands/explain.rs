//! `explain`: why a proof did not hold.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use intake_pipeline::clock::{Clock as _, SystemClock};
use intake_providers::ProviderName;
use intake_providers::answer::Answer;
use intake_providers::delivery::DeliveryId;
use intake_providers::explain::case::{CapturedRequest, KeyDocument};
use intake_providers::explain::finding::Finding;
use intake_providers::explain::{Explanation, explain, provider_of};
use intake_providers::registry::webhook_route;
use intake_providers::timestamp::Timestamp;
use intake_sqlite::DataDirectory;
use serde::Serialize;

use super::error::CommandError;
use super::output::{print, print_json_lines};
use super::parsers::webhook_parser;
use super::place::{Place, StackOptions};
use super::{refused, since};
use crate::capture::{self, Capture};
use crate::deployed_stack;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    place: StackOptions,
    /// The id of a refused request (`instance` in its answer, or a line of `refused`), or a file with a captured request, or - for
    /// standard input: an HTTP API event as in events/, or HTTP as it goes over the wire.
    #[arg(value_name = "ID|FILE")]
    request: String,
    /// The provider that it should come from. [default: the one of its path]
    #[arg(long, value_name = "NAME", value_parser = webhook_parser())]
    provider: Option<ProviderName>,
    /// The secret that the webhook uses, in the form of the secret on AWS. [default: the provider's key file in the data directory, or
    /// the stack's own secret]
    #[arg(long, value_name = "FILE")]
    active_secret_file: Option<PathBuf>,
    /// Other keys to try, such as a retired one: a file in the form of the secret, or with one key. May be given more than once.
    #[arg(long, value_name = "FILE")]
    secret_file: Vec<PathBuf>,
    /// When the request arrived: how long ago, such as 30m, or a time such as 2026-11-21T09:30:00Z. [default: what the capture says,
    /// or now]
    #[arg(long, value_name = "WHEN", value_parser = since::parse)]
    at: Option<Timestamp>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(data_directory: &Path, arguments: Arguments) -> Result<ExitCode, CommandError> {
    let place = arguments.place.place(data_directory);
    let (Capture { request, received_at, mut remarks }, answered) = captured(&place, &arguments.request).await?;
    let at = arguments.at.or(received_at).unwrap_or_else(|| SystemClock.now());
    let wanted = arguments.provider.or_else(|| provider_of(request.path()));
    let keys = keys(&place, &arguments, wanted).await?;
    let explanation = explain(wanted, &request, &keys, at);
    if let Some((status, reason)) = answered {
        let is_same = explanation.answer.as_ref().and_then(Answer::reason) == Some(reason.as_str());
        remarks.extend((!is_same).then(|| format!("the server answered {status}, {reason}")));
    }
    if arguments.json {
        // The document is plain text and booleans, which always serialise.
        print_json_lines(&(serde_json::to_string(&document(&explanation, at, &remarks)).unwrap_or_default() + "\n"))?;
    } else {
        print(&in_words(&explanation, &request, at, &remarks))?;
    }
    Ok(if explanation.findings.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Status and reason of a kept request's answer.
type Answered = Option<(u16, String)>;

async fn captured(place: &Place, request: &str) -> Result<(Capture, Answered), CommandError> {
    let path = Path::new(request);
    if !path.exists()
        && let Some(id) = refused::parse_id(request)
    {
        return of_id(place, id).await;
    }
    let unreadable = |source| CommandError::UnreadableCapture { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    if request == "-" {
        io::stdin().lock().read_to_end(&mut bytes).map_err(CommandError::Terminal)?;
    } else {
        bytes = std::fs::read(path).map_err(unreadable)?;
    }
    Ok((capture::read(&bytes)?, None))
}

async fn of_id(place: &Place, id: DeliveryId) -> Result<(Capture, Answered), CommandError> {
    let kept = refused::get(place, id).await?;
    let mut capture = capture::read(&kept.raw())?;
    // The kept body is exact, whatever a header says of its length.
    capture.request.body = kept.body;
    capture.received_at = Some(kept.summary.received_at);
    capture.remarks.clear();
    if !kept.summary.is_whole {
        capture.remarks.push("the body is not whole: it was too large, or its end never arrived".to_owned());
    }
    Ok((capture, Some((kept.summary.status, kept.summary.reason))))
}

/// The keys of each webhook: those that it uses, and others to try.
async fn keys(
    place: &Place,
    arguments: &Arguments,
    wanted: Option<ProviderName>,
) -> Result<BTreeMap<ProviderName, Vec<KeyDocument>>, CommandError> {
    let mut keys: BTreeMap<ProviderName, Vec<KeyDocument>> = BTreeMap::new();
    let active = ActiveKeys::of(place).await?;
    for provider in ProviderName::ALL.iter().copied().filter(|provider| webhook_route(*provider).is_some()) {
        let documents = keys.entry(provider).or_default();
        // A path without a provider may be that of any.
        let is_wanted = wanted.is_none_or(|wanted| wanted == provider);
        match &arguments.active_secret_file {
            Some(path) if is_wanted => documents.push(document_of(path, "active-secret-file", true)?),
            _ => documents.extend(active.document(provider, wanted == Some(provider)).await?),
        }
        for path in arguments.secret_file.iter().filter(|_| is_wanted) {
            documents.push(document_of(path, "secret-file", false)?);
        }
    }
    Ok(keys)
}

/// Where the webhooks' own keys are.
enum ActiveKeys {
    Directory(DataDirectory),
    #[cfg(feature = "aws")]
    Stack(Box<deployed_stack::Stack>),
}

impl ActiveKeys {
    async fn of(place: &Place) -> Result<Self, CommandError> {
        match place {
            Place::Directory(path) => Ok(Self::Directory(DataDirectory::at(path))),
            #[cfg(feature = "aws")]
            Place::Stack { name, region } => {
                Ok(Self::Stack(Box::new(deployed_stack::open(name, region.as_deref()).await?)))
            }
            #[cfg(not(feature = "aws"))]
            Place::Stack { name, region } => match deployed_stack::open(name, region.as_deref()).await? {},
        }
    }

    /// The keys of a provider, if there are any. Those of a provider that the request is not for may be unreadable.
    #[cfg_attr(not(feature = "aws"), expect(unused_variables, clippy::unused_async, reason = "with the SDK they are"))]
    async fn document(&self, provider: ProviderName, is_needed: bool) -> Result<Option<KeyDocument>, CommandError> {
        match self {
            Self::Directory(directory) => {
                let path = directory.keys(provider);
                if path.exists() { document_of(&path, "active-secret-file", true).map(Some) } else { Ok(None) }
            }
            #[cfg(feature = "aws")]
            Self::Stack(stack) => match stack.active_secret(provider).await {
                Ok(secret) => Ok(secret.map(|secret| KeyDocument {
                    name: format!("the secret of the stack {}", stack.name()),
                    text: secret.reveal().into(),
                    is_active: true,
                })),
                Err(error) if is_needed => Err(error.into()),
                Err(_) => Ok(None),
            },
        }
    }
}

fn document_of(path: &Path, option: &'static str, is_active: bool) -> Result<KeyDocument, CommandError> {
    let text = std::fs::read_to_string(path).map_err(|source| CommandError::Unreadable {
        path: path.to_owned(),
        option,
        source,
    })?;
    Ok(KeyDocument { name: path.display().to_string(), text: text.into(), is_active })
}

fn in_words(explanation: &Explanation, request: &CapturedRequest, at: Timestamp, remarks: &[String]) -> String {
    let mut text = String::new();
    match (explanation.provider, &explanation.answer) {
        (Some(provider), Some(answer)) => {
            let _ = writeln!(text, "{provider}, received at {at}, a body of {} bytes.", request.body.len());
            let _ = match answer {
                Answer::Accepted => writeln!(text, "With these keys it is accepted."),
                Answer::Rejected(rejection) => {
                    writeln!(text, "With these keys it is refused, {}: {rejection}.", rejection.reason())
                }
                Answer::RetryLater(fault) => writeln!(text, "With these keys it can't be checked: {}.", fault.reason()),
            };
        }
        _ => {
            let _ = writeln!(text, "Received at {at}, a body of {} bytes, for no webhook.", request.body.len());
        }
    }
    for remark in remarks {
        let _ = writeln!(text, "Note: {remark}.");
    }
    text.push('\n');
    if explanation.findings.is_empty() {
        text.push_str(NOTHING_FOUND);
    }
    for (number, finding) in (1..).zip(&explanation.findings) {
        let _ = writeln!(text, "{number}. {finding}.\n   What to do: {}.", finding.remedy());
    }
    text
}

const NOTHING_FOUND: &str = "\
It is none of the usual mistakes: no key that was tried fits, in any usual form, over the body in any usual form.
Compare the key's fingerprint with the sender, try its other keys with --secret-file, and ask the sender for the bytes that it
signed. If it never had one of these keys, the request is not genuine.
";

#[derive(Serialize)]
struct Document {
    provider: Option<ProviderName>,
    received_at: Timestamp,
    accepted: bool,
    reason: Option<&'static str>,
    explained: bool,
    findings: Vec<FindingDocument>,
    remarks: Vec<String>,
}

#[derive(Serialize)]
struct FindingDocument {
    finding: String,
    sentence: String,
    what_to_do: String,
}

fn document(explanation: &Explanation, received_at: Timestamp, remarks: &[String]) -> Document {
    let of = |finding: &Finding| FindingDocument {
        finding: finding.name(),
        sentence: finding.to_string(),
        what_to_do: finding.remedy(),
    };
    Document {
        provider: explanation.provider,
        received_at,
        accepted: explanation.answer == Some(Answer::Accepted),
        reason: explanation.answer.as_ref().and_then(Answer::reason),
        explained: !explanation.findings.is_empty(),
        findings: explanation.findings.iter().map(of).collect(),
        remarks: remarks.to_vec(),
    }
}
