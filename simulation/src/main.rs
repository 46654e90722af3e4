//! `cargo run --package simulation -- --seed N`, and the other ways to run seeds.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Parser;
use simulation::campaign::{Campaign, Watcher, catch, run_all};
use simulation::planted::Plant;
use simulation::run::{Options, Report, run};
use simulation::shrink::shrink;
use simulation::swarm::FaultClass;

/// Number of seeds that a planted fault is looked for in.
const SEEDS_OF_A_PLANT: u64 = 5_000;

/// Runs the real flows in a simulated world. A seed decides everything that happens in it.
#[derive(Debug, Parser)]
struct Arguments {
    /// Run one seed, and print what happened in it.
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Run this number of seeds.
    #[arg(long, value_name = "COUNT", conflicts_with = "seed")]
    seeds: Option<u64>,
    /// The first of them. [default: a random one]
    #[arg(long, value_name = "NUMBER", conflicts_with = "seed")]
    from: Option<u64>,
    /// Run seeds for this long, such as 90s, 10m or 2h.
    #[arg(long = "for", value_name = "TIME", value_parser = time, conflicts_with = "seed")]
    time: Option<Duration>,
    /// Look for a smaller run of the seed that fails in the same way, and print that.
    #[arg(long, requires = "seed")]
    shrink: bool,
    /// Plant a fault, or one after the other with `all`, and run seeds until it is noticed.
    #[arg(long, value_name = "NAME")]
    planted: Option<String>,
    /// Number of events that each sender sends, in place of what the seed draws.
    #[arg(long, value_name = "COUNT", requires = "seed")]
    events: Option<u64>,
    /// Classes of faults that are off, separated by commas.
    #[arg(long, value_name = "CLASSES", value_delimiter = ',', value_parser = class, requires = "seed")]
    without: Vec<FaultClass>,
}

/// Reads a time.
fn time(text: &str) -> Result<Duration, String> {
    let seconds = |unit: char, seconds: u64| {
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        Some(Duration::from_secs(number.checked_mul(seconds)?))
    };
    let read = seconds('s', 1).or_else(|| seconds('m', 60)).or_else(|| seconds('h', 3_600));
    read.ok_or_else(|| format!("{text:?} is not a time; write one such as 90s, 10m or 2h"))
}

/// Reads the name of a class of faults.
fn class(text: &str) -> Result<FaultClass, String> {
    let names = || FaultClass::ALL.iter().map(|class| class.as_str()).collect::<Vec<_>>().join(", ");
    text.parse().map_err(|_| format!("{text:?} is not a class of faults; they are {}", names()))
}

fn plant(text: &str) -> anyhow::Result<Plant> {
    let names = || Plant::ALL.iter().map(|plant| plant.as_str()).collect::<Vec<_>>().join(", ");
    text.parse().map_err(|_| anyhow::anyhow!("{text:?} is not a fault that can be planted; they are {}", names()))
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let plants = match arguments.planted.as_deref() {
        None => Vec::new(),
        Some("all") => Plant::ALL.to_vec(),
        Some(name) => vec![plant(name)?],
    };
    let is_success = match (arguments.seed, plants.as_slice()) {
        (Some(seed), plants) => {
            let options = Options {
                seed,
                without: arguments.without,
                events: arguments.events,
                plant: plants.first().copied(),
                trace: true,
            };
            one(&options, arguments.shrink)?
        }
        (None, []) => {
            if arguments.seeds.is_none() && arguments.time.is_none() {
                bail!("say which seeds to run: --seed NUMBER, --seeds COUNT or --for TIME");
            }
            let from = arguments.from.unwrap_or_else(|| fastrand::u64(..1_000_000_000));
            let count = arguments.seeds.unwrap_or(u64::MAX);
            let console = Console::new()?;
            let summary = run_all(Campaign { from, count, time: arguments.time, plant: None }, &console);
            print(&format!("seeds from {from} on\n{summary}"))?;
            summary.is_success()
        }
        (None, plants) => planted(plants, arguments.from.unwrap_or(1))?,
    };
    Ok(if is_success { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whoever waits for a campaign at a terminal.
struct Console {
    is_interrupted: Arc<AtomicBool>,
}

impl Console {
    /// Ends the campaign at the first interrupt, and the program at the second.
    fn new() -> anyhow::Result<Self> {
        let is_interrupted = Arc::new(AtomicBool::new(false));
        let interrupted = Arc::clone(&is_interrupted);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        std::thread::spawn(move || {
            while runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
                if interrupted.swap(true, Ordering::Relaxed) {
                    std::process::exit(130);
                }
            }
        });
        Ok(Self { is_interrupted })
    }
}

impl Watcher for Console {
    fn failed(&self, report: &Report) {
        let first = report.violations.first().map(ToString::to_string).unwrap_or_default();
        eprintln!("seed {} failed: {first}", report.seed);
    }

    fn goes_on(&self, seeds: u64, after: Duration) {
        eprintln!("{seeds} seeds after {} min", after.as_secs() / 60);
    }

    fn is_enough(&self) -> bool {
        self.is_interrupted.load(Ordering::Relaxed)
    }
}

/// Writes to standard output, where a reader may have gone.
fn print(text: &str) -> anyhow::Result<()> {
    let mut output = std::io::stdout().lock();
    output.write_all(text.as_bytes()).and_then(|()| output.flush()).context("standard output cannot be written")
}

fn one(options: &Options, is_to_shrink: bool) -> anyhow::Result<bool> {
    if !is_to_shrink {
        let report = run(options);
        print(&told(options, &report))?;
        return Ok(report.violations.is_empty());
    }
    let Some((smaller, report)) = shrink(options) else {
        print(&format!("seed {} does not fail\n", options.seed))?;
        return Ok(true);
    };
    print(&told(&smaller, &report))?;
    Ok(false)
}

/// A run in words: what was drawn, what happened, what did not hold, and how to see it again.
fn told(options: &Options, report: &Report) -> String {
    let mut text = format!("seed {}: {}\n{}", report.seed, report.swarm, report.trace);
    // Writing to a string does not fail.
    let _ = writeln!(
        text,
        "{} deliveries in {} simulated minutes, {} violations",
        report.deliveries,
        report.simulated.as_secs() / 60,
        report.violations.len()
    );
    for violation in &report.violations {
        let _ = writeln!(text, "FAILED: {violation}");
    }
    if !report.violations.is_empty() {
        let _ = write!(text, "cargo run --package simulation -- --seed {}", options.seed);
        if let Some(events) = options.events {
            let _ = write!(text, " --events {events}");
        }
        if !options.without.is_empty() {
            let names: Vec<&str> = options.without.iter().map(|class| class.as_str()).collect();
            let _ = write!(text, " --without {}", names.join(","));
        }
        if let Some(plant) = options.plant {
            let _ = write!(text, " --planted {}", plant.as_str());
        }
        text.push('\n');
    }
    text
}

fn planted(plants: &[Plant], from: u64) -> anyhow::Result<bool> {
    let mut is_success = true;
    for plant in plants {
        let line = match catch(*plant, from, SEEDS_OF_A_PLANT) {
            Some(caught) => format!("{:<26} {:>5} seeds  {}\n", plant.as_str(), caught.seeds, caught.violation),
            None => {
                is_success = false;
                format!("{:<26} not noticed in {SEEDS_OF_A_PLANT} seeds\n", plant.as_str())
            }
        };
        print(&line)?;
    }
    Ok(is_success)
}
