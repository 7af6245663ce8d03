//! The record that a transaction has begun and not ended.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use lanspread_disk::state_file::{self, game_state_dir};
use lanspread_proto::GameId;
use serde::{Deserialize, Serialize};

const INTENT_FILE: &str = "install_intent.json";
/// More than any intent has; a longer file is broken.
const INTENT_MAX_BYTES: u64 = 4096;

/// What a transaction is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Intent {
    /// A new `local/` takes the place of the old one, if there is one.
    Install,
    /// `local/` is removed.
    Uninstall,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct IntentFile {
    operation: Intent,
}

pub(super) fn intent_path(state_dir: &Path, game_id: &GameId) -> PathBuf {
    game_state_dir(state_dir, game_id).join(INTENT_FILE)
}

/// Records the intent, durably.
pub(super) fn write(state_dir: &Path, game_id: &GameId, intent: Intent) -> io::Result<()> {
    state_file::ensure_dir(&game_state_dir(state_dir, game_id))?;
    let bytes = serde_json::to_vec(&IntentFile { operation: intent })?;
    state_file::write_atomic(&intent_path(state_dir, game_id), &bytes)
}

/// Returns the recorded intent. A broken one is moved aside and counts as none: the marks on the
/// disk are enough to recover, and it is never guessed what was meant.
pub(super) fn read(state_dir: &Path, game_id: &GameId) -> io::Result<Option<Intent>> {
    let path = intent_path(state_dir, game_id);
    let mut bytes = Vec::new();
    match File::open(&path) {
        Ok(file) => file.take(INTENT_MAX_BYTES).read_to_end(&mut bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match serde_json::from_slice::<IntentFile>(&bytes) {
        Ok(file) => Ok(Some(file.operation)),
        Err(reason) => {
            let moved_to = state_file::move_aside(&path)?;
            tracing::warn!(%game_id, %reason, moved_to = %moved_to.display(), "broken intent");
            Ok(None)
        }
    }
}

/// Forgets the intent, durably.
pub(super) fn clear(state_dir: &Path, game_id: &GameId) -> io::Result<()> {
    state_file::remove_file(&intent_path(state_dir, game_id))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn an_intent_lasts_until_it_is_cleared() {
        let state = tempfile::tempdir().unwrap();
        let id = "quake".parse().unwrap();
        assert_eq!(read(state.path(), &id).unwrap(), None);
        for intent in [Intent::Install, Intent::Uninstall] {
            write(state.path(), &id, intent).unwrap();
            assert_eq!(read(state.path(), &id).unwrap(), Some(intent));
        }
        let text = fs::read_to_string(intent_path(state.path(), &id)).unwrap();
        assert_eq!(text, r#"{"operation":"uninstall"}"#);
        clear(state.path(), &id).unwrap();
        clear(state.path(), &id).unwrap();
        assert_eq!(read(state.path(), &id).unwrap(), None);
    }

    #[test]
    fn a_broken_intent_is_kept_aside_and_counts_as_none() {
        let state = tempfile::tempdir().unwrap();
        let id = "quake".parse().unwrap();
        let dir = game_state_dir(state.path(), &id);
        fs::create_dir_all(&dir).unwrap();
        for (count, text) in ["", "{", r#"{"operation":"explode"}"#].iter().enumerate() {
            fs::write(intent_path(state.path(), &id), text).unwrap();
            assert_eq!(read(state.path(), &id).unwrap(), None);
            assert!(!intent_path(state.path(), &id).exists());
            assert_eq!(fs::read_dir(&dir).unwrap().count(), count + 1);
        }
    }
}
