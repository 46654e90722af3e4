//! A change of keys that was refused.

use intake_providers::key_ring::error::KeyRingError;

/// Why keys are not changed, and where.
#[derive(Debug, thiserror::Error)]
#[error("{reason} ({what_happened} in {place})")]
pub struct NotChanged {
    pub(super) place: String,
    pub(super) what_happened: &'static str,
    pub(super) reason: KeyRingError,
}
