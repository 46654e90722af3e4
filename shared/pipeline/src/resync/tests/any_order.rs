//! Whatever happens to the runs, and in whatever order: nothing is skipped, and the pace is kept.

use std::collections::HashMap;

use intake_providers::date::Date;
use proptest::prelude::*;

use super::super::testing::{Arrival, since};
use super::*;

const BUSINESSES: [&str; 3] = ["b1", "b2", "b3"];
const COMPONENTS: [&str; 2] = ["contact", "agent"];

/// One execution, and the circumstances that it meets.
#[derive(Clone, Debug)]
struct Execution {
    businesses: usize,
    since: Option<Date>,
    replies: Vec<Reply>,
    savings: Vec<Saving>,
    seconds: Option<u64>,
    hours_before: u64,
}

fn reply() -> impl Strategy<Value = Reply> {
    let status = prop::sample::select(vec![200, 302, 400, 401, 403, 404, 500, 503]).prop_map(Reply::Status);
    let retry_after = prop::sample::select(vec!["0", "7", "299", "301", "Sun, 22 Nov 2026 09:31:40 GMT", ""]);
    prop_oneof![
        6 => Just(Reply::Status(202)),
        1 => status,
        1 => retry_after.prop_map(Reply::Throttle),
        1 => Just(Reply::NoAnswer),
        1 => Just(Reply::Kill),
    ]
}

fn saving() -> impl Strategy<Value = Saving> {
    let faults = vec![Saving::Fail, Saving::FailAfterwards, Saving::KillBefore, Saving::KillAfterwards];
    prop_oneof![8 => Just(Saving::Work), 1 => prop::sample::select(faults)]
}

fn execution() -> impl Strategy<Value = Execution> {
    let dates = prop::sample::select(vec!["2026-01-01", "2026-11-20", "2026-11-25"]).prop_map(date);
    let replies = prop::collection::vec(reply(), 0..12);
    let savings = prop::collection::vec(saving(), 0..12);
    let (since, seconds) = (prop::option::weighted(0.2, dates), prop::option::weighted(0.3, 0..60_u64));
    (1..=BUSINESSES.len(), since, replies, savings, seconds, 0..60_u64).prop_map(
        |(businesses, since, replies, savings, seconds, hours_before)| Execution {
            businesses,
            since,
            replies,
            savings,
            seconds,
            hours_before,
        },
    )
}

/// What NurtureCloud sees.
#[derive(Default)]
struct Observer {
    last: Option<Instant>,
    /// When the calls of a pair were accepted, and what they asked for.
    accepted: HashMap<(String, String), Vec<(Instant, Date)>>,
    /// Since when a pair has been wanted without a break, by number of acceptances; before that, gaps are nobody's fault.
    wanted_from: HashMap<(String, String), usize>,
    /// Whether a first call may look back less than the lookback does.
    is_date_asked: bool,
}

impl Observer {
    fn look(&mut self, world: &World, execution: &Execution) -> Result<(), TestCaseError> {
        self.is_date_asked |= execution.since.is_some();
        let wanted = &BUSINESSES[..execution.businesses];
        for (pair, accepted) in &self.accepted {
            if !wanted.contains(&pair.0.as_str()) {
                self.wanted_from.insert(pair.clone(), accepted.len());
            }
        }
        for Arrival { at, call, is_accepted } in std::mem::take(&mut *world.arrivals.lock().unwrap()) {
            let distance = self.last.map_or(Duration::MAX, |last| at - last);
            prop_assert!(distance >= Duration::from_secs(2), "{call:?} came {distance:?} after another");
            self.last = Some(at);
            prop_assert!(wanted.contains(&call.business_id.as_str()), "{call:?} is not wanted");
            if !is_accepted {
                continue;
            }
            let pair = (call.business_id.as_str().to_owned(), call.component.to_string());
            let wanted_from = self.wanted_from.get(&pair).copied().unwrap_or(0);
            let accepted = self.accepted.entry(pair).or_default();
            match accepted.get(wanted_from..).and_then(<[_]>::last) {
                // To ask for the same once more, after an answer that was lost, leaves no gap either.
                Some((last, asked)) => {
                    let needed = world.date_at(*last).days_before(1).max(*asked);
                    prop_assert!(since(&call) <= needed, "{call:?} leaves a gap, {needed} was needed");
                }
                None if wanted_from == 0 && !self.is_date_asked => {
                    prop_assert!(since(&call) <= world.date_at(at).days_before(7), "{call:?} is the first");
                }
                None => {}
            }
            accepted.push((at, since(&call)));
        }
        Ok(())
    }

    fn check_complete(&self, world: &World, execution: &Execution, report: &RunReport) -> Result<(), TestCaseError> {
        let began = world.instant_of(report.began_at.unwrap());
        for business in &BUSINESSES[..execution.businesses] {
            for component in COMPONENTS {
                let accepted = self.accepted.get(&((*business).to_owned(), component.to_owned()));
                let is_accepted = accepted.is_some_and(|accepted| accepted.iter().any(|(at, _)| *at >= began));
                prop_assert!(is_accepted, "{business} {component} was not accepted since the run began");
            }
        }
        Ok(())
    }
}

async fn live(executions: Vec<Execution>) -> Result<(), TestCaseError> {
    let (world, mut observer) = (World::new(), Observer::default());
    let healthy = Execution {
        businesses: BUSINESSES.len(),
        since: None,
        replies: Vec::new(),
        savings: Vec::new(),
        seconds: None,
        hours_before: 0,
    };
    for execution in executions.into_iter().chain([healthy]) {
        tokio::time::advance(Duration::from_secs(execution.hours_before * 60 * 60)).await;
        world.reply(execution.replies.clone());
        world.save(execution.savings.clone());
        let plan = plan(&BUSINESSES[..execution.businesses], &COMPONENTS).since(execution.since);
        let stop_at = execution.seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
        let report = world.run_until(&plan, stop_at).await;
        let is_healthy = execution.replies.is_empty() && execution.savings.is_empty() && stop_at.is_none();
        observer.look(&world, &execution)?;
        match report {
            Some(report) if matches!(report.outcome, RunOutcome::Complete) => {
                observer.check_complete(&world, &execution, &report)?;
            }
            report => prop_assert!(!is_healthy, "a healthy run ended as {report:?}"),
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]
    #[test]
    fn no_pair_is_skipped_by_a_complete_run_no_time_is_left_out_and_no_call_comes_too_early(
        executions in prop::collection::vec(execution(), 1..8)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(live(executions))?;
    }
}
