//! Why the samples could not be written or checked.

use std::io;
use std::path::PathBuf;

use intake_simulator::samples::SamplesError;

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
