//! What the index says, and how it changes.

use std::collections::BTreeMap;
use std::path::Path;

use lanspread_proto::GameId;

use crate::stamp::KnownContent;

/// Which format is written. Another one that cannot be read is treated like a broken file: the index
/// can be made again. [`super::legacy`] reads those before it.
pub(super) const FORMAT: u32 = 3;
/// How many games directories are remembered, so that changing to and fro costs no hashing.
pub(super) const GAMES_DIRS_MAX: usize = 4;

/// All of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Content {
    /// The most recently used first.
    libraries: Vec<Library>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Library {
    games_dir: String,
    games: BTreeMap<GameId, KnownContent>,
}

/// What changed in one games directory, which became the most recently used one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LibraryChange {
    pub(super) games_dir: String,
    /// Nothing was known of it, so that what an older snapshot says is void.
    pub(super) anew: bool,
    /// `None` for games that are forgotten.
    pub(super) games: BTreeMap<GameId, Option<KnownContent>>,
}

impl LibraryChange {
    pub(super) fn new(games_dir: String, anew: bool) -> Self {
        Self { games_dir, anew, games: BTreeMap::new() }
    }
}

/// What no file says yet: the last change of each game.
#[derive(Debug, Default)]
pub(super) struct Unsaved {
    by_dir: BTreeMap<String, DirChange>,
}

#[derive(Debug, Default)]
struct DirChange {
    anew: bool,
    games: BTreeMap<GameId, Option<KnownContent>>,
}

impl Content {
    /// Returns what leads from nothing to this, the least recently used directory first.
    pub(super) fn as_changes(&self) -> Vec<LibraryChange> {
        let libraries = self.libraries.iter().rev().map(|library| {
            let games = library.games.iter();
            let games = games.map(|(id, known)| (id.clone(), Some(known.clone()))).collect();
            LibraryChange { games_dir: library.games_dir.clone(), anew: true, games }
        });
        libraries.collect()
    }

    /// Returns what is known of a game in a directory.
    pub(super) fn entry(&self, games_dir: &str, game_id: &GameId) -> Option<&KnownContent> {
        let library = self.libraries.iter().find(|library| library.games_dir == games_dir)?;
        library.games.get(game_id)
    }

    /// Returns the games that are known of a directory.
    pub(super) fn game_ids(&self, games_dir: &str) -> Vec<GameId> {
        let library = self.libraries.iter().find(|library| library.games_dir == games_dir);
        library.map(|library| library.games.keys().cloned().collect()).unwrap_or_default()
    }

    /// Takes over what one save wrote.
    pub(super) fn apply(&mut self, changes: Vec<LibraryChange>) {
        for change in changes {
            let library = self.use_dir(&change.games_dir);
            if change.anew {
                library.games.clear();
            }
            for (game_id, entry) in change.games {
                library.set(game_id, entry);
            }
        }
        // Not before: until the last one is known, the order is not what it was.
        self.libraries.truncate(GAMES_DIRS_MAX);
    }

    /// Makes a directory the most recently used one.
    fn use_dir(&mut self, games_dir: &str) -> &mut Library {
        let known = self.libraries.iter().position(|library| library.games_dir == games_dir);
        let library = match known {
            Some(at) => self.libraries.remove(at),
            None => Library { games_dir: games_dir.to_owned(), games: BTreeMap::new() },
        };
        self.libraries.insert_mut(0, library)
    }

    fn is_most_recent(&self, games_dir: &str) -> bool {
        self.libraries.first().is_some_and(|library| library.games_dir == games_dir)
    }
}

impl Library {
    fn set(&mut self, game_id: GameId, entry: Option<KnownContent>) {
        match entry {
            Some(entry) => drop(self.games.insert(game_id, entry)),
            None => drop(self.games.remove(&game_id)),
        }
    }
}

impl Unsaved {
    /// Makes a directory the most recently used one.
    pub(super) fn use_dir(&mut self, content: &mut Content, games_dir: &str) {
        if content.is_most_recent(games_dir) {
            return;
        }
        let is_known = content.libraries.iter().any(|library| library.games_dir == games_dir);
        content.use_dir(games_dir);
        content.libraries.truncate(GAMES_DIRS_MAX);
        let change = self.by_dir.entry(games_dir.to_owned()).or_default();
        if !is_known {
            *change = DirChange { anew: true, games: BTreeMap::new() };
        }
    }

    /// Enters a game in `content`, or forgets it, unless that is what it says already.
    pub(super) fn set(
        &mut self,
        content: &mut Content,
        games_dir: &str,
        game_id: GameId,
        entry: Option<KnownContent>,
    ) {
        self.use_dir(content, games_dir);
        if content.entry(games_dir, &game_id) == entry.as_ref() {
            return;
        }
        content.use_dir(games_dir).set(game_id.clone(), entry.clone());
        let change = self.by_dir.entry(games_dir.to_owned()).or_default();
        change.games.insert(game_id, entry);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_dir.is_empty()
    }

    /// Returns what has to be told for a log to lead to `content`, the least recently used
    /// directory first.
    pub(super) fn take(&mut self, content: &Content) -> Vec<LibraryChange> {
        let mut by_dir = std::mem::take(&mut self.by_dir);
        let used = content.libraries.iter().rev();
        used.filter_map(|library| {
            let DirChange { anew, games } = by_dir.remove(&library.games_dir)?;
            Some(LibraryChange { games_dir: library.games_dir.clone(), anew, games })
        })
        .collect()
    }

    /// Takes back what could not be saved. What changed since then is newer.
    pub(super) fn put_back(&mut self, changes: Vec<LibraryChange>) {
        for change in changes {
            let newer = self.by_dir.entry(change.games_dir).or_default();
            if newer.anew {
                continue;
            }
            newer.anew = change.anew;
            for (game_id, entry) in change.games {
                newer.games.entry(game_id).or_insert(entry);
            }
        }
    }
}

/// Returns a games directory as text: as it is where it is ASCII, and never equal for two of them.
pub(super) fn directory_key(games_dir: &Path) -> String {
    games_dir.as_os_str().as_encoded_bytes().escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_directories_never_share_a_key() {
        use lanspread_disk::platform::name_from_bytes;
        let key = |bytes: &[u8]| directory_key(Path::new(name_from_bytes(bytes)));
        assert_ne!(key(b"/a\xff"), key(b"/a\xfe"));
        assert_ne!(key(b"/a\xff"), key(b"/a\\xff"));
        assert_eq!(key(b"/srv/games"), "/srv/games");
    }
}
