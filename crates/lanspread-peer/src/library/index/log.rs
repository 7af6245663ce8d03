//! The log of the index: what changed since the snapshot was written.
//!
//! A line a save: a check, a space, and what changed as JSON. Lines are only ever appended, each
//! one durable before the next, so that a crash can only tear the last one. The first line that does
//! not hold ends the log; if others follow it, that was no crash.

use serde::{Deserialize, Serialize};

use super::content::LibraryChange;

/// Hexadecimal digits of a check: enough to tell torn from whole; there is no foe in the state
/// directory.
const CHECK_DIGITS: usize = 16;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    generation: u64,
    libraries: Vec<LibraryChange>,
}

/// What a log says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Replay {
    /// What each save wrote, in order.
    pub(super) saves: Vec<Vec<LibraryChange>>,
    /// Bytes of the lines that hold. What comes after them is to be cut off.
    pub(super) valid_bytes: usize,
    /// Whether lines follow one that does not hold.
    pub(super) is_broken: bool,
}

/// One line of a log.
pub(super) fn encode(
    generation: u64,
    libraries: Vec<LibraryChange>,
) -> serde_json::Result<Vec<u8>> {
    let body = serde_json::to_vec(&Record { generation, libraries })?;
    let mut line = check(&body).into_bytes();
    line.push(b' ');
    line.extend(body);
    line.push(b'\n');
    Ok(line)
}

/// Reads the log that goes on from the snapshot of `generation`.
///
/// A log of another generation says nothing: what was in it is in the snapshot.
pub(super) fn replay(bytes: &[u8], generation: u64) -> Replay {
    let mut replay = Replay::default();
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let rest = bytes.len() - replay.valid_bytes - line.len();
        let Some(record) = parse(line) else {
            replay.is_broken = rest > 0;
            return replay;
        };
        if record.generation != generation {
            return replay;
        }
        replay.saves.push(record.libraries);
        replay.valid_bytes += line.len();
    }
    replay
}

fn parse(line: &[u8]) -> Option<Record> {
    let line = line.strip_suffix(b"\n")?;
    let (found, rest) = line.split_at_checked(CHECK_DIGITS)?;
    let body = rest.strip_prefix(b" ")?;
    if found != check(body).as_bytes() {
        return None;
    }
    serde_json::from_slice(body).ok()
}

fn check(body: &[u8]) -> String {
    let mut hex = blake3::hash(body).to_hex();
    hex.truncate(CHECK_DIGITS);
    hex.as_str().to_owned()
}
