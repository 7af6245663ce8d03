//! Which revisions of the library may have been announced, kept across crashes.
//!
//! The file says up to which revision a peer may have announced. It is written ahead, so that most
//! changes write nothing, and in place: on a busy disk a file that keeps its size is durable at once,
//! where a new one waits for all that others have written. Two places far enough apart take turns, so
//! that a write that is torn leaves the one before.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use lanspread_disk::{durable, platform, state_file};

use crate::points;

pub(super) const REVISIONS_FILE: &str = "library_rev";
/// How far the file is ahead. A peer publishes a few times a second at most, so that it takes hours
/// of a disk that refuses to write until one could be announced that is not in the file.
pub(super) const REV_HEADROOM: u64 = 65_536;
/// How far apart the two places are: no disk writes more than this as one.
const PLACE_BYTES: usize = 4096;
const FILE_BYTES: usize = 2 * PLACE_BYTES;
/// Bytes of what a place says: the number of the write it is, and the revision.
const BODY_BYTES: usize = 16;
const CHECK_BYTES: usize = 8;

/// The file.
#[derive(Debug)]
pub(super) struct Revisions {
    path: PathBuf,
    /// What the file says: no revision beyond it was announced.
    reserved: u64,
    /// How often it was written. Tells which place is newer, and which one is next.
    writes: u64,
}

impl Revisions {
    /// Reads the file of `state_dir`. One that is missing or says nothing says 0.
    pub(super) fn load(state_dir: &Path) -> io::Result<Self> {
        let path = state_dir.join(REVISIONS_FILE);
        let mut bytes = Vec::new();
        match File::open(&path) {
            Ok(file) => drop(file.take(FILE_BYTES as u64).read_to_end(&mut bytes)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let (writes, reserved) = parse(&bytes);
        Ok(Self { path, reserved, writes })
    }

    pub(super) fn reserved(&self) -> u64 {
        self.reserved
    }

    /// Returns whether more has to be reserved soon.
    pub(super) fn is_short(&self, rev: u64) -> bool {
        self.reserved < rev.saturating_add(REV_HEADROOM / 2)
    }

    /// Writes that revisions up to `rev` may have been announced, durably.
    pub(super) fn write(&mut self, rev: u64) -> io::Result<()> {
        let writes = self.writes.wrapping_add(1);
        let record = encode(writes, rev);
        let opened = OpenOptions::new().write(true).open(&self.path);
        match opened {
            Ok(file) if file.metadata()?.len() == FILE_BYTES as u64 => {
                let place = writes % 2 * PLACE_BYTES as u64;
                durable::reach(points::REVISION_WRITE, &self.path)?;
                platform::write_all_at(&file, &record, place)?;
                durable::sync_data(points::REVISION_SYNC, &self.path, &file)?;
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(_) | Err(_) => {
                let mut bytes = Vec::with_capacity(FILE_BYTES);
                for _ in 0..2 {
                    bytes.extend(&record);
                    bytes.resize(bytes.len().next_multiple_of(PLACE_BYTES), 0);
                }
                state_file::write_atomic(&self.path, &bytes)?;
            }
        }
        self.writes = writes;
        self.reserved = rev;
        Ok(())
    }
}

fn encode(writes: u64, rev: u64) -> Vec<u8> {
    let mut record = [writes.to_le_bytes(), rev.to_le_bytes()].concat();
    let check = check(&record);
    record.extend(check);
    record
}

fn check(body: &[u8]) -> [u8; CHECK_BYTES] {
    let mut check = [0; CHECK_BYTES];
    check.iter_mut().zip(blake3::hash(body).as_bytes()).for_each(|(to, from)| *to = *from);
    check
}

/// The number of the write the newest one is, and the revision it says.
fn parse(bytes: &[u8]) -> (u64, u64) {
    let valid = bytes.chunks(PLACE_BYTES).filter_map(|place| {
        let (body, rest) = place.split_first_chunk::<BODY_BYTES>()?;
        let (writes, rev) = body.split_first_chunk::<8>()?;
        let rev = u64::from_le_bytes(rev.try_into().ok()?);
        rest.starts_with(&check(body)).then_some((u64::from_le_bytes(*writes), rev))
    });
    valid.max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_write_that_is_torn_anywhere_leaves_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(REVISIONS_FILE);
        Revisions::load(dir.path()).unwrap().write(70_000).unwrap();
        for rev in [70_001, 5, 900_000] {
            let before = fs::read(&path).unwrap();
            let mut revisions = Revisions::load(dir.path()).unwrap();
            let old = revisions.reserved();
            revisions.write(rev).unwrap();
            let after = fs::read(&path).unwrap();
            assert_eq!((before.len(), after.len()), (FILE_BYTES, FILE_BYTES));
            for cut in 0..=after.len() {
                let torn = [&after[..cut], &before[cut..]].concat();
                let (_, found) = parse(&torn);
                assert!(found == old || found == rev, "{found} at {cut}");
            }
            assert_eq!(Revisions::load(dir.path()).unwrap().reserved(), rev);
        }
    }

    #[test]
    fn a_missing_or_broken_file_says_nothing_and_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(REVISIONS_FILE);
        for broken in [&b""[..], b"not a revision", &[0xff; FILE_BYTES + 1]] {
            fs::write(&path, broken).unwrap();
            let mut revisions = Revisions::load(dir.path()).unwrap();
            assert_eq!(revisions.reserved(), 0);
            revisions.write(7).unwrap();
            assert_eq!(Revisions::load(dir.path()).unwrap().reserved(), 7);
        }
        fs::remove_file(&path).unwrap();
        let mut revisions = Revisions::load(dir.path()).unwrap();
        revisions.write(8).unwrap();
        revisions.write(9).unwrap();
        assert_eq!(Revisions::load(dir.path()).unwrap().reserved(), 9);
    }
}
