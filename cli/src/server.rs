//! The development server: every provider's webhook and the processor in one process.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::get;
use http::{HeaderValue, StatusCode, header};
use intake_pipeline::clock::{Clock as _, SystemClock};
use intake_pipeline::intake::{Intake, IntakeSettings};
use intake_pipeline::key_cache::MIN_REREAD_INTERVAL;
use intake_pipeline::problem::{Refusal, json, problem};
use intake_pipeline::token_endpoint::TokenEndpoint;
use intake_providers::ProviderName;
use intake_providers::oauth::TOKEN_PATH;
use intake_providers::registry::{VisitWebhooks, visit_webhooks, webhook_route};
use intake_providers::webhook::Webhook;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::connections::{self, Limits};
use crate::forwarding::Forwarding;
use crate::large_bodies::{LargeBodies, bound};
use crate::refused::keep_refused;
use crate::worker::Worker;
use intake_sqlite::private_file::{FileLock, replace_private_file};
use intake_sqlite::{AnnouncedAddress, DataDirectory, DataDirectoryError};
use intake_sqlite::{Database, OpenError, RefusedRequests, SqlitePayloads, SqliteQueue};
use intake_sqlite::{KeyFile, LocalSecret, Sqlite};

/// Address that the server listens on by default.
pub const DEFAULT_ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8080);

/// How long requests that have begun may take to end after the server was asked to stop. The intake answers in three seconds.
const GRACE: Duration = Duration::from_secs(5);

/// How old the keys in files may get. An edited key file counts as soon as the key store lets it.
pub const SECRET_REFRESH: Duration = MIN_REREAD_INTERVAL;

/// Why the server can't start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The port is taken.
    #[error(
        "port {} on {} is taken by another program; stop that one, or choose another port with {}",
        address.port(), address.ip(), option_for(next_port(*address))
    )]
    PortTaken {
        /// The address.
        address: SocketAddr,
    },
    /// The address can't be used.
    #[error("cannot listen on {address}; choose another address with --listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The cause.
        source: io::Error,
    },
    /// A name that is no host's.
    #[error("{host} has no address here; write one of this machine's, such as 127.0.0.1 or localhost")]
    UnknownHost {
        /// The name.
        host: String,
    },
    /// The data directory can't be used.
    #[error(transparent)]
    DataDirectory(#[from] DataDirectoryError),
    /// The database can't be used.
    #[error(transparent)]
    Database(#[from] OpenError),
    /// Ctrl-C can't be heard.
    #[error("the operating system does not let the server listen for ctrl-c")]
    Signal(#[source] io::Error),
}

fn next_port(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip(), address.port().wrapping_add(1))
}

/// The option that makes the server listen on an address.
fn option_for(address: SocketAddr) -> String {
    if address.ip() == DEFAULT_ADDRESS.ip() {
        format!("--port {}", address.port())
    } else {
        format!("--listen {address}")
    }
}

/// The file in the data directory that holds the version of the server that was started last on it.
pub const VERSION_FILE: &str = "server.version";

/// The URL of the server that runs on a data directory. When none runs, it is that of one that is started without options.
#[must_use]
pub fn base_url(directory: &DataDirectory) -> String {
    format!("http://{}", directory.server_address().unwrap_or(DEFAULT_ADDRESS))
}

/// A server that has its port and its data, and isn't serving yet.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    directory: DataDirectory,
    database: Database,
    queue: SqliteQueue,
    refused: RefusedRequests,
    forwarding: Option<Forwarding>,
    _announced: AnnouncedAddress,
    // Dropped last: the next server may come when everything above is closed.
    _lock: FileLock,
}

