//! Made-up ids, and the texts of documents.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Serialize;

use crate::error::SimulatorError;

/// A random UUID.
#[must_use]
pub fn random_uuid() -> String {
    let mut random = [0; 16];
    fastrand::fill(&mut random);
    uuid::Builder::from_random_bytes(random).into_uuid().to_string()
}

/// This number of random bytes as hex digits, for ids and never for secrets.
#[must_use]
pub fn random_hex(bytes: usize) -> String {
    let mut random = vec![0; bytes];
    fastrand::fill(&mut random);
    hex::encode(random)
}

/// 32 bytes for a secret.
pub(crate) fn secret_bytes() -> Result<[u8; 32], SimulatorError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|_| SimulatorError::NoRandomness)?;
    Ok(bytes)
}

/// A body in JSON.
pub(crate) fn json_body(document: &impl Serialize) -> Bytes {
    // Plain structs of text always serialise.
    serde_json::to_vec(document).unwrap_or_default().into()
}

/// A document as it is written to a file.
pub(crate) fn json_file(document: &impl Serialize) -> Result<String, SimulatorError> {
    let text = serde_json::to_string_pretty(document);
    Ok(text.map_err(SimulatorError::failed("the test keys could not be written as json"))? + "\n")
}

/// Bytes in base64.
pub(crate) fn base64(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}
