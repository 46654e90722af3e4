//! Secrets Manager: texts by name, with every version that was ever current.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use intake_pipeline::port_error::PortError;
use intake_pipeline::secrets::{SecretText, Secrets};
use tokio::time::Instant;

use crate::guarded::Guarded;
use crate::instance::Instance;
use crate::keys;
use crate::marks::Mark;
use crate::planted::Plant;
use crate::swarm::FaultClass;
use crate::world::{Call, Service, World};

const GET_SECRET_VALUE: &str = "secretsmanager GetSecretValue";

/// How long after a change the former version may be read.
const STALE_FOR: Duration = Duration::from_secs(8);

/// A secret that holds no JSON.
pub(crate) const MALFORMED: &str = "{\"keys\": [";

/// What a process read last, and whether it tried in vain since.
#[derive(Clone, Debug)]
struct LastRead {
    at: Instant,
    text: String,
    failed: bool,
}

#[derive(Debug, Default)]
struct State {
    versions: BTreeMap<&'static str, Vec<(Instant, String)>>,
    reads: BTreeMap<(String, &'static str), LastRead>,
}

/// The secrets.
#[derive(Clone, Debug)]
pub(crate) struct SecretsManager {
    world: World,
    state: Arc<Guarded<State>>,
}

impl SecretsManager {
    pub(crate) fn new(world: &World) -> Self {
        Self { world: world.clone(), state: Arc::default() }
    }

    /// Makes a text the current version.
    pub(crate) fn write(&self, name: &'static str, text: String) {
        self.world.line("operator", || {
            format!("writes the secret {name}{}", if text == MALFORMED { ", malformed" } else { "" })
        });
        self.state.get().versions.entry(name).or_default().push((Instant::now(), text));
    }

    /// Whether a process may still use a key that occurs in a secret's text as `part`: it has read it, and was not due to read
    /// again, or could not. `allowance` is how much longer than a usual answer it may have taken since.
    pub(crate) fn may_use(&self, instance: &Instance, name: &'static str, part: &str, allowance: Duration) -> bool {
        let state = self.state.get();
        let Some(last) = state.reads.get(&(instance.name.clone(), name)) else { return false };
        let is_due = last.at.elapsed() > allowance + Duration::from_secs(4);
        last.text.contains(part) && (!is_due || last.failed)
    }

    /// The current version, or the one before it where that may be read.
    fn read(&self, name: &'static str) -> Option<String> {
        let state = self.state.get();
        let versions = state.versions.get(name)?;
        let (written_at, current) = versions.last()?;
        let former = versions.len().checked_sub(2).and_then(|place| versions.get(place));
        match former {
            Some((_, former)) if written_at.elapsed() < STALE_FOR && self.world.happens(FaultClass::StaleSecrets) => {
                Some(former.clone())
            }
            _ => Some(current.clone()),
        }
    }

    /// A process begins to read. Until it has the text, it may go on with what it read last.
    fn note_attempt(&self, instance: &Instance, name: &'static str) {
        if let Some(last) = self.state.get().reads.get_mut(&(instance.name.clone(), name)) {
            last.failed = true;
        }
    }

    fn note(&self, instance: &Instance, name: &'static str, read: Option<&String>) {
        let mut state = self.state.get();
        let key = (instance.name.clone(), name);
        match read {
            Some(text) => {
                if text == MALFORMED {
                    self.world.marks.see(Mark::MalformedSecretRead);
                }
                state.reads.insert(key, LastRead { at: Instant::now(), text: text.to_owned(), failed: false });
            }
            None if state.reads.contains_key(&key) => self.world.marks.see(Mark::CachedKeysInOutage),
            None => {}
        }
    }
}

/// A secret as one process reads it.
#[derive(Clone, Debug)]
pub(crate) struct Secret {
    manager: SecretsManager,
    name: &'static str,
    instance: Arc<Instance>,
    /// Where a planted fault keeps the first text.
    kept: Arc<Guarded<Option<String>>>,
}

impl Secret {
    pub(crate) fn new(manager: &SecretsManager, name: &'static str, instance: &Arc<Instance>) -> Self {
        Self { manager: manager.clone(), name, instance: Arc::clone(instance), kept: Arc::default() }
    }
}

impl Secrets for Secret {
    async fn fetch(&self) -> Result<SecretText, PortError> {
        let call = Call { service: Service::SecretsManager, operation: GET_SECRET_VALUE, killed_after: None };
        self.manager.note_attempt(&self.instance, self.name);
        let (manager, name) = (self.manager.clone(), self.name);
        // A text is read when the call takes effect, and counts as read when its answer arrives.
        let effect = move || manager.read(name).ok_or_else(|| PortError::of(GET_SECRET_VALUE, "no such secret"));
        let read = self.manager.world.call(&self.instance, call, || name.to_owned(), effect).await;
        self.manager.note(&self.instance, self.name, read.as_ref().ok());
        let mut text = read?;
        let is_of_clients = [keys::STERLING, keys::STERLING_TOKEN].contains(&self.name);
        if self.manager.world.is_planted(Plant::RemovedKeyCached)
            || (is_of_clients && self.manager.world.is_planted(Plant::RemovedClientCached))
        {
            text = self.kept.get().get_or_insert(text).clone();
        }
        if self.manager.world.is_planted(Plant::SecretLogged) {
            tracing::info!(target: "intake_planted", text, "the secret is read");
        }
        Ok(SecretText::new(text))
    }
}
