//! What scans and hashing found out, kept across restarts.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lanspread_proto::{GameId, Manifest};
use serde::{Deserialize, Serialize};

use crate::library::fingerprint::Fingerprint;
use crate::library::scan::Scan;
use crate::state_file;

const INDEX_FILE: &str = "library_index.json";
/// Another format is treated like a broken file: the index can be made again.
const FORMAT: u32 = 1;
/// Largest index read: that of some 15 TiB of games. Beyond it the file is no index of ours.
const INDEX_MAX_BYTES: u64 = 1 << 30;
/// How many games directories are remembered, so that changing to and fro costs no hashing.
const GAMES_DIRS_MAX: usize = 4;
/// How far a saved revision is ahead of the current one. A peer that crashes has announced
/// revisions that it did not save; after this many changes without a save they could come again.
const REV_HEADROOM: u64 = 1024;

/// Why the index could not be loaded.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} library index {}: {source}", path.display())]
pub(crate) struct IndexError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// The index was broken and has begun anew.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("library index is broken and made again ({reason}); the old one is {}", moved_to.display())]
pub(crate) struct IndexWarning {
    /// Where the broken file is now.
    pub(crate) moved_to: PathBuf,
    /// What is wrong with it.
    pub(crate) reason: String,
}

/// Fingerprints and manifests by games directory, and the revision of the announced library.
///
/// Games directories are told apart by their path, which should be canonical; entries of one are
/// never used for another. A clone shares everything; the first change beside a clone that is still
/// held copies one map of shared entries, and never a manifest.
#[derive(Debug, Clone)]
pub(crate) struct Index {
    path: PathBuf,
    content: Content,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    format: u32,
    library_rev: u64,
    /// The most recently used first.
    #[serde(with = "shared_list")]
    libraries: Vec<Arc<Library>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Library {
    games_dir: String,
    games: BTreeMap<GameId, Entry>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    #[serde(with = "shared")]
    fingerprint: Arc<Fingerprint>,
    #[serde(with = "shared")]
    manifest: Arc<Manifest>,
}

impl Index {
    /// Loads the index of `state_dir`, which must exist. A missing one is empty.
    ///
    /// A broken one is moved aside, and the warning says where to; its games will be hashed again.
    ///
    /// # Errors
    /// [`IndexError`] when the file can be neither read nor moved aside.
    pub(crate) fn load(state_dir: &Path) -> Result<(Self, Option<IndexWarning>), IndexError> {
        let path = state_dir.join(INDEX_FILE);
        let failed = |action| {
            let path = path.clone();
            move |source| IndexError { action, path, source }
        };
        let bytes = match File::open(&path) {
            Ok(file) => read_bounded(file).map_err(failed("read"))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok((Self { path, content: Content::empty(0) }, None));
            }
            Err(error) => return Err(failed("open")(error)),
        };
        let reason = match Content::parse(&bytes) {
            Ok(content) => return Ok((Self { path, content }, None)),
            Err(reason) => reason,
        };
        let moved_to = state_file::move_aside(&path).map_err(failed("move aside"))?;
        let content = Content::empty(salvage_rev(&bytes));
        Ok((Self { path, content }, Some(IndexWarning { moved_to, reason })))
    }

    /// Writes the index, durably.
    ///
    /// Revisions never go back across restarts as long as the index was saved once since it was
    /// loaded before a revision is announced, and again every few hundred changes.
    pub(crate) fn save(&self) -> io::Result<()> {
        let ahead = Content {
            library_rev: self.content.library_rev.saturating_add(REV_HEADROOM),
            ..self.content.clone()
        };
        state_file::write_atomic(&self.path, &serde_json::to_vec(&ahead)?)
    }

    /// The revision of the announced library.
    pub(crate) fn library_rev(&self) -> u64 {
        self.content.library_rev
    }

    /// Counts one more change of the announced library and returns the new revision.
    pub(crate) fn next_rev(&mut self) -> u64 {
        self.content.library_rev = self.content.library_rev.saturating_add(1);
        self.content.library_rev
    }

