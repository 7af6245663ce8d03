//! What an attack has done so far, told in JSON lines.

use std::convert::Infallible;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::input::{Said, begins};
use crate::platform::cpu_time;

/// How often it is told. Whoever waits for a rate needs two lines.
const TELL_EVERY: Duration = Duration::from_millis(250);

/// A count since the start.
#[derive(Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Counts one more.
    pub(crate) fn one(&self) {
        self.add(1);
    }

    /// Counts `more`.
    pub(crate) fn add(&self, more: usize) {
        self.0.fetch_add(more as u64, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counts of one attack.
pub(crate) struct Tally {
    attack: &'static str,
    began: Instant,
    gate: Option<watch::Receiver<Said>>,
    /// Connections that were begun.
    pub(crate) opened: Counter,
    /// Connections whose TLS handshake has ended.
    pub(crate) accepted: Counter,
    /// Hellos that were answered with a hello.
    pub(crate) joined: Counter,
    /// Connections and hellos that were refused, or not answered.
    pub(crate) refused: Counter,
    /// Connections that ended after their handshake.
    pub(crate) closed: Counter,
    /// Requests that were sent.
    pub(crate) asked: Counter,
    /// Requests whose answer ended: refused, reset or whole.
    pub(crate) ended: Counter,
    /// Requests of others that came in.
    pub(crate) requests: Counter,
    /// Chunks that were given.
    pub(crate) chunks: Counter,
    /// Bytes of streams that were sent.
    pub(crate) bytes_sent: Counter,
    /// Bytes of streams that were read.
    pub(crate) bytes_received: Counter,
    /// mDNS records that were sent: peers, not packets.
    pub(crate) records: Counter,
    /// What failed last.
    failure: Mutex<Option<String>>,
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    attack: &'a str,
    t_ms: u64,
    cpu_ms: u64,
    opened: u64,
    accepted: u64,
    joined: u64,
    refused: u64,
    closed: u64,
    asked: u64,
    ended: u64,
    requests: u64,
    chunks: u64,
    bytes_sent: u64,
    bytes_received: u64,
    records: u64,
    failure: Option<String>,
}

#[derive(Serialize)]
struct Ready<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    attack: &'a str,
    addr: Option<SocketAddr>,
}

impl Tally {
    /// Begins to count; where there is a gate, the attack waits for a line of input.
    pub(crate) fn new(attack: &'static str, gate: Option<watch::Receiver<Said>>) -> Self {
        let zero = Counter::default;
        Self {
            attack,
            began: Instant::now(),
            gate,
            opened: zero(),
            accepted: zero(),
            joined: zero(),
            refused: zero(),
            closed: zero(),
            asked: zero(),
            ended: zero(),
            requests: zero(),
            chunks: zero(),
            bytes_sent: zero(),
            bytes_received: zero(),
            records: zero(),
            failure: Mutex::new(None),
        }
    }

    /// Notes why something failed; the last reason is told.
    pub(crate) fn failed(&self, why: impl ToString) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.to_string());
    }

    /// Tells that the attack is ready, and where it listens; returns when it may begin.
    pub(crate) async fn ready(&self, addr: Option<SocketAddr>) -> Result<()> {
        print(&Ready { kind: "ready", attack: self.attack, addr })?;
        if let Some(gate) = &self.gate {
            begins(&mut gate.clone()).await;
        }
        Ok(())
    }

    /// Tells the counts again and again.
    pub(crate) async fn tell_regularly(&self) -> Result<Infallible> {
        loop {
            sleep(TELL_EVERY).await;
            self.tell("tally")?;
        }
    }

    /// Tells the counts at the end.
    pub(crate) fn tell_end(&self) -> Result<()> {
        self.tell("end")
    }

    fn tell(&self, kind: &str) -> Result<()> {
        print(&Line {
            kind,
            attack: self.attack,
            t_ms: millis(self.began.elapsed()),
            cpu_ms: millis(cpu_time()),
            opened: self.opened.get(),
            accepted: self.accepted.get(),
            joined: self.joined.get(),
            refused: self.refused.get(),
            closed: self.closed.get(),
            asked: self.asked.get(),
            ended: self.ended.get(),
            requests: self.requests.get(),
            chunks: self.chunks.get(),
            bytes_sent: self.bytes_sent.get(),
            bytes_received: self.bytes_received.get(),
            records: self.records.get(),
            failure: self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        })
    }
}

fn print(line: &impl Serialize) -> Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, line)?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
