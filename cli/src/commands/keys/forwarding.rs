//! The secrets with which forwarded events are signed.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use intake_outbound::signing_secrets::{SecretError, SigningSecret, SigningSecrets};
use intake_pipeline::secrets::SecretText;
use intake_sqlite::DataDirectory;
use secrecy::ExposeSecret as _;
use serde_json::json;

use super::super::error::CommandError;
use super::super::output::{explain, print, print_json_lines};
use super::super::place::Place;
use super::input::{FILE, read_input};
use super::owner::FORWARDING;
use crate::forwarding::read_secrets;
use crate::stored_document::{Found, StoredDocument, lock};

const JSON: &str = "json";
const WHAT: &str = "the secret";
const KIND: &str = "signing secret";

/// Minimum number of digits by which a secret is named.
const MIN_DIGITS: usize = 4;

/// A secret that is to be added.
#[derive(Clone, Debug)]
pub(super) struct SecretToAdd {
    file: Option<PathBuf>,
    json: bool,
}

impl SecretToAdd {
    pub(super) fn command() -> Command {
        Command::new(FORWARDING)
            .about("Make a secret with which forwarded events are signed, and print it, once")
            .long_about(
                "Make a secret with which forwarded events are signed, and print it, once.\n\nThe receiver verifies with it, as the \
                 Standard Webhooks specification says. All secrets that are there sign each event, so to replace one, add another, \
                 let the receiver have it, and take the old one out. A running server uses it at once.",
            )
            .arg(
                Arg::new(FILE)
                    .long(FILE)
                    .value_name("FILE")
                    .value_parser(value_parser!(PathBuf))
                    .help("Take the secret in this file instead of making one; - is standard input"),
            )
            .arg(Arg::new(JSON).long(JSON).action(ArgAction::SetTrue).help("Print one JSON object"))
            .mut_args(|arg| arg.display_order(100))
    }

    pub(super) fn from_matches(matches: &ArgMatches) -> Self {
        Self { file: matches.get_one::<PathBuf>(FILE).cloned(), json: matches.get_flag(JSON) }
    }
}

