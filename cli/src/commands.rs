//! The command line.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use intake_sqlite::DEFAULT_PATH;

use error::CommandError;

mod banner;
mod completions;
mod dead_letters;
mod deliveries;
mod demo;
mod describe;
mod doctor;
mod drain;
mod entities;
mod erase;
mod error;
mod events;
mod explain;
mod follow;
mod invocation;
mod keys;
mod listen;
mod listing;
mod live;
mod output;
mod parsers;
mod place;
mod quarantine;
mod refused;
mod replay;
mod resync;
mod sample_events;
mod send;
mod serve;
mod since;
mod style;
mod unreadable;

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
    #[command(after_long_help = deliveries::EXAMPLES)]
    Deliveries(deliveries::Arguments),
    /// List the events that came in and what became of them, show one, or print them as they come.
    #[command(after_long_help = events::EXAMPLES)]
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
    /// Send events that were recorded to consumers again: to the stack's event bus, or to a receiver of yours.
    ///
    /// The earliest comes first. Each envelope has the name of the replay as `replay`, so that a consumer can tell. The exit code is 0 only if
    /// everything was sent.
    Replay(replay::Arguments),
    /// Erase what was received about a person, or before a time: events, the deliveries that brought them, and their payloads.
    ///
    /// The key, the digest and the outcome of an event are left, so that a redelivery of it is still a duplicate. What is erased already
    /// is passed over, so a run that was cut off is run again. The exit code is 0 if nothing is left that was to be erased, 1 if something
    /// is or was not found, and 2 for a wrong command line.
    Erase(erase::Arguments),
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
        Command::Replay(arguments) => replay::run(&data_directory, arguments).await,
        Command::Erase(arguments) => erase::run(&data_directory, arguments).await,
        Command::Resync(arguments) => resync::run(&data_directory, arguments).await,
        Command::Keys(arguments) => keys::run(&data_directory, arguments).await,
        Command::Client(arguments) => keys::old_names::client(&data_directory, arguments).await,
        Command::SigningKey(arguments) => keys::old_names::signing_key(&data_directory, arguments).await,
        Command::NurtureCloudUrl(arguments) => keys::old_names::nurturecloud_url(&data_directory, arguments).await,
        Command::Completions(arguments) => completions::run(&arguments),
        Command::SampleEvents(arguments) => sample_events::run(&arguments).await,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use intake_providers::ProviderName;
    use intake_providers::registry::webhook_route;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
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
