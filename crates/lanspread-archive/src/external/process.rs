//! A program whose output is read while it runs, and which ends with its owner.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::Duration;

use crate::error::UnpackError;

/// What is read from the program at a time.
const BLOCK_BYTES: usize = 256 * 1024;
/// Blocks that wait for their reader, so that the program does not run ahead without end.
const BLOCKS_WAITING: usize = 4;
/// The end of standard error that is kept for a message; the program may write any amount.
const STDERR_MAX_BYTES: usize = 4 * 1024;
/// How long a silent program may go on after a cancellation.
const CANCEL_POLL: Duration = Duration::from_millis(50);
/// Between two looks at a program that has closed its output, and so is about to end.
const END_POLL: Duration = Duration::from_millis(1);
/// How long a process that the program left behind may keep its standard error open.
const STDERR_GRACE: Duration = Duration::from_secs(1);

/// A running program. Dropping it kills it.
pub(super) struct Process {
    program: PathBuf,
    child: Child,
    blocks: Receiver<io::Result<Vec<u8>>>,
    stderr: Receiver<String>,
}

/// How a program ended.
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    /// The end of its standard error, trimmed.
    pub(super) stderr: String,
}

impl Process {
    pub(super) fn start<'a>(
        program: &Path,
        arguments: impl Iterator<Item = &'a OsStr>,
    ) -> io::Result<Self> {
        let mut child = Command::new(program)
            .args(arguments)
            // In another character set the program would replace letters of names.
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let (block_sender, blocks) = mpsc::sync_channel(BLOCKS_WAITING);
        let (stderr_sender, stderr) = mpsc::sync_channel(1);
        if let Some(output) = child.stdout.take() {
            thread::spawn(move || forward_blocks(output, &block_sender));
        }
        if let Some(output) = child.stderr.take() {
            thread::spawn(move || stderr_sender.send(read_tail(output)));
        }
        Ok(Self { program: program.to_path_buf(), child, blocks, stderr })
    }

    /// The next piece of its output, or `None` at the end of it.
    ///
    /// `check` is asked before, and again and again while there is nothing.
    pub(super) fn next_block(
        &mut self,
        mut check: impl FnMut() -> Result<(), UnpackError>,
    ) -> Result<Option<Vec<u8>>, UnpackError> {
        loop {
            check()?;
            match self.blocks.recv_timeout(CANCEL_POLL) {
                Ok(Ok(block)) => return Ok(Some(block)),
                Ok(Err(error)) => {
                    return Err(UnpackError::io("read from", &self.program)(error));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
            }
        }
    }

    /// Waits for its end. To be called when its output has ended.
    pub(super) fn end(
        mut self,
        mut check: impl FnMut() -> Result<(), UnpackError>,
    ) -> Result<Ended, UnpackError> {
        let status = loop {
            let waited = self.child.try_wait();
            match waited.map_err(UnpackError::io("wait for", &self.program))? {
                Some(status) => break status,
                None => thread::sleep(END_POLL),
            }
            check()?;
        };
        let stderr = self.stderr.recv_timeout(STDERR_GRACE).unwrap_or_default();
        Ok(Ended { status, stderr })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn forward_blocks(mut output: impl Read, blocks: &SyncSender<io::Result<Vec<u8>>>) {
    loop {
        let mut block = vec![0; BLOCK_BYTES];
        let sent = match output.read(&mut block) {
            Ok(0) => return,
            Ok(count) => {
                block.truncate(count);
                blocks.send(Ok(block))
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(error) => blocks.send(Err(error)),
        };
        if sent.is_err() {
            return;
        }
    }
}

fn read_tail(mut output: impl Read) -> String {
    let mut tail = VecDeque::new();
    let mut block = [0; STDERR_MAX_BYTES];
    while let Ok(count @ 1..) = output.read(&mut block) {
        tail.extend(block.iter().take(count));
        let excess = tail.len().saturating_sub(STDERR_MAX_BYTES);
        tail.drain(..excess);
    }
    String::from_utf8_lossy(tail.make_contiguous()).trim().to_owned()
}
