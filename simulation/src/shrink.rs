//! A smaller run that still fails: fewer events, fewer classes of faults.

use crate::invariant::Invariant;
use crate::run::{Options, Report, run};

/// Maximum number of runs.
const MAX_RUNS: usize = 400;

/// Shrinks a run that fails, as far as one change at a time goes. Returns the smaller run and its report with a trace; `None` if the
/// run does not fail at all.
#[must_use]
pub fn shrink(options: &Options) -> Option<(Options, Report)> {
    let mut smallest = Options { trace: false, ..options.clone() };
    let first = run(&smallest);
    let invariant = first.violations.first()?.invariant;
    let mut left = MAX_RUNS;
    let mut fails = |options: &Options| {
        left = left.saturating_sub(1);
        left > 0 && violates(&run(options), invariant)
    };
    loop {
        let before = smallest.clone();
        let events = smallest.events.unwrap_or(first.swarm.events);
        if let Some(fewer) = (1..events).find(|fewer| fails(&Options { events: Some(*fewer), ..smallest.clone() })) {
            smallest.events = Some(fewer);
        }
        for class in first.swarm.classes() {
            if smallest.without.contains(&class) {
                continue;
            }
            let mut candidate = smallest.clone();
            candidate.without.push(class);
            if fails(&candidate) {
                smallest = candidate;
            }
        }
        if smallest.events == before.events && smallest.without == before.without {
            break;
        }
    }
    let report = run(&Options { trace: true, ..smallest.clone() });
    Some((smallest, report))
}

fn violates(report: &Report, invariant: Invariant) -> bool {
    report.violations.iter().any(|violation| violation.invariant == invariant)
}
