//! Where in a secret JSON text reading stopped.

use std::fmt;

/// A line and a column, both counted from 1. This is all that an error may say of a document that holds secrets: serde's
/// messages quote what they read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonPlace {
    line: usize,
    column: usize,
}

impl From<&serde_json::Error> for JsonPlace {
    fn from(error: &serde_json::Error) -> Self {
        Self { line: error.line(), column: error.column() }
    }
}

impl fmt::Display for JsonPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_names_line_and_column_and_nothing_that_was_read() {
        let error = serde_json::from_str::<Vec<u8>>("[1,\n \"secret\"]").unwrap_err();
        assert_eq!(JsonPlace::from(&error).to_string(), "line 2, column 9");
    }
}
