//! How far the resync has come.
//!
//! Each pair of business and component has its own `since`. It moves on only when a call was accepted, to the day
//! before the run of that call began: dates have no zone, so one day overlaps. A pair whose call was not accepted keeps
//! its `since`, and the run after one that was cut off continues with the pairs that are left. Whatever happens, a pair is never
//! asked for less than it is owed.

use std::collections::HashMap;
use std::future::Future;

use intake_providers::date::Date;
use intake_providers::json_object;
use intake_providers::json_place::JsonPlace;
use intake_providers::nurturecloud::component::ComponentName;
use intake_providers::nurturecloud::resync::{BusinessId, Pair, SyncCall, What};
use intake_providers::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

use crate::port_error::PortError;

const VERSION: u32 = 1;

/// Why the resume point can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ResumePointError {
    /// It could not be loaded or saved.
    #[error(transparent)]
    Port(#[from] PortError),
    /// It can't be parsed. serde's own words are left out.
    #[error(
        "the resume point is not a document of version {VERSION} ({place}); deploy the version that \
         wrote it, or remove it and say since when to ask"
    )]
    Unreadable {
        /// Where reading stopped.
        place: JsonPlace,
    },
    /// It could not be written as JSON.
    #[error("the resume point could not be written as json")]
    Json(#[source] serde_json::Error),
}

/// Result of saving a resume point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saved {
    /// It is durable.
    Done,
    /// Another run has saved its own since; that one stays.
    ChangedMeanwhile,
}

/// The store of the one document that holds the progress of the resync.
pub trait ResumePoints: Send + Sync + 'static {
    /// The document that was saved last, if any.
    fn load(&self) -> impl Future<Output = Result<Option<String>, PortError>> + Send;

    /// Replaces the document that was seen last, atomically. If the new one is stored already, that counts as done, because an
    /// earlier attempt may have taken effect.
    fn save(&self, seen: Option<&str>, document: &str) -> impl Future<Output = Result<Saved, PortError>> + Send;
}

/// The progress, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ResumePoint {
    #[serde(deserialize_with = "known_version")]
    version: u32,
    /// The API that was called.
    service: String,
    /// The execution that owns it, so that two never write the same text.
    claim: String,
    /// The run that isn't finished.
    run: Option<OpenRun>,
    last_complete_run_began_at: Option<Timestamp>,
    pairs: Vec<Progress>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OpenRun {
    began_at: Timestamp,
    /// What was asked for explicitly.
    since: Option<Date>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Progress {
    business_id: BusinessId,
    component: ComponentName,
    since: Date,
    state: State,
}

/// What the open run knows of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Waiting,
    Accepted,
    NotAccepted,
}

/// What an execution is to do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    pub(super) service: &'a str,
    pub(super) pairs: &'a [Pair],
    pub(super) since: Option<Date>,
    pub(super) lookback_days: u16,
}

fn known_version<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let version = u32::deserialize(deserializer)?;
    if version == VERSION { Ok(version) } else { Err(serde::de::Error::custom("another version")) }
}

impl ResumePoint {
    pub(super) fn read(text: &str) -> Result<Self, ResumePointError> {
        json_object::read(text).map_err(|error| ResumePointError::Unreadable { place: JsonPlace::from(&error) })
    }

    pub(super) fn text(&self) -> Result<String, ResumePointError> {
        serde_json::to_string(self).map_err(ResumePointError::Json)
    }

    /// Continues the open run, or begins a new one.
    ///
    /// An open run is continued unless another `since` is asked for. Pairs that aren't wanted any more are dropped;
    /// new ones are asked for what the lookback covers. So are all pairs of another service, or for more if they are
    /// owed more.
    pub(super) fn claimed(stored: Option<Self>, wanted: Wanted<'_>, claim: String, now: Timestamp) -> Self {
        let Wanted { service, pairs, since, lookback_days } = wanted;
        let today = Date::of(now);
        let lookback = today.days_before(lookback_days);
        // A date to come would be accepted, and would cover nothing.
        let since = since.map(|since| since.min(today));
        let mut stored = stored.unwrap_or_else(|| Self {
            version: VERSION,
            service: service.to_owned(),
            claim: String::new(),
            run: None,
            last_complete_run_began_at: None,
            pairs: Vec::new(),
        });
        let is_same_service = stored.service == service;
        let goes_on = is_same_service && stored.run.as_ref().is_some_and(|run| since.is_none() || since == run.since);
        if !goes_on {
            stored.close();
        }
        let known: HashMap<_, _> = stored
            .pairs
            .iter()
            .map(|progress| ((&progress.business_id, &progress.component), (progress.since, progress.state)))
            .collect();
        let progress = |pair: &Pair| {
            let (since, state) = match known.get(&(&pair.business_id, &pair.component)) {
                Some((owed, state)) if goes_on => (*owed, *state),
                Some((owed, state)) => {
                    let owed = if is_same_service { *owed } else { lookback.min(*owed) };
                    (since.map_or(owed, |since| since.min(owed)), *state)
                }
                None => (since.unwrap_or(lookback), State::Waiting),
            };
            Progress { business_id: pair.business_id.clone(), component: pair.component.clone(), since, state }
        };
        let pairs = pairs.iter().map(progress).collect();
        let run = stored.run.unwrap_or(OpenRun { began_at: now, since });
        Self { service: service.to_owned(), claim, run: Some(run), pairs, ..stored }
    }

    /// When the open run began.
    pub(super) fn began_at(&self) -> Option<Timestamp> {
        self.run.as_ref().map(|run| run.began_at)
    }

    /// When the last complete run began.
    pub(super) const fn last_complete_run_began_at(&self) -> Option<Timestamp> {
        self.last_complete_run_began_at
    }

    /// The calls that are left, by their position. Those that were not accepted before come last, so that they
    /// don't hold up the others.
    pub(super) fn calls(&self) -> Vec<(usize, SyncCall)> {
        let in_state = |state| {
            let pairs = self.pairs.iter().enumerate().filter(move |(_, progress)| progress.state == state);
            pairs.map(|(position, progress)| (position, progress.call()))
        };
        in_state(State::Waiting).chain(in_state(State::NotAccepted)).collect()
    }

    pub(super) fn accepted(&mut self, position: usize) {
        self.set(position, State::Accepted);
    }

    pub(super) fn not_accepted(&mut self, position: usize) {
        self.set(position, State::NotAccepted);
    }

    fn set(&mut self, position: usize, state: State) {
        if let Some(progress) = self.pairs.get_mut(position) {
            progress.state = state;
        }
    }

    /// Whether every pair was tried in this run.
    pub(super) fn is_all_tried(&self) -> bool {
        self.pairs.iter().all(|progress| progress.state != State::Waiting)
    }

    /// Ends the run, and says whether it is complete: every pair was accepted.
    pub(super) fn close(&mut self) -> bool {
        let Some(run) = self.run.take() else { return false };
        let is_complete = self.pairs.iter().all(|progress| progress.state == State::Accepted);
        for progress in &mut self.pairs {
            if progress.state == State::Accepted {
                progress.since = Date::of(run.began_at).days_before(1);
            }
            progress.state = State::Waiting;
        }
        if is_complete {
            self.last_complete_run_began_at = Some(run.began_at);
        }
        is_complete
    }
}

impl Progress {
    fn call(&self) -> SyncCall {
        SyncCall {
            business_id: self.business_id.clone(),
            component: self.component.clone(),
            what: What::All { since: self.since },
        }
    }
}
