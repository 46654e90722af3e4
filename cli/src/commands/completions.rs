//! `completions`: the script by which a shell completes commands and options.

use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::{Shell, generate};

use super::CommandLine;
use super::error::CommandError;
use super::output::write_to_stdout;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The shell.
    shell: Shell,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, CommandError> {
    let mut command = CommandLine::command();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    generate(arguments.shell, &mut command, name.clone(), &mut script);
    let script = String::from_utf8_lossy(&script);
    write_to_stdout(with_one_name(arguments.shell, &script, &name).as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// For bash, clap_complete writes the hyphen in a program's name in two ways, so that nothing below a subcommand is completed
/// (clap issue 6421). A script without that mistake stays as it is.
fn with_one_name(shell: Shell, script: &str, name: &str) -> String {
    if shell == Shell::Bash {
        script.replace(&name.replace('-', "__subcmd__"), &name.replace('-', "__"))
    } else {
        script.to_owned()
    }
}
