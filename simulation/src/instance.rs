//! A process of a function, or somebody outside who makes calls.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::guarded::Guarded;
use crate::swarm::FaultClass;

/// Which version of the code a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Release {
    /// The one that is being replaced.
    Old,
    /// The one that is being deployed.
    New,
}

/// A process of a function. It lives on between invocations, and its clock and its fate are its own.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) name: String,
    pub(crate) release: Release,
    /// The class of faults by which it stands still in the middle of its work.
    freezes_by: Option<FaultClass>,
    /// Whether it can be killed: nobody outside can.
    is_process: bool,
    clock_offset_milliseconds: AtomicI64,
    is_killed: AtomicBool,
    frozen_until: Guarded<Option<Instant>>,
    /// How long it stood still in its last invocation.
    stood_still: Guarded<Duration>,
    invocations: AtomicU32,
}

impl Instance {
    pub(crate) fn process(name: String, release: Release, freezes_by: FaultClass) -> Self {
        Self { release, freezes_by: Some(freezes_by), is_process: true, ..Self::outside(name) }
    }

    /// Somebody outside, such as an operator.
    pub(crate) const fn outside(name: String) -> Self {
        Self {
            name,
            release: Release::New,
            freezes_by: None,
            is_process: false,
            clock_offset_milliseconds: AtomicI64::new(0),
            is_killed: AtomicBool::new(false),
            frozen_until: Guarded::new(None),
            stood_still: Guarded::new(Duration::ZERO),
            invocations: AtomicU32::new(0),
        }
    }

    pub(crate) const fn is_process(&self) -> bool {
        self.is_process
    }

    pub(crate) const fn freezes_by(&self) -> Option<FaultClass> {
        self.freezes_by
    }

    /// An invocation begins.
    pub(crate) fn begin(&self) {
        self.invocations.fetch_add(1, Ordering::Relaxed);
        *self.stood_still.get() = Duration::ZERO;
    }

    /// Number of invocations that have begun.
    pub(crate) fn invocations(&self) -> u32 {
        self.invocations.load(Ordering::Relaxed)
    }

    /// How long it stood still in its last invocation.
    pub(crate) fn stood_still(&self) -> Duration {
        *self.stood_still.get()
    }

    /// How far its clock is ahead, in milliseconds.
    pub(crate) fn clock_offset_milliseconds(&self) -> i64 {
        self.clock_offset_milliseconds.load(Ordering::Relaxed)
    }

    pub(crate) fn set_clock_offset(&self, milliseconds: i64) {
        self.clock_offset_milliseconds.store(milliseconds, Ordering::Relaxed);
    }

    /// Ends the process. Whoever runs it drops its work when it waits the next time.
    pub(crate) fn kill(&self) {
        self.is_killed.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_killed(&self) -> bool {
        self.is_killed.load(Ordering::Relaxed)
    }

    /// Lets the process stand still for this long.
    pub(crate) fn freeze(&self, duration: Duration) {
        *self.frozen_until.get() = Some(Instant::now() + duration);
    }

    /// When it goes on, if it stands still from now on.
    pub(crate) fn take_freeze(&self) -> Option<Instant> {
        let until = self.frozen_until.get().take()?;
        *self.stood_still.get() += until.saturating_duration_since(Instant::now());
        Some(until)
    }
}
