//! The command line.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Parser, Subcommand};
use intake_pipeline::delivery_record::ReadBodyError;
use intake_pipeline::ledger::{EntryKey, Outcome};
use intake_pipeline::port_error::PortError;
use intake_pipeline::queue_message::MessageError;
use intake_pipeline::records::{Listing, ReadEventDataError};
use intake_providers::ProviderName;
use intake_providers::delivery::DeliveryId;
use intake_providers::registry::webhook_route;
use intake_simulator::error::SimulatorError;
use strum::VariantArray as _;

use crate::capture::CaptureError;
use crate::client::SendError;
use crate::deployed_stack::StackError;
use crate::doctor::directory::DirectoryError;
use crate::key_files::KeyFileError;
use crate::records::OpenRecordsError;
use crate::repair::OpenRepairError;
use crate::server::{DEFAULT_ADDRESS, ServerError};
use crate::stored_document::DocumentError;
use crate::terminal;
use intake_sqlite::OpenError;
use intake_sqlite::{DEFAULT_PATH, DataDirectoryError};

mod banner;
mod completions;
mod dead_letters;
mod deliveries;
mod demo;
mod describe;
mod doctor;
mod drain;
mod entities;
mod events;
mod explain;
mod follow;
mod keys;
mod listen;
mod listing;
mod live;
mod place;
mod quarantine;
mod refused;
mod resync;
mod sample_events;
mod send;
mod serve;
mod since;
mod style;

