//! Game roots for tests: the same arguments give the same bytes on every machine, so that several
//! peers can hold the same game without copying it.

mod archive;
mod args;
mod content;

use std::collections::BTreeSet;
use std::fs::{self, File, Permissions};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use lanspread_catalog::{
    Catalog, CatalogError, CatalogGame, add_to_json_catalog, format_version_ini,
};
use lanspread_proto::RelPath;
use lanspread_proto::limits::MANIFEST_MAX_FILES;
use lanspread_proto::manifest::{CHUNK_SIZE_BYTES, VERSION_FILE};
use serde::Serialize;

pub(crate) use args::FixtureArgs;
use args::{ArchiveFormat, Size, SizedFile};
use content::Content;

/// How much of every chunk of a sparse file is data: one page, so that all chunks differ and the
/// file still takes little of the disk.
const ISLAND_BYTES: u64 = 4096;
/// Files in one directory, so that every file system stays fast.
const FILES_PER_DIR: u64 = 1000;

/// What was made.
#[derive(Debug, Serialize)]
struct Made<'a> {
    id: &'a str,
    version: &'a str,
    root: &'a Path,
    /// With the sentinel.
    files: u64,
    bytes: u64,
    catalog: Option<&'a Path>,
}

/// Makes the game root that `args` describe, and returns what was made as JSON.
pub(crate) fn make(args: &FixtureArgs) -> anyhow::Result<String> {
    let parts = parts(args)?;
    check_catalog(args)?;
    let root = args.games_dir.join(args.id.as_str());
    clear(&root, args.force)?;
    fs::create_dir_all(&root).with_context(|| format!("cannot make {}", root.display()))?;
    let (mut files, mut bytes) = (parts.len() as u64, 0);
    let contents = Contents { args, prefix: "" };
    for Part { path, kind } in &parts {
        let place = path.under(&root);
        let written = kind.write(&place, path, &contents);
        bytes += written.with_context(|| format!("cannot write {}", place.display()))?;
        if contents.is_executable(path) {
            let made = make_executable(&place);
            made.with_context(|| format!("cannot make {} executable", place.display()))?;
        }
    }
    for path in &args.directory {
        let place = path.under(&root);
        fs::create_dir_all(&place).with_context(|| format!("cannot make {}", place.display()))?;
    }
    if !args.no_sentinel {
        let place = root.join(VERSION_FILE);
        let line = format_version_ini(&args.version);
        fs::write(&place, &line).with_context(|| format!("cannot write {}", place.display()))?;
        bytes += line.len() as u64;
        files += 1;
    }
    let catalog = add_to_catalog(args, bytes)?;
    let made = Made {
        id: args.id.as_str(),
        version: args.version.as_str(),
        root: &root,
        files,
        bytes,
        catalog: catalog.as_deref(),
    };
    serde_json::to_string(&made).context("cannot describe the game")
}

/// Where the content of every file comes from.
struct Contents<'a> {
    args: &'a FixtureArgs,
    /// The archive whose entries are written; empty for files of the root.
    prefix: &'a str,
}

impl Contents<'_> {
    fn of(&self, path: &RelPath) -> Content {
        let (id, version) = (self.args.id.as_str(), self.args.version.as_str());
        Content::new(self.args.seed, &[id, version, self.prefix, path.as_str()])
    }

    fn is_executable(&self, path: &RelPath) -> bool {
        self.args.executable.contains(path)
    }
}

/// One file of the root.
struct Part {
    path: RelPath,
    kind: Kind,
}

enum Kind {
    Plain(Size),
    Sparse(Size),
    Archive(ArchiveFormat, Vec<SizedFile>),
}

impl Kind {
    /// Whether it is an archive with such an entry.
    fn holds(&self, path: &RelPath) -> bool {
        match self {
            Self::Archive(_, entries) => entries.iter().any(|entry| entry.path == *path),
            Self::Plain(_) | Self::Sparse(_) => false,
        }
    }

    /// Returns the bytes of the file.
    fn write(&self, place: &Path, path: &RelPath, contents: &Contents<'_>) -> io::Result<u64> {
        if let Some(parent) = place.parent() {
            fs::create_dir_all(parent)?;
        }
        let file = File::create_new(place)?;
        match self {
            Self::Plain(size) => {
                let mut file = BufWriter::new(file);
                io::copy(&mut contents.of(path).reader(0, size.0), &mut file)?;
                file.flush()?;
                Ok(size.0)
            }
            Self::Sparse(size) => write_sparse(&file, &contents.of(path), size.0),
            Self::Archive(format, entries) => {
                let contents = Contents { args: contents.args, prefix: path.as_str() };
                archive::write(file, *format, entries, &contents)
            }
        }
    }
}

/// Lets those run the file who may read it.
fn make_executable(place: &Path) -> io::Result<()> {
    let mode = fs::metadata(place)?.permissions().mode();
    fs::set_permissions(place, Permissions::from_mode(mode | (mode & 0o444) >> 2))
}

