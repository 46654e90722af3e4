use std::path::Path;

use clap::{Command, CommandFactory as _};
use intake_cli::commands::CommandLine;

use crate::program::{errors, output, program, program_alone, run};
use crate::snapshots::assert_printed;

/// The words that call each command, those of a command's own commands included.
fn calls(command: &Command, call: &[String], calls_of_all: &mut Vec<Vec<String>>) {
    calls_of_all.push(call.to_vec());
    for subcommand in command.get_subcommands() {
        calls(subcommand, &[call, &[subcommand.get_name().to_owned()]].concat(), calls_of_all);
    }
}

#[test]
fn every_command_explains_itself() {
    let mut calls_of_all = Vec::new();
    calls(&CommandLine::command(), &[], &mut calls_of_all);
    assert!(calls_of_all.len() > 12, "{calls_of_all:?}");
    let mut names = Vec::new();
    for call in calls_of_all {
        let words: Vec<&str> = call.iter().map(String::as_str).chain(["--help"]).collect();
        let data = Path::new("/nowhere");
        let ran = program(data, &words).env_remove("WEBHOOK_INTAKE_DATA_DIRECTORY").output().unwrap();
        assert!(ran.status.success(), "{words:?}: {}", errors(&ran));
        let name = [&["help".to_owned()], &call[..]].concat().join("-");
        assert_printed(&name, data, &output(&ran));
        names.push(name + ".snap");
    }
    // A command that is gone leaves no file behind.
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/command_line/snapshots");
    let mut recorded: Vec<String> =
        std::fs::read_dir(directory).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    recorded.retain(|name| name.starts_with("help"));
    recorded.sort();
    names.sort();
    assert_eq!(recorded, names);
}

#[test]
fn every_shell_gets_its_completions() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = output(&run(Path::new("/nowhere"), &["completions", shell]));
        for name in ["webhook-intake", "deliveries", "data-directory", "sterling"] {
            assert!(script.contains(name), "{shell}: {name} in\n{script}");
        }
    }
    assert_eq!(run(Path::new("/nowhere"), &["completions", "sh"]).status.code(), Some(2));
}

#[test]
fn the_version_has_the_programs_name() {
    let version = output(&program_alone(&["--version"]).output().unwrap());
    assert_eq!(version, format!("webhook-intake {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn help_fits_the_width_that_is_asked_for() {
    let help = |columns: &str| output(&program_alone(&["send", "--help"]).env("COLUMNS", columns).output().unwrap());
    let longest = |text: &str| text.lines().map(|line| line.chars().count()).max().unwrap();
    assert!((61..=80).contains(&longest(&help("80"))), "{}", help("80"));
    assert!((81..=100).contains(&longest(&help("200"))), "{}", help("200"));
}
