//! Bounds the memory that bodies take: beyond a small part of each, only some are read at a time.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// How much of any body is read at once, in bytes: more than nearly every delivery has.
const SMALL_BYTES: usize = 64 * 1024;

/// Number of bodies of which more is read at a time. A body has 4 MiB at most, and is in memory some four times until it is stored.
const MAX_LARGE_BODIES: usize = 32;

/// The places of bodies that are large.
#[derive(Clone, Debug)]
pub(crate) struct LargeBodies(Arc<Semaphore>);

impl Default for LargeBodies {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_LARGE_BODIES)))
    }
}

/// Answers a request. Of its body no more than a small part is read before there is a place for a large one, which it has until its
/// answer is there. So large bodies wait for one another, and small ones for none.
pub(crate) async fn bound(State(places): State<LargeBodies>, request: Request, next: Next) -> Response {
    let place = Place::default();
    let kept = place.clone();
    let request =
        request.map(|body| Body::new(BoundedBody { body, received: 0, places: places.0, place, taking: None }));
    let response = next.run(request).await;
    drop(kept);
    response
}

/// The place of one body, once it has one.
#[derive(Clone, Default)]
struct Place(Arc<Mutex<Option<OwnedSemaphorePermit>>>);

type Taking = Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send>>;

struct BoundedBody {
    body: Body,
    received: usize,
    places: Arc<Semaphore>,
    place: Place,
    taking: Option<Taking>,
}

impl BoundedBody {
    /// Ready when the next part may be read.
    fn poll_place(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut place = self.place.0.lock().unwrap_or_else(PoisonError::into_inner);
        if self.received < SMALL_BYTES || place.is_some() {
            return Poll::Ready(());
        }
        let places = &self.places;
        let taking = self.taking.get_or_insert_with(|| Box::pin(Arc::clone(places).acquire_owned()));
        // The semaphore is never closed.
        *place = ready!(taking.as_mut().poll(context)).ok();
        self.taking = None;
        Poll::Ready(())
    }
}

impl HttpBody for BoundedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        ready!(self.poll_place(context));
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            self.received += frame.data_ref().map_or(0, Bytes::len);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::Router;
    use axum::middleware::from_fn_with_state;
    use axum::routing::post;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::timeout;

    use super::*;

    const LARGE: usize = 8 * SMALL_BYTES;

    /// Sends the first `sent` bytes of a body of `length`.
    async fn begun(address: std::net::SocketAddr, length: usize, sent: usize) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&vec![b'x'; sent]).await.unwrap();
        stream
    }

    async fn answer(mut stream: TcpStream) -> String {
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text.rsplit("\r\n").next().unwrap_or_default().to_owned()
    }

    #[tokio::test]
    async fn a_large_body_waits_for_another_one_and_a_small_one_does_not() {
        let places = LargeBodies(Arc::new(Semaphore::new(1)));
        let read = post(|body: Bytes| async move { body.len().to_string() });
        let router = Router::new().route("/", read).layer(axum::extract::DefaultBodyLimit::disable());
        let router = router.layer(from_fn_with_state(places.clone(), bound));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });

        let mut first = begun(address, LARGE, LARGE - 1).await;
        while places.0.available_permits() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let second = tokio::spawn(async move { answer(begun(address, LARGE, LARGE).await).await });
        let small = answer(begun(address, 100, 100).await).await;
        assert_eq!(timeout(Duration::from_secs(20), async { small }).await.unwrap(), "100");
        assert!(!second.is_finished());
        first.write_all(b"x").await.unwrap();
        assert_eq!(answer(first).await, LARGE.to_string());
        assert_eq!(second.await.unwrap(), LARGE.to_string());
        while places.0.available_permits() < 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
