//! All ports on AWS as one platform.

use intake_pipeline::clock::SystemClock;
use intake_pipeline::platform::Platform;

use crate::{DynamoDeliveryRecords, DynamoLease, DynamoLedger, S3Payloads, SecretsManagerSecrets, SqsQueue};

/// AWS as a platform.
#[derive(Debug)]
pub enum Aws {}

impl Platform for Aws {
    type Queue = SqsQueue;
    type Payloads = S3Payloads;
    type Secrets = SecretsManagerSecrets;
    type Ledger = DynamoLedger;
    type DeliveryRecords = DynamoDeliveryRecords;
    type Lease = DynamoLease;
    type Clock = SystemClock;
}
