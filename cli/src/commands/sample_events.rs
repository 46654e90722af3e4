//! `sample-events`: the files in events/.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::{CommandError, print};
use crate::samples::{SampleKeys, SamplesError, make};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The folder of the samples, with their keys in keys/.
    #[arg(long, value_name = "DIRECTORY", default_value = "events")]
    directory: PathBuf,
    /// Write nothing; the exit code is 0 only if every sample is as it would be written.
    #[arg(long, conflicts_with = "new_keys")]
    check: bool,
    /// Make new test keys first.
    #[arg(long)]
    new_keys: bool,
}

/// Why the samples could not be written or checked.
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    /// A key is missing.
    #[error(
        "the sample key {} cannot be read; call this at the root of the repository, or make keys with --new-keys",
        path.display()
    )]
    KeyUnreadable {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file can't be written.
    #[error("{} cannot be written", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A sample can't be made.
    #[error(transparent)]
    Samples(#[from] SamplesError),
}

pub(super) async fn run(arguments: &Arguments) -> Result<ExitCode, CommandError> {
    if arguments.new_keys {
        write_new_keys(&arguments.directory)?;
    }
    let samples = make(&read_keys(&arguments.directory)?).await.map_err(SampleError::from)?;
    let mut text = String::new();
    let mut stale = false;
    for (name, sample) in samples {
        let path = arguments.directory.join(name);
        let written = std::fs::read_to_string(&path);
        if arguments.check {
            if written.ok().as_ref() != Some(&sample) {
                stale = true;
                let _ = writeln!(text, "{} is out of date; write it anew with `sample-events`", path.display());
            }
        } else {
            write(&path, &sample)?;
            let _ = writeln!(text, "{}", path.display());
        }
    }
    print(&text)?;
    Ok(if stale { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

struct KeyPaths {
    accredit_secret: PathBuf,
    accredit_private_key: PathBuf,
    machnet_secret: PathBuf,
    nurturecloud_secret: PathBuf,
    nurturecloud_path_secret: PathBuf,
    sterling_authority: PathBuf,
    sterling_verification: PathBuf,
    sterling_client: PathBuf,
}

fn key_paths(directory: &Path) -> KeyPaths {
    let keys = directory.join("keys");
    KeyPaths {
        accredit_secret: keys.join("accredit-secret.json"),
        accredit_private_key: keys.join("accredit-private.pem"),
        machnet_secret: keys.join("machnet-secret.json"),
        nurturecloud_secret: keys.join("nurturecloud-secret.json"),
        nurturecloud_path_secret: keys.join("nurturecloud-path-secret"),
        sterling_authority: keys.join("sterling-authority.json"),
        sterling_verification: keys.join("sterling-verification.json"),
        sterling_client: keys.join("sterling-client.json"),
    }
}

fn read_keys(directory: &Path) -> Result<SampleKeys, SampleError> {
    let read =
        |path: PathBuf| std::fs::read_to_string(&path).map_err(|source| SampleError::KeyUnreadable { path, source });
    let paths = key_paths(directory);
    Ok(SampleKeys {
        accredit_secret: read(paths.accredit_secret)?,
        accredit_private_key: read(paths.accredit_private_key)?,
        machnet_secret: read(paths.machnet_secret)?,
        nurturecloud_secret: read(paths.nurturecloud_secret)?,
        nurturecloud_path_secret: read(paths.nurturecloud_path_secret)?,
        sterling_authority: read(paths.sterling_authority)?,
        sterling_verification: read(paths.sterling_verification)?,
        sterling_client: read(paths.sterling_client)?,
    })
}

fn write_new_keys(directory: &Path) -> Result<(), CommandError> {
    let paths = key_paths(directory);
    let keys = SampleKeys::generate()?;
    if let Some(folder) = paths.accredit_secret.parent() {
        std::fs::create_dir_all(folder)
            .map_err(|source| SampleError::Unwritable { path: folder.to_owned(), source })?;
    }
    write(&paths.accredit_secret, &keys.accredit_secret)?;
    write(&paths.accredit_private_key, &keys.accredit_private_key)?;
    write(&paths.machnet_secret, &keys.machnet_secret)?;
    write(&paths.nurturecloud_secret, &keys.nurturecloud_secret)?;
    write(&paths.nurturecloud_path_secret, &keys.nurturecloud_path_secret)?;
    write(&paths.sterling_authority, &keys.sterling_authority)?;
    write(&paths.sterling_verification, &keys.sterling_verification)?;
    write(&paths.sterling_client, &keys.sterling_client)?;
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), SampleError> {
    std::fs::write(path, text).map_err(|source| SampleError::Unwritable { path: path.to_owned(), source })
}
