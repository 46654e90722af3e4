//! What a build without the SDK says instead.

use crate::stored_document::StoredDocument;

/// Why a stack can't be asked.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// No SDK is linked.
    #[error(
        "this build links no aws sdk, so it cannot reach a deployed stack; run the command with \
         `cargo run --features aws -- ...`, or install the program with `cargo install --path cli`"
    )]
    BuiltWithoutAws,
}

/// A deployed stack, which this build can't reach.
#[derive(Clone, Debug)]
pub enum Stack {}

impl Stack {
    /// The physical id of a resource.
    #[must_use]
    pub const fn find_resource(&self, _logical_id: &str) -> Option<&str> {
        match *self {}
    }

    /// The value of a parameter.
    #[must_use]
    pub const fn parameter(&self, _name: &str) -> Option<&str> {
        match *self {}
    }

    /// The value of an output.
    #[must_use]
    pub const fn output(&self, _name: &str) -> Option<&str> {
        match *self {}
    }
}

/// Says that this build can't.
///
/// # Errors
/// Always.
pub async fn open(_name: &str, _region: Option<&str>) -> Result<Stack, StackError> {
    Err(StackError::BuiltWithoutAws)
}

/// A secret of a stack, of which there is none.
///
/// # Errors
/// None.
pub const fn secret(stack: &Stack, _logical_id: &str) -> Result<StoredDocument, StackError> {
    match *stack {}
}

/// Says that this build can't.
///
/// # Errors
/// Always.
pub async fn secret_of_arn(_secret_id: &str) -> Result<StoredDocument, StackError> {
    Err(StackError::BuiltWithoutAws)
}
