//! The schedule of the resync.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use intake_pipeline::resync::{MAX_CALL_TIME, Resync, ResyncSettings, RunOutcome};
use intake_providers::nurturecloud::component::ComponentName;
use intake_providers::nurturecloud::resync::{BusinessId, ResyncPlan};
use tokio::time::sleep;

use crate::clock::ProcessClock;
use crate::data_api::{DataApi, DataService};
use crate::instance::Instance;
use crate::invariant::Invariant;
use crate::lambda::{Ended, Function, start_up};
use crate::marks::Mark;
use crate::platform::Services;
use crate::swarm::FaultClass;

/// The function's timeout.
const TIMEOUT: Duration = Duration::from_secs(900);

/// Time that a run needs after the last call has begun: the call itself, and saving.
const MARGIN: Duration = MAX_CALL_TIME.saturating_add(Duration::from_secs(10));

/// Number of runs in which everything must be accepted once nothing fails any more.
const RUNS_UNTIL_COMPLETE: usize = 5;

/// Of a thousand seeds, the number in which resyncs are run.
const SEEDS_PERMILLE: u32 = 350;

type Run = Resync<DataApi, DataApi, ProcessClock>;

/// The resync with its schedule.
#[derive(Debug)]
pub(crate) struct Resyncs {
    services: Services,
    functions: Function<Run>,
    plan: Option<ResyncPlan>,
}

impl Resyncs {
    pub(crate) fn new(services: &Services) -> Self {
        let (owned, data) = (services.clone(), DataService::default());
        let functions =
            Function::new(&services.world, "resync", TIMEOUT, FaultClass::Freezes, move |instance: Arc<Instance>| {
                let (services, data) = (owned.clone(), data.clone());
                async move {
                    start_up(&services.world).await;
                    let api = DataApi::new(&services.world, &data, &instance);
                    let clock = services.clock(&instance);
                    Resync::new(api.clone(), api, clock, "api.example".to_owned(), ResyncSettings::default())
                }
                .boxed()
            });
        let is_run = services.world.random.permille(SEEDS_PERMILLE);
        Self { services: services.clone(), functions, plan: plan().filter(|_| is_run) }
    }

    /// Runs it at times, also while another one runs.
    pub(crate) async fn run(self: Arc<Self>) {
        let world = &self.services.world;
        if self.plan.is_none() {
            return;
        }
        for at in world.schedule(3) {
            sleep(at.saturating_sub(world.at())).await;
            for _ in 0..if world.random.permille(400) { 2 } else { 1 } {
                let resyncs = Arc::clone(&self);
                tokio::spawn(async move { resyncs.once().await });
                sleep(world.random.seconds(0..=9)).await;
            }
        }
    }

    /// Runs it until a run is complete, which must not take more than a few.
    pub(crate) async fn complete(&self) {
        if self.plan.is_none() {
            return;
        }
        for _ in 0..RUNS_UNTIL_COMPLETE {
            if matches!(self.once().await, Some(RunOutcome::Complete)) {
                return;
            }
        }
        let text = format!("no resync of {RUNS_UNTIL_COMPLETE} was complete");
        self.services.world.violate(Invariant::ResyncsOweNothing, text);
    }

    async fn once(&self) -> Option<RunOutcome> {
        let world = &self.services.world;
        let plan = self.plan.clone()?;
        let invocation = self
            .functions
            .invoke(|resync, _, end_by| {
                async move { resync.run(&plan, end_by.checked_sub(MARGIN), &|_| {}).await }.boxed()
            })
            .await;
        let name = &invocation.instance.name;
        match invocation.ended {
            Ended::Done(report) => {
                world.line(name, || format!("run ended: {:?}", report.outcome));
                match &report.outcome {
                    RunOutcome::TakenOver => world.marks.see(Mark::ResyncTakenOver),
                    // Calls that an earlier run had settled are not made again.
                    RunOutcome::Complete if report.accepted < PAIRS => world.marks.see(Mark::ResyncContinued),
                    _ => {}
                }
                Some(report.outcome)
            }
            Ended::Killed | Ended::TimedOut => None,
        }
    }
}

/// Number of pairs of a business and a component.
const PAIRS: usize = 6;

fn plan() -> Option<ResyncPlan> {
    let businesses: Vec<BusinessId> = ["business-1", "business-2"].iter().filter_map(|id| id.parse().ok()).collect();
    let names = ["contact", "agent", "appointment"];
    let components: Vec<ComponentName> = names.iter().filter_map(|name| name.parse().ok()).collect();
    ResyncPlan::everything(&businesses, &components, None).ok()
}
