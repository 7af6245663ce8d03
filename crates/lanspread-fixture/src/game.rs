//! Game roots for tests: the same description gives the same bytes on every machine, so that several
//! peers can hold the same game without copying it.

mod archive;
mod error;
mod seeded;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use lanspread_catalog::{
    Catalog, CatalogError, CatalogGame, add_to_json_catalog, format_version_ini,
};
use lanspread_proto::limits::MANIFEST_MAX_FILES;
use lanspread_proto::manifest::{CHUNK_SIZE_BYTES, VERSION_FILE};
use lanspread_proto::{GameId, GameVersion, RelPath};

use crate::platform;
pub use error::FixtureError;
use seeded::SeededContent;

/// How much of every chunk of a sparse file is data: one page, so that all chunks differ and the
/// file still takes little of the disk.
const ISLAND_BYTES: u64 = 4096;
/// Files in one directory, so that every file system stays fast.
const FILES_PER_DIR: u64 = 1000;

/// Which archive to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArchiveFormat {
    /// RAR 5.
    Rar,
    /// The format of Lanspread's own tests.
    Fixture,
}

/// A path and how large the file there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SizedFile {
    /// Where it is, below the game root or in the archive.
    pub path: RelPath,
    /// How many bytes it has.
    pub size_bytes: u64,
}

impl SizedFile {
    /// Returns `count` files of one size below `dir`, numbered and spread over directories.
    ///
    /// # Errors
    /// [`FixtureError::TooManyFiles`] for more than a game may have; [`FixtureError::Path`] for a `dir`
    /// below which they cannot be.
    pub fn numbered(dir: &str, count: u64, size_bytes: u64) -> Result<Vec<Self>, FixtureError> {
        if count >= MANIFEST_MAX_FILES as u64 {
            return Err(FixtureError::TooManyFiles { limit: MANIFEST_MAX_FILES });
        }
        let file = |n| {
            let path = RelPath::new(format!("{dir}/{:02}/{n:05}.bin", n / FILES_PER_DIR))?;
            Ok(Self { path, size_bytes })
        };
        (0..count).map(file).collect()
    }
}

/// An archive of a game root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GameArchive {
    /// What it is.
    pub format: ArchiveFormat,
    /// The files in it.
    pub entries: Vec<SizedFile>,
}

/// Describes a game root that [`make`](Self::make) makes.
#[derive(Debug, Clone)]
pub struct GameFixture {
    /// The games directory; made if missing.
    pub games_dir: PathBuf,
    /// Which game to make: the name of its root directory.
    pub id: GameId,
    /// Its title in the catalog; without one, its id.
    pub title: Option<String>,
    /// Its version.
    pub version: GameVersion,
    /// The JSON catalog to add it to, made if missing; `None` adds it to no catalog.
    pub catalog: Option<PathBuf>,
    /// Whether to write `version.ini`, without which a game is not downloaded.
    pub has_sentinel: bool,
    /// What the bytes follow from: the same seed gives the same game.
    pub seed: u64,
    /// Whether to replace a game root that is there.
    pub replaces: bool,
    /// Files of the root.
    pub files: Vec<SizedFile>,
    /// The size of a sparse file named like an archive: a page of data in every chunk.
    pub sparse_bytes: Option<u64>,
    /// A real archive, named after the game, with stored entries.
    pub archive: Option<GameArchive>,
    /// Empty directories, in the archive as well where there is one.
    pub directories: Vec<RelPath>,
    /// The files, and entries of the archive, that may be run.
    pub executables: Vec<RelPath>,
}

/// What was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeGame {
    /// The game root.
    pub root: PathBuf,
    /// How many files it has, the sentinel included.
    pub files: u64,
    /// How many bytes these have together.
    pub bytes: u64,
}

impl GameFixture {
    /// Describes a game that has a sentinel, no other file, and no entry in a catalog.
    #[must_use]
    pub fn new(games_dir: impl Into<PathBuf>, id: GameId, version: GameVersion) -> Self {
        Self {
            games_dir: games_dir.into(),
            id,
            title: None,
            version,
            catalog: None,
            has_sentinel: true,
            seed: 0,
            replaces: false,
            files: Vec::new(),
            sparse_bytes: None,
            archive: None,
            directories: Vec::new(),
            executables: Vec::new(),
        }
    }

    /// Makes the game root and its catalog entry.
    ///
    /// # Errors
    /// [`FixtureError`], before anything is made or replaced where the description itself, the root or
    /// the catalog stands in the way. After a failure of the disk the root holds what was written.
    pub fn make(&self) -> Result<MadeGame, FixtureError> {
        let files = root_files(self)?;
        check_catalog(self)?;
        let root = self.games_dir.join(self.id.as_str());
        remove_old_root(&root, self.replaces)?;
        fs::create_dir_all(&root).map_err(FixtureError::io("make", &root))?;
        let (mut file_count, mut bytes) = (files.len() as u64, 0);
        let source = ContentSource { game: self, prefix: "" };
        for RootFile { path, kind } in &files {
            let target = path.under(&root);
            let written = kind.write(&target, path, &source);
            bytes += written.map_err(FixtureError::io("write", &target))?;
            if source.is_executable(path) {
                let made = platform::make_executable(&target);
                made.map_err(FixtureError::io("make executable", &target))?;
            }
        }
        for path in &self.directories {
            let target = path.under(&root);
            fs::create_dir_all(&target).map_err(FixtureError::io("make", &target))?;
        }
        if self.has_sentinel {
            let target = root.join(VERSION_FILE);
            let line = format_version_ini(&self.version);
            fs::write(&target, &line).map_err(FixtureError::io("write", &target))?;
            bytes += line.len() as u64;
            file_count += 1;
        }
        add_to_catalog(self, bytes)?;
        Ok(MadeGame { root, files: file_count, bytes })
    }
}

