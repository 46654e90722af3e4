//! The schedule of the drain.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use intake_pipeline::drain::{Drain, DrainSettings};
use intake_providers::ProviderName;
use intake_providers::nowcerts::NowCerts;
use intake_providers::queue_source::QueueSource as _;
use tokio::time::sleep;

use crate::instance::Instance;
use crate::keys;
use crate::lambda::{Function, start_up};
use crate::marks::Mark;
use crate::platform::{Services, Simulated};
use crate::rabbitmq::{Client, RabbitMq};
use crate::swarm::FaultClass;

/// The function's timeout.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The reserve of an invocation.
const MARGIN: Duration = Duration::from_millis(500);

/// The drain with its schedule.
#[derive(Debug)]
pub(crate) struct Drains {
    services: Services,
    broker: RabbitMq,
    drains: Function<Drain<Simulated, Client>>,
}

impl Drains {
    pub(crate) fn new(services: &Services, broker: &RabbitMq) -> Self {
        let (owned, broker_of_processes) = (services.clone(), broker.clone());
        let drains =
            Function::new(&services.world, "nowcerts", TIMEOUT, FaultClass::Freezes, move |instance: Arc<Instance>| {
                let (services, broker) = (owned.clone(), broker_of_processes.clone());
                async move {
                    start_up(&services.world).await;
                    Drain {
                        provider: ProviderName::NowCerts,
                        broker: Client::new(&broker, &instance),
                        queue: services.queue(&instance, Mark::KilledAfterDrainSend),
                        payloads: services.payloads(&instance),
                        secrets: services.secret(keys::NOWCERTS, &instance),
                        read_account: NowCerts::read_account,
                        lease: services.lease(&instance),
                        clock: services.clock(&instance),
                        settings: DrainSettings::default(),
                    }
                }
                .boxed()
            });
        Self { services: services.clone(), broker: broker.clone(), drains }
    }

    /// Runs it at times, also twice at once, until the run is over.
    pub(crate) async fn run(self: Arc<Self>) {
        let world = &self.services.world;
        while !world.is_over() {
            sleep(world.random.seconds(20..=180)).await;
            // A run that finds nothing differs little from the one before it.
            if self.broker.is_empty() && world.random.permille(850) {
                continue;
            }
            let drains = Arc::clone(&self);
            tokio::spawn(async move { drains.once().await });
            if world.random.permille(150) && !world.is_healed() {
                let drains = Arc::clone(&self);
                tokio::spawn(async move { drains.once().await });
            }
        }
    }

    async fn once(&self) {
        let invocation = self
            .drains
            .invoke(|drain, _, end_by| {
                async move { drain.run(end_by.checked_sub(MARGIN).unwrap_or(end_by)).await }.boxed()
            })
            .await;
        self.services.world.line(&invocation.instance.name, || match invocation.ended {
            crate::lambda::Ended::Done(report) => format!("run ended: {:?}", report.outcome),
            crate::lambda::Ended::Killed => "run was killed".to_owned(),
            crate::lambda::Ended::TimedOut => "run timed out".to_owned(),
        });
    }
}
