//! The ports of a platform, named together.

use crate::clock::Clock;
use crate::delivery_record::DeliveryRecords;
use crate::lease::Lease;
use crate::ledger::Ledger;
use crate::payloads::Payloads;
use crate::queue::{BatchQueue, Queue};
use crate::secrets::Secrets;

/// A place where the flows run, such as AWS or a single machine. A flow takes this one type, and holds only those of its ports that it
/// needs.
///
/// Two ports are not part of a platform. The broker of a drain belongs to the provider, and the same one is drained from every
/// platform. The resync asks an API of the provider and keeps one document of its own; no other flow knows either.
pub trait Platform: Send + Sync + 'static {
    /// The queue between the intakes and the processor.
    type Queue: Queue + BatchQueue;

    /// The store for what is too large for the queue or the ledger.
    type Payloads: Payloads;

    /// A secret.
    type Secrets: Secrets;

    /// The ledger.
    type Ledger: Ledger;

    /// The store of delivery records.
    type DeliveryRecords: DeliveryRecords;

    /// The lease on a provider's queues.
    type Lease: Lease;

    /// Time and ids.
    type Clock: Clock;
}