impl Server {
    /// Takes the port, the data directory and the database.
    ///
    /// # Errors
    /// [`ServerError`], which says what to do.
    pub async fn start(address: SocketAddr, directory: DataDirectory) -> Result<Self, ServerError> {
        let lock = directory.lock()?;
        let database = Database::open(&directory.database())?;
        let listener = TcpListener::bind(address).await.map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => ServerError::PortTaken { address },
            _ => ServerError::Listen { address, source },
        })?;
        let address = listener.local_addr().map_err(|source| ServerError::Listen { address, source })?;
        let queue = SqliteQueue::new(database.clone());
        let refused = RefusedRequests::open(&directory.refused())?;
        let announced = directory.announce(address)?;
        let version = directory.path().join(VERSION_FILE);
        replace_private_file(&version, concat!(env!("CARGO_PKG_VERSION"), "\n"))
            .map_err(|source| DataDirectoryError::Unwritable { path: version, source })?;
        Ok(Self {
            listener,
            address,
            directory,
            database,
            queue,
            refused,
            forwarding: None,
            _announced: announced,
            _lock: lock,
        })
    }

    /// The same server, which forwards what it records.
    #[must_use]
    pub fn with_forwarding(self, forwarding: Forwarding) -> Self {
        Self { forwarding: Some(forwarding), ..self }
    }

    /// The address, with the port that was really taken.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The database.
    #[must_use]
    pub const fn database(&self) -> &Database {
        &self.database
    }

    /// The queue.
    #[must_use]
    pub const fn queue(&self) -> &SqliteQueue {
        &self.queue
    }

    /// The URL of the token endpoint.
    #[must_use]
    pub fn token_url(&self) -> String {
        format!("http://{}{TOKEN_PATH}", self.address)
    }

    /// Serves until `stop` is done; then takes no more connections, ends the requests that have begun and the batch in hand.
    pub async fn run(mut self, stop: impl Future<Output = ()> + Send + 'static) {
        let router = self.router();
        let (tell_stop, told_stop) = watch::channel(false);
        let worker = Worker::new(self.queue.clone(), self.database.clone()).start(told_stop.clone());
        let forwarding = self.forwarding.take().map(|forwarding| tokio::spawn(forwarding.run(told_stop.clone())));
        let signal = {
            let mut told_stop = told_stop.clone();
            async move {
                let _ = told_stop.wait_for(|stop| *stop).await;
            }
        };
        let stopping = tokio::spawn(async move {
            stop.await;
            let _ = tell_stop.send(true);
            tokio::time::sleep(GRACE).await;
        });
        tokio::select! {
            () = connections::serve(self.listener, router, Limits::of_this_process(), signal) => {}
            // A client that holds its connection open doesn't hold up the stop.
            _ = stopping => {}
        }
        if let Err(error) = worker.await.map_err(io::Error::other).flatten() {
            tracing::error!(%error, "the worker failed; unfinished messages will be redelivered at the next start");
        }
        if let Some(forwarding) = forwarding
            && let Err(error) = forwarding.await
        {
            tracing::error!(%error, "the forwarding failed; what it did not note is sent again at the next start");
        }
    }

    fn router(&self) -> Router {
        let queue = self.queue.clone();
        let mut router = Router::new().route("/health", get(move || health(queue.clone()))).fallback(not_found);
        router = router.route_service(TOKEN_PATH, self.token_endpoint());
        let mut routes = Routes { server: self, router };
        visit_webhooks(&mut routes);
        let keep = from_fn_with_state(self.refused.clone(), keep_refused);
        let bound = from_fn_with_state(LargeBodies::default(), bound);
        routes.router.method_not_allowed_fallback(wrong_method).layer(keep).layer(bound)
    }

    fn token_endpoint(&self) -> TokenEndpoint<Sqlite> {
        TokenEndpoint::new(
            LocalSecret::File(KeyFile::new(self.directory.sterling_authority())),
            SystemClock,
            settings(),
        )
    }

    fn intake<W: Webhook>(&self) -> Intake<W, Sqlite> {
        Intake::new(
            self.queue.clone(),
            SqlitePayloads::new(self.database.clone()),
            LocalSecret::File(KeyFile::new(self.directory.keys(W::NAME))),
            SystemClock,
            settings(),
        )
    }
}

/// Adds the route of each webhook. The intake reads the secret of a path itself.
struct Routes<'a> {
    server: &'a Server,
    router: Router,
}

impl VisitWebhooks for Routes<'_> {
    fn visit<W: Webhook>(&mut self) {
        let router = std::mem::take(&mut self.router);
        self.router = router.route_service(&W::ROUTE.pattern(), self.server.intake::<W>());
    }
}

fn settings() -> IntakeSettings {
    IntakeSettings { secret_refresh: SECRET_REFRESH, ..IntakeSettings::default() }
}

/// Ends at Ctrl-C, or at the signal that asks a process to end. From this call on neither of them ends the process by itself.
///
/// # Errors
/// When the operating system doesn't let us listen.
#[cfg(unix)]
pub fn stop_signal() -> Result<impl Future<Output = ()> + Send + 'static, ServerError> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ServerError::Signal)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(ServerError::Signal)?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Ends at Ctrl-C. From this call on it doesn't end the process by itself.
///
/// # Errors
/// When the operating system doesn't let us listen.
#[cfg(windows)]
pub fn stop_signal() -> Result<impl Future<Output = ()> + Send + 'static, ServerError> {
    let mut interrupt = tokio::signal::windows::ctrl_c().map_err(ServerError::Signal)?;
    Ok(async move {
        interrupt.recv().await;
    })
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    queued: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dead_letters: Option<u64>,
}

async fn health(queue: SqliteQueue) -> Response {
    match queue.depth().await {
        Ok(depth) => {
            let health = Health { status: "ok", queued: Some(depth.queued), dead_letters: Some(depth.dead_letters) };
            json(StatusCode::OK, &health).map(Body::new)
        }
        Err(error) => {
            tracing::error!(%error, "the database does not answer");
            let health = Health { status: "database unavailable", queued: None, dead_letters: None };
            json(StatusCode::SERVICE_UNAVAILABLE, &health).map(Body::new)
        }
    }
}

async fn not_found() -> Response {
    let paths: Vec<String> =
        ProviderName::ALL.iter().filter_map(|provider| Some(webhook_route(*provider)?.shown())).collect();
    let paths = paths.join(", ");
    let detail = format!(
        "there is nothing at this path; the webhooks are at {paths}, tokens at {TOKEN_PATH}, and /health reports the state of the server"
    );
    refusal(StatusCode::NOT_FOUND, "not-found", detail)
}

/// The webhooks answer other methods themselves.
async fn wrong_method() -> Response {
    let detail = "/health takes GET only".to_owned();
    let mut response = refusal(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", detail);
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET"));
    response
}

fn refusal(status: StatusCode, reason: &'static str, detail: String) -> Response {
    let id = SystemClock.new_delivery_id(SystemClock.now());
    let mut response = problem(status, reason, detail, id).map(Body::new);
    response.extensions_mut().insert(Refusal { id: Some(id), reason });
    response
}