pub(super) async fn add(place: &Place, new: SecretToAdd) -> Result<ExitCode, CommandError> {
    let directory = directory(place)?;
    let given = new.file.as_deref().map(|file| read_input(Some(file), WHAT)).transpose()?;
    let secret = match &given {
        Some(input) => {
            let line = input.line(WHAT).map_err(|_| SecretError::NotASecret)?;
            SigningSecret::parse(line)?
        }
        None => SigningSecret::generate()?,
    };
    DataDirectory::create(directory.path())?;
    let added = secret.clone();
    let secrets = change(&directory, |secrets| secrets.add(added)).await?;
    let next = match secrets.iter().count() {
        1 => format!("`{}` signs with it.", place.call("serve --forward-to <URL>")),
        count => format!(
            "Each event is signed with all {count}. When the receiver verifies with this one, take the old one out with `{}`.",
            place.call("keys remove forwarding <ID>")
        ),
    };
    let id = secret.id();
    if new.json {
        let mut line = json_of(&secret);
        if let (None, Some(members)) = (&given, line.as_object_mut()) {
            members.insert("secret".to_owned(), secret.reveal().into());
        }
        print_json_lines(&format!("{line}\n"))?;
    } else if given.is_some() {
        print(&format!("Added to forwarding: {id} ({KIND}).\n{next}\n"))?;
    } else {
        explain(&format!(
            "Added to forwarding: {id} ({KIND}).\nWhat follows is shown this once, and cannot be shown again: give it to the \
             receiver.\n{next}\n"
        ))?;
        print(&format!("{}\n", secret.reveal()))?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn remove(
    place: &Place,
    name: &str,
    even_the_last: bool,
    as_json: bool,
) -> Result<ExitCode, CommandError> {
    let directory = directory(place)?;
    let secrets = read_secrets(&directory.signing_secrets())?;
    let unknown = || SecretError::Unknown { id: name.to_owned() };
    let named: Vec<_> = secrets.iter().filter(|secret| secret.id().starts_with(name)).collect();
    let [secret] = &named[..] else { return Err(unknown().into()) };
    if name.len() < MIN_DIGITS {
        return Err(unknown().into());
    }
    if secrets.iter().count() == 1 && !even_the_last {
        return Err(CommandError::LastSigningSecret);
    }
    let id = secret.id();
    change(&directory, |secrets| secrets.remove(&id)).await?;
    if as_json {
        print_json_lines(&format!("{}\n", json_of(secret)))?;
    } else {
        print(&format!("Taken out of forwarding: {id} ({KIND}); it signs no more.\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Lists the secrets. Those of a place that has none are worth a word only where somebody asks for them.
pub(super) fn list(place: &Place, is_named: bool, as_json: bool) -> Result<(), CommandError> {
    let Some(directory) = directory_if_asked(place, is_named)? else { return Ok(()) };
    match read_secrets(&directory.signing_secrets()) {
        Ok(secrets) if as_json => {
            print_json_lines(&secrets.iter().map(|secret| format!("{}\n", json_of(secret))).collect::<String>())
        }
        Ok(secrets) if secrets.is_empty() && !is_named => Ok(()),
        Ok(secrets) if secrets.is_empty() => {
            print("Nothing signs what is forwarded; make a secret with `keys add forwarding`.\n")
        }
        Ok(secrets) => {
            let ids: Vec<String> = secrets.iter().map(SigningSecret::id).collect();
            print(&format!("What is forwarded is signed with {}.\n", ids.join(" and ")))
        }
        Err(error) if as_json => {
            print_json_lines(&format!("{}\n", json!({"provider": FORWARDING, "problem": error.to_string()})))
        }
        Err(error) => print(&format!("{FORWARDING}: {error}.\n")),
    }
}

/// What a check finds: for each secret, or the file as a whole, its id, whether it is fit, and words for it.
pub(super) fn check(place: &Place, is_named: bool) -> Result<Vec<(Option<String>, bool, String)>, CommandError> {
    let Some(directory) = directory_if_asked(place, is_named)? else { return Ok(Vec::new()) };
    Ok(match read_secrets(&directory.signing_secrets()) {
        Ok(secrets) if secrets.is_empty() && is_named => {
            vec![(None, false, "no secret, so nothing is forwarded; make one with `keys add forwarding`".to_owned())]
        }
        Ok(secrets) => secrets
            .iter()
            .map(|secret| (Some(secret.id()), true, format!("{} ({KIND}) is fit for use", secret.id())))
            .collect(),
        Err(error) => vec![(None, false, error.to_string())],
    })
}

fn json_of(secret: &SigningSecret) -> serde_json::Value {
    json!({"provider": FORWARDING, "account": null, "key": secret.id(), "kind": KIND, "state": "active"})
}

fn directory(place: &Place) -> Result<DataDirectory, CommandError> {
    match place {
        Place::Directory(path) => Ok(DataDirectory::at(path)),
        Place::Stack { .. } => Err(CommandError::NothingSignsOnAStack),
    }
}

fn directory_if_asked(place: &Place, is_named: bool) -> Result<Option<DataDirectory>, CommandError> {
    match directory(place) {
        Err(_) if !is_named => Ok(None),
        directory => directory.map(Some),
    }
}

/// Changes the secrets, one command at a time.
async fn change(
    directory: &DataDirectory,
    edit: impl FnOnce(&mut SigningSecrets) -> Result<(), SecretError>,
) -> Result<SigningSecrets, CommandError> {
    let path = directory.signing_secrets();
    let _lock = lock(&path)?;
    let document = StoredDocument::File(path);
    let Found { text, version } = document.read().await?;
    let mut secrets = match &text {
        Some(text) if !text.reveal().trim().is_empty() => SigningSecrets::read(text.reveal())?,
        _ => SigningSecrets::default(),
    };
    edit(&mut secrets)?;
    let text = SecretText::new(secrets.write()?.expose_secret().to_owned());
    document.replace(&text, &version).await?;
    Ok(secrets)
}
