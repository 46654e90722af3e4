//! Reads a key.

use std::io::{self, IsTerminal as _, Read as _};
use std::path::Path;

use intake_providers::key_ring::new_key::KeyInput;

use super::super::error::CommandError;
use super::super::output::explain;

/// The option that names a file.
pub(super) const FILE: &str = "file";

/// Maximum size of a key that is read, in bytes.
const MAX_INPUT_BYTES: u64 = 64 * 1024;

/// Reads a key from a file or from standard input.
pub(super) fn read_input(file: Option<&Path>, what: &str) -> Result<KeyInput, CommandError> {
    let mut bytes = Vec::new();
    match file {
        Some(path) if path != Path::new("-") => {
            let unreadable = |source| CommandError::Unreadable { path: path.to_owned(), option: FILE, source };
            let opened = std::fs::File::open(path).map_err(unreadable)?;
            opened.take(MAX_INPUT_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        }
        _ => {
            if io::stdin().is_terminal() {
                explain(&format!("Paste {what}, and end it with Ctrl-D on a line of its own.\n"))?;
            }
            io::stdin().take(MAX_INPUT_BYTES + 1).read_to_end(&mut bytes).map_err(CommandError::Terminal)?;
        }
    }
    if bytes.len() as u64 > MAX_INPUT_BYTES {
        return Err(CommandError::KeyTooLarge);
    }
    Ok(KeyInput::new(bytes))
}
