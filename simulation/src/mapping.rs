//! The event source mapping between the queue and the processor.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use intake_pipeline::processor::{Processor, ProcessorSettings};
use intake_pipeline::queue::QueueRecord;
use intake_providers::registry::Settings;
use intake_providers::{machnet, nurturecloud};
use tokio::time::sleep;

use crate::instance::{Instance, Release};
use crate::lambda::{Ended, Function, start_up};
use crate::marks::Mark;
use crate::planted::Plant;
use crate::platform::{Services, Simulated};
use crate::sqs::{is_newer_than, readable_by};
use crate::swarm::FaultClass;

/// The function's timeout.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The reserve of an invocation for its answer.
const MARGIN: Duration = Duration::from_secs(1);

/// The only organisation that the version that is being replaced takes.
const ORGANISATION: &str = "example-realty";

type Processes = Function<Processor<Simulated, Settings>>;

/// The processor with its pollers.
#[derive(Debug)]
pub(crate) struct QueueMapping {
    services: Services,
    processors: Processes,
}

impl QueueMapping {
    pub(crate) fn new(services: &Services) -> Self {
        let owned = services.clone();
        let processors = Function::new(
            &services.world,
            "processor",
            TIMEOUT,
            FaultClass::Freezes,
            move |instance: Arc<Instance>| {
                let services = owned.clone();
                async move {
                    start_up(&services.world).await;
                    let repeat_window = services.world.swarm.repeat_window;
                    // What the version that is being replaced cannot read, the new one can.
                    let organisation = (instance.release == Release::Old).then(|| ORGANISATION.to_owned());
                    let settings = Settings {
                        machnet: machnet::Settings { repeat_window },
                        nurturecloud: nurturecloud::Settings { organisation, ..nurturecloud::Settings::default() },
                        ..Settings::default()
                    };
                    Processor::new(
                        services.ledger(&instance),
                        services.payloads(&instance),
                        services.ledger(&instance),
                        settings,
                        services.clock(&instance),
                        ProcessorSettings::default(),
                    )
                }
                .boxed()
            },
        );
        Self { services: services.clone(), processors }
    }

    /// Polls the queue until the run is over.
    pub(crate) async fn poll(&self) {
        let world = &self.services.world;
        loop {
            let records = self.services.sqs.receive().await;
            if world.is_over() {
                return;
            }
            if !records.is_empty() {
                self.process(records).await;
            }
            // Without it, a batch would hold one message.
            sleep(world.random.milliseconds(1..=400)).await;
        }
    }

    async fn process(&self, records: Vec<QueueRecord>) {
        let (world, sqs) = (&self.services.world, &self.services.sqs);
        let ids: Vec<String> = records.iter().map(|record| record.message_id.clone()).collect();
        world.line("sqs", || format!("hands over messages {}", ids.join(" ")));
        if world.is_planted(Plant::DeleteBeforeRecord) {
            ids.iter().for_each(|id| sqs.finish(id, true));
        }
        let marks = world.clone();
        let invocation = self
            .processors
            .invoke(|processor, instance, end_by| {
                let records = records
                    .into_iter()
                    .map(|record| {
                        if is_newer_than(instance.release, &record.body) {
                            marks.marks.see(Mark::NewerMessageMet);
                        }
                        QueueRecord { body: readable_by(instance.release, record.body), ..record }
                    })
                    .collect();
                let stop_at = end_by.checked_sub(MARGIN).unwrap_or(end_by);
                async move { processor.process(records, stop_at).await }.boxed()
            })
            .await;
        match invocation.ended {
            Ended::Done(failed) => {
                for id in &ids {
                    let failure = failed.iter().find(|failed| failed.message_id == *id);
                    if let Some(failure) = failure {
                        world.line("sqs", || format!("message {id} failed: {}", failure.error));
                    }
                    sqs.finish(id, failure.is_none() || world.is_planted(Plant::FailuresDeleted));
                }
            }
            Ended::Killed | Ended::TimedOut => ids.iter().for_each(|id| sqs.finish(id, false)),
        }
    }
}
