//! Runs seeds of the simulation.

use simulation::run::{Options, run};

fn main() {
    let seed = std::env::args().nth(1).and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let count = std::env::args().nth(2).and_then(|seed| seed.parse().ok()).unwrap_or(0_u64);
    if count == 0 {
        let report = run(&Options { seed, trace: true, ..Options::default() });
        print!("{}", report.trace);
        println!("{}", report.swarm);
        for violation in &report.violations {
            println!("{violation}");
        }
        println!("{:?} {}", report.simulated, report.deliveries);
        return;
    }
    let mut marks = std::collections::BTreeMap::new();
    for seed in seed..seed + count {
        let report = run(&Options { seed, ..Options::default() });
        for (mark, count) in report.marks { *marks.entry(mark).or_insert(0) += count; }
        if let Some(violation) = report.violations.first() { println!("{seed} {violation}"); }
    }
    println!("{marks:?}");
}
