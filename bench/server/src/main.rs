//! Posts signed deliveries of Machnet's to a server, checks every answer, and prints what was measured as one JSON object.
//!
//! All connections share one thread, which takes about a tenth of a core for 5,000 deliveries a second, so that the server has the rest.

mod connection;
mod measured;

use std::cell::RefCell;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Parser;
use intake_providers::timestamp::Timestamp;
use intake_simulator::machnet::{Key, body};
use intake_simulator::made_up::random_hex;

use crate::connection::Connection;
use crate::measured::Measured;

#[derive(Debug, Parser)]
struct Arguments {
    /// The server.
    #[arg(long)]
    address: SocketAddr,
    /// The file with Machnet's keys, in the server's data directory.
    #[arg(long)]
    keys: PathBuf,
    /// Number of connections.
    #[arg(long, default_value_t = 128)]
    connections: usize,
    /// How long to send, in seconds.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Number of deliveries a second over all connections. Without it each connection sends as soon as it has its answer. With it,
    /// the time of an answer counts from when the delivery was to be sent.
    #[arg(long)]
    rate: Option<u32>,
    /// Where to write the id of each acknowledged event, one a line. With it, the end of the server is an end like any other.
    #[arg(long)]
    acknowledged: Option<PathBuf>,
}

/// What the connections share.
struct Load {
    address: SocketAddr,
    key: Key,
    started: Instant,
    end: Instant,
    pause: Option<Duration>,
    acknowledged: Option<RefCell<std::io::BufWriter<std::fs::File>>>,
    measured: RefCell<Measured>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, run(arguments))
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let keys = std::fs::read_to_string(&arguments.keys).context("the file with the keys cannot be read")?;
    let acknowledged = arguments.acknowledged.as_ref().map(std::fs::File::create).transpose()?;
    let started = Instant::now();
    let connections = u32::try_from(arguments.connections)?;
    let load = Rc::new(Load {
        address: arguments.address,
        key: Key::read(&keys)?,
        started,
        end: started + Duration::from_secs(arguments.seconds),
        pause: arguments.rate.map(|rate| Duration::from_secs(1) * connections / rate.max(1)),
        acknowledged: acknowledged.map(|file| RefCell::new(std::io::BufWriter::new(file))),
        measured: RefCell::default(),
    });
    let senders: Vec<_> =
        (0..connections).map(|number| tokio::task::spawn_local(send(Rc::clone(&load), number, connections))).collect();
    for sender in senders {
        match sender.await? {
            Err(error) if load.acknowledged.is_none() => return Err(error),
            _ => {}
        }
    }
    if let Some(acknowledged) = &load.acknowledged {
        acknowledged.borrow_mut().flush()?;
    }
    println!("{}", load.measured.borrow().report(started.elapsed()));
    Ok(())
}

/// Sends over one connection until the time is up.
async fn send(load: Rc<Load>, number: u32, connections: u32) -> anyhow::Result<()> {
    let mut connection = Connection::open(load.address).await?;
    let mut due = load.started + load.pause.map_or(Duration::ZERO, |pause| pause * number / connections);
    while Instant::now() < load.end {
        if load.pause.is_some() {
            tokio::time::sleep_until(due.into()).await;
        } else {
            due = Instant::now();
        }
        let id = random_hex(12);
        let delivery = load.key.sign(body(&id, &random_hex(12), Timestamp::EPOCH), None);
        let answer = connection.post("/webhooks/machnet", &delivery).await?;
        load.measured.borrow_mut().add(due.elapsed());
        // The whole answer: a status alone could be that of something in between.
        let receipt: serde_json::Value = serde_json::from_slice(&answer.body).context("the answer is not JSON")?;
        anyhow::ensure!(
            answer.status == 200 && receipt.get("delivery_id").is_some_and(serde_json::Value::is_string),
            "a delivery was answered {} with {receipt}",
            answer.status
        );
        if let Some(acknowledged) = &load.acknowledged {
            writeln!(acknowledged.borrow_mut(), "{id}")?;
        }
        due += load.pause.unwrap_or_default();
    }
    Ok(())
}