/// Where the content of every file comes from.
struct ContentSource<'a> {
    game: &'a GameFixture,
    /// The archive whose entries are written; empty for files of the root.
    prefix: &'a str,
}

impl ContentSource<'_> {
    fn of(&self, path: &RelPath) -> SeededContent {
        let (id, version) = (self.game.id.as_str(), self.game.version.as_str());
        SeededContent::new(self.game.seed, &[id, version, self.prefix, path.as_str()])
    }

    fn is_executable(&self, path: &RelPath) -> bool {
        self.game.executables.contains(path)
    }
}

/// One file of the root.
struct RootFile<'a> {
    path: RelPath,
    kind: FileKind<'a>,
}

enum FileKind<'a> {
    Plain(u64),
    Sparse(u64),
    Archive(&'a GameArchive),
}

impl FileKind<'_> {
    /// Whether it is an archive with such an entry.
    fn holds(&self, path: &RelPath) -> bool {
        match self {
            Self::Archive(archive) => archive.entries.iter().any(|entry| entry.path == *path),
            Self::Plain(_) | Self::Sparse(_) => false,
        }
    }

    /// Returns the bytes of the file.
    fn write(&self, target: &Path, path: &RelPath, source: &ContentSource<'_>) -> io::Result<u64> {
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        let file = File::create_new(target)?;
        match self {
            Self::Plain(size_bytes) => {
                let mut file = BufWriter::new(file);
                io::copy(&mut source.of(path).reader(0, *size_bytes), &mut file)?;
                file.flush()?;
                Ok(*size_bytes)
            }
            Self::Sparse(size_bytes) => write_sparse(&file, &source.of(path), *size_bytes),
            Self::Archive(archive) => {
                let source = ContentSource { game: source.game, prefix: path.as_str() };
                archive::write(file, archive, &source)
            }
        }
    }
}

fn write_sparse(mut file: &File, content: &SeededContent, size_bytes: u64) -> io::Result<u64> {
    file.set_len(size_bytes)?;
    let mut start = 0;
    while start < size_bytes {
        file.seek(SeekFrom::Start(start))?;
        io::copy(&mut content.reader(start, ISLAND_BYTES.min(size_bytes - start)), &mut file)?;
        start = start.saturating_add(CHUNK_SIZE_BYTES);
    }
    Ok(size_bytes)
}

fn root_files(game: &GameFixture) -> Result<Vec<RootFile<'_>>, FixtureError> {
    let archive = RelPath::new(format!("{}.eti", game.id))?;
    let mut files = Vec::new();
    if let Some(size_bytes) = game.sparse_bytes {
        files.push(RootFile { path: archive.clone(), kind: FileKind::Sparse(size_bytes) });
    }
    if let Some(content) = &game.archive {
        let entries = content.entries.iter().map(|entry| &entry.path);
        ensure_distinct(entries.chain(&game.directories))?;
        files.push(RootFile { path: archive, kind: FileKind::Archive(content) });
    }
    for SizedFile { path, size_bytes } in &game.files {
        files.push(RootFile { path: path.clone(), kind: FileKind::Plain(*size_bytes) });
    }
    ensure_distinct(files.iter().map(|file| &file.path).chain(&game.directories))?;
    for path in &game.executables {
        let is_made = files.iter().any(|file| file.path == *path || file.kind.holds(path));
        if !is_made {
            return Err(FixtureError::NoSuchFile { path: path.clone() });
        }
    }
    if files.iter().any(|file| file.path.as_str() == VERSION_FILE) {
        return Err(FixtureError::Sentinel);
    }
    Ok(files)
}

fn ensure_distinct<'a>(paths: impl Iterator<Item = &'a RelPath>) -> Result<(), FixtureError> {
    let mut seen = BTreeSet::new();
    for path in paths {
        if !seen.insert(path) {
            return Err(FixtureError::Duplicate { path: path.clone() });
        }
    }
    Ok(())
}

/// Makes room for a new root. Only a real directory is ever removed.
fn remove_old_root(root: &Path, replaces: bool) -> Result<(), FixtureError> {
    let found = match fs::symlink_metadata(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found.map_err(FixtureError::io("look at", root))?,
    };
    if !found.is_dir() {
        return Err(FixtureError::NotADirectory { root: root.to_path_buf() });
    }
    if !replaces {
        return Err(FixtureError::RootExists { root: root.to_path_buf() });
    }
    fs::remove_dir_all(root).map_err(FixtureError::io("remove", root))
}

/// Checks that the game can be added to the catalog, before anything is made or replaced.
fn check_catalog(game: &GameFixture) -> Result<(), FixtureError> {
    let Some(catalog) = &game.catalog else { return Ok(()) };
    if !catalog.exists() {
        let dir = directory_of(catalog);
        // The games directory is made with the game.
        if dir.is_dir() || dir == game.games_dir {
            return Ok(());
        }
        let (catalog, dir) = (catalog.clone(), dir.to_path_buf());
        return Err(FixtureError::NoCatalogDirectory { catalog, dir });
    }
    match Catalog::load(catalog) {
        Ok(_) | Err(CatalogError::NoGames { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn directory_of(file: &Path) -> &Path {
    file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn add_to_catalog(game: &GameFixture, bytes: u64) -> Result<(), FixtureError> {
    let Some(catalog) = &game.catalog else { return Ok(()) };
    let title = game.title.as_deref().unwrap_or(game.id.as_str());
    let mut entry = CatalogGame::new(game.id.clone(), title, game.version.clone());
    entry.size = Some(bytes);
    Ok(add_to_json_catalog(catalog, entry)?)
}
