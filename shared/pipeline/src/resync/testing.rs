//! Twins of the resync's ports in memory, and time that runs with the test's clock.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::StatusCode;
use intake_providers::date::Date;
use intake_providers::delivery::DeliveryId;
use intake_providers::nurturecloud::component::ComponentName;
use intake_providers::nurturecloud::resync::{BusinessId, ResyncPlan, SyncAnswer, SyncCall, What};
use intake_providers::timestamp::Timestamp;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::{ResumePoints, Resync, ResyncSettings, RunReport, Saved, SyncApi};
use crate::clock::Clock;
use crate::port_error::PortError;

/// What the API does with a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Status(u16),
    Throttle(&'static str),
    NoAnswer,
    /// The process is killed when the call is out and its answer isn't back.
    Kill,
}

/// What the place of the resume point does with a save.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Saving {
    Work,
    Fail,
    FailAfterwards,
    KillBefore,
    KillAfterwards,
}

/// A call as it arrived.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    pub(super) at: Instant,
    pub(super) call: SyncCall,
    pub(super) is_accepted: bool,
}

/// The world outside, which outlives every execution.
#[derive(Clone)]
pub(super) struct World {
    /// What is done with the next calls. When nothing is left, they are accepted.
    pub(super) replies: Arc<Mutex<VecDeque<Reply>>>,
    /// What is done with the next saves. When nothing is left, they work.
    pub(super) savings: Arc<Mutex<VecDeque<Saving>>>,
    pub(super) arrivals: Arc<Mutex<Vec<Arrival>>>,
    pub(super) document: Arc<Mutex<Option<String>>>,
    killed: Arc<Notify>,
    started: Instant,
    ids: Arc<AtomicU8>,
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            replies: Arc::default(),
            savings: Arc::default(),
            arrivals: Arc::default(),
            document: Arc::default(),
            killed: Arc::default(),
            started: Instant::now(),
            ids: Arc::default(),
        }
    }

    pub(super) fn replying(replies: impl IntoIterator<Item = Reply>) -> Self {
        let world = Self::new();
        world.reply(replies);
        world
    }

    pub(super) fn reply(&self, replies: impl IntoIterator<Item = Reply>) {
        *self.replies.lock().unwrap() = replies.into_iter().collect();
    }

    pub(super) fn save(&self, savings: impl IntoIterator<Item = Saving>) {
        *self.savings.lock().unwrap() = savings.into_iter().collect();
    }

    pub(super) fn resync(&self, service: &str, settings: ResyncSettings) -> Resync<Self, Self, Self> {
        Resync::new(self.clone(), self.clone(), self.clone(), service.to_owned(), settings)
    }

    /// Runs a plan with the usual settings; nothing comes back when the process is killed.
    pub(super) async fn run_until(&self, plan: &ResyncPlan, stop_at: Option<Instant>) -> Option<RunReport> {
        let resync = self.resync("api.example.com", ResyncSettings::default());
        tokio::select! {
            biased;
            () = self.killed.notified() => None,
            report = resync.run(plan, stop_at, &|_| {}) => Some(report),
        }
    }

    pub(super) async fn run(&self, plan: &ResyncPlan) -> RunReport {
        self.run_until(plan, None).await.unwrap()
    }

    /// The arrivals so far, as `second business component what`, and forgets them.
    pub(super) fn take_arrivals(&self) -> Vec<String> {
        let arrivals = std::mem::take(&mut *self.arrivals.lock().unwrap());
        arrivals
            .iter()
            .map(|Arrival { at, call, .. }| {
                let second = (*at - self.started).as_secs();
                format!("{second} {} {} {}", call.business_id.as_str(), call.component, call.what)
            })
            .collect()
    }

    /// What was asked, without when.
    pub(super) fn take_calls(&self) -> Vec<String> {
        let without_second = |line: String| line.split_once(' ').unwrap().1.to_owned();
        self.take_arrivals().into_iter().map(without_second).collect()
    }

    pub(super) fn date_at(&self, at: Instant) -> Date {
        Date::of(beginning().plus(at - self.started))
    }

    pub(super) fn instant_of(&self, time: Timestamp) -> Instant {
        let milliseconds = time.unix_milliseconds() - beginning().unix_milliseconds();
        self.started + Duration::from_millis(milliseconds.try_into().unwrap())
    }

    async fn die<T>(&self) -> T {
        self.killed.notify_one();
        std::future::pending().await
    }
}

impl SyncApi for World {
    async fn call(&self, call: &SyncCall) -> Result<SyncAnswer, PortError> {
        let reply = self.replies.lock().unwrap().pop_front().unwrap_or(Reply::Status(202));
        let is_accepted = matches!(reply, Reply::Status(202) | Reply::Kill);
        self.arrivals.lock().unwrap().push(Arrival { at: Instant::now(), call: call.clone(), is_accepted });
        tokio::time::sleep(Duration::from_millis(150)).await;
        let answer = |status, retry_after: Option<&str>| SyncAnswer {
            status: StatusCode::from_u16(status).unwrap(),
            retry_after: retry_after.map(str::to_owned),
        };
        match reply {
            Reply::Status(status) => Ok(answer(status, None)),
            Reply::Throttle(retry_after) => Ok(answer(429, Some(retry_after))),
            Reply::NoAnswer => Err(PortError::of(call.operation(), "nobody answers")),
            Reply::Kill => self.die().await,
        }
    }
}

impl ResumePoints for World {
    async fn load(&self) -> Result<Option<String>, PortError> {
        Ok(self.document.lock().unwrap().clone())
    }

    async fn save(&self, seen: Option<&str>, document: &str) -> Result<Saved, PortError> {
        let saving = self.savings.lock().unwrap().pop_front().unwrap_or(Saving::Work);
        match saving {
            Saving::Fail => return Err(PortError::of("resume point save", "out of order")),
            Saving::KillBefore => return self.die().await,
            Saving::Work | Saving::FailAfterwards | Saving::KillAfterwards => {}
        }
        {
            let mut kept = self.document.lock().unwrap();
            if kept.as_deref() != seen && kept.as_deref() != Some(document) {
                return Ok(Saved::ChangedMeanwhile);
            }
            *kept = Some(document.to_owned());
        }
        match saving {
            Saving::FailAfterwards => Err(PortError::of("resume point save", "the answer was lost").undecided()),
            Saving::KillAfterwards => self.die().await,
            _ => Ok(Saved::Done),
        }
    }
}

impl Clock for World {
    fn now(&self) -> Timestamp {
        beginning().plus(self.started.elapsed())
    }

    fn new_delivery_id(&self, received_at: Timestamp) -> DeliveryId {
        DeliveryId::new(received_at, [self.ids.fetch_add(1, Ordering::Relaxed); 10])
    }
}

fn beginning() -> Timestamp {
    Timestamp::parse("2026-11-21T09:30:00Z").unwrap()
}

pub(super) fn plan(businesses: &[&str], components: &[&str]) -> ResyncPlan {
    let businesses: Vec<BusinessId> = businesses.iter().map(|text| text.parse().unwrap()).collect();
    let components: Vec<ComponentName> = components.iter().map(|text| text.parse().unwrap()).collect();
    ResyncPlan::everything(&businesses, &components, None).unwrap()
}

pub(super) fn date(text: &str) -> Date {
    text.parse().unwrap()
}

pub(super) fn since(call: &SyncCall) -> Date {
    let What::All { since } = call.what else { panic!("{call:?} asks for one entity") };
    since
}
