//! Prints what comes, until it is told to stop.
//!
//! Listings go by the time of arrival, and something may be recorded long after it arrived: a failed delivery is tried again, and a
//! dead letter is put back. So each look goes back a while, and leaves out what was printed. Most looks go back a little; every now
//! and then one goes back further.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use intake_pipeline::clock::Clock;
use intake_pipeline::ledger::EntryKey;
use intake_pipeline::port_error::PortError;
use intake_pipeline::records::Listing;
use intake_providers::timestamp::Timestamp;

use super::error::CommandError;
use super::output;
use super::place::Place;
use super::unreadable::not_read;
use crate::terminal::{escape_json_lines, escape_lines};

/// How often a place is looked at, and how far back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Looks {
    /// The pause after each look.
    pause: Duration,
    /// How far back each look goes.
    near: Duration,
    /// The time between two looks that go back further.
    far_every: Duration,
    /// How far back those go. A stack's queue hands a failed delivery over for 75 minutes, a data directory's for half a minute.
    far: Duration,
}

const NEAR: Duration = Duration::from_secs(5 * 60);
const FAR: Duration = Duration::from_secs(2 * 60 * 60);

impl Looks {
    /// A stack is looked at less often, because it costs money.
    pub(super) const fn at(place: &Place) -> Self {
        let (pause_seconds, far_every_seconds) = match place {
            Place::Directory(_) => (1, 30),
            Place::Stack { .. } => (5, 60),
        };
        Self {
            pause: Duration::from_secs(pause_seconds),
            near: NEAR,
            far_every: Duration::from_secs(far_every_seconds),
            far: FAR,
        }
    }
}

/// What was printed, or was there before, and when it was received.
pub(super) type Known<K> = Arc<HashMap<K, Timestamp>>;

/// Something that is listed by the time of arrival.
pub(super) trait Feed {
    /// What is listed.
    type Item;
    /// What makes an item another one.
    type Key: Clone + Eq + Hash;

    /// What was received since then and is not known, in the order of arrival.
    fn list(
        &self,
        since: Timestamp,
        known: Known<Self::Key>,
    ) -> impl Future<Output = Result<Listing<Self::Item>, PortError>>;

    /// Its key, and when it was received.
    fn key(item: &Self::Item) -> Option<(Self::Key, Timestamp)>;

    /// The line to print for it.
    fn line(&self, item: &Self::Item) -> String;
}

/// Where lines go.
pub(super) trait Lines {
    /// Prints some, and returns whether anybody still reads.
    fn print(&mut self, text: &str) -> Result<bool, CommandError>;

    /// Whether anybody still reads, as far as that is known before something is printed.
    fn is_read(&self) -> bool;

    /// Says beside the lines what went wrong.
    fn complain(&mut self, text: &str) -> Result<(), CommandError>;
}

/// Prints a line for each item that is recorded from now on, and with `since` for those received since then, until nobody reads
/// any more.
///
/// # Errors
/// When the first look fails or nothing can be printed. A later look that fails is reported, and the next one makes up for it.
pub(super) async fn follow<F: Feed>(
    feed: &F,
    since: Option<Timestamp>,
    looks: Looks,
    clock: &impl Clock,
    lines: &mut impl Lines,
) -> Result<(), CommandError> {
    let mut known: Known<F::Key> = Arc::default();
    let mut now = clock.now();
    let mut last_far = now;
    let mut reported = HashSet::new();
    let listing = feed.list(since.unwrap_or_else(|| before(now, looks.far)), Arc::clone(&known)).await?;
    let items = readable(listing, &mut reported, lines)?;
    note::<F>(&items, &mut known);
    if since.is_some() && !print(feed, &items, lines)? {
        return Ok(());
    }
    let mut last_complaint = String::new();
    loop {
        tokio::time::sleep(looks.pause).await;
        if !lines.is_read() {
            return Ok(());
        }
        // A clock that is put back must not bring back what was forgotten.
        now = clock.now().max(now);
        // What was recorded after the last look of this kind, and is not older than that, was received since then.
        let far_start = since.unwrap_or_else(|| before(last_far, looks.far));
        let is_far = before(now, looks.far_every) >= last_far;
        let start = if is_far { far_start } else { far_start.max(before(now, looks.near)) };
        match feed.list(start, Arc::clone(&known)).await {
            Ok(listing) => {
                let items = readable(listing, &mut reported, lines)?;
                note::<F>(&items, &mut known);
                if !print(feed, &items, lines)? {
                    return Ok(());
                }
                last_complaint.clear();
            }
            Err(error) => {
                let complaint = error.to_string();
                if complaint != last_complaint {
                    lines.complain(&format!("{complaint}; trying again\n"))?;
                    last_complaint = complaint;
                }
                continue;
            }
        }
        if is_far {
            last_far = now;
            // No look goes back further than the next one.
            let next_start = since.unwrap_or_else(|| before(last_far, looks.far));
            Arc::make_mut(&mut known).retain(|_, received_at| *received_at >= next_start);
        }
    }
}

/// Ends when `stop` does.
pub(super) async fn until(
    stop: impl Future<Output = ()>,
    following: impl Future<Output = Result<(), CommandError>>,
) -> Result<(), CommandError> {
    tokio::select! {
        ended = following => ended,
        () = stop => Ok(()),
    }
}

/// What was found. An entry that cannot be read is reported once.
fn readable<T>(
    listing: Listing<T>,
    reported: &mut HashSet<EntryKey>,
    lines: &mut impl Lines,
) -> Result<Vec<T>, CommandError> {
    let new: Vec<_> = listing.unreadable.into_iter().filter(|key| reported.insert(key.clone())).collect();
    if !new.is_empty() {
        lines.complain(&not_read(&new))?;
    }
    Ok(listing.found)
}

fn note<F: Feed>(items: &[F::Item], known: &mut Known<F::Key>) {
    Arc::make_mut(known).extend(items.iter().filter_map(F::key));
}

fn print<F: Feed>(feed: &F, items: &[F::Item], lines: &mut impl Lines) -> Result<bool, CommandError> {
    let text: String = items.iter().map(|item| feed.line(item)).collect();
    if text.is_empty() { Ok(true) } else { lines.print(&text) }
}

fn before(time: Timestamp, duration: Duration) -> Timestamp {
    let milliseconds = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    let earlier = time.unix_milliseconds().saturating_sub(milliseconds);
    Timestamp::from_unix_milliseconds(earlier).unwrap_or(Timestamp::EPOCH)
}

/// Standard output, and beside it standard error.
pub(super) struct StandardOutput {
    /// Whether JSON is printed.
    pub(super) json: bool,
}

impl Lines for StandardOutput {
    fn print(&mut self, text: &str) -> Result<bool, CommandError> {
        let text = if self.json { escape_json_lines(text) } else { escape_lines(text) };
        output::write_while_read(text.as_bytes())
    }

    fn is_read(&self) -> bool {
        output::is_read()
    }

    fn complain(&mut self, text: &str) -> Result<(), CommandError> {
        output::explain(text)
    }
}

#[cfg(test)]
mod tests;
