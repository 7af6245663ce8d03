//! Reads any bytes as a journal.

use super::{BODY_BYTES, CHECK_BYTES, LENGTH_BYTES, check_of, parse, whole_bytes};
use lanspread_proto::ContentHash;

/// Reads `bytes` as a journal, and once more with the checks that they should have.
///
/// # Panics
/// Where what is read breaks a rule.
pub fn journal(bytes: &[u8]) {
    read(bytes);
    let mut journal = Vec::new();
    let Some((length, rest)) = bytes.split_first_chunk::<LENGTH_BYTES>() else { return };
    let length = u32::from_le_bytes(*length) as usize;
    let Some((header, rest)) = rest.split_at_checked(length) else { return };
    journal.extend_from_slice(&(length as u32).to_le_bytes());
    journal.extend_from_slice(header);
    journal.extend_from_slice(ContentHash::of(header).as_bytes());
    for record in rest.chunks(BODY_BYTES + CHECK_BYTES) {
        let body = record.get(..BODY_BYTES).unwrap_or(record);
        journal.extend_from_slice(body);
        journal.extend_from_slice(&check_of(body));
    }
    read(&journal);
}

fn read(bytes: &[u8]) {
    let contents = parse(bytes);
    let whole = whole_bytes(bytes);
    assert_eq!(contents.is_some(), whole.is_some());
    assert!(whole.is_none_or(|whole| whole <= bytes.len() as u64));
    let Some(contents) = contents else { return };
    if !contents.is_discarding
        && let Ok((encoded, records)) = contents.encode()
    {
        assert_eq!(records, contents.claims.len() + usize::from(contents.is_surveyed));
        assert_eq!(parse(&encoded), Some(contents));
    }
}
