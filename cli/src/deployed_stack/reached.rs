//! A deployed stack, by the SDK.

use intake_aws::SecretDocument;
pub use intake_aws::operator::{Stack, StackError};

use crate::stored_document::StoredDocument;

/// Reads what a stack is made of.
///
/// # Errors
/// [`StackError`], which says what to do.
pub async fn open(name: &str, region: Option<&str>) -> Result<Stack, StackError> {
    Stack::open(name, region).await
}

/// A secret of a stack, by its logical id.
///
/// # Errors
/// When the stack has none, because the part that it belongs to is disabled there.
pub fn secret(stack: &Stack, logical_id: &str) -> Result<StoredDocument, StackError> {
    Ok(StoredDocument::Secret(stack.secret(logical_id)?))
}

/// A secret by its name or ARN. Region and credentials are those of the environment.
///
/// # Errors
/// None with the SDK.
pub async fn secret_of_arn(secret_id: &str) -> Result<StoredDocument, StackError> {
    Ok(StoredDocument::Secret(SecretDocument::connect(secret_id).await))
}
