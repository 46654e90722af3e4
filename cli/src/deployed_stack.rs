//! A deployed stack, if this build can reach one.

#[cfg(feature = "aws")]
pub use intake_aws::operator::{Stack, StackError};

/// Why a stack can't be asked.
#[cfg(not(feature = "aws"))]
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
#[cfg(not(feature = "aws"))]
#[derive(Clone, Debug)]
pub enum Stack {}

/// Reads what a stack is made of.
///
/// # Errors
/// [`StackError`], which says what to do.
#[cfg(feature = "aws")]
pub async fn open(name: &str, region: Option<&str>) -> Result<Stack, StackError> {
    Stack::open(name, region).await
}

/// Says that this build can't.
///
/// # Errors
/// Always.
#[cfg(not(feature = "aws"))]
#[expect(clippy::unused_async, reason = "with the SDK it waits")]
pub async fn open(_name: &str, _region: Option<&str>) -> Result<Stack, StackError> {
    Err(StackError::BuiltWithoutAws)
}
