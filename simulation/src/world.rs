//! The world: chance, time, the trace, and the one point that every call to a service passes.
//!
//! Each call draws from the one generator what happens to it, and sleeps simulated time before and after its effect. The paused clock
//! of tokio goes on to the next timer when nothing else can run, so the timers order everything, and a seed decides all of it.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use intake_pipeline::port_error::PortError;
use intake_providers::timestamp::Timestamp;
use tokio::time::{Instant, sleep};

use crate::guarded::Guarded;
use crate::instance::{Instance, Release};
use crate::invariant::{Invariant, Violation};
use crate::marks::{Mark, Marks};
use crate::planted::Plant;
use crate::random::Random;
use crate::swarm::{FaultClass, Swarm};
use crate::trace::Trace;

/// When every run begins: 2026-11-21T09:30:00Z.
const BEGINNING_MILLISECONDS: i64 = 1_795_253_400_000;

/// Maximum number of violations that a run collects.
const MAX_VIOLATIONS: usize = 20;

/// A service that can be away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    Sqs,
    DynamoDb,
    S3,
    SecretsManager,
    EventBridge,
    DataApi,
}

impl Service {
    const ALL: [Self; 6] =
        [Self::Sqs, Self::DynamoDb, Self::S3, Self::SecretsManager, Self::EventBridge, Self::DataApi];
}

/// A service is away.
#[derive(Clone, Copy, Debug)]
struct Outage {
    service: Service,
    begins: Duration,
    ends: Duration,
    /// Whether its calls hang, in place of being refused.
    hangs: bool,
}

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Work,
    Refused,
    Throttled,
    AnswerLost,
    /// The SDK calls again after a lost answer.
    Retried,
    /// It takes effect later, and the caller is not told.
    Late,
    /// The answer comes too late, with or without an effect.
    Hang {
        has_effect: bool,
    },
    KilledBefore,
    KilledAfter,
}

/// A call as the trace and the marks see it.
pub(crate) struct Call {
    pub(crate) service: Service,
    pub(crate) operation: &'static str,
    /// What happened if the caller is killed after the effect.
    pub(crate) killed_after: Option<Mark>,
}

/// The world of one run.
#[derive(Clone, Debug)]
pub(crate) struct World(Arc<State>);

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) random: Random,
    pub(crate) swarm: Swarm,
    pub(crate) trace: Trace,
    pub(crate) marks: Marks,
    plant: Option<Plant>,
    started: Instant,
    is_healed: AtomicBool,
    is_over: AtomicBool,
    outages: Vec<Outage>,
    /// When the new version is deployed, and when the old one is gone.
    deployment: (Duration, Duration),
    /// How long nobody sends anything, in the middle of the window.
    pause: Duration,
    violations: Guarded<Vec<Violation>>,
}

impl Deref for World {
    type Target = State;

    fn deref(&self) -> &State {
        &self.0
    }
}

impl World {
    pub(crate) fn new(random: Random, swarm: Swarm, trace: Trace, plant: Option<Plant>) -> Self {
        let mut outages = Vec::new();
        let window = u64::try_from(swarm.window.as_millis()).unwrap_or(u64::MAX);
        for service in Service::ALL {
            let is_away = random.permille(swarm.chance(FaultClass::Outages) / 2);
            let begins = random.milliseconds(0..=window);
            let ends = begins + random.seconds(5..=240);
            let hangs = random.permille(300);
            if is_away {
                outages.push(Outage { service, begins, ends, hangs });
            }
        }
        let begins = random.milliseconds(0..=window / 2);
        let deployment = (begins, begins + random.milliseconds(0..=window / 2));
        let has_pause = random.permille(swarm.chance(FaultClass::LongPauses));
        let pause = random.seconds(60 * 60..=50 * 60 * 60);
        let pause = if has_pause { pause } else { Duration::ZERO };
        Self(Arc::new(State {
            random,
            swarm,
            trace,
            marks: Marks::default(),
            plant,
            started: Instant::now(),
            is_healed: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            outages,
            deployment,
            pause,
            violations: Guarded::default(),
        }))
    }

