//! `keys add`: one command for each provider, with the options that it lists.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches, Subcommand, value_parser};
use intake_providers::ProviderName;
use intake_providers::account::AccountName;
use intake_providers::key_ring::change::Change;
use intake_providers::key_ring::guide::{Guide, Input, KeyOption};
use intake_providers::key_ring::new_key::{GivenOptions, NewKey};
use intake_providers::registry::key_ring;
use intake_sqlite::DataDirectory;
use secrecy::ExposeSecret as _;

use super::super::error::CommandError;
use super::super::output::{explain, print, print_json_lines};
use super::super::place::Place;
use super::changing::{self, print_change};
use super::forwarding::{self, SecretToAdd};
use super::input::{FILE, read_input};
use super::key_place::KeyPlace;
use super::owner::FORWARDING;
use crate::key_store::Access;

/// Place of a command's own options in its help. Those of one place are in the order in which they were declared.
const AFTER_GLOBAL_OPTIONS: usize = 100;

const ACCOUNT: &str = "account";
const BASE_URL: &str = "base-url";
const JSON: &str = "json";

#[derive(Debug, clap::Args)]
pub(in crate::commands) struct Add {
    #[command(subcommand)]
    addition: Addition,
}

/// What is to be added.
#[derive(Clone, Debug)]
enum Addition {
    Key(KeyToAdd),
    SigningSecret(SecretToAdd),
}

/// A key that is to be added, as the command line describes it.
#[derive(Clone, Debug)]
struct KeyToAdd {
    provider: ProviderName,
    account: Option<AccountName>,
    file: Option<PathBuf>,
    base_url: Option<String>,
    json: bool,
    options: GivenOptions,
}

impl Subcommand for Addition {
    fn augment_subcommands(command: Command) -> Command {
        let commands = ProviderName::ALL.iter().map(|provider| command_of(*provider));
        command.subcommand_required(true).subcommands(commands).subcommand(SecretToAdd::command())
    }

    fn augment_subcommands_for_update(command: Command) -> Command {
        Self::augment_subcommands(command)
    }

    fn has_subcommand(name: &str) -> bool {
        name == FORWARDING || name.parse::<ProviderName>().is_ok()
    }
}

impl FromArgMatches for Addition {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let missing = || clap::Error::new(ErrorKind::MissingSubcommand);
        let (name, matches) = matches.subcommand().ok_or_else(missing)?;
        if name == FORWARDING {
            return Ok(Self::SigningSecret(SecretToAdd::from_matches(matches)));
        }
        let provider = name.parse::<ProviderName>().map_err(|_| missing())?;
        let Guide { options, .. } = key_ring(provider).guide();
        let mut given = GivenOptions::default();
        for option in options {
            match option.value {
                Some(_) => {
                    if let Some(value) = matches.get_one::<String>(option.name) {
                        given = given.with(option.name, value);
                    }
                }
                None if matches.get_flag(option.name) => given = given.with(option.name, ""),
                None => {}
            }
        }
        let text = |name| matches.try_get_one::<String>(name).ok().flatten().cloned();
        Ok(Self::Key(KeyToAdd {
            provider,
            account: matches.get_one::<AccountName>(ACCOUNT).cloned(),
            file: matches.try_get_one::<PathBuf>(FILE).ok().flatten().cloned(),
            base_url: text(BASE_URL),
            json: matches.get_flag(JSON),
            options: given,
        }))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn command_of(provider: ProviderName) -> Command {
    let Guide { about, long_about, input, options, default_account } = key_ring(provider).guide();
    let mut command = Command::new(provider.as_str()).about(about).long_about(long_about);
    command = command.args(options.iter().map(own_option));
    let instead: Vec<_> =
        options.iter().filter(|option| option.is_instead_of_input).map(|option| option.name).collect();
    if input != Input::None {
        command = command.arg(
            Arg::new(FILE)
                .long(FILE)
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .conflicts_with_all(instead)
                .help("The file with the key. [default: standard input]"),
        );
    }
    if key_ring(provider).webhook_output().is_some() {
        command = command.arg(Arg::new(BASE_URL).long(BASE_URL).value_name("URL").help(
            "Where the webhooks are reached, such as https://hooks.example.com. [default: as the stack says it, or the server on this \
             machine]",
        ));
    }
    command
        .arg(Arg::new(ACCOUNT).long(ACCOUNT).value_name("NAME").value_parser(value_parser!(AccountName)).help(format!(
            "The account that the key belongs to: 1 to 64 letters, digits, dots, hyphens and underscores. It is part of its events' \
             source and identity, so a key that replaces another one of the same account needs the same name. \
             [default: {default_account}]"
        )))
        .arg(Arg::new(JSON).long(JSON).action(ArgAction::SetTrue).help("Print one JSON object"))
        .mut_args(|arg| arg.display_order(AFTER_GLOBAL_OPTIONS))
}

fn own_option(option: &KeyOption) -> Arg {
    let arg = Arg::new(option.name).help(option.help.trim_end_matches('.'));
    match option.value {
        Some(value) if option.is_positional => arg.value_name(value),
        Some(value) => arg.long(option.name).value_name(value),
        None => arg.long(option.name).action(ArgAction::SetTrue),
    }
}

pub(super) async fn run(place: &Place, add: Add) -> Result<ExitCode, CommandError> {
    let KeyToAdd { provider, account, file, base_url, json, options } = match add.addition {
        Addition::Key(key) => key,
        Addition::SigningSecret(secret) => return forwarding::add(place, secret).await,
    };
    let Guide { input, options: own_options, .. } = key_ring(provider).guide();
    let is_made = own_options.iter().any(|option| option.is_instead_of_input && options.has(option.name));
    let input = match input {
        Input::Key { what } if !is_made => Some(read_input(file.as_deref(), what)?),
        _ => None,
    };
    let key_place = KeyPlace::open(place).await?;
    let new = NewKey { account, input, options };
    let change = add_key(&key_place, provider, &new, base_url.as_deref()).await?;
    if json {
        print_as_json(provider, &change)?;
    } else {
        print_added(provider, &change)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Adds a key. A data directory is made where there is none.
pub(super) async fn add_key(
    place: &KeyPlace,
    provider: ProviderName,
    new: &NewKey,
    base_url: Option<&str>,
) -> Result<Change, CommandError> {
    let circumstances = place.circumstances(provider, base_url)?;
    if let KeyPlace::Directory(directory) = place {
        DataDirectory::create(directory.path())?;
    }
    let store = place.store(provider, Access::Change).await?;
    changing::change(provider, &store, |documents| key_ring(provider).add(documents, new, &circumstances)).await
}

/// Prints what was added. A secret that was made is the only output, so that it can be piped to where it is needed; the rest is
/// beside it.
fn print_added(provider: ProviderName, change: &Change) -> Result<(), CommandError> {
    let Some(made) = &change.made else { return print_change(provider, "Added to", change, false) };
    explain(&format!(
        "Added to {provider}: {}; {}.\nWhat follows is shown this once, and cannot be shown again.\n{}\n",
        changing::in_words(&change.key),
        change.counts,
        change.next,
    ))?;
    print(&format!("{}\n", made.secret.expose_secret()))
}

fn print_as_json(provider: ProviderName, change: &Change) -> Result<(), CommandError> {
    let mut json = changing::json(provider, change);
    if let (Some(made), Some(members)) = (&change.made, json.as_object_mut()) {
        members.insert(made.name.to_owned(), made.secret.expose_secret().into());
    }
    print_json_lines(&format!("{json}\n"))
}