/// Takes webhooks on this machine, with the same code as on AWS and SQLite underneath.
///
/// Start with `demo`: it makes test keys, serves, sends itself signed deliveries and shows what became of each.
#[derive(Debug, Parser)]
#[command(name = "webhook-intake", version, max_term_width = 100)]
pub struct CommandLine {
    /// Where queue, events and keys lie. Made when it isn't there.
    #[arg(
        long,
        global = true,
        value_name = "DIRECTORY",
        default_value = DEFAULT_PATH,
        env = "WEBHOOK_INTAKE_DATA_DIRECTORY"
    )]
    data_directory: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show everything once: make test keys, serve, send signed deliveries, print what became of each, go on serving.
    Demo(demo::Arguments),
    /// Serve every provider's webhook, verify with the keys in the data directory, and process what comes.
    Serve(serve::Arguments),
    /// Sign one delivery as the provider would and post it to any URL.
    ///
    /// The exit code is 0 only if the delivery was accepted, and with --wait only if it was also recorded and nothing of it
    /// quarantined.
    Send(send::Arguments),
    /// Empty NowCerts' message queue into ours, once.
    ///
    /// Messages are acknowledged, and so gone from NowCerts' queue, once they are on ours. The exit code is 0 unless the run
    /// failed.
    Drain(drain::Arguments),
    /// List the deliveries that came in, show one with its headers and its body to the byte, or print them as they come.
    Deliveries(deliveries::Arguments),
    /// List the events that came in and what became of them, show one, or print them as they come.
    Events(events::Arguments),
    /// List NurtureCloud's entities, or show one: what is known of it, where its merges lead, and its history.
    Entities(entities::Arguments),
    /// List the requests that the server or a deployed stack refused, or show one.
    ///
    /// The server keeps the latest 1,000 of them whole, headers and body, up to 64 MiB. A stack keeps as many an hour as its
    /// parameter KeepRefused says, for 7 days.
    Refused(refused::Arguments),
    /// Say why a request was refused: which key, secret, body or signature would have matched, and what to do.
    ///
    /// Tries the usual mistakes for real, on this machine only. The exit code is 0 if something was found, 1 if nothing was, and 2
    /// for a wrong command line. No secret is printed.
    Explain(explain::Arguments),
    /// Say whether all is well with a data directory or a deployed stack, and what to do where it isn't.
    ///
    /// The exit code is 0 if all is well, and 1 if something is to be put right or could not be checked.
    Doctor(doctor::Arguments),
    /// List what is authentic but could not be read, with the reason, show one delivery of it, or release what can be read now.
    Quarantine(quarantine::Arguments),
    /// List the messages that were given up after repeated failures, with the reason, show one, or move them back to the queue.
    #[command(name = "dead-letters")]
    DeadLetters(dead_letters::Arguments),
    /// The former name of `dead-letters redrive --all`.
    #[command(hide = true)]
    Redrive,
    /// Ask NurtureCloud to send everything again, or single entities, to the webhook that is registered there.
    ///
    /// The exit code is 0 only if every call was accepted. Call the command again to go on with a run that was cut off.
    Resync(resync::Arguments),
    /// List the providers' keys, add one, check them, or take one out: here or on a deployed stack.
    ///
    /// Keys are what deliveries prove themselves by: Accredit's public keys, Machnet's secrets, NowCerts' login, NurtureCloud's secret
    /// URLs, and the clients and signing keys of Sterling's token endpoint. Without a command, all are listed.
    Keys(keys::Arguments),
    /// Its name is now `keys`.
    #[command(hide = true)]
    Client(keys::old_names::Client),
    /// Its name is now `keys`.
    #[command(hide = true)]
    SigningKey(keys::old_names::SigningKey),
    /// Its name is now `keys`.
    #[command(hide = true, name = "nurturecloud-url")]
    NurtureCloudUrl(keys::old_names::NurtureCloudUrl),
    /// Print the script by which a shell completes commands and options.
    ///
    /// For bash: source <(webhook-intake completions bash), in ~/.bashrc. For fish: webhook-intake completions fish >
    /// ~/.config/fish/completions/webhook-intake.fish. For zsh: as _webhook-intake in a directory of $fpath.
    Completions(completions::Arguments),
    /// Regenerate the sample invocations in events/, for `sam local invoke` and `cargo lambda invoke`.
    SampleEvents(sample_events::Arguments),
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The server.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The data directory.
    #[error(transparent)]
    DataDirectory(#[from] DataDirectoryError),
    /// The database file.
    #[error(transparent)]
    Database(#[from] OpenError),
    /// The database, once it is open.
    #[error(transparent)]
    Port(#[from] PortError),
    /// What was recorded.
    #[error(transparent)]
    Records(#[from] OpenRecordsError),
    /// The checks of a data directory.
    #[error(transparent)]
    Doctor(#[from] DirectoryError),
    /// A deployed stack.
    #[error(transparent)]
    Stack(#[from] StackError),
    /// What is put right.
    #[error(transparent)]
    Repair(#[from] OpenRepairError),
    /// A message that is kept in quarantine.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// A delivery that is not in quarantine.
    #[error(
        "nothing of delivery {id} is in quarantine; `quarantine` lists what is, and `deliveries show` says what became of it"
    )]
    NotInQuarantine {
        /// Its id.
        id: DeliveryId,
    },
    /// A message that is not a dead letter.
    #[error("no dead letter has the id {id}, and none is of a delivery with it; `dead-letters` lists what there is")]
    NoDeadLetter {
        /// The id, as it was given.
        id: String,
    },
    /// Key files.
    #[error(transparent)]
    KeyFiles(#[from] KeyFileError),
    /// What a provider would send.
    #[error(transparent)]
    Simulator(#[from] SimulatorError),
    /// A document with keys.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// Keys that were not changed.
    #[error(transparent)]
    Keys(#[from] keys::NotChanged),
    /// Too much for a key.
    #[error("more than 64 KiB were given, which is no key; give the key alone")]
    KeyTooLarge,
    /// A key that is in use.
    #[error(
        "the key was used at {last}, so the provider may still depend on it; let it change over first, or say --yes"
    )]
    KeyInUse {
        /// When it was used last.
        last: String,
    },
    /// Nobody knows whether a key is in use.
    #[error("whether the key was used within the last hour cannot be read; say --yes to take it out all the same")]
    UseUnknown {
        /// The cause.
        #[source]
        error: Box<Self>,
    },
    /// No signing key was superseded.
    #[error("no key was superseded")]
    NothingToRetire,
    /// A client that is not there.
    #[error("there is no such client; `keys list sterling` shows those that are there")]
    UnknownClient,
    /// Sending.
    #[error(transparent)]
    Send(#[from] SendError),
    /// No server to send to.
    #[error(
        "no server runs on the data directory {}, and nobody answers at http://{DEFAULT_ADDRESS}; start one with `serve` or `demo`, \
         name its --data-directory, or send elsewhere with --url",
        path.display()
    )]
    NoServer {
        /// The data directory.
        path: PathBuf,
    },
    /// An answer that is not ours.
    #[error("the answer names no delivery, so it is not ours, and --wait cannot find what becomes of it")]
    NoDeliveryId,
    /// The resync.
    #[error(transparent)]
    Resync(#[from] resync::ResyncError),
    /// The sample invocations.
    #[error(transparent)]
    SampleEvents(#[from] sample_events::SampleError),
    /// A captured request of another form.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// A captured request that cannot be read.
    #[error("{} is neither a file that can be read nor the id of a refused request; `refused` lists the ids", path.display())]
    UnreadableCapture {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A refused request that is not kept.
    #[error("no refused request has the id {id}; `refused` lists those that are kept")]
    UnknownRefusal {
        /// The id.
        id: DeliveryId,
    },
    /// A file that was asked for.
    #[error("{} cannot be read; check its name, or name another with --{option}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The option that names it.
        option: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// No account at NowCerts.
    #[error(
        "nobody said how to reach nowcerts' queue; give --connection-string and --queue, or write {} in the form of the \
         secret on aws",
        path.display()
    )]
    NoAccount {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// A key for a provider that signs nothing.
    #[error("--key is not for {provider}, {reason}")]
    KeyNotUsed {
        /// The provider.
        provider: ProviderName,
        /// Why, and what to do.
        reason: &'static str,
    },
    /// An entity that is not known.
    #[error("nothing is known of {component} {id}; `entities` lists what is known")]
    UnknownEntity {
        /// What it is.
        component: String,
        /// Its id.
        id: String,
    },
    /// A delivery without a record.
    #[error(
        "there is no record of delivery {id}; `deliveries` lists what there is, and records are kept for 30 days, or as \
         long as DELIVERY_RETENTION_DAYS says"
    )]
    UnknownDelivery {
        /// Its id.
        id: DeliveryId,
    },
    /// An event that is not there.
    #[error(
        "there is no event {id}; `events` lists what there is, and an event is named by <delivery id>.<index>, by its own id \
         or by its delivery's"
    )]
    UnknownEvent {
        /// What was looked for.
        id: String,
    },
    /// A delivery that left no event like the one that was looked for.
    #[error(
        "there is no such event of delivery {delivery_id}, whose outcomes are: {outcomes}; a duplicate leaves no event of its \
         own, and `deliveries show {delivery_id}` names the delivery that brought it first"
    )]
    NoEventOfDelivery {
        /// The delivery.
        delivery_id: DeliveryId,
        /// What became of its events.
        outcomes: String,
    },
    /// An event's data.
    #[error(transparent)]
    EventData(#[from] ReadEventDataError),
    /// A body that was received.
    #[error(transparent)]
    Body(#[from] ReadBodyError),
    /// Several entities of one id.
    #[error("there is more than one {component} {id}; say which one is meant:{candidates}")]
    AmbiguousEntity {
        /// What they are.
        component: String,
        /// Their id.
        id: String,
        /// Each on a line, with the options that mean it.
        candidates: String,
    },
    /// Two secrets for one URL.
    #[error("--url ends with a secret already; leave --key out, or leave the secret out of --url")]
    TwoPathSecrets,
    /// One of the two secrets is missing.
    #[error("--authority-secret and --verification-secret belong together; give both, or none for the data directory")]
    OneSecretOnly,
    /// No base of a URL. It is not repeated: a whole URL may have been pasted.
    #[error(
        "--base-url is what comes before /webhooks/ in an https url, such as https://hooks.example.com; plain http is for this \
         machine only, because anyone who sees the url can deliver"
    )]
    InvalidBaseUrl,
    /// The log of the demo.
    #[error("the log {} cannot be written or read", path.display())]
    Log {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// An option of another provider.
    #[error("--{option} is for {belongs_to}; leave it out, or send as {belongs_to}")]
    OptionOfAnotherProvider {
        /// The option.
        option: &'static str,
        /// Whose it is.
        belongs_to: ProviderName,
    },
    /// Standard output or input.
    #[error("standard input or output broke")]
    Terminal(#[source] io::Error),
}

/// Runs the command.
///
/// # Errors
/// [`CommandError`], which says what to do.
pub async fn run(CommandLine { data_directory, command }: CommandLine) -> Result<ExitCode, CommandError> {
    match command {
        Command::Demo(arguments) => demo::run(&data_directory, arguments).await,
        Command::Serve(arguments) => serve::run(&data_directory, arguments).await,
        Command::Send(arguments) => send::run(&data_directory, arguments).await,
        Command::Drain(arguments) => drain::run(&data_directory, arguments).await,
        Command::Deliveries(arguments) => deliveries::run(&data_directory, arguments).await,
        Command::Events(arguments) => events::run(&data_directory, arguments).await,
        Command::Entities(arguments) => entities::run(&data_directory, arguments).await,
        Command::Refused(arguments) => refused::run(&data_directory, arguments).await,
        Command::Explain(arguments) => explain::run(&data_directory, arguments).await,
        Command::Doctor(arguments) => doctor::run(&data_directory, arguments).await,
        Command::Quarantine(arguments) => quarantine::run(&data_directory, arguments).await,
        Command::DeadLetters(arguments) => dead_letters::run(&data_directory, arguments).await,
        Command::Redrive => dead_letters::all_of_directory(&data_directory).await,
        Command::Resync(arguments) => resync::run(&data_directory, arguments).await,
        Command::Keys(arguments) => keys::run(&data_directory, arguments).await,
        Command::Client(arguments) => keys::old_names::client(&data_directory, arguments).await,
        Command::SigningKey(arguments) => keys::old_names::signing_key(&data_directory, arguments).await,
        Command::NurtureCloudUrl(arguments) => keys::old_names::nurturecloud_url(&data_directory, arguments).await,
        Command::Completions(arguments) => completions::run(&arguments),
        Command::SampleEvents(arguments) => sample_events::run(&arguments).await,
    }
}

/// Reads a provider's name, and lists the names in the help.
fn provider_parser() -> impl TypedValueParser<Value = ProviderName> {
    PossibleValuesParser::new(ProviderName::ALL.iter().map(|provider| provider.as_str()))
        .try_map(|name| name.parse::<ProviderName>())
}

/// Reads the name of a provider that sends us requests, and lists the names in the help.
fn webhook_parser() -> impl TypedValueParser<Value = ProviderName> {
    let with_webhook = ProviderName::ALL.iter().filter(|provider| webhook_route(**provider).is_some());
    PossibleValuesParser::new(with_webhook.map(|provider| provider.as_str()))
        .try_map(|name| name.parse::<ProviderName>())
}

/// Reads an outcome's name, and lists the names in the help.
fn outcome_parser() -> impl TypedValueParser<Value = Outcome> {
    PossibleValuesParser::new(Outcome::VARIANTS.iter().map(|outcome| outcome.as_str()))
        .try_map(|name| name.parse::<Outcome>().map_err(|error| error.to_string()))
}

/// Prints a text that was laid out. What a terminal would obey is escaped; where a line break would change the layout, the
/// value is escaped with [`terminal::escape`] before. A reader that has seen enough, such as `head`, is not a failure.
fn print(text: &str) -> Result<(), CommandError> {
    write_to_stdout(terminal::escape_lines(text).as_bytes())
}

/// Prints a text with colours, if standard output takes them. Its author has escaped what comes from outside.
fn print_styled(text: &str) -> Result<(), CommandError> {
    let mut output = anstream::stdout().lock();
    match io::Write::write_all(&mut output, text.as_bytes()).and_then(|()| io::Write::flush(&mut output)) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CommandError::Terminal(error)),
        _ => Ok(()),
    }
}

