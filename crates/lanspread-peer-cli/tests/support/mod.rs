//! A peer as a child process, and the records that it may print, restated apart from the program.
#![allow(dead_code, unreachable_pub, reason = "every test file uses a part of it")]

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use serde_json::{Map, Value};
use tempfile::TempDir;

pub const BINARY: &str = env!("CARGO_BIN_EXE_lanspread-peer-cli");

/// Far beyond what anything here takes, even on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Record {
    Ready { seq: u64, t_us: u64, protocol: u32, version: String, data: ReadyData },
    Result { seq: u64, t_us: u64, id: Value, cmd: String, data: Map<String, Value> },
    Error { seq: u64, t_us: u64, id: Value, cmd: Option<String>, error: ErrorData },
    Event { seq: u64, t_us: u64, event: String, data: Map<String, Value> },
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadyData {
    pub peer_id: String,
    pub name: String,
    pub listen_addr: String,
    pub network: String,
    pub games_dir: PathBuf,
    pub pid: u32,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorData {
    pub code: String,
    pub message: String,
    pub retryable: bool,
    pub hint: String,
}

impl Record {
    pub fn seq(&self) -> u64 {
        match self {
            Self::Ready { seq, .. }
            | Self::Result { seq, .. }
            | Self::Error { seq, .. }
            | Self::Event { seq, .. } => *seq,
        }
    }

    pub fn t_us(&self) -> u64 {
        match self {
            Self::Ready { t_us, .. }
            | Self::Result { t_us, .. }
            | Self::Error { t_us, .. }
            | Self::Event { t_us, .. } => *t_us,
        }
    }

    /// The id of a terminal record.
    pub fn id(&self) -> Option<&Value> {
        match self {
            Self::Result { id, .. } | Self::Error { id, .. } => Some(id),
            Self::Ready { .. } | Self::Event { .. } => None,
        }
    }

    pub fn error(&self) -> &ErrorData {
        match self {
            Self::Error { error, .. } => error,
            other => panic!("not an error: {other:?}"),
        }
    }

    pub fn data(&self) -> &Map<String, Value> {
        match self {
            Self::Result { data, .. } | Self::Event { data, .. } => data,
            other => panic!("not a result or event: {other:?}"),
        }
    }

    pub fn is_event(&self, name: &str) -> bool {
        matches!(self, Self::Event { event, .. } if event == name)
    }
}

/// A games directory and a state directory that vanish at the end.
pub struct Home {
    dir: TempDir,
}

impl Home {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("games")).unwrap();
        Self { dir }
    }

    pub fn games(&self) -> PathBuf {
        self.dir.path().join("games")
    }

    pub fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `run` on this home, on loopback and without mDNS.
    pub fn command(&self) -> Command {
        self.command_logging("error")
    }

    pub fn command_logging(&self, filter: &str) -> Command {
        let mut command = Command::new(BINARY);
        command.arg("run").arg("--games-dir").arg(self.games()).arg("--state-dir");
        command.arg(self.state()).args(["--listen", "127.0.0.1:0", "--mdns-interface", "off"]);
        command.args(["--log", filter]);
        command
    }

    pub fn start(&self) -> Peer {
        Peer::start(self.command())
    }
}

/// A running peer. It is killed when dropped.
pub struct Peer {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    /// Everything it printed so far, for the evidence of a failing test.
    pub seen: Vec<Record>,
}

impl Peer {
    /// Starts `command`, with its output read to the end by a thread.
    pub fn start(command: Command) -> Self {
        let (sender, lines) = channel();
        Self::start_read_by(command, lines, move |line| sender.send(line).is_ok())
    }

    /// Starts `command`. Its output is read as far as [`Self::next`] asks for it, and one line ahead.
    pub fn start_slow_reader(command: Command) -> Self {
        let (sender, lines) = sync_channel(0);
        Self::start_read_by(command, lines, move |line| sender.send(line).is_ok())
    }

