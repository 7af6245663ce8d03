//! Archives as they are written. Whether they can be read is tested where they are read.
#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected should panic")]

use std::error::Error;
use std::io::{self, Cursor};

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

#[test]
fn a_failure_of_the_output_is_told_once_in_the_chain_of_errors() {
    #[derive(Debug)]
    struct FullDisk;
    impl io::Write for FullDisk {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let error = FixtureWriter::new(FullDisk).unwrap_err();
    let source = error.source().unwrap().to_string();
    assert_eq!(source, io::Error::from(io::ErrorKind::StorageFull).to_string());
    assert!(!error.to_string().contains(&source), "{error}");
}
