//! `sample-events`: the files in events/.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use intake_simulator::IMITATIONS;
use intake_simulator::key_files::{KeyFiles, KeyFolder, KeyPurpose};
use intake_simulator::samples::make;
use secrecy::ExposeSecret as _;

use super::error::CommandError;
use super::output::print;
use crate::key_files::read_all;

pub(super) mod sample_error;

use sample_error::SampleError;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The folder of the samples, with their keys in keys/.
    #[arg(long, value_name = "DIRECTORY", default_value = "events")]
    directory: PathBuf,
    /// Write nothing; the exit code is 0 only if every sample is as it would be written.
    #[arg(long, conflicts_with = "new_keys")]
    check: bool,
    /// Make new test keys first, for every provider. Without it only a provider that has none gets new ones.
    #[arg(long)]
    new_keys: bool,
}

pub(super) async fn run(arguments: &Arguments) -> Result<ExitCode, CommandError> {
    let keys = KeyFolder::Samples(arguments.directory.join("keys"));
    if arguments.new_keys {
        std::fs::create_dir_all(keys.as_path())
            .map_err(|source| SampleError::Unwritable { path: keys.as_path().to_owned(), source })?;
    }
    if !arguments.check && keys.as_path().is_dir() {
        write_missing_keys(&keys, arguments.new_keys)?;
    }
    let samples = make(&read_keys(keys)?).await.map_err(SampleError::from)?;
    let mut text = String::new();
    let mut stale = false;
    for (name, sample) in samples {
        let path = arguments.directory.join(name);
        let written = std::fs::read_to_string(&path);
        if arguments.check {
            if written.ok().as_ref() != Some(&sample) {
                stale = true;
                let _ = writeln!(text, "{} is out of date; regenerate it with `sample-events`", path.display());
            }
        } else {
            write(&path, &sample)?;
            let _ = writeln!(text, "{}", path.display());
        }
    }
    print(&text)?;
    Ok(if stale { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn read_keys(folder: KeyFolder) -> Result<KeyFiles, SampleError> {
    read_all(folder, |path| match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(source) => Err(SampleError::KeyUnreadable { path: path.to_owned(), source }),
    })
}

/// Makes the keys of each provider that has none yet, such as one that was just added; of all providers if `replace`.
fn write_missing_keys(folder: &KeyFolder, replace: bool) -> Result<(), CommandError> {
    for imitation in IMITATIONS {
        let has_keys = imitation.key_names().iter().any(|name| folder.path(*name).exists());
        if has_keys && !replace {
            continue;
        }
        for made in imitation.test_keys(&KeyFiles::none(folder.clone()), &KeyPurpose::Samples)? {
            write(&folder.path(made.name), made.text.expose_secret())?;
        }
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), SampleError> {
    std::fs::write(path, text).map_err(|source| SampleError::Unwritable { path: path.to_owned(), source })
}
