//! The operator: writes the secrets, rotates keys, makes a typing error, and redrives dead letters.

use std::sync::Arc;
use std::time::Duration;

use intake_pipeline::ledger::Entry;
use intake_pipeline::queue_message::QueueMessage;
use intake_providers::oauth::authority::{Authority, ROTATION_MARGIN};
use tokio::time::sleep;

use crate::guarded::Guarded;
use crate::keys::{self, KeyNumber};
use crate::marks::Mark;
use crate::platform::Services;
use crate::secrets_manager::MALFORMED;
use crate::swarm::FaultClass;

/// How long after a key was added its provider begins to use it, at least. A function looks for a newer key at most every 15
/// seconds, and a former version of the secret may be read for some more.
const EARLIEST_USE_SECONDS: u64 = 45;

/// Which keys the providers sign with, and which ones are out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyState {
    pub(crate) signs: KeyNumber,
    /// Whether the first key was removed.
    pub(crate) is_first_removed: bool,
}

/// The operator.
#[derive(Clone, Debug)]
pub(crate) struct Operator {
    services: Services,
    states: Arc<Guarded<std::collections::BTreeMap<&'static str, KeyState>>>,
    secret_refresh: Duration,
    /// The authority's document as it was written last.
    authority: Arc<Guarded<serde_json::Value>>,
    is_client_removed: Arc<Guarded<bool>>,
}

impl Operator {
    pub(crate) fn new(services: &Services, secret_refresh: Duration) -> Self {
        let (states, authority, is_client_removed) = (Arc::default(), Arc::default(), Arc::default());
        Self { services: services.clone(), states, secret_refresh, authority, is_client_removed }
    }

    /// Which keys are in use for a provider.
    pub(crate) fn keys_of(&self, name: &'static str) -> KeyState {
        let unchanged = KeyState { signs: KeyNumber::First, is_first_removed: false };
        self.states.get().get(name).copied().unwrap_or(unchanged)
    }

    /// Whether the client that may be removed was.
    pub(crate) fn is_client_removed(&self) -> bool {
        *self.is_client_removed.get()
    }

    /// Writes the first version of every secret.
    pub(crate) fn set_up(&self) -> Option<()> {
        let world = &self.services.world;
        for name in [keys::ACCREDIT, keys::MACHNET, keys::NURTURECLOUD] {
            let has_label = world.random.permille(300);
            self.services.secrets.write(name, keys::secret_text(name, &[KeyNumber::First], has_label));
        }
        self.services.secrets.write(keys::NOWCERTS, keys::broker_secret());
        let authority = keys::authority(world.swarm.token_lifetime, self.secret_refresh, world.now())?;
        self.write_authority(&authority)
    }

    /// The verification first, so that nobody has a token that it does not know.
    fn write_authority(&self, authority: &Authority) -> Option<()> {
        let verification = serde_json::to_string(&authority.verification().ok()?).ok()?;
        self.services.secrets.write(keys::STERLING, verification);
        self.services.secrets.write(keys::STERLING_TOKEN, serde_json::to_string(authority).ok()?);
        *self.authority.get() = serde_json::to_value(authority).ok()?;
        Some(())
    }

    /// Rotates a provider's key, and may make a typing error on the way.
    pub(crate) async fn rotate(&self, name: &'static str) {
        use KeyNumber::{First, Second};
        let world = &self.services.world;
        let rotates = world.happens(FaultClass::Rotations);
        let mistakes = world.happens(FaultClass::MalformedSecrets);
        if !rotates && !mistakes {
            return;
        }
        let window = u64::try_from(world.swarm.window.as_millis()).unwrap_or(0);
        sleep(world.random.milliseconds(0..=window / 2)).await;
        let write = |active: &[KeyNumber]| self.services.secrets.write(name, keys::secret_text(name, active, false));
        if mistakes {
            self.services.secrets.write(name, MALFORMED.to_owned());
            sleep(world.random.seconds(1..=90)).await;
            write(&[First]);
        }
        if rotates {
            write(&[First, Second]);
            world.marks.see(Mark::RotationInFlight);
            sleep(world.random.seconds(EARLIEST_USE_SECONDS..=150)).await;
            let used = KeyState { signs: Second, is_first_removed: false };
            self.states.get().insert(name, used);
            world.line("operator", || format!("{name} signs with its new key"));
            sleep(world.random.seconds(30..=120)).await;
            write(&[Second]);
            self.states.get().insert(name, KeyState { is_first_removed: true, ..used });
        }
    }

    /// Adds a signing key to the authority, and activates it when no cache can be older than it.
    pub(crate) async fn rotate_authority(&self) {
        let world = &self.services.world;
        if !world.happens(FaultClass::Rotations) {
            return;
        }
        sleep(world.random.seconds(1..=120)).await;
        let Some(key) = keys::signing_key(KeyNumber::Second, world.now(), false) else { return };
        let mut document = self.authority.get().clone();
        if let Some(list) = document.get_mut("keys").and_then(serde_json::Value::as_array_mut) {
            list.push(key);
        }
        let Ok(authority) = serde_json::from_value::<Authority>(document) else { return };
        let _unless_it_is_unreadable = self.write_authority(&authority);
        world.marks.see(Mark::RotationInFlight);
        sleep(self.secret_refresh + ROTATION_MARGIN + world.random.seconds(1..=60)).await;
        let Some(mut authority) = self.current_authority() else { return };
        if authority.activate_key(world.now()).is_ok() {
            world.line("operator", || "activates the new signing key".to_owned());
            let _unless_it_is_unreadable = self.write_authority(&authority);
        }
    }

    fn current_authority(&self) -> Option<Authority> {
        serde_json::from_value(self.authority.get().clone()).ok()
    }

    /// Removes the client that may be removed.
    pub(crate) async fn remove_client(&self) {
        let world = &self.services.world;
        let window = u64::try_from(world.swarm.window.as_millis()).unwrap_or(0);
        sleep(world.random.milliseconds(window / 8..=window / 2)).await;
        let Some(mut authority) = self.current_authority() else { return };
        if authority.remove_client(keys::FORMER_CLIENT_ID).is_ok() && self.write_authority(&authority).is_some() {
            world.line("operator", || "removes a client".to_owned());
            *self.is_client_removed.get() = true;
        }
    }

    /// Releases everything that is in quarantine, as an operator does once the version that can read it is deployed.
    pub(crate) fn release(&self) {
        for entry in self.services.tables.entries().values() {
            if let Entry::Quarantine(entry) = entry
                && entry.released.is_none()
                && let Some(message) = QueueMessage::release(entry)
            {
                self.services.world.line("operator", || format!("releases delivery {}", entry.occurrence.delivery_id));
                self.services.sqs.accept(message.text(), true);
            }
        }
    }

    /// Puts dead letters back now and then.
    pub(crate) async fn redrive_at_times(&self) {
        let world = &self.services.world;
        while !world.is_over() {
            sleep(world.random.seconds(60..=600)).await;
            if !world.is_healed() {
                self.services.sqs.redrive();
            }
        }
    }
}
