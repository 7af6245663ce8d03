//! Lines from standard input, of bounded length.
//!
//! A thread of its own reads them: a blocked read must never keep the process from ending, and a
//! thread that nobody waits for does not.

use std::collections::VecDeque;
use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::thread;

use tokio::sync::{Notify, mpsc};

use crate::platform::wait_for_hang_up;

/// Longest line in bytes, without its line feed: far beyond every command, and little memory.
pub(crate) const LINE_MAX_BYTES: usize = 1024 * 1024;
/// Lines that wait to be handled. More stay in the pipe, where they cost nothing; together with
/// [`LINE_MAX_BYTES`] it bounds what unread input can take.
const LINES_WAITING: usize = 16;
/// Bytes of lines that are looked at before their time, so that a `shutdown` among them is seen: tens of thousands of
/// commands.
const AHEAD_MAX_BYTES: usize = 4 * 1024 * 1024;

/// One line of input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// The bytes of a line, without its line feed. May be empty, or no UTF-8.
    Whole(Vec<u8>),
    /// The first bytes of a line longer than [`LINE_MAX_BYTES`]; the rest was skipped.
    TooLong(Vec<u8>),
}

impl Line {
    /// How many bytes of it are kept.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Whole(bytes) | Self::TooLong(bytes) => bytes.len(),
        }
    }
}

/// Standard input. Its lines end where the input ends, or cannot be read.
#[derive(Debug)]
pub(crate) struct Input {
    lines: mpsc::Receiver<Line>,
    /// Lines that were looked at before their time.
    ahead: VecDeque<Line>,
    ahead_bytes: usize,
    /// Notified once nobody can write any more, though there may be lines left to read.
    pub(crate) hung_up: Arc<Notify>,
}

impl Input {
    fn new(lines: mpsc::Receiver<Line>, hung_up: Arc<Notify>) -> Self {
        Self { lines, ahead: VecDeque::new(), ahead_bytes: 0, hung_up }
    }

    /// Returns the next line; `None` at the end. Cancel safe.
    pub(crate) async fn next(&mut self) -> Option<Line> {
        match self.take_ahead() {
            Some(line) => Some(line),
            None => self.lines.recv().await,
        }
    }

    /// Returns the next line if it is there.
    pub(crate) fn try_next(&mut self) -> Option<Line> {
        self.take_ahead().or_else(|| self.lines.try_recv().ok())
    }

    /// Whether so little was looked at before its time that there may be more.
    pub(crate) fn may_look_ahead(&self) -> bool {
        self.ahead_bytes < AHEAD_MAX_BYTES
    }

    /// Returns a line before its time, once: [`Self::next`] returns it again. `None` at the end. Cancel safe.
    pub(crate) async fn look_ahead(&mut self) -> Option<&Line> {
        let line = self.lines.recv().await?;
        self.ahead_bytes += held_bytes(&line);
        self.ahead.push_back(line);
        self.ahead.back()
    }

    fn take_ahead(&mut self) -> Option<Line> {
        let line = self.ahead.pop_front()?;
        self.ahead_bytes -= held_bytes(&line);
        Some(line)
    }
}

fn held_bytes(line: &Line) -> usize {
    size_of::<Line>() + line.len()
}

/// Begins to read standard input.
pub(crate) fn read_stdin() -> io::Result<Input> {
    let (sender, lines) = mpsc::channel(LINES_WAITING);
    let hung_up = Arc::new(Notify::new());
    let ended = Arc::clone(&hung_up);
    let spawn = |name: &str| thread::Builder::new().name(name.to_owned());
    spawn("stdin").spawn(move || {
        send_lines(&sender);
        ended.notify_one();
    })?;
    // The reader does not come to the end while lines wait that nobody takes.
    let ended = Arc::clone(&hung_up);
    spawn("stdin-end").spawn(move || {
        wait_for_hang_up();
        ended.notify_one();
    })?;
    Ok(Input::new(lines, hung_up))
}

fn send_lines(lines: &mpsc::Sender<Line>) {
    let mut input = io::stdin().lock();
    loop {
        match next_line(&mut input, LINE_MAX_BYTES) {
            Ok(Some(line)) => {
                if lines.blocking_send(line).is_err() {
                    return;
                }
            }
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(%error, "standard input cannot be read, taken as its end");
                return;
            }
        }
    }
}

/// The next line of `input`; `None` at its end. A last line without a line feed counts.
fn next_line(input: &mut impl BufRead, max_bytes: usize) -> io::Result<Option<Line>> {
    let limit = max_bytes as u64 + 1;
    let mut line = Vec::new();
    input.by_ref().take(limit).read_until(b'\n', &mut line)?;
    if line.last() == Some(&b'\n') {
        line.pop();
        return Ok(Some(Line::Whole(line)));
    }
    if line.len() > max_bytes {
        input.skip_until(b'\n')?;
        return Ok(Some(Line::TooLong(line)));
    }
    Ok((!line.is_empty()).then_some(Line::Whole(line)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(mut input: &[u8], max_bytes: usize) -> Vec<Line> {
        std::iter::from_fn(|| next_line(&mut input, max_bytes).unwrap()).collect()
    }

    fn whole(bytes: &[u8]) -> Line {
        Line::Whole(bytes.to_vec())
    }

    #[tokio::test]
    async fn what_was_looked_at_before_its_time_comes_again_and_is_bounded() {
        let half = |byte| Line::Whole(vec![byte; AHEAD_MAX_BYTES / 2]);
        let (sender, lines) = mpsc::channel(LINES_WAITING);
        let mut input = Input::new(lines, Arc::default());
        for byte in 0..3 {
            sender.send(half(byte)).await.unwrap();
        }
        drop(sender);
        let mut looks = 0;
        while input.may_look_ahead() {
            assert!(input.look_ahead().await.is_some());
            looks += 1;
        }
        assert_eq!(looks, 2);
        for byte in 0..3 {
            assert_eq!(input.next().await, Some(half(byte)));
        }
        assert_eq!((input.next().await, input.ahead_bytes), (None, 0));
    }

    #[test]
    fn lines_end_at_line_feeds_and_at_the_end() {
        assert_eq!(lines(b"", 9), []);
        assert_eq!(lines(b"a\n\nb", 9), [whole(b"a"), whole(b""), whole(b"b")]);
        assert_eq!(lines(b"\xff\n", 9), [whole(b"\xff")]);
    }

    #[test]
    fn a_line_may_be_as_long_as_the_bound_and_no_longer() {
        assert_eq!(lines(b"1234\n5", 4), [whole(b"1234"), whole(b"5")]);
        assert_eq!(lines(b"12345678\nx", 4), [Line::TooLong(b"12345".to_vec()), whole(b"x")]);
        assert_eq!(lines(b"12345", 4), [Line::TooLong(b"12345".to_vec())]);
    }
}
