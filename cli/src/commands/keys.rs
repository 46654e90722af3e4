//! `keys`: what each provider proves itself by.

use std::path::Path;
use std::process::ExitCode;

use intake_providers::ProviderName;
use intake_providers::registry::key_ring;

use super::error::CommandError;
use super::place::StackOptions;

mod activate;
mod add;
mod changing;
mod check;
mod forwarding;
mod input;
mod key_place;
mod list;
pub(super) mod not_changed;
pub(super) mod old_names;
mod owner;
mod remove;

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Arguments {
    #[command(flatten)]
    place: StackOptions,
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    list: list::List,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List the keys, and when each was used. This is what `keys` alone does.
    List(list::List),
    /// Add a key of a provider, or make one.
    ///
    /// A key is read from standard input or a file and checked at once; it is never an argument, which others could see. Each
    /// provider has its own help: `keys add machnet --help`.
    Add(add::Add),
    /// Say of each key whether it can verify, and what is wrong if it cannot.
    ///
    /// The exit code is 1 if anything is wrong.
    Check(check::Check),
    /// Take a key out, so that what it proves is refused.
    ///
    /// The last key of a provider, and one that was used within the last hour, go only when that is said to be meant.
    Remove(remove::Remove),
    /// Let a key sign that was added to sign, for a provider whose keys are rotated in steps.
    Activate(activate::Activate),
}

pub(super) async fn run(data_directory: &Path, arguments: Arguments) -> Result<ExitCode, CommandError> {
    let place = arguments.place.place(data_directory);
    match arguments.action {
        Some(Action::List(list)) => list::run(&place, list).await,
        Some(Action::Add(add)) => add::run(&place, add).await,
        Some(Action::Check(check)) => check::run(&place, check).await,
        Some(Action::Remove(remove)) => remove::run(&place, remove).await,
        Some(Action::Activate(activate)) => activate::run(&place, activate).await,
        None => list::run(&place, arguments.list).await,
    }
}

/// Reads the name of a provider whose keys are activated, and lists the names in the help.
fn with_activation() -> impl clap::builder::TypedValueParser<Value = ProviderName> {
    use clap::builder::TypedValueParser as _;
    let names = ProviderName::ALL.iter().filter(|provider| key_ring(**provider).has_activation());
    clap::builder::PossibleValuesParser::new(names.map(|provider| provider.as_str()))
        .try_map(|name| name.parse::<ProviderName>())
}