fn write_sparse(mut file: &File, content: &Content, size: u64) -> io::Result<u64> {
    file.set_len(size)?;
    let mut start = 0;
    while start < size {
        file.seek(SeekFrom::Start(start))?;
        io::copy(&mut content.reader(start, ISLAND_BYTES.min(size - start)), &mut file)?;
        start = start.saturating_add(CHUNK_SIZE_BYTES);
    }
    Ok(size)
}

fn parts(args: &FixtureArgs) -> anyhow::Result<Vec<Part>> {
    let archive = RelPath::new(format!("{}.eti", args.id))?;
    let mut parts = Vec::new();
    if let Some(size) = args.sized {
        parts.push(Part { path: RelPath::new("data.bin")?, kind: Kind::Plain(size) });
    }
    if let Some(size) = args.sparse {
        parts.push(Part { path: archive.clone(), kind: Kind::Sparse(size) });
    }
    if let Some(format) = args.archive {
        let mut entries = args.entry.clone();
        entries.extend(numbered("game", args.entries.unwrap_or(0), args.entry_size)?);
        ensure_distinct(entries.iter().map(|entry| &entry.path).chain(&args.directory))?;
        parts.push(Part { path: archive, kind: Kind::Archive(format, entries) });
    }
    let numbered = numbered("files", args.files.unwrap_or(0), args.file_size)?;
    for SizedFile { path, size } in args.file.iter().cloned().chain(numbered) {
        parts.push(Part { path, kind: Kind::Plain(size) });
    }
    ensure_distinct(parts.iter().map(|part| &part.path).chain(&args.directory))?;
    for path in &args.executable {
        let is_made = parts.iter().any(|part| part.path == *path || part.kind.holds(path));
        ensure!(is_made, "no file and no entry would be {path}");
    }
    if parts.iter().any(|part| part.path.as_str() == VERSION_FILE) {
        bail!("{VERSION_FILE} is the sentinel; its content is --version");
    }
    Ok(parts)
}

fn numbered(dir: &str, count: u64, size: Size) -> anyhow::Result<Vec<SizedFile>> {
    ensure!(count < MANIFEST_MAX_FILES as u64, "a game has less than {MANIFEST_MAX_FILES} files");
    let file = |n| {
        let path = RelPath::new(format!("{dir}/{:02}/{n:05}.bin", n / FILES_PER_DIR))?;
        Ok(SizedFile { path, size })
    };
    (0..count).map(file).collect()
}

fn ensure_distinct<'a>(paths: impl Iterator<Item = &'a RelPath>) -> anyhow::Result<()> {
    let mut seen = BTreeSet::new();
    for path in paths {
        ensure!(seen.insert(path), "two files would be {path}");
    }
    Ok(())
}

/// Makes room for a new root. Only a real directory is ever removed.
fn clear(root: &Path, force: bool) -> anyhow::Result<()> {
    let found = match fs::symlink_metadata(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found.with_context(|| format!("cannot look at {}", root.display()))?,
    };
    ensure!(found.is_dir(), "{} is there and is no directory", root.display());
    ensure!(force, "{} is there already; --force replaces it", root.display());
    fs::remove_dir_all(root).with_context(|| format!("cannot remove {}", root.display()))
}

/// Checks that the game can be added to the catalog, before anything is made or replaced.
fn check_catalog(args: &FixtureArgs) -> anyhow::Result<()> {
    let Some(catalog) = catalog_path(args) else { return Ok(()) };
    if !catalog.exists() {
        let dir = directory_of(&catalog);
        // The games directory is made with the game.
        ensure!(
            dir.is_dir() || dir == args.games_dir,
            "catalog {} cannot be made: there is no directory {}",
            catalog.display(),
            dir.display()
        );
        return Ok(());
    }
    match Catalog::load(&catalog) {
        Ok(_) | Err(CatalogError::NoGames { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn catalog_path(args: &FixtureArgs) -> Option<PathBuf> {
    let usual = || args.games_dir.join("catalog.json");
    (!args.no_catalog).then(|| args.catalog.clone().unwrap_or_else(usual))
}

fn directory_of(file: &Path) -> &Path {
    file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Returns the catalog, if there is to be one.
fn add_to_catalog(args: &FixtureArgs, bytes: u64) -> anyhow::Result<Option<PathBuf>> {
    let Some(catalog) = catalog_path(args) else { return Ok(None) };
    let title = args.title.as_deref().unwrap_or(args.id.as_str());
    let mut game = CatalogGame::new(args.id.clone(), title, args.version.clone());
    game.size = Some(bytes);
    // Several games may be made at once. The lock ends with the process, at the latest.
    let dir = directory_of(&catalog);
    let lock = File::open(dir).and_then(|dir| dir.lock().map(|()| dir));
    let _lock = lock.with_context(|| format!("cannot lock {}", dir.display()))?;
    add_to_json_catalog(&catalog, game)?;
    Ok(Some(catalog))
}