    /// Makes a call to a service. `about` says what it is about, for the trace; `effect` is what the service does, which may happen
    /// twice, later, or not at all.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        caller: &Arc<Instance>,
        call: Call,
        about: impl Fn() -> String + Send,
        effect: impl Fn() -> Result<T, PortError> + Send + 'static,
    ) -> Result<T, PortError> {
        let Call { service, operation, killed_after } = call;
        let fate = self.fate(caller, service);
        let before = self.delay();
        self.line(&caller.name, || format!("{operation} {} ({fate:?})", about()));
        if !before.is_zero() {
            sleep(before).await;
        }
        let failed = |message: &str| PortError::of(operation, message);
        match fate {
            Fate::Work => {
                let result = effect();
                let after = self.delay();
                if !after.is_zero() {
                    sleep(after).await;
                }
                result
            }
            Fate::Refused => Err(failed("the service is out of order")),
            Fate::Throttled => Err(failed("throttled, and the attempts are used up")),
            Fate::AnswerLost => {
                effect()?;
                sleep(self.random.milliseconds(1..=900)).await;
                Err(failed("the answer was lost").undecided())
            }
            Fate::Retried => {
                let _lost = effect();
                self.marks.see(Mark::LostAnswerThenRetry);
                sleep(self.random.milliseconds(50..=900)).await;
                effect()
            }
            Fate::Late => {
                let (world, caller) = (self.clone(), Arc::clone(caller));
                let late = self.random.seconds(0..=40);
                tokio::spawn(async move {
                    sleep(late).await;
                    world.line(&caller.name, || format!("{operation} takes effect late"));
                    world.marks.see(if caller.is_killed() { Mark::EffectAfterDeath } else { Mark::LateEffect });
                    let _nobody_waits = effect();
                });
                sleep(self.random.milliseconds(500..=4_000)).await;
                Err(failed("no answer in time").undecided())
            }
            Fate::Hang { has_effect } => {
                if has_effect {
                    let _lost = effect();
                }
                sleep(self.random.milliseconds(500..=9_000)).await;
                Err(failed("no answer in time").undecided())
            }
            Fate::KilledBefore => {
                caller.kill();
                std::future::pending().await
            }
            Fate::KilledAfter => {
                let _lost = effect();
                if let Some(mark) = killed_after {
                    self.marks.see(mark);
                }
                caller.kill();
                std::future::pending().await
            }
        }
    }
}

impl State {
    /// What happens to a call.
    fn fate(&self, caller: &Instance, service: Service) -> Fate {
        if self.is_healed() {
            return Fate::Work;
        }
        if let Some(outage) = self.outage(service) {
            return if outage.hangs { Fate::Hang { has_effect: false } } else { Fate::Refused };
        }
        if let Some(class) = caller.freezes_by()
            && self.happens_rarely(class, 10)
        {
            let is_request = class == FaultClass::FrozenRequests;
            self.marks.see(if is_request { Mark::FrozenDuringRequest } else { Mark::FrozenDuringWork });
            let duration = self.random.seconds(if is_request { 1..=11 } else { 1..=25 });
            self.line(&caller.name, || format!("stands still for {} s", duration.as_secs()));
            caller.freeze(duration);
        }
        let mut roll = u32::try_from(self.random.between(0..=999)).unwrap_or(0);
        for class in [
            FaultClass::RefusedCalls,
            FaultClass::ThrottledCalls,
            FaultClass::LostAnswers,
            FaultClass::RetriedCalls,
            FaultClass::LateEffects,
            FaultClass::HangingCalls,
            FaultClass::KillsAtCalls,
        ] {
            let chance = self.swarm.chance(class);
            if roll >= chance {
                roll -= chance;
                continue;
            }
            let is_even = roll.is_multiple_of(2);
            return match class {
                FaultClass::ThrottledCalls => {
                    if service == Service::DynamoDb {
                        self.marks.see(Mark::ThrottledWrite);
                    }
                    Fate::Throttled
                }
                FaultClass::LostAnswers => Fate::AnswerLost,
                FaultClass::RetriedCalls => Fate::Retried,
                FaultClass::LateEffects => Fate::Late,
                FaultClass::HangingCalls => Fate::Hang { has_effect: is_even },
                FaultClass::KillsAtCalls if !caller.is_process() => Fate::Work,
                FaultClass::KillsAtCalls if is_even => Fate::KilledBefore,
                FaultClass::KillsAtCalls => Fate::KilledAfter,
                _ => Fate::Refused,
            };
        }
        Fate::Work
    }

