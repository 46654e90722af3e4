//! Lambda: processes that start, are reused, stand still, and are killed wherever they wait.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use crate::guarded::Guarded;
use crate::instance::Instance;
use crate::marks::Mark;
use crate::swarm::FaultClass;
use crate::world::World;

/// From how long on a process that was not used counts as one that time jumped over.
const JUMP: Duration = Duration::from_secs(60 * 60);

/// Maximum number of polls after which a process is killed that is to be killed anywhere.
const MAX_POLLS: u64 = 250;

/// Starts a process's own objects.
type Start<F> = Box<dyn Fn(Arc<Instance>) -> BoxFuture<'static, F> + Send + Sync>;

/// A function with its processes. `F` is what a process keeps between invocations.
pub(crate) struct Function<F> {
    world: World,
    name: &'static str,
    timeout: Duration,
    freezes_by: FaultClass,
    start: Start<F>,
    idle: Guarded<Vec<Warm<F>>>,
    started: Guarded<u32>,
}

impl<F> fmt::Debug for Function<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Function").field("name", &self.name).finish_non_exhaustive()
    }
}

struct Warm<F> {
    instance: Arc<Instance>,
    object: Arc<F>,
    used_at: Instant,
}

/// How an invocation ended.
#[derive(Debug)]
pub(crate) enum Ended<T> {
    Done(T),
    Killed,
    TimedOut,
}

/// An invocation, and the process that it ran in.
#[derive(Debug)]
pub(crate) struct Invocation<T> {
    pub(crate) instance: Arc<Instance>,
    pub(crate) ended: Ended<T>,
}

impl<F: Send + Sync + 'static> Function<F> {
    /// A function whose invocations take at most `timeout`, and whose processes begin with `start` and stand still by a class of faults.
    pub(crate) fn new(
        world: &World,
        name: &'static str,
        timeout: Duration,
        freezes_by: FaultClass,
        start: impl Fn(Arc<Instance>) -> BoxFuture<'static, F> + Send + Sync + 'static,
    ) -> Self {
        Self {
            world: world.clone(),
            name,
            timeout,
            freezes_by,
            start: Box::new(start),
            idle: Guarded::default(),
            started: Guarded::default(),
        }
    }

    /// Invokes the function in a process that is idle, or in a new one. `work` is given the process's objects and the time at which
    /// Lambda ends the invocation.
    pub(crate) async fn invoke<T>(
        &self,
        work: impl FnOnce(Arc<F>, Arc<Instance>, Instant) -> BoxFuture<'static, T> + Send,
    ) -> Invocation<T> {
        let warm = self.take_idle();
        let (instance, object) = match warm {
            Some(warm) => {
                self.world.marks.see(Mark::WarmStart);
                if warm.used_at.elapsed() > JUMP {
                    self.world.marks.see(Mark::TimeJump);
                }
                (warm.instance, Some(warm.object))
            }
            None => (self.cold(), None),
        };
        if self.world.happens(FaultClass::ClockSkew) {
            let ahead = i64::try_from(self.world.random.between(0..=24_000)).unwrap_or(0);
            instance.set_clock_offset(ahead - 12_000);
        }
        instance.begin();
        let end_by = Instant::now() + self.timeout;
        let (start, process) = (&self.start, Arc::clone(&instance));
        let future = async move {
            let object = match object {
                Some(object) => object,
                None => Arc::new(start(Arc::clone(&process)).await),
            };
            let result = work(Arc::clone(&object), process, end_by).await;
            (object, result)
        };
        let ended = Running::new(&self.world, Arc::clone(&instance), end_by, Box::pin(future)).await;
        let ended = match ended {
            Ended::Done((object, result)) => {
                let warm = Warm { instance: Arc::clone(&instance), object, used_at: Instant::now() };
                self.idle.get().push(warm);
                Ended::Done(result)
            }
            Ended::Killed => {
                self.world.line(&instance.name, || "is killed".to_owned());
                Ended::Killed
            }
            Ended::TimedOut => {
                instance.kill();
                self.world.line(&instance.name, || "is ended at its timeout".to_owned());
                Ended::TimedOut
            }
        };
        Invocation { instance, ended }
    }

    fn cold(&self) -> Arc<Instance> {
        let mut started = self.started.get();
        *started += 1;
        let name = format!("{}-{started}", self.name);
        Arc::new(Instance::process(name, self.world.release(), self.freezes_by))
    }

    fn take_idle(&self) -> Option<Warm<F>> {
        let mut idle = self.idle.get();
        if self.world.happens(FaultClass::ColdStarts) {
            let place = self.world.random.below(idle.len());
            return if place < idle.len() && self.world.random.permille(500) {
                drop(idle.swap_remove(place));
                None
            } else {
                None
            };
        }
        if idle.is_empty() {
            return None;
        }
        let place = self.world.random.below(idle.len());
        let warm = idle.swap_remove(place);
        // A deployment ends with the last process of the old version.
        if warm.instance.release != crate::instance::Release::New
            && self.world.release() == crate::instance::Release::New
        {
            return None;
        }
        Some(warm)
    }
}

/// Work in a process that may be killed and may stand still.
struct Running<'a, T> {
    world: &'a World,
    instance: Arc<Instance>,
    work: Option<BoxFuture<'a, T>>,
    timeout: Pin<Box<Sleep>>,
    frozen: Option<Pin<Box<Sleep>>>,
    /// Number of polls until it is killed.
    killed_after: Option<u64>,
}

impl<'a, T> Running<'a, T> {
    fn new(world: &'a World, instance: Arc<Instance>, end_by: Instant, work: BoxFuture<'a, T>) -> Self {
        let is_killed = world.happens(FaultClass::KillsAnywhere);
        let killed_after = is_killed.then(|| {
            let most = world.random.between(1..=MAX_POLLS);
            world.random.between(1..=most)
        });
        let timeout = Box::pin(sleep_until(end_by));
        Self { world, instance, work: Some(work), timeout, frozen: None, killed_after }
    }

    fn end<R>(&mut self, ended: Ended<R>) -> Poll<Ended<R>> {
        // Whatever the process holds is gone, before anything else happens.
        self.work = None;
        Poll::Ready(ended)
    }
}

impl<T> Future for Running<'_, T> {
    type Output = Ended<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Ended<T>> {
        if self.timeout.as_mut().poll(context).is_ready() {
            return self.end(Ended::TimedOut);
        }
        loop {
            if let Some(frozen) = &mut self.frozen {
                if frozen.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
                self.frozen = None;
                self.world.line(&self.instance.name, || "goes on".to_owned());
            }
            if let Some(left) = self.killed_after.as_mut() {
                if *left == 0 {
                    self.instance.kill();
                } else {
                    *left -= 1;
                }
            }
            if self.instance.is_killed() {
                return self.end(Ended::Killed);
            }
            let Some(work) = self.work.as_mut() else { return Poll::Pending };
            if let Poll::Ready(result) = work.as_mut().poll(context) {
                return Poll::Ready(Ended::Done(result));
            }
            if self.instance.is_killed() {
                return self.end(Ended::Killed);
            }
            match self.instance.take_freeze() {
                Some(until) => self.frozen = Some(Box::pin(sleep_until(until))),
                None => return Poll::Pending,
            }
        }
    }
}

/// Waits until a process has started: what Lambda does before our code runs.
pub(crate) async fn start_up(world: &World) {
    sleep(world.random.milliseconds(20..=200)).await;
}
