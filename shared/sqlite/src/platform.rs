//! All ports on one machine as one platform.

use intake_pipeline::clock::SystemClock;
use intake_pipeline::platform::Platform;

use crate::{FileLease, LocalSecret, SqliteDeliveryRecords, SqliteLedger, SqlitePayloads, SqliteQueue};

/// One machine as a platform.
#[derive(Debug)]
pub enum Sqlite {}

impl Platform for Sqlite {
    type Queue = SqliteQueue;
    type Payloads = SqlitePayloads;
    type Secrets = LocalSecret;
    type Ledger = SqliteLedger;
    type DeliveryRecords = SqliteDeliveryRecords;
    type Lease = FileLease;
    type Clock = SystemClock;
}
