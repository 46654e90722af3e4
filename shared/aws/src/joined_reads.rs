//! Reads that are asked for at the same time, made in one call.
//!
//! A read that is alone is made at once. Those that are asked for while a call is under way wait for it, and then share the next one. So
//! the more are asked for, the fewer calls each of them costs, and a single one waits for nobody.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

/// Maximum wait for the call before, which usually takes 5 to 10 ms, and longer in a function with a small share of a processor. A call that
/// hangs then holds up only those that share it.
const MAX_WAIT: Duration = Duration::from_millis(100);

/// The reads of one kind.
#[derive(Debug)]
pub(crate) struct JoinedReads<K, A> {
    waiting: Mutex<Waiting<K, A>>,
    /// Held by the caller who makes the call for all who wait.
    turn: Semaphore,
    max_keys: usize,
}

#[derive(Debug)]
struct Waiting<K, A> {
    /// Number of keys that were asked for so far.
    asked: u64,
    reads: VecDeque<Read<K, A>>,
}

#[derive(Debug)]
struct Read<K, A> {
    number: u64,
    key: K,
    answer: oneshot::Sender<A>,
}

impl<K, A> JoinedReads<K, A> {
    /// Reads of which a call takes at most this number of keys.
    pub(crate) const fn new(max_keys: usize) -> Self {
        let waiting = Mutex::new(Waiting { asked: 0, reads: VecDeque::new() });
        Self { waiting, turn: Semaphore::const_new(1), max_keys }
    }

    /// Reads a key, in one call with others. The call gets the keys and answers in their order, `None` for what it could not read.
    ///
    /// Returns `None` if the key was not read, because the call left it out, because the caller who made it has given up, or because
    /// the call before takes long. It is to be read alone then.
    pub(crate) async fn read<F, C>(&self, key: K, call: F) -> Option<A>
    where
        F: Fn(Vec<K>) -> C,
        C: Future<Output = Vec<Option<A>>>,
    {
        let (number, mut answer) = self.wait_with(key);
        let turn = tokio::select! {
            biased;
            answered = &mut answer => return answered.ok(),
            turn = timeout(MAX_WAIT, self.turn.acquire()) => turn,
        };
        // The semaphore is never closed.
        let Ok(Ok(_turn)) = turn else {
            return if self.give_up(number) { None } else { answer.await.ok() };
        };
        // Others who ask at this moment take part.
        tokio::task::yield_now().await;
        loop {
            let (keys, answers): (Vec<K>, Vec<oneshot::Sender<A>>) = self.take().into_iter().unzip();
            for (reader, answer) in answers.into_iter().zip(call(keys).await) {
                if let Some(answer) = answer {
                    // Who no longer waits needs no answer.
                    let _ = reader.send(answer);
                }
            }
            match answer.try_recv() {
                Ok(answer) => return Some(answer),
                Err(TryRecvError::Closed) => return None,
                // More were waiting than one call takes.
                Err(TryRecvError::Empty) => {}
            }
        }
    }

    fn wait_with(&self, key: K) -> (u64, oneshot::Receiver<A>) {
        let (answer, answered) = oneshot::channel();
        let mut waiting = self.waiting();
        waiting.asked += 1;
        let number = waiting.asked;
        waiting.reads.push_back(Read { number, key, answer });
        (number, answered)
    }

    /// No longer waits, unless the key is part of a call already.
    fn give_up(&self, number: u64) -> bool {
        let mut waiting = self.waiting();
        let before = waiting.reads.len();
        waiting.reads.retain(|read| read.number != number);
        waiting.reads.len() < before
    }

