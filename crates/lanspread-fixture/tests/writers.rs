//! Archives as they are written. Whether they can be read is tested where they are read.
#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected should panic")]

use std::io::Cursor;

use lanspread_fixture::{FixtureWriter, RarWriter, WriteError};
use lanspread_proto::RelPath;

fn path(text: &str) -> RelPath {
    RelPath::new(text).unwrap()
}

#[test]
fn content_of_another_size_is_not_written_silently() {
    let mut rar = RarWriter::new(Cursor::new(Vec::new())).unwrap();
    let short = rar.add_file(&path("a"), 6, None, false, &b"hello"[..]);
    assert!(matches!(short, Err(WriteError::Size { announced_bytes: 6, is_longer: false })));
    let mut fixture = FixtureWriter::new(Vec::new()).unwrap();
    let long = fixture.add_file(&path("a"), 4, false, &b"hello"[..]);
    assert!(matches!(long, Err(WriteError::Size { announced_bytes: 4, is_longer: true })));
}