/// Prints JSON texts, one a line.
fn print_json_lines(text: &str) -> Result<(), CommandError> {
    write_to_stdout(terminal::escape_json_lines(text).as_bytes())
}

/// Writes bytes as they are.
fn write_to_stdout(bytes: &[u8]) -> Result<(), CommandError> {
    write_while_read(bytes).map(|_| ())
}

/// The same, and returns whether anybody still reads.
fn write_while_read(bytes: &[u8]) -> Result<bool, CommandError> {
    let mut output = io::stdout().lock();
    match io::Write::write_all(&mut output, bytes).and_then(|()| io::Write::flush(&mut output)) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(CommandError::Terminal(error)),
    }
}

/// Prints a text beside the output.
fn explain(text: &str) -> Result<(), CommandError> {
    let text = terminal::escape_lines(text);
    io::Write::write_all(&mut io::stderr().lock(), text.as_bytes()).map_err(CommandError::Terminal)
}

/// What a listing found. What it could not read is named beside the output.
fn found<T>(listing: Listing<T>) -> Result<Vec<T>, CommandError> {
    let Listing { found, unreadable, .. } = listing;
    if !unreadable.is_empty() {
        explain(&not_read(&unreadable))?;
    }
    Ok(found)
}

/// What to say of entries that could not be read.
fn not_read(unreadable: &[EntryKey]) -> String {
    let keys: String = unreadable.iter().map(|key| format!("\n  {} {}", key.partition, key.sort)).collect();
    format!(
        "warning: {} could not be read and {} left out; damaged, or written by a later version than this one:{keys}\n",
        if unreadable.len() == 1 { "an entry".to_owned() } else { format!("{} entries", unreadable.len()) },
        if unreadable.len() == 1 { "is" } else { "are" },
    )
}

/// How to call this program again with the same data: through cargo if it was started so.
fn invocation(data_directory: &Path) -> String {
    invocation_from(std::env::var_os("CARGO"), data_directory)
}

fn invocation_from(cargo: Option<OsString>, data_directory: &Path) -> String {
    let program = if cargo.is_some() { "cargo run --" } else { "webhook-intake" };
    if data_directory == Path::new(DEFAULT_PATH) {
        program.to_owned()
    } else {
        format!("{program} --data-directory {}", data_directory.display())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn hints_name_the_data_directory_when_it_is_not_the_usual_one() {
        assert_eq!(invocation_from(Some("cargo".into()), Path::new(DEFAULT_PATH)), "cargo run --");
        assert_eq!(invocation_from(None, Path::new("/d")), "webhook-intake --data-directory /d");
    }

    #[test]
    fn an_unknown_provider_is_answered_with_the_known_ones() {
        let error = CommandLine::try_parse_from(["webhook-intake", "send", "nobody"]).unwrap_err().to_string();
        for provider in ProviderName::ALL {
            let has_webhook = webhook_route(*provider).is_some();
            assert_eq!(error.contains(provider.as_str()), has_webhook, "{provider}: {error}");
        }
    }
}
