//! Reads any bytes as the files of an index.

use super::legacy;
use super::record::{framed, read_head, read_snapshot, replay};

/// Reads `bytes` as a snapshot, as a log, and as the two of older formats; and once more with the checks that they
/// should have.
///
/// # Panics
/// Where what is read breaks a rule.
pub fn index(bytes: &[u8]) {
    read(bytes);
    let (snapshot, log) = bytes.split_at(bytes.len() / 2);
    let _ = legacy::read(snapshot, log);
    // Each piece gets its length before it and its check behind it.
    let mut frames = Vec::new();
    let mut rest = bytes;
    while let Some((length, behind)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_le_bytes(*length)).min(behind.len());
        let (body, behind) = behind.split_at(length);
        frames.extend(framed(body));
        rest = behind;
    }
    read(&frames);
}

fn read(bytes: &[u8]) {
    for generation in [0, 1] {
        let log = replay(bytes, generation);
        assert!(log.valid_bytes <= bytes.len());
        let again = replay(bytes.get(..log.valid_bytes).unwrap_or_default(), generation);
        assert_eq!(again.saves, log.saves);
        assert!(!again.is_broken);
    }
    if let Some(head) = read_head(bytes) {
        let _ = read_snapshot(bytes, head);
    }
}
