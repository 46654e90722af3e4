//! The drain's lease, as DynamoDB keeps it: one item under conditions.

use std::sync::Arc;

use intake_pipeline::lease::pause::Pause;
use intake_pipeline::lease::{Lease, LeaseOwner, Taken};
use intake_pipeline::port_error::PortError;
use intake_providers::timestamp::Timestamp;

use crate::guarded::Guarded;
use crate::instance::Instance;
use crate::marks::Mark;
use crate::world::{Call, Service, World};

const UPDATE_ITEM: &str = "dynamodb UpdateItem";

#[derive(Debug, Default)]
struct Item {
    holder: Option<(LeaseOwner, Timestamp)>,
    pause: Option<Pause>,
}

impl Item {
    fn is_of(&self, owner: &LeaseOwner) -> bool {
        self.holder.as_ref().is_some_and(|(holder, _)| holder == owner)
    }
}

/// The item of the lease.
#[derive(Clone, Debug, Default)]
pub(crate) struct LeaseItem(Arc<Guarded<Item>>);

/// The lease as one process reaches it.
#[derive(Clone, Debug)]
pub(crate) struct DynamoLease {
    world: World,
    item: LeaseItem,
    instance: Arc<Instance>,
}

impl DynamoLease {
    pub(crate) fn new(world: &World, item: &LeaseItem, instance: &Arc<Instance>) -> Self {
        Self { world: world.clone(), item: item.clone(), instance: Arc::clone(instance) }
    }

    async fn update<T: Send + 'static>(
        &self,
        about: &'static str,
        change: impl Fn(&mut Item) -> T + Send + 'static,
    ) -> Result<T, PortError> {
        let call = Call { service: Service::DynamoDb, operation: UPDATE_ITEM, killed_after: None };
        let item = self.item.clone();
        self.world.call(&self.instance, call, || about.to_owned(), move || Ok(change(&mut item.0.get()))).await
    }
}

impl Lease for DynamoLease {
    async fn take(&self, owner: &LeaseOwner, now: Timestamp, expires_at: Timestamp) -> Result<Taken, PortError> {
        let owner = owner.clone();
        let taken = self
            .update("takes the lease", move |item| {
                let is_held = item.holder.as_ref().is_some_and(|(holder, until)| *until > now && *holder != owner);
                if is_held {
                    return Taken::HeldByAnother;
                }
                match &item.pause {
                    Some(pause) if pause.until > now => Taken::Paused(pause.clone()),
                    pause => {
                        let pause = pause.clone();
                        item.holder = Some((owner.clone(), expires_at));
                        Taken::Ours(pause)
                    }
                }
            })
            .await?;
        match &taken {
            Taken::HeldByAnother => self.world.marks.see(Mark::LeaseTaken),
            Taken::Paused(_) => self.world.marks.see(Mark::DrainPaused),
            Taken::Ours(_) => {}
        }
        Ok(taken)
    }

    async fn renew(&self, owner: &LeaseOwner, expires_at: Timestamp) -> Result<bool, PortError> {
        let owner = owner.clone();
        self.update("renews the lease", move |item| {
            let is_ours = item.is_of(&owner);
            if is_ours {
                item.holder = Some((owner.clone(), expires_at));
            }
            is_ours
        })
        .await
    }

    async fn replace_pause(&self, owner: &LeaseOwner, pause: &Pause) -> Result<bool, PortError> {
        let (owner, pause) = (owner.clone(), pause.clone());
        let replaced = self
            .update("replaces the pause", move |item| {
                let is_ours = item.is_of(&owner);
                if is_ours {
                    item.pause = Some(pause.clone());
                }
                is_ours
            })
            .await;
        if matches!(replaced, Ok(true)) {
            self.world.marks.see(Mark::ProofAccepted);
        }
        replaced
    }

    async fn release(&self, owner: &LeaseOwner, pause: Option<&Pause>) -> Result<(), PortError> {
        let (owner, pause) = (owner.clone(), pause.cloned());
        self.update("releases the lease", move |item| {
            if item.is_of(&owner) {
                item.holder = None;
                item.pause = pause.clone();
            }
        })
        .await
    }
}
