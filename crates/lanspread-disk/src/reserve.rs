//! FreeSpace in the state directory for what a removal writes before it frees any.
//!
//! A removal notes first that it has begun, so that a crash leaves nothing unknown. On a full disk that
//! note does not fit, and nothing could ever be removed. So a small file is kept, and deleted when a note
//! does not fit. Another program can take its room first; then the removal fails with a full disk.
//!
//! Everything here blocks.

use std::io::Write;
use std::path::Path;
use std::{fs, io};

use crate::state_file::private_options;

const RESERVE_FILE: &str = "reserve";
/// A new directory, a note and a mark, in blocks of up to 16 KiB.
const RESERVE_BYTES: usize = 64 * 1024;

/// Makes the reserve if it is not there. Where there is no room, the next start or removal tries again.
pub fn keep(state_dir: &Path) {
    let path = state_dir.join(RESERVE_FILE);
    let is_there = fs::symlink_metadata(&path)
        .is_ok_and(|found| found.is_file() && found.len() == RESERVE_BYTES as u64);
    if is_there {
        return;
    }
    // What a link of that name leads to is never written to. No zeros: some disks store none.
    let _ = fs::remove_file(&path);
    let file = private_options().create_new(true).open(&path);
    if let Err(error) = file.and_then(|mut file| file.write_all(&[0xA5; RESERVE_BYTES])) {
        tracing::debug!(path = %path.display(), %error, "there is no room for a reserve");
        let _ = fs::remove_file(&path);
    }
}

/// Does `write`, and once more in the room of the reserve if the disk is full.
///
/// # Errors
/// That of `write`.
pub fn with<T>(state_dir: &Path, mut write: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    match write() {
        Err(error) if is_full(&error) && fs::remove_file(state_dir.join(RESERVE_FILE)).is_ok() => {
            write()
        }
        written => written,
    }
}

/// Returns whether an error says that there is no room.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
