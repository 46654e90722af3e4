//! The simulation as a test: seeds that once failed, then random ones for a while; and whether the simulation itself can be trusted.

use std::io::Write as _;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use simulation::campaign::{Campaign, Unwatched, Watcher, catch, run_all};
use simulation::planted::Plant;
use simulation::run::{Options, Report, run};
use simulation::swarm::FaultClass;

/// Seeds that once failed, each with what it found.
const REGRESSIONS: &[(u64, &str)] = &[
    (446, "the token endpoint did not count its start into its deadline"),
    (
        126,
        "a read of the keys that is cut off by the deadline leaves the former ones in use, which the check has to know",
    ),
    (920_723_641, "an outage of S3 used up the stream's tries for a large event"),
    (2_010_863, "a processor that stood still overwrote the record of a delivery with what it had known before"),
];

/// How long random seeds are run, unless `SIMULATION_SECONDS` says otherwise.
const SECONDS: u64 = 60;

/// Number of random seeds that are enough.
const ENOUGH_SEEDS: u64 = 5_000;

/// Number of seeds within which a planted fault must be noticed.
const SEEDS_OF_A_PLANT: u64 = 2_000;

#[test]
fn the_same_seed_in_two_processes_gives_the_same_trace_to_the_byte() {
    let trace = |seed: u64| {
        let program = env!("CARGO_BIN_EXE_simulation");
        let output = Command::new(program).args(["--seed", &seed.to_string()]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        output.stdout
    };
    for seed in 7..12 {
        let first = trace(seed);
        assert!(first.iter().filter(|byte| **byte == b'\n').count() > 100);
        assert!(first == trace(seed), "the traces of seed {seed} differ");
    }
}

/// Hears of the first failed seed, and has enough then.
#[derive(Default)]
struct UntilOneFails(Mutex<Vec<u64>>);

impl Watcher for UntilOneFails {
    fn failed(&self, report: &Report) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(report.seed);
    }

    fn goes_on(&self, _seeds: u64, _after: Duration) {}

    fn is_enough(&self) -> bool {
        !self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

#[test]
fn who_watches_a_campaign_hears_of_a_failed_seed_at_once_and_can_end_it() {
    let watcher = UntilOneFails::default();
    let campaign = Campaign { from: 1, count: SEEDS_OF_A_PLANT, time: None, plant: Some(Plant::AckBeforeSend) };
    let summary = run_all(campaign, &watcher);
    let mut failed = watcher.0.into_inner().unwrap();
    failed.sort_unstable();
    assert_eq!(summary.failures.iter().map(|report| report.seed).collect::<Vec<_>>(), failed);
    // Each thread has at most one seed under way when the first one fails.
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    assert!((1..=threads).contains(&failed.len()), "{failed:?}");
    assert!(summary.seeds < SEEDS_OF_A_PLANT);
}

#[test]
fn every_planted_fault_is_noticed() {
    for plant in Plant::ALL {
        let caught = catch(*plant, 1, SEEDS_OF_A_PLANT);
        let caught = caught.unwrap_or_else(|| panic!("{} is not noticed", plant.as_str()));
        println!("{:<26} {:>5} seeds  {}", plant.as_str(), caught.seeds, caught.violation);
    }
}

#[test]
fn seeds_that_once_failed_and_random_ones_hold_every_invariant() {
    let seconds = std::env::var("SIMULATION_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(SECONDS);
    // A run seeds this thread's generator with its own seed, so the random ones are drawn before.
    let (from, time) = (fastrand::u64(..1_000_000_000), Some(Duration::from_secs(seconds)));
    for (seed, found) in REGRESSIONS {
        let report = run(&Options { seed: *seed, without: FaultClass::ADDED.to_vec(), ..Options::default() });
        assert!(report.violations.is_empty(), "seed {seed} ({found}): {:?}", report.violations);
    }
    let summary = run_all(Campaign { from, count: ENOUGH_SEEDS, time, plant: None }, &Unwatched);
    println!("seeds from {from} on\n{summary}");
    // Past the tests' capture: how much was tried is to be seen whenever it is.
    let (seeds, deliveries, seconds) = (summary.seeds, summary.deliveries, summary.took.as_secs());
    let _ = writeln!(
        std::io::stderr(),
        "simulation: {seeds} seeds from {from} on, {deliveries} deliveries in {seconds} s, on {} processors",
        std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)
    );
    assert!(summary.is_success(), "seeds from {from} on\n{summary}");
}
