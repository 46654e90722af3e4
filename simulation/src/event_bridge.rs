//! EventBridge: a bus that takes each entry or not, and remembers what it took.

use std::sync::Arc;

use intake_pipeline::port_error::PortError;
use intake_pipeline::publisher::{Bus, BusEntry, Refusal};

use crate::guarded::Guarded;
use crate::instance::Instance;
use crate::marks::Mark;
use crate::swarm::FaultClass;
use crate::world::{Call, Service, World};

const PUT_EVENTS: &str = "eventbridge PutEvents";

/// What the bus has taken: the envelopes, as often as it took them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Taken(Arc<Guarded<Vec<String>>>);

impl Taken {
    pub(crate) fn envelopes(&self) -> Vec<String> {
        self.0.get().clone()
    }
}

/// The bus as one process reaches it.
#[derive(Clone, Debug)]
pub(crate) struct EventBridge {
    world: World,
    taken: Taken,
    instance: Arc<Instance>,
}

impl EventBridge {
    pub(crate) fn new(world: &World, taken: &Taken, instance: &Arc<Instance>) -> Self {
        Self { world: world.clone(), taken: taken.clone(), instance: Arc::clone(instance) }
    }
}

impl Bus for EventBridge {
    async fn put(&self, entries: &[BusEntry]) -> Result<Vec<Result<(), Refusal>>, PortError> {
        let is_partial = self.world.happens(FaultClass::PartialBatches);
        let busy: Vec<bool> = entries.iter().map(|_| is_partial && self.world.random.permille(400)).collect();
        if busy.contains(&true) && busy.contains(&false) {
            self.world.marks.see(Mark::PartialPublish);
        }
        let details: Vec<(String, bool)> = entries.iter().map(|entry| entry.detail.clone()).zip(busy.clone()).collect();
        let taken = self.taken.clone();
        let effect = move || {
            let accepted = details.iter().filter(|(_, is_busy)| !is_busy).map(|(detail, _)| detail.clone());
            taken.0.get().extend(accepted);
            Ok(())
        };
        let call = Call { service: Service::EventBridge, operation: PUT_EVENTS, killed_after: None };
        self.world.call(&self.instance, call, || format!("{} events", entries.len()), effect).await?;
        let refusal = || Refusal::Busy(PortError::of(PUT_EVENTS, "throttled"));
        Ok(busy.into_iter().map(|is_busy| if is_busy { Err(refusal()) } else { Ok(()) }).collect())
    }
}
