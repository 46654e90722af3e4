//! The clock of a process: the world's time, as far as the process knows it.

use std::sync::Arc;

use intake_pipeline::clock::Clock;
use intake_providers::delivery::DeliveryId;
use intake_providers::timestamp::Timestamp;

use crate::guarded::Guarded;
use crate::instance::Instance;
use crate::planted::Plant;
use crate::world::World;

/// The clock of a process.
#[derive(Clone, Debug)]
pub(crate) struct ProcessClock {
    world: World,
    instance: Arc<Instance>,
    /// Where a planted fault stops it.
    stopped_at: Arc<Guarded<Option<Timestamp>>>,
}

impl ProcessClock {
    pub(crate) fn new(world: &World, instance: &Arc<Instance>) -> Self {
        Self { world: world.clone(), instance: Arc::clone(instance), stopped_at: Arc::default() }
    }
}

impl Clock for ProcessClock {
    fn now(&self) -> Timestamp {
        let now = self.world.now_with_offset(self.instance.clock_offset_milliseconds());
        if self.world.is_planted(Plant::StoppedClock) {
            return *self.stopped_at.get().get_or_insert(now);
        }
        now
    }

    fn new_delivery_id(&self, received_at: Timestamp) -> DeliveryId {
        if self.world.is_planted(Plant::RepeatedIds) {
            let second = received_at.unix_seconds() * 1_000;
            let second = Timestamp::from_unix_milliseconds(second).unwrap_or(received_at);
            return DeliveryId::new(second, [0; 10]);
        }
        DeliveryId::new(received_at, self.world.random.bytes())
    }
}
