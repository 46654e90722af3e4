//! The platform: everything that the functions reach, and the same for one process.

use std::sync::Arc;

use intake_pipeline::platform::Platform;

use crate::clock::ProcessClock;
use crate::dynamodb::{DynamoLedger, Tables};
use crate::instance::Instance;
use crate::lease::{DynamoLease, LeaseItem};
use crate::marks::Mark;
use crate::reference::Reference;
use crate::s3::{Bucket, S3};
use crate::secrets_manager::{Secret, SecretsManager};
use crate::sqs::{Sqs, SqsQueue};
use crate::world::World;

/// The platform on which the flows run here.
#[derive(Debug)]
pub(crate) struct Simulated;

impl Platform for Simulated {
    type Queue = SqsQueue;
    type Payloads = S3;
    type Secrets = Secret;
    type Ledger = DynamoLedger;
    type DeliveryRecords = DynamoLedger;
    type Lease = DynamoLease;
    type Clock = ProcessClock;
}

/// Everything that the functions reach, as it is outside of any process.
#[derive(Clone, Debug)]
pub(crate) struct Services {
    pub(crate) world: World,
    pub(crate) reference: Reference,
    pub(crate) sqs: Sqs,
    pub(crate) tables: Tables,
    pub(crate) bucket: Bucket,
    pub(crate) secrets: SecretsManager,
    pub(crate) lease: LeaseItem,
}

impl Services {
    pub(crate) fn new(world: &World) -> Self {
        let (reference, bucket) = (Reference::default(), Bucket::default());
        Self {
            world: world.clone(),
            sqs: Sqs::new(world, &reference, &bucket),
            tables: Tables::new(world, &reference),
            secrets: SecretsManager::new(world),
            lease: LeaseItem::default(),
            reference,
            bucket,
        }
    }

    /// The queue as a process reaches it.
    pub(crate) fn queue(&self, instance: &Arc<Instance>, killed_after: Mark) -> SqsQueue {
        SqsQueue::new(&self.sqs, instance, killed_after)
    }

    pub(crate) fn payloads(&self, instance: &Arc<Instance>) -> S3 {
        S3::new(&self.world, &self.bucket, instance)
    }

    pub(crate) fn secret(&self, name: &'static str, instance: &Arc<Instance>) -> Secret {
        Secret::new(&self.secrets, name, instance)
    }

    pub(crate) fn ledger(&self, instance: &Arc<Instance>) -> DynamoLedger {
        DynamoLedger::new(&self.tables, instance)
    }

    pub(crate) fn lease(&self, instance: &Arc<Instance>) -> DynamoLease {
        DynamoLease::new(&self.world, &self.lease, instance)
    }

    pub(crate) fn clock(&self, instance: &Arc<Instance>) -> ProcessClock {
        ProcessClock::new(&self.world, instance)
    }
}
