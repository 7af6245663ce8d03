//! Which program may use a state directory.
//!
//! `state_format.json` names the format of everything in the directory. A program that finds a newer one
//! refuses to start and changes nothing: it would take files that it cannot read for broken ones, move
//! them aside, and hash every game again. The number is raised with every change that an older program
//! would misread.
//!
//! A directory without the file is from before there was one; a start adds it. Everything here blocks.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use lanspread_disk::state_file::write_atomic;
use serde::{Deserialize, Serialize};

use crate::error::StartError;

const FORMAT_FILE: &str = "state_format.json";
/// The newest format that this program knows, and the one that it writes.
const STATE_FORMAT: u32 = 2;
/// Longest file that is read: a newer program may say more about itself than this one does.
const FORMAT_FILE_MAX_BYTES: u64 = 64 * 1024;

/// What the file says. Fields that a newer program adds are passed over.
#[derive(Debug, Serialize, Deserialize)]
struct FormatFile {
    format: u32,
    /// The version of the program that wrote it, for people.
    #[serde(default)]
    program: Option<String>,
}

/// Refuses a state directory of a newer format. Changes nothing; the directory may be missing.
///
/// # Errors
/// [`StartError::StateDirNewer`], or [`StartError::StateDir`] when the file cannot be read or understood:
/// then it is not known who may use the directory.
pub(crate) fn check(state_dir: &Path) -> Result<(), StartError> {
    match read(state_dir)? {
        Some(found) if found.format > STATE_FORMAT => Err(StartError::StateDirNewer {
            path: state_dir.to_path_buf(),
            format: found.format,
            known: STATE_FORMAT,
            program: found.program,
        }),
        _ => Ok(()),
    }
}

/// Writes the format that this program uses, unless the file says it already.
///
/// Called before anything else in the directory is written, so that nothing of this format lies in a
/// directory that seems to be of an older one.
///
/// # Errors
/// [`StartError`] as of [`check`], or when the file cannot be written.
pub(crate) fn claim(state_dir: &Path) -> Result<(), StartError> {
    check(state_dir)?;
    if read(state_dir)?.is_some_and(|found| found.format == STATE_FORMAT) {
        return Ok(());
    }
    let program = Some(env!("CARGO_PKG_VERSION").to_owned());
    let bytes = serde_json::to_vec(&FormatFile { format: STATE_FORMAT, program });
    let written = bytes.map_err(io::Error::from);
    let written = written.and_then(|bytes| write_atomic(&state_dir.join(FORMAT_FILE), &bytes));
    written.map_err(unusable(state_dir))
}

fn read(state_dir: &Path) -> Result<Option<FormatFile>, StartError> {
    let path = state_dir.join(FORMAT_FILE);
    let bytes = match read_regular(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unusable(&path)(error)),
    };
    let understood = serde_json::from_slice(&bytes);
    understood.map(Some).map_err(|error| unusable(&path)(error.into()))
}

fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    // Asked before opening, because opening a pipe that nobody writes to waits for ever.
    if !fs::symlink_metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(FORMAT_FILE_MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn unusable(path: &Path) -> impl FnOnce(io::Error) -> StartError {
    let path = PathBuf::from(path);
    move |source| StartError::StateDir { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(content: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FORMAT_FILE), content).unwrap();
        dir
    }

    #[test]
    fn a_directory_without_a_format_gets_one_and_keeps_it() {
        let dir = tempfile::tempdir().unwrap();
        check(&dir.path().join("missing")).unwrap();
        check(dir.path()).unwrap();
        assert!(!dir.path().join(FORMAT_FILE).exists(), "a check changes nothing");
        claim(dir.path()).unwrap();
        let written = fs::read(dir.path().join(FORMAT_FILE)).unwrap();
        claim(dir.path()).unwrap();
        check(dir.path()).unwrap();
        assert_eq!(fs::read(dir.path().join(FORMAT_FILE)).unwrap(), written);
    }

    #[test]
    fn a_newer_format_is_refused_and_left_alone() {
        let content = r#"{"format":3,"program":"9.1.0","more":[1]}"#;
        let dir = with(content);
        for refused in [check(dir.path()), claim(dir.path())] {
            let Err(error @ StartError::StateDirNewer { .. }) = refused else {
                panic!("{refused:?}")
            };
            let message = error.to_string();
            assert!(message.contains("format 3") && message.contains("9.1.0"), "{message}");
        }
        assert_eq!(fs::read_to_string(dir.path().join(FORMAT_FILE)).unwrap(), content);
        assert!(matches!(
            check(with("{\"format\":7}").path()),
            Err(StartError::StateDirNewer { .. })
        ));
    }

    #[test]
    fn what_cannot_be_understood_is_refused() {
        for content in ["", "{", "{\"format\":-1}", "[]"] {
            let dir = with(content);
            assert!(matches!(claim(dir.path()), Err(StartError::StateDir { .. })), "{content}");
            assert_eq!(fs::read_to_string(dir.path().join(FORMAT_FILE)).unwrap(), content);
        }
    }
}
