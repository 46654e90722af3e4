//! How to call this program again.

use std::ffi::OsString;
use std::path::Path;

use intake_sqlite::DEFAULT_PATH;

/// How to call this program again with the same data: through cargo if it was started so.
pub(super) fn invocation(data_directory: &Path) -> String {
    invocation_from(std::env::var_os("CARGO"), data_directory)
}

fn invocation_from(cargo: Option<OsString>, data_directory: &Path) -> String {
    let program = if cargo.is_some() { "cargo run --" } else { "webhook-intake" };
    if data_directory == Path::new(DEFAULT_PATH) {
        program.to_owned()
    } else {
        format!("{program} --data-directory {}", data_directory.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_name_the_data_directory_when_it_is_not_the_usual_one() {
        assert_eq!(invocation_from(Some("cargo".into()), Path::new(DEFAULT_PATH)), "cargo run --");
        assert_eq!(invocation_from(None, Path::new("/d")), "webhook-intake --data-directory /d");
    }
}
