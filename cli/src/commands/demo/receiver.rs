//! A small receiver of the demo's own: what a consumer's code would be.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use http::{HeaderMap, StatusCode};
use intake_outbound::ReceiverUrl;
use intake_outbound::signing_secrets::SigningSecrets;
use serde::Deserialize;
use tokio::net::TcpListener;

/// Verifies each envelope that is posted to it, and keeps it in memory.
pub(super) struct DemoReceiver {
    /// Where it listens.
    pub(super) url: ReceiverUrl,
    arrived: Arc<Mutex<BTreeMap<(String, String), String>>>,
}

/// What it reads of an envelope.
#[derive(Deserialize)]
struct Envelope {
    source: String,
    id: String,
    outcome: String,
}

impl DemoReceiver {
    /// Listens on a free port of this machine, until the program ends.
    ///
    /// # Errors
    /// When it can't listen.
    pub(super) async fn start(secrets: SigningSecrets) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/", listener.local_addr()?);
        let url = url.parse::<ReceiverUrl>().map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let arrived = Arc::new(Mutex::new(BTreeMap::new()));
        let kept = Arc::clone(&arrived);
        let routes = Router::new().fallback(move |headers: HeaderMap, body: Bytes| {
            let status = take(&secrets, &kept, &headers, &body);
            async move { status }
        });
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Ok(Self { url, arrived })
    }

    /// Number of events that arrived, by outcome. One that came twice counts once.
    pub(super) fn outcomes(&self) -> BTreeMap<String, usize> {
        let arrived = self.arrived.lock().unwrap_or_else(PoisonError::into_inner);
        let mut outcomes = BTreeMap::new();
        for outcome in arrived.values() {
            *outcomes.entry(outcome.clone()).or_default() += 1;
        }
        outcomes
    }
}

fn take(
    secrets: &SigningSecrets,
    arrived: &Mutex<BTreeMap<(String, String), String>>,
    headers: &HeaderMap,
    body: &[u8],
) -> StatusCode {
    if !secrets.verify(headers, body) {
        return StatusCode::UNAUTHORIZED;
    }
    let Ok(Envelope { source, id, outcome }) = serde_json::from_slice(body) else { return StatusCode::BAD_REQUEST };
    arrived.lock().unwrap_or_else(PoisonError::into_inner).insert((source, id), outcome);
    StatusCode::NO_CONTENT
}
