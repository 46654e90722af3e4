//! `redrive`: dead letters go back on the queue.

use std::path::Path;
use std::process::ExitCode;

use super::{CommandError, print};
use intake_sqlite::DataDirectory;
use intake_sqlite::{Database, SqliteQueue};

pub(super) async fn run(data_directory: &Path) -> Result<ExitCode, CommandError> {
    let directory = DataDirectory::existing(data_directory)?;
    let moved = SqliteQueue::new(Database::open(&directory.database())?).redrive().await?;
    print(&match moved {
        0 => "There is no dead letter.\n".to_owned(),
        moved => format!("{moved} back on the queue; a running server takes them within a second.\n"),
    })?;
    Ok(ExitCode::SUCCESS)
}