    fn start_read_by(
        mut command: Command,
        lines: Receiver<String>,
        pass_on: impl Fn(String) -> bool + Send + 'static,
    ) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || stdout.lines().all(|line| pass_on(line.unwrap())));
        let stdin = child.stdin.take();
        Self { child, stdin, lines, seen: Vec::new() }
    }

    /// Writes bytes as they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(bytes.as_ref()).unwrap();
        stdin.flush().unwrap();
    }

    /// Writes one line.
    pub fn line(&mut self, line: &str) {
        self.send(format!("{line}\n"));
    }

    pub fn close_input(&mut self) {
        self.stdin = None;
    }

    /// Writes `text` and closes the input, by a thread: the peer may not take all of it at once.
    pub fn write_to_the_end(&mut self, text: String) {
        let mut stdin = self.stdin.take().unwrap();
        thread::spawn(move || stdin.write_all(text.as_bytes()));
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
    }

    /// The next record; `None` at the end of the output.
    pub fn next(&mut self) -> Option<Record> {
        let line = match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => line,
            Err(RecvTimeoutError::Disconnected) => return None,
            Err(RecvTimeoutError::Timeout) => panic!("no record after {:#?}", self.seen),
        };
        let record: Record = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"));
        let (seq, t_us) = self.seen.last().map_or((0, 0), |last| (last.seq(), last.t_us()));
        assert_eq!(record.seq(), seq + 1, "{line}");
        assert!(record.t_us() >= t_us, "{line}");
        self.seen.push(record.clone());
        Some(record)
    }

    /// The next record that `wanted` takes.
    pub fn until(&mut self, wanted: impl Fn(&Record) -> bool) -> Record {
        loop {
            match self.next() {
                Some(record) if wanted(&record) => return record,
                Some(_) => {}
                None => panic!("the output ended: {:#?}", self.seen),
            }
        }
    }

    /// The terminal record of the command called `id`.
    pub fn answer(&mut self, id: impl Into<Value>) -> Record {
        let id = id.into();
        self.until(|record| record.id() == Some(&id))
    }

    pub fn ready(&mut self) -> ReadyData {
        match self.next() {
            Some(Record::Ready { data, .. }) => data,
            other => panic!("not ready: {other:?}"),
        }
    }

    /// Reads the rest of the output, which must end with `stopped`.
    pub fn stopped(&mut self) -> ExitStatus {
        while self.next().is_some() {}
        assert!(self.seen.last().unwrap().is_event("stopped"), "{:#?}", self.seen);
        self.wait()
    }

    /// Waits for the process to end.
    pub fn wait(&mut self) -> ExitStatus {
        end_by_itself(&mut self.child)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It has usually ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the program to its end, without input.
pub fn run(command: &mut Command) -> (ExitStatus, String, String) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status, text(output.stdout), text(output.stderr))
}

/// `fixture` with a game of one small file.
pub fn fixture(games_dir: &Path, id: &str, more: &[&str]) -> Value {
    let mut command = Command::new(BINARY);
    command.arg("fixture").arg("--games-dir").arg(games_dir).args(["--id", id]).args(more);
    let (status, stdout, stderr) = run(&mut command);
    assert!(status.success(), "{stderr}");
    serde_json::from_str(&stdout).unwrap()
}

/// Reads a whole file.
pub fn read(path: impl AsRef<Path>) -> Vec<u8> {
    let mut bytes = Vec::new();
    std::fs::File::open(path).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

/// Sends `signal` again and again until `child` has ended: two pending ones would count as one.
pub fn end_by(child: &mut Child, signal: Signal) -> ExitStatus {
    let pid = Pid::from_child(child);
    end(child, || {
        // Between the check and the signal it may have ended.
        let _ = kill_process(pid, signal);
    })
}

/// Waits for `child` to end.
pub fn end_by_itself(child: &mut Child) -> ExitStatus {
    end(child, || {})
}

fn end(child: &mut Child, nudge: impl Fn()) -> ExitStatus {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if began.elapsed() > PATIENCE {
            let _ = child.kill();
            panic!("it does not end");
        }
        nudge();
        thread::sleep(Duration::from_millis(5));
    }
}
