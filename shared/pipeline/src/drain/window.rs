//! The number of unacknowledged messages that the broker may have in flight.

use crate::queue_message::MAX_MESSAGE_BYTES;

/// What has accepted something in this run. A queue can answer and still accept no message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Proven {
    /// Our queue accepted a document.
    pub(super) queue: bool,
    /// The store for large bodies accepted one.
    pub(super) payloads: bool,
}

/// Number of bodies that must have arrived before the prefetch follows their sizes. Until then the prefetch is this number.
const SAMPLE_MESSAGES: u16 = 10;

/// The prefetch that a consumer should have.
///
/// Until our queue accepted a document, one message at a time: if it is refused, one message alone is requeued, and a quorum
/// queue counts one return of one message. A large body that arrives before the store accepted one stops the consumer until
/// it is stored. After that the prefetch follows the sizes of the bodies, so that those in memory stay within a bound.
#[derive(Debug)]
pub(super) struct Window {
    max_messages: u16,
    max_bytes: usize,
    /// Bodies in memory.
    held_bytes: usize,
    /// How many of them are too large for our queue in any encoding.
    held_large: usize,
    /// The largest body of late. It fades by a 64th with each message, so one large body doesn't slow down a whole run.
    size_bytes: usize,
    /// Bodies that arrived, counted up to the sample.
    sampled: u16,
    is_full: bool,
}

impl Window {
    pub(super) const fn new(max_messages: u16, max_bytes: usize) -> Self {
        Self { max_messages, max_bytes, held_bytes: 0, held_large: 0, size_bytes: 1, sampled: 0, is_full: false }
    }

    /// A body has arrived.
    pub(super) fn arrived(&mut self, body_bytes: usize) {
        self.held_bytes += body_bytes;
        self.held_large += usize::from(body_bytes > MAX_MESSAGE_BYTES);
        let faded = self.size_bytes - self.size_bytes / 64;
        self.size_bytes = faded.max(body_bytes).max(1);
        self.sampled = self.sampled.saturating_add(1).min(SAMPLE_MESSAGES);
    }

    /// A body is no longer in memory.
    pub(super) fn released(&mut self, body_bytes: usize) {
        self.held_bytes = self.held_bytes.saturating_sub(body_bytes);
        self.held_large -= usize::from(body_bytes > MAX_MESSAGE_BYTES).min(self.held_large);
    }

    /// Bodies in memory.
    pub(super) const fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// How much of a prefetch a new consumer may have, while `in_flight` messages of earlier ones are still under way.
    pub(super) fn beside(&self, prefetch: u16, in_flight: usize) -> Option<u16> {
        let free_messages = usize::from(self.max_messages).saturating_sub(in_flight);
        let free_bytes = self.max_bytes.saturating_sub(self.held_bytes);
        // One body alone may be larger than the bound.
        let fitting = if self.held_bytes == 0 { usize::MAX } else { free_bytes / self.size_bytes };
        let most = u16::try_from(free_messages.min(fitting)).unwrap_or(u16::MAX);
        Some(prefetch.min(most)).filter(|prefetch| *prefetch > 0)
    }

    /// The prefetch to consume with; none while nothing more may arrive.
    pub(super) fn prefetch(&mut self, proven: Proven) -> Option<u16> {
        // Half of it must be free again, or the consumer would be stopped and started for every message.
        self.is_full = self.held_bytes > if self.is_full { self.max_bytes / 2 } else { self.max_bytes };
        if self.is_full || (self.held_large > 0 && !proven.payloads) {
            return None;
        }
        if !proven.queue {
            return Some(1);
        }
        let fitting = u16::try_from(self.max_bytes / self.size_bytes).unwrap_or(u16::MAX);
        let most = if self.sampled < SAMPLE_MESSAGES { SAMPLE_MESSAGES } else { u16::MAX };
        Some(fitting.min(most).min(self.max_messages).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;
    const QUEUE: Proven = Proven { queue: true, payloads: false };
    const BOTH: Proven = Proven { queue: true, payloads: true };

    fn window() -> Window {
        Window::new(400, 32 * MIB)
    }

    #[test]
    fn one_message_at_a_time_until_our_queue_accepted_something() {
        let mut window = window();
        assert_eq!(window.prefetch(Proven::default()), Some(1));
        assert_eq!(window.prefetch(QUEUE), Some(10), "of no size that is known");
        for _ in 0..SAMPLE_MESSAGES {
            window.arrived(300);
        }
        assert_eq!(window.prefetch(QUEUE), Some(400));
    }

    #[test]
    fn a_large_body_stops_the_consumer_until_the_store_has_accepted_one() {
        let mut window = window();
        window.arrived(MAX_MESSAGE_BYTES + 1);
        assert_eq!(window.prefetch(QUEUE), None);
        assert!(window.prefetch(BOTH).is_some());
        window.released(MAX_MESSAGE_BYTES + 1);
        assert!(window.prefetch(QUEUE).is_some());
    }

    #[test]
    fn the_prefetch_follows_the_sizes_down_at_once_and_up_slowly() {
        let mut window = window();
        window.arrived(4 * MIB);
        assert_eq!(window.prefetch(BOTH), Some(8));
        window.released(4 * MIB);
        window.arrived(300);
        assert_eq!(window.prefetch(BOTH), Some(8), "one small body doesn't make the next ones small");
        for _ in 0..400 {
            window.arrived(300);
        }
        assert_eq!(window.prefetch(BOTH), Some(400));
    }

    #[test]
    fn a_new_consumer_gets_what_earlier_ones_left() {
        let mut window = window();
        assert_eq!(
            (window.beside(10, 0), window.beside(400, 390), window.beside(400, 400)),
            (Some(10), Some(10), None)
        );
        window.arrived(8 * MIB);
        assert_eq!(window.beside(4, 1), Some(3));
        window.arrived(24 * MIB);
        assert_eq!(window.beside(1, 2), None);
    }

    #[test]
    fn beyond_the_bound_nothing_arrives_until_half_of_it_is_free() {
        let mut window = window();
        for _ in 0..33 {
            window.arrived(MIB);
        }
        assert_eq!(window.prefetch(BOTH), None);
        for _ in 0..16 {
            window.released(MIB);
        }
        assert_eq!(window.prefetch(BOTH), None, "17 of 32 MiB are still held");
        window.released(MIB);
        assert_eq!(window.prefetch(BOTH), Some(32));
    }
}
