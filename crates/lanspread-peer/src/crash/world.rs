//! The disk of a crash test: what lies there before, and what may lie there after.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use lanspread_catalog::{Catalog, CatalogGame};
use lanspread_disk::state_file::game_state_dir;
use lanspread_fixture::FixtureWriter;
use lanspread_install::setup::SETUP_DONE;
use lanspread_net::identity::Identity;
use lanspread_proto::{CHUNK_SIZE_BYTES, GameId, GameVersion};

/// The game that everything is done with.
pub(super) const QUAKE: &str = "quake";
/// A game that nothing is done with. It is ready, and the user has put things beside it.
pub(super) const HERETIC: &str = "heretic";
/// A root with directories of the user's that look like those of an installation.
pub(super) const DOOM: &str = "doom";

const VERSION: &str = "20240131";
const OLD_VERSION: &str = "20200101";

/// Files by their path below some directory.
pub(super) type Tree = BTreeMap<String, Vec<u8>>;

/// What of [`QUAKE`] is downloaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Download {
    Nothing,
    Old,
    New,
}

/// What of it is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Local {
    Absent,
    Old,
    New,
}

/// Where a crash test keeps its things.
#[derive(Debug, Clone)]
pub(super) struct CrashWorld {
    pub(super) dir: PathBuf,
}

impl CrashWorld {
    /// What the crash happens to.
    pub(super) fn disk(&self) -> PathBuf {
        self.dir.join("disk")
    }

    pub(super) fn games(&self) -> PathBuf {
        self.disk().join("games")
    }

    pub(super) fn state(&self) -> PathBuf {
        self.disk().join("state")
    }

    pub(super) fn root(&self) -> PathBuf {
        self.games().join(QUAKE)
    }

    /// What a power cut leaves of the disk.
    pub(super) fn cut(&self) -> PathBuf {
        self.dir.join("cut")
    }

    /// Where a victim notes how its script ended.
    pub(super) fn outcome(&self) -> PathBuf {
        self.dir.join("outcome")
    }

    /// Where a victim notes what it has told others of itself.
    pub(super) fn told(&self) -> PathBuf {
        self.dir.join("told")
    }

    /// Where a victim that is to live notes what it reached.
    pub(super) fn hits(&self) -> PathBuf {
        self.dir.join("hits")
    }

    /// Lays out the disk.
    pub(super) fn prepare(&self, download: Download, local: Local) {
        fs::create_dir_all(self.games()).unwrap();
        write_tree(&self.root(), &download.tree());
        if download == Download::New {
            fs::create_dir_all(self.root().join(EMPTY_DIR)).unwrap();
        }
        if let Some(tree) = local.tree() {
            write_tree(&self.root().join("local"), &tree);
            let state = game_state_dir(&self.state(), &game_id(QUAKE));
            fs::create_dir_all(&state).unwrap();
            fs::write(state.join(SETUP_DONE), "started\n").unwrap();
        }
        write_tree(&self.games(), &bystanders());
    }

    /// Makes the peer one that has been started before.
    pub(super) fn make_identity(&self) {
        fs::create_dir_all(self.state()).unwrap();
        Identity::load_or_create(&self.state()).unwrap();
    }
}

/// A directory of the new version without content.
const EMPTY_DIR: &str = "saves/empty";

impl Download {
    /// What a root with it holds, but what is reserved.
    pub(super) fn tree(self) -> Tree {
        let shared = noise(1, CHUNK_SIZE_BYTES);
        let with_tail = |seed| [shared.clone(), noise(seed, 70_000)].concat();
        match self {
            Self::Nothing => Tree::new(),
            Self::Old => tree([
                ("extra/data.bin", with_tail(2)),
                ("old/only.bin", noise(3, 5_000)),
                ("quake.eti", archive(&[("bin/quake.exe", b"old"), ("only/in/old", b"x")])),
                ("version.ini", sentinel(OLD_VERSION)),
            ]),
            Self::New => tree([
                ("extra/data.bin", with_tail(4)),
                ("extra/deep/zeros.bin", vec![0; 30_000]),
                ("quake.eti", archive(&[("bin/quake.exe", b"new"), ("pak", &noise(5, 600_000))])),
                ("second.eti", archive(&[("only/in/new", b"yy")])),
                ("version.ini", sentinel(VERSION)),
            ]),
        }
    }
}

impl Local {
    /// What `local/` holds.
    pub(super) fn tree(self) -> Option<Tree> {
        match self {
            Self::Absent => None,
            Self::Old => Some(tree([
                ("bin/quake.exe", b"old".to_vec()),
                ("only/in/old", b"x".to_vec()),
                ("save.dat", b"weeks of work".to_vec()),
            ])),
            Self::New => Some(tree([
                ("bin/quake.exe", b"new".to_vec()),
                ("only/in/new", b"yy".to_vec()),
                ("pak", noise(5, 600_000)),
            ])),
        }
    }
}

/// What nobody may touch, below the games directory.
pub(super) fn bystanders() -> Tree {
    tree([
        ("doom/.local.backup/theirs", b"kept".to_vec()),
        ("doom/.local.installing/theirs", b"kept".to_vec()),
        ("doom/.sync/state", b"kept".to_vec()),
        ("doom/local/save.dat", b"months of work".to_vec()),
        ("heretic/heretic.eti", noise(6, 40_000)),
        ("heretic/local/mods/mine.pk3", noise(7, 3_000)),
        ("heretic/version.ini", sentinel(VERSION)),
    ])
}

/// All games, at the new version.
pub(super) fn catalog() -> Catalog {
    let version = GameVersion::new(VERSION).unwrap();
    let games = [QUAKE, HERETIC, DOOM];
    let games = games.map(|id| CatalogGame::new(game_id(id), id, version.clone()));
    Catalog::from_games(games).unwrap()
}

pub(super) fn game_id(id: &str) -> GameId {
    GameId::new(id).unwrap()
}

/// The regular files below `directory` for which `wanted` says so, by the name directly in it.
pub(super) fn read_tree(directory: &Path, wanted: fn(&str) -> bool) -> Tree {
    let mut tree = Tree::new();
    let Ok(entries) = fs::read_dir(directory) else { return tree };
    for entry in entries {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if !wanted(&name) {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            let below = read_tree(&entry.path(), |_| true);
            tree.extend(below.into_iter().map(|(path, bytes)| (format!("{name}/{path}"), bytes)));
        } else {
            tree.insert(name, fs::read(entry.path()).unwrap());
        }
    }
    tree
}

pub(super) fn write_tree(directory: &Path, tree: &Tree) {
    for (path, bytes) in tree {
        let path = directory.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

fn tree<const N: usize>(files: [(&str, Vec<u8>); N]) -> Tree {
    files.into_iter().map(|(path, bytes)| (path.to_owned(), bytes)).collect()
}

fn sentinel(version: &str) -> Vec<u8> {
    format!("{version}\n").into_bytes()
}

fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = FixtureWriter::new(Vec::new()).unwrap();
    for (path, bytes) in files {
        writer.add_file(&path.parse().unwrap(), bytes.len() as u64, false, *bytes).unwrap();
    }
    writer.finish().unwrap()
}

/// Bytes like no others.
fn noise(seed: u64, len: u64) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(len).unwrap()];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}
