//! The port that erases.

use std::future::Future;

use intake_providers::timestamp::Timestamp;

use super::tombstone::{RecordTombstone, Tombstone};
use crate::ledger::PutOutcome;
use crate::payloads::PayloadKey;
use crate::port_error::PortError;

/// What erases. It is apart from the ports that read and record, so that nothing that has those can erase, and it takes nothing but
/// tombstones, so that nothing else can be written with it.
pub trait Eraser: Send + Sync + 'static {
    /// Puts a tombstone in place of its entry.
    fn erase_entry(
        &self,
        now: Timestamp,
        tombstone: &Tombstone,
    ) -> impl Future<Output = Result<PutOutcome, PortError>> + Send;

    /// Puts a tombstone in place of a delivery's record.
    fn erase_record(&self, tombstone: &RecordTombstone) -> impl Future<Output = Result<(), PortError>> + Send;

    /// Deletes a payload, if it is there.
    fn delete_payload(&self, key: &PayloadKey) -> impl Future<Output = Result<(), PortError>> + Send;

    /// Removes what the store itself still holds of what was erased, as far as that is ours to remove.
    fn finish(&self) -> impl Future<Output = Result<(), PortError>> + Send;
}

/// Erases nothing, to count what would be erased.
#[derive(Clone, Copy, Debug, Default)]
pub struct DryRun;

impl Eraser for DryRun {
    async fn erase_entry(&self, _now: Timestamp, _tombstone: &Tombstone) -> Result<PutOutcome, PortError> {
        Ok(PutOutcome::Done)
    }

    async fn erase_record(&self, _tombstone: &RecordTombstone) -> Result<(), PortError> {
        Ok(())
    }

    async fn delete_payload(&self, _key: &PayloadKey) -> Result<(), PortError> {
        Ok(())
    }

    async fn finish(&self) -> Result<(), PortError> {
        Ok(())
    }
}
