//! As much of HTTP as the measurement needs, at little cost.

use std::net::SocketAddr;

use anyhow::{Context as _, bail};
use intake_simulator::signed_delivery::SignedDelivery;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A connection that stays open.
pub(crate) struct Connection {
    stream: TcpStream,
    host: SocketAddr,
    request: Vec<u8>,
    received: Vec<u8>,
}

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(host: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(host).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, host, request: Vec::new(), received: Vec::with_capacity(4096) })
    }

    /// Posts a delivery, and waits for the answer.
    pub(crate) async fn post(&mut self, path: &str, delivery: &SignedDelivery) -> anyhow::Result<Answer> {
        self.request.clear();
        let length = delivery.body.len();
        let head = format!("POST {path} HTTP/1.1\r\nhost: {}\r\ncontent-length: {length}\r\n", self.host);
        self.request.extend_from_slice(head.as_bytes());
        for (name, value) in delivery.headers() {
            self.request.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        self.request.extend_from_slice(b"\r\n");
        self.request.extend_from_slice(&delivery.body);
        self.stream.write_all(&self.request).await?;
        self.answer().await
    }

    async fn answer(&mut self) -> anyhow::Result<Answer> {
        self.received.clear();
        loop {
            if self.stream.read_buf(&mut self.received).await? == 0 {
                bail!("the server closed the connection");
            }
            let Some(end) = self.received.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { continue };
            let (head, body) = self.received.split_at(end + 4);
            let head = std::str::from_utf8(head)?;
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
            });
            if body.len() < length.context("an answer without its length")? {
                continue;
            }
            let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
            return Ok(Answer { status: status.context("an answer without a status")?, body: body.to_vec() });
        }
    }
}
