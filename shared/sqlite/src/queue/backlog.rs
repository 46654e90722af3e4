//! How far recording is behind taking, and the pause that lets it catch up.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// Number of messages on the queue up to which nobody waits: a burst is taken as quickly as it comes.
const MAX_BACKLOG: i64 = 100_000;

/// Maximum time that a sender waits. It is well below the intake's deadline: a long queue makes answers later, and refuses nothing.
const MAX_WAIT: Duration = Duration::from_millis(250);

/// Number of messages on the queue, as far as this process has sent and deleted them.
#[derive(Debug)]
pub(super) struct Backlog {
    messages: AtomicI64,
    max: i64,
    shrunk: Notify,
}

impl Default for Backlog {
    fn default() -> Self {
        Self::of_at_most(MAX_BACKLOG)
    }
}

impl Backlog {
    /// No messages yet. Senders wait once there are this many.
    pub(super) fn of_at_most(max: i64) -> Self {
        Self { messages: AtomicI64::new(0), max, shrunk: Notify::new() }
    }

    /// Number of messages.
    pub(super) fn messages(&self) -> i64 {
        self.messages.load(Ordering::Relaxed)
    }

    /// Notes how many messages there are.
    pub(super) fn set(&self, messages: u64) {
        self.messages.store(i64::try_from(messages).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    /// Notes messages that were sent.
    pub(super) fn grow(&self, messages: usize) {
        self.messages.fetch_add(i64::try_from(messages).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    /// Notes messages that are gone, and lets as many senders go on.
    pub(super) fn shrink(&self, messages: usize) {
        let gone = i64::try_from(messages).unwrap_or(i64::MAX);
        // Another process may have sent some of them.
        let shrink = |messages: i64| Some(messages.saturating_sub(gone).max(0));
        // It does not refuse.
        let _ = self.messages.fetch_update(Ordering::Relaxed, Ordering::Relaxed, shrink);
        for _ in 0..messages {
            self.shrunk.notify_one();
        }
    }

    /// Waits while there are too many messages, but not for long.
    pub(super) async fn wait_for_room(&self) {
        let until = Instant::now() + MAX_WAIT;
        while self.messages() >= self.max {
            if timeout_at(until, self.shrunk.notified()).await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt as _;

    use super::*;

    fn backlog(messages: u64) -> Backlog {
        let backlog = Backlog::of_at_most(2);
        backlog.set(messages);
        backlog
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_before_there_are_too_many_messages() {
        let backlog = backlog(1);
        assert!(backlog.wait_for_room().now_or_never().is_some());
        backlog.grow(1);
        assert!(backlog.wait_for_room().now_or_never().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_goes_on_when_there_is_room() {
        let backlog = backlog(4);
        let mut waiting = pin!(backlog.wait_for_room());
        backlog.shrink(2);
        assert!(waiting.as_mut().now_or_never().is_none(), "there are still too many");
        backlog.shrink(1);
        assert!(waiting.now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_without_room_goes_on_after_a_moment() {
        let backlog = backlog(2);
        let began = Instant::now();
        backlog.wait_for_room().await;
        assert_eq!(began.elapsed(), Duration::from_millis(250), "well below the deadline of three seconds");
    }
}
