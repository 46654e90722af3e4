//! Many seeds, on every processor: one runtime a thread, and nothing shared but the numbers.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::guarded::Guarded;
use crate::marks::Mark;
use crate::planted::Plant;
use crate::run::{Options, Report, run};

/// Number of failed seeds after which a campaign ends.
const MAX_FAILURES: usize = 5;

/// Number of seeds from which on a mark that was never seen is a failure.
pub const SEEDS_FOR_EVERY_MARK: u64 = 3_000;

/// Which seeds are run.
#[derive(Clone, Copy, Debug)]
pub struct Campaign {
    /// The first seed.
    pub from: u64,
    /// Number of seeds at most.
    pub count: u64,
    /// How long no further seed is begun.
    pub time: Option<Duration>,
    /// A fault that is planted in each.
    pub plant: Option<Plant>,
}

/// Who watches a campaign, which may take hours.
pub trait Watcher: Sync {
    /// A seed has failed.
    fn failed(&self, report: &Report);
    /// Called about once a minute with the number of finished seeds and the time since the start.
    fn goes_on(&self, seeds: u64, after: Duration);
    /// Whether the campaign is to end with what it has.
    fn is_enough(&self) -> bool;
}

/// Nobody watches.
#[derive(Clone, Copy, Debug)]
pub struct Unwatched;

impl Watcher for Unwatched {
    fn failed(&self, _report: &Report) {}

    fn goes_on(&self, _seeds: u64, _after: Duration) {}

    fn is_enough(&self) -> bool {
        false
    }
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Summary {
    /// Number of seeds.
    pub seeds: u64,
    /// Simulated time, all seeds together.
    pub simulated: Duration,
    /// Time that it took.
    pub took: Duration,
    /// Number of deliveries that were accepted.
    pub deliveries: u64,
    /// How often each mark was seen.
    pub marks: BTreeMap<Mark, u64>,
    /// In how many seeds.
    pub seeds_with_mark: BTreeMap<Mark, u64>,
    /// The seeds that failed.
    pub failures: Vec<Report>,
}

impl Summary {
    fn add(&mut self, report: Report) {
        self.seeds += 1;
        self.simulated += report.simulated;
        self.deliveries += u64::try_from(report.deliveries).unwrap_or(u64::MAX);
        for (mark, count) in &report.marks {
            *self.marks.entry(*mark).or_default() += count;
            *self.seeds_with_mark.entry(*mark).or_default() += 1;
        }
        if !report.violations.is_empty() {
            self.failures.push(report);
        }
    }

    /// The marks that were never seen although enough seeds were run to see each.
    #[must_use]
    pub fn missing_marks(&self) -> Vec<Mark> {
        if self.seeds < SEEDS_FOR_EVERY_MARK {
            return Vec::new();
        }
        Mark::ALL.iter().copied().filter(|mark| !self.marks.contains_key(mark)).collect()
    }

    /// Whether every invariant held, and every mark was seen if there were enough seeds.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.failures.is_empty() && self.missing_marks().is_empty()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for mark in Mark::ALL {
            let (count, seeds) = (self.marks.get(mark), self.seeds_with_mark.get(mark));
            let (count, seeds) = (count.copied().unwrap_or(0), seeds.copied().unwrap_or(0));
            writeln!(f, "{:<32} {count:>9} times in {seeds:>7} seeds", mark.as_str())?;
        }
        writeln!(
            f,
            "{} seeds, {} deliveries, {} simulated hours in {} s",
            self.seeds,
            self.deliveries,
            self.simulated.as_secs() / 3_600,
            self.took.as_secs()
        )?;
        for mark in self.missing_marks() {
            writeln!(f, "FAILED: {} was never seen", mark.as_str())?;
        }
        for failure in &self.failures {
            writeln!(f, "FAILED: seed {}", failure.seed)?;
            for violation in failure.violations.iter().take(3) {
                writeln!(f, "  {violation}")?;
            }
            writeln!(f, "  cargo run --package simulation -- --seed {}", failure.seed)?;
        }
        Ok(())
    }
}

/// Runs a campaign.
#[must_use]
pub fn run_all(campaign: Campaign, watcher: &impl Watcher) -> Summary {
    let began = Instant::now();
    let (next, is_over, minutes) = (AtomicU64::new(0), AtomicBool::new(false), AtomicU64::new(0));
    let summary = Guarded::new(Summary::default());
    let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) && !watcher.is_enough() {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let is_late = campaign.time.is_some_and(|time| began.elapsed() >= time);
                    if number >= campaign.count || is_late {
                        break;
                    }
                    let seed = campaign.from.wrapping_add(number);
                    let report = run(&Options { seed, plant: campaign.plant, ..Options::default() });
                    if !report.violations.is_empty() {
                        watcher.failed(&report);
                    }
                    let mut summary = summary.get();
                    summary.add(report);
                    let after = began.elapsed();
                    if minutes.fetch_max(after.as_secs() / 60, Ordering::Relaxed) < after.as_secs() / 60 {
                        watcher.goes_on(summary.seeds, after);
                    }
                    if summary.failures.len() >= MAX_FAILURES {
                        is_over.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let mut summary = std::mem::take(&mut *summary.get());
    summary.took = began.elapsed();
    summary.failures.sort_by_key(|failure| failure.seed);
    summary
}

/// How a planted fault was caught.
#[derive(Clone, Debug)]
pub struct Caught {
    /// Number of seeds that it took.
    pub seeds: u64,
    /// What did not hold.
    pub violation: String,
}

/// Runs seeds with a planted fault until one of them fails; `None` if none of that number does.
#[must_use]
pub fn catch(plant: Plant, from: u64, max_seeds: u64) -> Option<Caught> {
    (0..max_seeds).find_map(|number| {
        let seed = from.wrapping_add(number);
        let report = run(&Options { seed, plant: Some(plant), ..Options::default() });
        let violation = report.violations.first()?.to_string();
        Some(Caught { seeds: number + 1, violation })
    })
}