    fn outage(&self, service: Service) -> Option<&Outage> {
        let at = self.at();
        self.outages.iter().find(|outage| outage.service == service && (outage.begins..outage.ends).contains(&at))
    }

    fn delay(&self) -> Duration {
        if self.is_healed() {
            return Duration::from_millis(2);
        }
        if self.happens(FaultClass::SlowCalls) {
            return self.random.milliseconds(30..=900);
        }
        self.random.milliseconds(0..=9)
    }

    /// Whether a fault of a class happens now.
    pub(crate) fn happens(&self, class: FaultClass) -> bool {
        self.happens_rarely(class, 1)
    }

    /// The same where it shall happen less often by this divisor.
    pub(crate) fn happens_rarely(&self, class: FaultClass, divisor: u32) -> bool {
        if self.is_healed() || !self.swarm.has(class) {
            return false;
        }
        self.random.permille((self.swarm.chance(class) / divisor).max(1))
    }

    /// Whether this fault is planted.
    pub(crate) fn is_planted(&self, plant: Plant) -> bool {
        self.plant == Some(plant)
    }

    /// Whether this fault is planted, and shows now: in one of three cases.
    pub(crate) fn plant_shows(&self, plant: Plant) -> bool {
        self.is_planted(plant) && self.random.permille(333)
    }

    /// Time since the run began.
    pub(crate) fn at(&self) -> Duration {
        self.started.elapsed()
    }

    /// When faults end.
    pub(crate) fn safety_ends(&self) -> Duration {
        self.swarm.window + self.pause
    }

    /// When something is sent this number of times, in order.
    pub(crate) fn schedule(&self, count: u64) -> Vec<Duration> {
        let window = u64::try_from(self.swarm.window.as_millis()).unwrap_or(0);
        let mut times: Vec<Duration> = (0..count).map(|_| self.random.milliseconds(0..=window)).collect();
        times.sort_unstable();
        let half = self.swarm.window / 2;
        times.into_iter().map(|time| if time > half { time + self.pause } else { time }).collect()
    }

    /// The true time, which no process knows exactly.
    pub(crate) fn now(&self) -> Timestamp {
        self.now_with_offset(0)
    }

    /// The time by a clock that is this number of milliseconds ahead.
    pub(crate) fn now_with_offset(&self, milliseconds: i64) -> Timestamp {
        let elapsed = i64::try_from(self.at().as_millis()).unwrap_or(i64::MAX);
        Timestamp::from_unix_milliseconds(BEGINNING_MILLISECONDS + elapsed + milliseconds).unwrap_or(Timestamp::EPOCH)
    }

    /// The version that a process which starts now runs.
    pub(crate) fn release(&self) -> Release {
        if !self.swarm.has(FaultClass::MixedVersions) || self.is_healed() {
            return Release::New;
        }
        let (begins, ends) = self.deployment;
        let at = self.at();
        match () {
            () if at < begins => Release::Old,
            () if at >= ends => Release::New,
            () if self.random.permille(500) => Release::New,
            () => Release::Old,
        }
    }

    /// From now on nothing fails any more.
    pub(crate) fn heal(&self) {
        self.is_healed.store(true, Ordering::Relaxed);
        self.line("world", || "everything works from now on".to_owned());
    }

    pub(crate) fn is_healed(&self) -> bool {
        self.is_healed.load(Ordering::Relaxed)
    }

    /// The run is over: whoever goes on for ever ends.
    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Notes that an invariant does not hold.
    pub(crate) fn violate(&self, invariant: Invariant, text: impl Into<String>) {
        let violation = Violation { invariant, text: text.into() };
        self.line("VIOLATION", || violation.to_string());
        let mut violations = self.violations.get();
        if violations.len() < MAX_VIOLATIONS {
            violations.push(violation);
        }
    }

    pub(crate) fn violations(&self) -> Vec<Violation> {
        self.violations.get().clone()
    }

    /// Writes a line of the trace.
    pub(crate) fn line(&self, who: &str, what: impl FnOnce() -> String) {
        self.trace.line(|| self.at(), who, what);
    }
}
