//! The one source of chance of a run: everything that differs between two seeds comes from here.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::guarded::Guarded;

/// A generator that is seeded once. The order in which tasks draw from it is part of what the seed decides.
#[derive(Debug)]
pub(crate) struct Random(Guarded<fastrand::Rng>);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Guarded::new(fastrand::Rng::with_seed(seed)))
    }

    /// A number of the range.
    pub(crate) fn between(&self, range: RangeInclusive<u64>) -> u64 {
        self.0.get().u64(range)
    }

    /// A number below `count`, as a place in a list; 0 if `count` is 0.
    pub(crate) fn below(&self, count: usize) -> usize {
        if count == 0 { 0 } else { self.0.get().usize(..count) }
    }

    /// Whether something happens that happens in this number of a thousand cases.
    pub(crate) fn permille(&self, chance: u32) -> bool {
        self.0.get().u32(..1_000) < chance
    }

    /// A time of this number of milliseconds.
    pub(crate) fn milliseconds(&self, range: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.between(range))
    }

    /// A time of this number of seconds, to the millisecond.
    pub(crate) fn seconds(&self, range: RangeInclusive<u64>) -> Duration {
        self.milliseconds(range.start() * 1_000..=range.end() * 1_000)
    }

    /// One of the choices.
    pub(crate) fn pick<'a, T>(&self, choices: &'a [T]) -> Option<&'a T> {
        choices.get(self.below(choices.len()))
    }

    /// The choices in any order.
    pub(crate) fn shuffle<T>(&self, choices: &mut [T]) {
        self.0.get().shuffle(choices);
    }

    /// Bytes of ids.
    pub(crate) fn bytes<const COUNT: usize>(&self) -> [u8; COUNT] {
        let mut bytes = [0; COUNT];
        self.0.get().fill(&mut bytes);
        bytes
    }
}