    /// Those who share the next call.
    fn take(&self) -> Vec<(K, oneshot::Sender<A>)> {
        let mut waiting = self.waiting();
        let mut taken = Vec::new();
        while taken.len() < self.max_keys
            && let Some(Read { key, answer, .. }) = waiting.reads.pop_front()
        {
            if !answer.is_closed() {
                taken.push((key, answer));
            }
        }
        taken
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting<K, A>> {
        // It is whole after each of these calls, so a panic elsewhere does not spoil it.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::time::{Instant, sleep};

    use super::*;

    const CALL: Duration = Duration::from_millis(5);

    /// Reads numbers, each of which is answered with its double; odd ones are left out.
    #[derive(Clone)]
    struct World {
        reads: Arc<JoinedReads<u32, u32>>,
        calls: Arc<Mutex<Vec<Vec<u32>>>>,
        takes: Duration,
    }

    impl World {
        fn new(takes: Duration) -> Self {
            Self { reads: Arc::new(JoinedReads::new(4)), calls: Arc::default(), takes }
        }

        async fn read(&self, key: u32) -> Option<u32> {
            let call = async |keys: Vec<u32>| {
                self.calls.lock().unwrap().push(keys.clone());
                sleep(self.takes).await;
                keys.into_iter().map(|key| Some(key * 2).filter(|_| key.is_multiple_of(2))).collect()
            };
            self.reads.read(key, call).await
        }

        fn begin(&self, key: u32) -> tokio::task::JoinHandle<Option<u32>> {
            let world = self.clone();
            tokio::spawn(async move { world.read(key).await })
        }

        fn calls(&self) -> Vec<Vec<u32>> {
            std::mem::take(&mut self.calls.lock().unwrap())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_that_is_alone_is_made_at_once() {
        let (world, began) = (World::new(CALL), Instant::now());
        assert_eq!([world.read(2).await, world.read(4).await], [Some(4), Some(8)]);
        assert_eq!(world.calls(), [vec![2], vec![4]]);
        assert_eq!(began.elapsed(), CALL * 2);
    }

    #[tokio::test(start_paused = true)]
    async fn those_of_one_moment_share_a_call_and_those_that_come_meanwhile_the_next_one() {
        let world = World::new(CALL);
        let first = [2, 3, 4].map(|key| world.begin(key));
        sleep(CALL / 2).await;
        let later = [6, 8].map(|key| world.begin(key));
        for (reading, expected) in first.into_iter().chain(later).zip([Some(4), None, Some(8), Some(12), Some(16)]) {
            assert_eq!(reading.await.unwrap(), expected);
        }
        assert_eq!(world.calls(), [vec![2, 3, 4], vec![6, 8]]);
    }

    #[tokio::test(start_paused = true)]
    async fn more_than_a_call_takes_are_read_in_several() {
        let world = World::new(CALL);
        let readings: Vec<_> = (0..10).map(|number| world.begin(number * 2)).collect();
        for (reading, number) in readings.into_iter().zip(0..) {
            assert_eq!(reading.await.unwrap(), Some(number * 4));
        }
        assert_eq!(world.calls(), [vec![0, 2, 4, 6], vec![8, 10, 12, 14], vec![16, 18]]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_longer_than_it_may_reads_alone_and_who_is_part_of_a_call_waits_for_it() {
        let (world, began) = (World::new(Duration::from_secs(3)), Instant::now());
        let [first, second] = [2, 4].map(|key| world.begin(key));
        sleep(CALL).await;
        let third = world.begin(6);
        assert_eq!(third.await.unwrap(), None);
        assert_eq!(began.elapsed(), CALL + MAX_WAIT);
        assert_eq!([first.await.unwrap(), second.await.unwrap()], [Some(4), Some(8)]);
        assert_eq!(world.calls(), [vec![2, 4]]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_who_gives_up_during_the_call_leaves_the_others_to_read_alone() {
        let world = World::new(CALL);
        let [first, second] = [2, 4].map(|key| world.begin(key));
        sleep(CALL / 2).await;
        let third = world.begin(6);
        first.abort();
        assert_eq!([second.await.unwrap(), third.await.unwrap()], [None, Some(12)]);
        assert_eq!(world.calls(), [vec![2, 4], vec![6]]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_before_the_call_is_not_read() {
        let world = World::new(CALL);
        let first = world.begin(2);
        sleep(CALL / 2).await;
        let [second, third] = [4, 6].map(|key| world.begin(key));
        sleep(CALL / 4).await;
        second.abort();
        assert_eq!([first.await.unwrap(), third.await.unwrap()], [Some(4), Some(12)]);
        assert_eq!(world.calls(), [vec![2], vec![6]]);
    }
}
