use std::net::SocketAddr;

use axum::routing::get;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;

/// Shorter than what hyper waits where nothing is said.
const HEAD_TIMEOUT: Duration = Duration::from_secs(20);

const REQUEST: &[u8] = b"GET /quick HTTP/1.1\r\nhost: x\r\n\r\n";

/// A server whose answer at `/slow` waits until `release` is notified, and at `/quick` for nothing.
struct Served {
    address: SocketAddr,
    release: Arc<Notify>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

async fn served(max_connections: usize) -> Served {
    let release = Arc::new(Notify::new());
    let slow = Arc::clone(&release);
    let router = Router::new().route("/quick", get(|| async { "quick" })).route(
        "/slow",
        get(move || {
            let release = Arc::clone(&slow);
            async move {
                release.notified().await;
                "slow"
            }
        }),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let limits = Limits { max_connections, head_timeout: HEAD_TIMEOUT };
    let task = tokio::spawn(serve(listener, router, limits, async move {
        let _ = stopped.await;
    }));
    Served { address, release, stop, task }
}

async fn exchanged(stream: &mut TcpStream, request: &[u8]) -> String {
    stream.write_all(request).await.unwrap();
    let mut answer = vec![0; 4096];
    let length = stream.read(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer[..length]).into_owned()
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_ends_the_head_of_its_request_is_disconnected() {
    let served = served(10).await;
    let began = tokio::time::Instant::now();
    let mut slow = TcpStream::connect(served.address).await.unwrap();
    slow.write_all(b"GET /quick HTTP/1.1\r\nhost: x\r\n").await.unwrap();
    let mut answer = Vec::new();
    slow.read_to_end(&mut answer).await.unwrap();
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(began.elapsed().as_secs(), HEAD_TIMEOUT.as_secs());
}

#[tokio::test]
async fn the_connection_that_waited_longest_for_a_request_makes_room() {
    let served = served(2).await;
    let mut first = TcpStream::connect(served.address).await.unwrap();
    let mut second = TcpStream::connect(served.address).await.unwrap();
    for stream in [&mut second, &mut first] {
        assert!(exchanged(stream, REQUEST).await.ends_with("quick"));
    }
    let mut third = TcpStream::connect(served.address).await.unwrap();
    assert!(exchanged(&mut third, REQUEST).await.ends_with("quick"));
    assert_eq!(second.read(&mut [0; 8]).await.unwrap(), 0);
    assert!(exchanged(&mut first, REQUEST).await.ends_with("quick"));
}

#[tokio::test]
async fn a_connection_with_a_request_in_hand_does_not_make_room() {
    let served = served(1).await;
    let mut busy = TcpStream::connect(served.address).await.unwrap();
    busy.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    // The server reads a request and takes a connection in any order; a request that has begun is answered in any case.
    let answer = tokio::spawn(async move {
        let mut answer = String::new();
        busy.read_to_string(&mut answer).await.unwrap();
        answer
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut next = TcpStream::connect(served.address).await.unwrap();
    next.write_all(REQUEST).await.unwrap();
    served.release.notify_one();
    assert!(answer.await.unwrap().ends_with("slow"));
    let mut quick = vec![0; 4096];
    let length = next.read(&mut quick).await.unwrap();
    assert!(String::from_utf8_lossy(&quick[..length]).ends_with("quick"));
}

#[tokio::test]
async fn a_stop_ends_idle_connections_and_waits_for_the_answer_to_a_request() {
    let served = served(10).await;
    let mut idle = TcpStream::connect(served.address).await.unwrap();
    assert!(exchanged(&mut idle, REQUEST).await.ends_with("quick"));
    let mut busy = TcpStream::connect(served.address).await.unwrap();
    busy.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    served.stop.send(()).unwrap();
    assert_eq!(idle.read(&mut [0; 8]).await.unwrap(), 0);
    assert!(!served.task.is_finished());
    served.release.notify_one();
    let mut answer = String::new();
    busy.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("slow"), "{answer}");
    served.task.await.unwrap();
}