    /// The manifest of a game that still looks like `fingerprint`, with the hashes known so far.
    pub(crate) fn manifest(
        &self,
        games_dir: &Path,
        game_id: &GameId,
        fingerprint: &Fingerprint,
    ) -> Option<Arc<Manifest>> {
        let key = directory_key(games_dir);
        let library = self.content.libraries.iter().find(|library| library.games_dir == key)?;
        let entry =
            library.games.get(game_id).filter(|entry| *entry.fingerprint == *fingerprint)?;
        Some(entry.manifest.clone())
    }

    /// Remembers what a game consists of: after a scan, with hashes, or as a download brought it.
    ///
    /// `fingerprint` must have been taken before `manifest` was read from the disk, so that a
    /// change in between shows at the next scan.
    pub(crate) fn record(
        &mut self,
        games_dir: &Path,
        game_id: GameId,
        fingerprint: Fingerprint,
        manifest: Arc<Manifest>,
    ) {
        let fingerprint = Arc::new(fingerprint);
        self.games_of(games_dir).insert(game_id, Entry { fingerprint, manifest });
    }

    /// Forgets a game, so that the next scan walks it whatever its fingerprint.
    pub(crate) fn forget(&mut self, games_dir: &Path, game_id: &GameId) {
        self.games_of(games_dir).remove(game_id);
    }

    /// Takes over the scan of a whole games directory; games it did not find are forgotten.
    pub(crate) fn absorb(&mut self, games_dir: &Path, scan: &Scan) {
        let found = scan.games.iter().filter_map(|(id, game)| {
            let manifest = game.manifest.clone()?;
            let fingerprint = Arc::new(game.fingerprint.clone());
            Some((id.clone(), Entry { fingerprint, manifest }))
        });
        *self.games_of(games_dir) = found.collect();
    }

    /// The games of a directory, which becomes the most recently used one.
    fn games_of(&mut self, games_dir: &Path) -> &mut BTreeMap<GameId, Entry> {
        let key = directory_key(games_dir);
        let libraries = &mut self.content.libraries;
        let known = libraries.iter().position(|library| library.games_dir == key);
        let library = match known {
            Some(at) => libraries.remove(at),
            None => Arc::new(Library { games_dir: key, games: BTreeMap::new() }),
        };
        libraries.truncate(GAMES_DIRS_MAX - 1);
        &mut Arc::make_mut(libraries.insert_mut(0, library)).games
    }
}

impl Content {
    fn empty(library_rev: u64) -> Self {
        Self { format: FORMAT, library_rev, libraries: Vec::new() }
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() as u64 > INDEX_MAX_BYTES {
            return Err(format!("it has more than {INDEX_MAX_BYTES} bytes"));
        }
        let content: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if content.format != FORMAT {
            return Err(format!("it has format {}, not {FORMAT}", content.format));
        }
        Ok(content)
    }
}

