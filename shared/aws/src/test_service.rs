//! A stand-in for a service of AWS on a local port, so that the tests see real requests, retries and timeouts.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use intake_pipeline::payloads::{PayloadReader, Payloads};
use intake_pipeline::port_error::PortError;
use serde_json::Value;

use crate::Clients;
use crate::timeouts::{Budget, ContentionBudget};

/// Short timeouts, so that tests of their expiry are fast.
pub(crate) const BUDGET: Budget = Budget {
    connect: Duration::from_millis(500),
    attempt: Duration::from_millis(700),
    operation: Duration::from_millis(1_500),
    attempts: 3,
    first_pause: Duration::from_millis(5),
    longest_pause: Duration::from_millis(10),
};

pub(crate) const CONTENTION: ContentionBudget = ContentionBudget {
    attempts: 4,
    first_pause: Duration::from_millis(2),
    longest_pause: Duration::from_millis(5),
    within: Duration::from_secs(5),
};

#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Answer {
        status: u16,
        body: String,
    },
    /// Reads the request and never answers.
    Hang,
}

impl Reply {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::Answer { status, body: body.to_string() }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Received {
    /// The request line, such as `PUT /bucket/key?x-id=PutObject`.
    pub(crate) line: String,
    /// The headers, as they came.
    headers: Vec<String>,
    pub(crate) body: Vec<u8>,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let headers = self.headers.iter().filter_map(|line| line.split_once(':'));
        headers.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// The service.
pub(crate) struct TestService {
    endpoint: String,
    received: Arc<Mutex<Vec<Received>>>,
}

impl TestService {
    /// Each request gets the next reply; the last one is repeated.
    pub(crate) fn replying(replies: &[Reply]) -> Self {
        let replies = replies.to_vec();
        Self::answering(move |index, _| replies.get(index).or(replies.last()).unwrap().clone())
    }

    /// Each request gets the reply to its number, which begins with 0, and its content.
    pub(crate) fn answering(reply: impl Fn(usize, &Received) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let received = Arc::new(Mutex::new(Vec::new()));
        let (reply, log) = (Arc::new(reply), Arc::clone(&received));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (reply, log) = (Arc::clone(&reply), Arc::clone(&log));
                std::thread::spawn(move || serve(stream.unwrap(), &*reply, &log));
            }
        });
        Self { endpoint, received }
    }

    pub(crate) fn clients(&self) -> Clients {
        Clients::at(&self.endpoint, BUDGET, CONTENTION)
    }

    /// The configuration of clients of this service.
    #[cfg(feature = "operator")]
    pub(crate) fn config(&self) -> aws_config::SdkConfig {
        Clients::config_at(&self.endpoint, BUDGET)
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }
}

/// Takes one request from the connection, and closes it after the answer.
fn serve(mut stream: TcpStream, reply: &impl Fn(usize, &Received) -> Reply, log: &Mutex<Vec<Received>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap() == 0 {
            return;
        }
        if line.trim().is_empty() {
            break;
        }
        head.push(line.trim().to_owned());
    }
    let header = |wanted: &str| {
        let mut headers = head.iter().filter_map(|line| line.split_once(':'));
        headers.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim().to_owned())
    };
    let length = header("content-length").map_or(0, |value| value.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let line = head.first().unwrap().trim_end_matches(" HTTP/1.1").to_owned();
    let request = Received { line, headers: head.iter().skip(1).cloned().collect(), body };
    let index = {
        let mut log = log.lock().unwrap();
        log.push(request.clone());
        log.len() - 1
    };
    match reply(index, &request) {
        Reply::Answer { status, body } => {
            let length = body.len();
            let _ = write!(
                stream,
                "HTTP/1.1 {status} Status\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
        }
        Reply::Hang => std::thread::sleep(Duration::from_secs(5)),
    }
}

/// A store that must not be called.
pub(crate) struct NoPayloads;

impl PayloadReader for NoPayloads {
    async fn get(&self, _: &intake_pipeline::payloads::PayloadKey) -> Result<bytes::Bytes, PortError> {
        panic!("nothing is to be fetched")
    }
}

impl Payloads for NoPayloads {
    async fn put(&self, _: &intake_pipeline::payloads::PayloadKey, _: bytes::Bytes) -> Result<(), PortError> {
        panic!("nothing is to be stored")
    }
}
