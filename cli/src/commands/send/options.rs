//! The options of `send` that belong to one provider, as the imitations list them.

use std::path::Path;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgMatches, Command, FromArgMatches, value_parser};
use intake_providers::ProviderName;
use intake_simulator::IMITATIONS;
use intake_simulator::imitation::ImitatedWebhook;
use intake_simulator::send::{KeyOption, OptionSpec, OptionValues, Options};

use super::read_text;
use crate::commands::error::CommandError;

/// The options that were given, each with whose it is.
#[derive(Clone, Debug, Default)]
pub(super) struct ProviderOptions(Vec<(ProviderName, &'static OptionSpec, String)>);

/// One provider's options.
pub(super) struct GivenOptions(Vec<(&'static OptionSpec, String)>);

impl ProviderOptions {
    /// The options, if all are this provider's.
    pub(super) fn of(self, provider: ProviderName) -> Result<GivenOptions, CommandError> {
        match self.0.iter().find(|(belongs_to, ..)| *belongs_to != provider) {
            Some(&(belongs_to, OptionSpec { name: option, .. }, _)) => {
                Err(CommandError::OptionOfAnotherProvider { option, belongs_to })
            }
            None => Ok(GivenOptions(self.0.into_iter().map(|(_, option, value)| (option, value)).collect())),
        }
    }
}

impl GivenOptions {
    /// The options, with the text of each file in place of its name.
    pub(super) fn read_files(self) -> Result<Options, CommandError> {
        let mut options = Options::default();
        for (option, value) in self.0 {
            let value = match option.values {
                OptionValues::File => read_text(Path::new(&value), option.name)?,
                OptionValues::Text | OptionValues::Number | OptionValues::OneOf(_) => value,
            };
            options.insert(option.name, value);
        }
        Ok(options)
    }
}

impl clap::Args for ProviderOptions {
    fn augment_args(command: Command) -> Command {
        webhooks().fold(command, |command, (provider, webhook)| {
            command.args(webhook.options().iter().map(|option| argument(provider, option)))
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for ProviderOptions {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut options = Self::default();
        options.update_from_arg_matches(matches)?;
        Ok(options)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for (provider, webhook) in webhooks() {
            for option in webhook.options() {
                let value = match option.values {
                    OptionValues::Number => matches.get_one(option.name).map(u32::to_string),
                    OptionValues::Text | OptionValues::OneOf(_) | OptionValues::File => {
                        matches.get_one(option.name).cloned()
                    }
                };
                self.0.extend(value.map(|value| (provider, option, value)));
            }
        }
        Ok(())
    }
}

fn argument(provider: ProviderName, option: &OptionSpec) -> Arg {
    let argument = Arg::new(option.name)
        .long(option.name)
        .value_name(option.value_name)
        .help(format!("{provider}: {}", option.help));
    let argument = match option.values {
        OptionValues::Text | OptionValues::File => argument.value_parser(value_parser!(String)),
        OptionValues::Number => argument.value_parser(value_parser!(u32)),
        OptionValues::OneOf(values) => argument.value_parser(PossibleValuesParser::new(values)),
    };
    let argument = if option.is_of_body { argument.conflicts_with("body") } else { argument };
    match option.requires {
        Some(other) => argument.requires(other),
        None => argument,
    }
}

/// The help of `--key`.
pub(super) fn key_help() -> String {
    let files = webhooks().filter_map(|(provider, webhook)| match webhook.key_option() {
        KeyOption::Takes(file) => Some(format!("for {provider} {file}")),
        KeyOption::Refuses(_) => None,
    });
    let files = files.collect::<Vec<_>>().join(", ");
    format!("The file with the key that signs: {files}. [default: the test key in the data directory]")
}

/// The help of `--tamper`.
pub(super) fn tamper_help() -> String {
    let others = webhooks().filter_map(|(provider, webhook)| Some((provider, webhook.tampers_with()?)));
    let others = others.map(|(provider, what)| format!("; for {provider}, change the {what}"));
    format!("Change the body after it was signed, as a forger would{}", others.collect::<String>())
}

fn webhooks() -> impl Iterator<Item = (ProviderName, &'static dyn ImitatedWebhook)> {
    IMITATIONS.iter().filter_map(|imitation| Some((imitation.name(), imitation.webhook()?)))
}
