//! Takes connections and serves each, within bounds that no client can exceed.
//!
//! A client that doesn't send the head of a request in time is disconnected. When there are as many connections as there may be, the one
//! that has waited longest for a request makes room for the next. So clients that are idle or slow keep nobody out.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore, watch};

/// Maximum number of connections, where the operating system allows the process as many.
const MAX_CONNECTIONS: usize = 16_384;

/// Number of files that are kept for everything but connections: the database, key files, calls to a consumer or a broker.
const OTHER_FILES: usize = 128;

/// Size of the buffer of a connection, and so of the head of a request, in bytes. API Gateway takes 10,240.
const MAX_BUFFER_BYTES: usize = 64 * 1024;

/// How long to wait after an error that is not of one connection, such as a lack of files.
const PAUSE: Duration = Duration::from_millis(100);

/// Bounds of the connections of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Maximum number of connections.
    pub(crate) max_connections: usize,
    /// Maximum time until the head of a request is there, counted from the connection's start or from the last answer.
    pub(crate) head_timeout: Duration,
}

impl Limits {
    /// As many connections as the process may have open files. A process may raise that itself, up to a limit of its user's.
    pub(crate) fn of_this_process() -> Self {
        let wanted = MAX_CONNECTIONS + OTHER_FILES;
        let files = rlimit::increase_nofile_limit(wanted as u64)
            .map_or(wanted, |files| usize::try_from(files).unwrap_or(wanted));
        let max_connections = files.saturating_sub(OTHER_FILES).clamp(OTHER_FILES, MAX_CONNECTIONS);
        Self { max_connections, head_timeout: Duration::from_secs(30) }
    }
}

/// Serves until `stop` is done, and then the requests that have begun.
pub(crate) async fn serve(listener: TcpListener, router: Router, limits: Limits, stop: impl Future<Output = ()>) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.head_timeout).max_buf_size(MAX_BUFFER_BYTES);
    let places = Arc::new(Semaphore::new(limits.max_connections));
    let idle = Idle::default();
    let (tell_stop, told_stop) = watch::channel(false);
    let mut stop = pin!(stop);
    loop {
        let taken = async {
            let stream = accept(&listener).await;
            if places.available_permits() == 0 {
                idle.close_longest();
            }
            Some((Arc::clone(&places).acquire_owned().await.ok()?, stream))
        };
        let (place, stream) = tokio::select! {
            Some(taken) = taken => taken,
            () = &mut stop => break,
            else => break,
        };
        let connection = connection(http.clone(), stream, router.clone(), idle.clone(), told_stop.clone());
        tokio::spawn(async move {
            connection.await;
            drop(place);
        });
    }
    drop(listener);
    let _ = tell_stop.send(true);
    // Each connection has its place until it ends.
    let all = u32::try_from(limits.max_connections).unwrap_or(u32::MAX);
    let _ = places.acquire_many(all).await;
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::error!(%error, "no connection can be taken; trying again");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Serves one connection until it ends, makes room, or has answered its last request after a stop.
async fn connection(
    http: http1::Builder,
    stream: TcpStream,
    router: Router,
    idle: Idle,
    mut told_stop: watch::Receiver<bool>,
) {
    let waiting = Arc::new(Waiting::new(idle));
    let service = service_fn({
        let waiting = Arc::clone(&waiting);
        move |request: Request<Incoming>| {
            waiting.end();
            let answer = TowerToHyperService::new(router.clone()).call(request.map(Body::new));
            let waiting = Arc::clone(&waiting);
            async move {
                let answer = answer.await;
                waiting.begin();
                answer
            }
        }
    });
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
    let is_served = tokio::select! {
        // A client that is gone, too slow, or speaks something else is answered by hyper as far as possible.
        _ = &mut connection => true,
        () = waiting.closed.notified() => true,
        _ = told_stop.wait_for(|stop| *stop) => false,
    };
    if !is_served {
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    }
    waiting.end();
}

/// The connections that wait for a request, by when they began to.
#[derive(Clone, Default)]
struct Idle(Arc<Mutex<IdleConnections>>);

#[derive(Default)]
struct IdleConnections {
    next: u64,
    by_begin: BTreeMap<u64, Arc<Notify>>,
}

impl Idle {
    fn locked(&self) -> MutexGuard<'_, IdleConnections> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the connection that has waited longest, if any waits.
    fn close_longest(&self) {
        if let Some((_, closed)) = self.locked().by_begin.pop_first() {
            closed.notify_one();
        }
    }
}

/// One connection among those that wait.
struct Waiting {
    idle: Idle,
    closed: Arc<Notify>,
    since: Mutex<Option<u64>>,
}

impl Waiting {
    /// A connection that waits for its first request.
    fn new(idle: Idle) -> Self {
        let waiting = Self { idle, closed: Arc::default(), since: Mutex::new(None) };
        waiting.begin();
        waiting
    }

    fn begin(&self) {
        let mut idle = self.idle.locked();
        let begin = idle.next;
        idle.next += 1;
        idle.by_begin.insert(begin, Arc::clone(&self.closed));
        *self.since.lock().unwrap_or_else(PoisonError::into_inner) = Some(begin);
    }

    fn end(&self) {
        if let Some(begin) = self.since.lock().unwrap_or_else(PoisonError::into_inner).take() {
            self.idle.locked().by_begin.remove(&begin);
        }
    }
}

#[cfg(test)]
mod tests;
