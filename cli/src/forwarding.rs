//! Events are posted on to a consumer's own endpoint, beside the server.

use std::num::NonZeroU32;
use std::path::Path;

use intake_outbound::signing_secrets::{SecretError, SigningSecret, SigningSecrets};
use intake_outbound::{HttpReceiver, NoClient, ReceiverUrl};
use intake_pipeline::clock::SystemClock;
use intake_pipeline::forwarding::{Forwarder, ForwardingSettings};
use intake_pipeline::port_error::PortError;
use intake_sqlite::private_file::{read_if_present, replace_private_file};
use intake_sqlite::{DataDirectory, Database, KeyFile, SqliteOutbox, SqlitePayloads};
use secrecy::ExposeSecret as _;
use tokio::sync::watch;

/// Forwards the events of a data directory to one URL.
pub struct Forwarding {
    forwarder: Forwarder<SqliteOutbox, SqlitePayloads, HttpReceiver<KeyFile, SystemClock>, SystemClock>,
    beginning: Beginning,
}

/// Where forwarding begins.
#[derive(Clone, Debug)]
pub struct Beginning {
    /// The receiver.
    pub url: ReceiverUrl,
    /// Whether this is the first time, so that only what is recorded from now on is sent.
    pub is_first: bool,
    /// Number of events that wait to be sent.
    pub waiting: u64,
    /// Number of secrets that sign.
    pub secrets: usize,
}

/// Why nothing can be forwarded.
#[derive(Debug, thiserror::Error)]
pub enum ForwardingError {
    /// There is no secret, or one that can't be used.
    #[error("what is forwarded cannot be signed: {0}")]
    Secret(#[from] SecretError),
    /// The file with the secrets.
    #[error("the signing secrets cannot be read; give yourself the right to, or choose another --data-directory")]
    File(#[source] std::io::Error),
    /// The HTTP client.
    #[error(transparent)]
    Client(#[from] NoClient),
    /// The database.
    #[error(transparent)]
    Database(#[from] PortError),
}

impl Forwarding {
    /// Forwarding from this database, signed with the secrets in the data directory.
    ///
    /// # Errors
    /// When there is no secret, or the database doesn't answer.
    pub async fn start(
        url: ReceiverUrl,
        max_attempts: NonZeroU32,
        directory: &DataDirectory,
        database: &Database,
    ) -> Result<Self, ForwardingError> {
        let path = directory.signing_secrets();
        let secrets = read_secrets(&path)?;
        if secrets.is_empty() {
            return Err(SecretError::None.into());
        }
        let outbox = SqliteOutbox::new(database.clone());
        let is_first = outbox.begin().await?;
        let waiting = outbox.depth().await?.waiting;
        let receiver = HttpReceiver::new(url.clone(), KeyFile::new(path), SystemClock)?;
        let settings = ForwardingSettings { max_attempts, ..ForwardingSettings::default() };
        let payloads = SqlitePayloads::new(database.clone());
        let forwarder = Forwarder::new(outbox, payloads, receiver, SystemClock, fastrand::f64, settings);
        Ok(Self { forwarder, beginning: Beginning { url, is_first, waiting, secrets: secrets.iter().count() } })
    }

    /// Where it begins.
    #[must_use]
    pub const fn beginning(&self) -> &Beginning {
        &self.beginning
    }

    /// Forwards until asked to stop.
    pub(crate) async fn run(self, mut stop: watch::Receiver<bool>) {
        self.forwarder
            .run(async move {
                let _ = stop.wait_for(|stop| *stop).await;
            })
            .await;
    }
}

/// Makes a secret for the demo's own receiver if there is none.
///
/// # Errors
/// When the file can't be read or written.
pub fn ensure_secret(directory: &DataDirectory) -> Result<SigningSecrets, ForwardingError> {
    let path = directory.signing_secrets();
    let mut secrets = read_secrets(&path)?;
    if secrets.is_empty() {
        secrets.add(SigningSecret::generate()?)?;
        replace_private_file(&path, secrets.write()?.expose_secret()).map_err(ForwardingError::File)?;
    }
    Ok(secrets)
}

/// The secrets in a file, none if there is no file.
///
/// # Errors
/// When it can't be read.
pub fn read_secrets(path: &Path) -> Result<SigningSecrets, ForwardingError> {
    match read_if_present(path).map_err(ForwardingError::File)? {
        Some(text) if !text.trim().is_empty() => Ok(SigningSecrets::read(&text)?),
        _ => Ok(SigningSecrets::default()),
    }
}