/// One byte more than an index may have tells that it has too many.
fn read_bounded(file: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(INDEX_MAX_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The revision at the beginning of a broken index, if that part is whole; else 0.
fn salvage_rev(bytes: &[u8]) -> u64 {
    const NAME: &[u8] = b"\"library_rev\":";
    let rest = bytes.windows(NAME.len()).take(100).position(|window| window == NAME);
    let rest = rest.and_then(|at| bytes.get(at + NAME.len()..)).unwrap_or_default();
    // A number that goes to the very end may have lost digits.
    let end = rest.iter().position(|byte| !byte.is_ascii_digit());
    let digits = end.and_then(|end| rest.get(..end)).unwrap_or_default();
    std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// A games directory as text: as it is where it is ASCII, and never equal for two of them.
fn directory_key(games_dir: &Path) -> String {
    games_dir.as_os_str().as_encoded_bytes().escape_ascii().to_string()
}

/// What is shared in memory is stored whole.
mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<T: Serialize, S: Serializer>(
        value: &Arc<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.as_ref().serialize(serializer)
    }

    pub(super) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Arc<T>, D::Error> {
        T::deserialize(deserializer).map(Arc::new)
    }
}

/// A list of [`shared`] values.
mod shared_list {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<T: Serialize, S: Serializer>(
        values: &[Arc<T>],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(values.iter().map(AsRef::as_ref))
    }

    pub(super) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Arc<T>>, D::Error> {
        Ok(Vec::<T>::deserialize(deserializer)?.into_iter().map(Arc::new).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use lanspread_proto::ManifestFile;

    use super::*;

    fn id(text: &str) -> GameId {
        text.parse().unwrap()
    }

    fn manifest(size: u64) -> Arc<Manifest> {
        let file = ManifestFile { path: "a.eti".parse().unwrap(), size, hashes: None };
        Arc::new(Manifest::new("1".parse().unwrap(), vec![file]).unwrap())
    }

    fn fingerprint(name: &str) -> Fingerprint {
        let file = tempfile::tempfile().unwrap();
        let mut fingerprint = Fingerprint::default();
        fingerprint.add_archive(name, &file.metadata().unwrap());
        fingerprint
    }

    #[test]
    fn what_was_saved_is_found_again_for_the_same_fingerprint_and_directory_only() {
        let state = tempfile::tempdir().unwrap();
        let (games, print) = (Path::new("/games"), fingerprint("a.eti"));
        let (mut index, warning) = Index::load(state.path()).unwrap();
        assert_eq!((warning, index.library_rev()), (None, 0));
        index.record(games, id("quake"), print.clone(), manifest(7));
        index.save().unwrap();

        let (index, warning) = Index::load(state.path()).unwrap();
        assert_eq!(warning, None);
        assert_eq!(index.manifest(games, &id("quake"), &print), Some(manifest(7)));
        assert_eq!(index.manifest(games, &id("quake"), &fingerprint("b.eti")), None);
        assert_eq!(index.manifest(Path::new("/other"), &id("quake"), &print), None);
        assert_eq!(index.manifest(games, &id("doom"), &print), None);
    }

    #[test]
    fn the_least_recently_used_games_directory_is_forgotten_first() {
        let state = tempfile::tempdir().unwrap();
        let (mut index, _) = Index::load(state.path()).unwrap();
        let print = fingerprint("a.eti");
        let dirs: Vec<_> = (0..=GAMES_DIRS_MAX).map(|n| PathBuf::from(format!("/{n}"))).collect();
        for dir in &dirs {
            index.record(dir, id("quake"), print.clone(), manifest(1));
            index.forget(&dirs[0], &id("doom"));
        }
        let kept = |dir: &PathBuf| index.manifest(dir, &id("quake"), &print).is_some();
        let kept: Vec<_> = dirs.iter().map(kept).collect();
        assert_eq!(kept, [true, false, true, true, true]);
    }

    #[test]
    fn revisions_never_come_again_after_a_crash() {
        let state = tempfile::tempdir().unwrap();
        let mut announced = 0;
        for _ in 0..3 {
            let (mut index, _) = Index::load(state.path()).unwrap();
            index.save().unwrap();
            for _ in 0..10 {
                let rev = index.next_rev();
                assert!(rev > announced, "{rev} after {announced}");
                announced = rev;
            }
        }
    }

    #[test]
    fn a_broken_index_is_moved_aside_and_its_revision_kept() {
        let state = tempfile::tempdir().unwrap();
        let path = state.path().join(INDEX_FILE);
        let broken: [(&[u8], u64); 5] = [
            (b"", 0),
            (b"\0\0\0\0", 0),
            (br#"{"format":1,"library_rev":4711,"libraries":[{"#, 4711),
            (br#"{"format":1,"library_rev":47"#, 0),
            (br#"{"format":2,"library_rev":5,"libraries":[]}"#, 5),
        ];
        for (count, (bytes, rev)) in broken.into_iter().enumerate() {
            fs::write(&path, bytes).unwrap();
            let (index, warning) = Index::load(state.path()).unwrap();
            assert_eq!(fs::read(warning.unwrap().moved_to).unwrap(), bytes);
            assert_eq!(index.library_rev(), rev);
            assert_eq!(fs::read_dir(state.path()).unwrap().count(), count + 1);
        }
    }

    #[test]
    fn different_directories_never_share_a_key() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt;
        let key = |bytes: &[u8]| directory_key(Path::new(OsStr::from_bytes(bytes)));
        assert_ne!(key(b"/a\xff"), key(b"/a\xfe"));
        assert_ne!(key(b"/a\xff"), key(b"/a\\xff"));
        assert_eq!(key(b"/srv/games"), "/srv/games");
    }
}
