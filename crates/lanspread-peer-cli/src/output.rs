//! Standard output: the only place that numbers, dates and writes records.

use std::io;
use std::time::Instant;

use tokio::io::{AsyncWriteExt, Stdout};

use crate::errors::ErrorBody;
use crate::escape::escape_json;
use crate::protocol::VERSION;
use crate::protocol::data::{RawData, ReadyData};
use crate::protocol::records::{CommandId, Record};
use crate::protocol::results::CommandResult;

/// From here on a batch is written out, even while more records are ready.
const BATCH_BYTES: usize = 256 * 1024;

/// Whether records still reach someone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    /// As far as is known, yes.
    There,
    /// It closed its end of the pipe.
    Gone,
    /// Writing fails for another reason.
    Failed,
}

/// The records on their way to standard output, in order and without gaps.
#[derive(Debug)]
pub(crate) struct Output {
    stdout: Stdout,
    batch: Vec<u8>,
    seq: u64,
    started: Instant,
    reader: Reader,
}

impl Output {
    /// `started` is what `t_us` counts from.
    pub(crate) fn new(started: Instant) -> Self {
        let stdout = tokio::io::stdout();
        Self { stdout, batch: Vec::new(), seq: 0, started, reader: Reader::There }
    }

    pub(crate) fn ready(&mut self, data: &ReadyData) {
        let (seq, t_us) = self.next();
        let version = env!("CARGO_PKG_VERSION");
        self.push(&Record::Ready { seq, t_us, protocol: VERSION, version, data });
    }

    pub(crate) fn result(&mut self, id: &CommandId, result: &CommandResult) {
        let (seq, t_us) = self.next();
        self.push(&Record::Result { seq, t_us, id, result });
    }

    pub(crate) fn error(&mut self, id: Option<&CommandId>, cmd: Option<&str>, error: &ErrorBody) {
        let (seq, t_us) = self.next();
        self.push(&Record::Error { seq, t_us, id, cmd, error });
    }

    /// Returns the `seq` and the `t_us` of the record.
    pub(crate) fn event(&mut self, event: &str, data: &RawData) -> (u64, u64) {
        let (seq, t_us) = self.next();
        self.push(&Record::Event { seq, t_us, event, data });
        (seq, t_us)
    }

    /// Whether records wait to be written.
    pub(crate) fn has_batch(&self) -> bool {
        !self.batch.is_empty()
    }

    /// Whether so many records wait that they should be written before more are made.
    pub(crate) fn batch_is_full(&self) -> bool {
        self.batch.len() >= BATCH_BYTES
    }

    /// Writes what waits. Where nobody reads any more, records are dropped from then on.
    pub(crate) async fn flush(&mut self) -> Reader {
        if let Err(error) = write_out(&mut self.stdout, &self.batch).await {
            if error.kind() == io::ErrorKind::BrokenPipe {
                self.reader = Reader::Gone;
            } else {
                tracing::error!(%error, "standard output cannot be written");
                self.reader = Reader::Failed;
            }
        }
        self.batch.clear();
        self.batch.shrink_to(BATCH_BYTES);
        self.reader
    }

    fn next(&mut self) -> (u64, u64) {
        self.seq += 1;
        (self.seq, u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    #[expect(clippy::expect_used, reason = "plain data always becomes JSON, and memory takes it")]
    fn push(&mut self, record: &Record<'_>) {
        if self.reader == Reader::There {
            let start = self.batch.len();
            serde_json::to_writer(&mut self.batch, record).expect("records serialise");
            escape_json(&mut self.batch, start);
            self.batch.push(b'\n');
        }
    }
}

async fn write_out(stdout: &mut Stdout, batch: &[u8]) -> io::Result<()> {
    stdout.write_all(batch).await?;
    stdout.flush().await
}
