//! One seed: what is sent under faults, then everything heals and must drain, then everything is sent again and must change nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use intake_pipeline::ledger::Entry;
use memchr::memmem;
use tokio::time::sleep;

use crate::checks::Checks;
use crate::dynamodb::STREAM_SHARDS;
use crate::entities;
use crate::invariant::{Invariant, Violation};
use crate::keys;
use crate::log;
use crate::marks::Mark;
use crate::planted::Plant;
use crate::random::Random;
use crate::senders;
use crate::site::Site;
use crate::swarm::{FaultClass, Swarm};
use crate::trace::Trace;
use crate::world::World;

/// In what time everything must be processed once nothing fails any more. A pause of the drain lasts an hour at most, and a message
/// that failed is hidden for three minutes.
const DRAINED_WITHIN: Duration = Duration::from_secs(3 * 60 * 60);

/// Which run.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The seed.
    pub seed: u64,
    /// Classes of faults that are off, whatever the seed draws.
    pub without: Vec<FaultClass>,
    /// Number of events that each sender sends, in place of what the seed draws.
    pub events: Option<u64>,
    /// A fault that is planted.
    pub plant: Option<Plant>,
    /// Whether the trace is written.
    pub trace: bool,
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// What the seed drew.
    pub swarm: Swarm,
    /// What did not hold.
    pub violations: Vec<Violation>,
    /// How often each mark was seen.
    pub marks: BTreeMap<Mark, u64>,
    /// The trace, if it was written.
    pub trace: String,
    /// Simulated time.
    pub simulated: Duration,
    /// Number of deliveries that the queue accepted.
    pub deliveries: usize,
}

/// Runs a seed on this thread.
#[must_use]
pub fn run(options: &Options) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let random = Random::new(options.seed);
    // What the simulator makes up is drawn from the thread's own generator.
    fastrand::seed(options.seed);
    let mut swarm = Swarm::draw(&random, &Random::new(!options.seed));
    options.without.iter().for_each(|class| swarm.remove(*class));
    if let Some(events) = options.events {
        swarm.events = events;
    }
    log::record();
    let report = |world: Option<&World>, deliveries| Report {
        seed: options.seed,
        swarm: swarm.clone(),
        violations: world.map_or_else(no_runtime, |world| world.violations()),
        marks: world.map(|world| world.marks.counts()).unwrap_or_default(),
        trace: world.map(|world| world.trace.text()).unwrap_or_default(),
        simulated: world.map(|world| world.at()).unwrap_or_default(),
        deliveries,
    };
    let Ok(runtime) = runtime else { return report(None, 0) };
    runtime.block_on(async {
        let trace = Trace::new(options.trace);
        let world = World::new(random, swarm.clone(), trace, options.plant);
        let site = Site::new(&world);
        live(&site).await;
        let deliveries = site.services.reference.model().accepted.len();
        report(Some(&world), deliveries)
    })
}

fn no_runtime() -> Vec<Violation> {
    vec![Violation { invariant: Invariant::TheSimulationWorks, text: "no runtime could be made".to_owned() }]
}

async fn live(site: &Arc<Site>) {
    let world = &site.services.world;
    if site.operator.set_up().is_none() {
        return world.violate(Invariant::TheSimulationWorks, "the secrets cannot be made");
    }
    for _ in 0..world.swarm.processors {
        let site = Arc::clone(site);
        tokio::spawn(async move { site.queue_mapping.poll().await });
    }
    for name in [keys::ACCREDIT, keys::MACHNET, keys::NURTURECLOUD] {
        let operator = site.operator.clone();
        tokio::spawn(async move { operator.rotate(name).await });
    }
    let operator = site.operator.clone();
    tokio::spawn(async move { operator.rotate_authority().await });
    if world.swarm.has(FaultClass::RemovedClients) {
        let operator = site.operator.clone();
        tokio::spawn(async move { operator.remove_client().await });
    }
    for shard in 0..STREAM_SHARDS {
        let site = Arc::clone(site);
        tokio::spawn(async move { site.stream_mapping.follow(shard).await });
    }
    tokio::spawn(Arc::clone(&site.drains).run());
    let resyncs = tokio::spawn(Arc::clone(&site.resyncs).run());
    let operator = site.operator.clone();
    tokio::spawn(async move { operator.redrive_at_times().await });
    let mut senders: FuturesUnordered<_> = senders::all(site).into_iter().map(tokio::spawn).collect();

    sleep(world.safety_ends()).await;
    world.heal();
    let healed_at = world.at();
    while senders.next().await.is_some() {}
    let _it_ends = resyncs.await;
    site.resyncs.complete().await;
    drain(site, healed_at).await;
    site.operator.release();
    drain(site, world.at()).await;
    let log = log::lines();
    let checks = Checks::new(&site.services, &log);
    checks.run();
    entities::check(&site.services, &checks.entries, &checks.expired);
    site.stream_mapping.check();
    replay(site, &checks).await;
    no_secret_is_kept(site, &log::lines());
    world.end();
    site.services.sqs.wake();
    site.services.tables.streamed.notify_waiters();
}

/// Waits until everything is processed, for a bounded time.
async fn drain(site: &Site, since: Duration) {
    let world = &site.services.world;
    loop {
        site.services.sqs.redrive();
        if site.is_drained() {
            return;
        }
        if world.at() > since + DRAINED_WITHIN {
            let (waiting, dead) = site.services.sqs.depth();
            let text = format!(
                "{waiting} messages and {dead} dead letters are left after {} h",
                DRAINED_WITHIN.as_secs() / 3_600
            );
            return world.violate(Invariant::EverythingDrains, text);
        }
        sleep(Duration::from_secs(20)).await;
    }
}

/// Sends messages again, and compares the ledger with what it was.
async fn replay(site: &Site, checks: &Checks<'_>) {
    let world = &site.services.world;
    world.line("operator", || "sends messages again".to_owned());
    site.services.sqs.replay(&checks.expired);
    drain(site, world.at()).await;
    let after = site.services.tables.entries();
    let is_kept = |entry: &Entry| !matches!(entry, Entry::Progress(_));
    for (key, entry) in after.iter().filter(|(_, entry)| is_kept(entry)) {
        match checks.entries.get(key) {
            Some(earlier) if earlier == entry => {}
            Some(_) => world.violate(Invariant::ReplaysChangeNothing, format!("{key:?} was changed by a replay")),
            None => world.violate(Invariant::ReplaysChangeNothing, format!("{key:?} was added by a replay")),
        }
    }
}

/// Searches the log and every message for what must be in neither.
fn no_secret_is_kept(site: &Site, log: &str) {
    // One text, so that a search is set up once for each secret, and not for each message too.
    let (tokens, messages) = (site.tokens.get().clone(), site.services.sqs.texts().join("\n"));
    for secret in keys::secret_texts().into_iter().chain(tokens) {
        if let Some(place) = memmem::find(log.as_bytes(), secret.as_bytes()) {
            let line = log.get(..place).map_or(0, |before| before.lines().count());
            let text = format!("line {line} of the log holds a secret");
            site.services.world.violate(Invariant::NoSecretInTheLog, text);
        }
        if memmem::find(messages.as_bytes(), secret.as_bytes()).is_some() {
            site.services.world.violate(Invariant::NoSecretInTheLog, "a message holds a secret");
        }
    }
}
