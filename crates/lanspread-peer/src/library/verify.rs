//! Reads a game from the first byte to the last, and says what is wrong with it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use lanspread_catalog::read_version;
use lanspread_proto::manifest::VERSION_FILE;
use lanspread_proto::{ContentHash, Manifest, ManifestFile, RelPath};

use crate::command::VerifyReference;
use crate::error::VerifyFailure;
use crate::library::hashing::{FileReader, HashError, Reading};
use crate::library::scan::LocalGame;
use crate::library::walk::{Listing, RootError, list_root};
use crate::problem::{GameProblem, GameProblems, ProblemReason};

/// What a game should be, and who says so.
#[derive(Debug, Clone)]
pub(crate) struct Reference {
    pub(crate) authority: VerifyReference,
    /// With all hashes. `None` where nobody can tell the files.
    pub(crate) manifest: Option<Arc<Manifest>>,
    /// What the catalog states, whether or not somebody can tell the files of it.
    pub(crate) content_root: Option<ContentHash>,
}

/// What a verification read, and what is wrong with it.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) files: usize,
    pub(crate) bytes: u64,
    /// What there is on the disk; `None` when the game is gone.
    pub(crate) local: Option<LocalGame>,
    pub(crate) problems: GameProblems,
}

impl Reference {
    /// Decides what a game is held against: the catalog's content; else what most of the sources and
    /// this peer claim together, and among equals what this peer claims, else the lowest hash.
    ///
    /// `own` is what this peer read the last time; `claims` are the manifests of sources.
    pub(crate) fn choose(
        catalog: Option<ContentHash>,
        own: Option<Arc<Manifest>>,
        claims: Vec<Arc<Manifest>>,
    ) -> Self {
        let root_of = |manifest: &Arc<Manifest>| manifest.content_root();
        let own = own.filter(|own| own.content_root().is_some());
        let mut votes: BTreeMap<ContentHash, (usize, Arc<Manifest>)> = BTreeMap::new();
        for manifest in own.iter().chain(&claims) {
            let Some(root) = root_of(manifest) else { continue };
            votes.entry(root).or_insert_with(|| (0, Arc::clone(manifest))).0 += 1;
        }
        if let Some(catalog) = catalog {
            let stated = votes.get(&catalog).map(|(_, manifest)| Arc::clone(manifest));
            // Without it, at least what has changed since the last time shows file by file.
            let manifest = stated.or(own);
            let authority = VerifyReference::Catalog;
            return Self { authority, manifest, content_root: Some(catalog) };
        }
        let own_root = own.as_ref().and_then(root_of);
        let most = votes.into_iter().max_by_key(|(root, (count, _))| {
            (*count, own_root == Some(*root), std::cmp::Reverse(*root))
        });
        let Some((root, (_, manifest))) = most else {
            return Self {
                authority: VerifyReference::Nothing,
                manifest: None,
                content_root: None,
            };
        };
        let is_claimed = claims.iter().any(|claim| root_of(claim) == Some(root));
        let authority =
            if is_claimed { VerifyReference::Sources } else { VerifyReference::Index };
        Self { authority, manifest: Some(manifest), content_root: None }
    }
}

/// Reads every file in `root` and holds it against `reference`. `passed` hears of the bytes that were
/// read and of those there are.
///
/// # Errors
/// [`VerifyFailure`]. That a file cannot be read is no error but a problem.
pub(crate) fn verify(
    root: &Path,
    reference: &Reference,
    reading: &Reading<'_>,
    passed: &mut dyn FnMut(u64, u64),
) -> Result<Verdict, VerifyFailure> {
    let listing = match list_root(root) {
        Ok(listing) => listing.unwrap_or_default(),
        Err(error) => {
            let reason = match error {
                RootError::Special => "it is no directory of its own".to_owned(),
                RootError::Unreadable(error) => error.to_string(),
            };
            return Err(VerifyFailure::Io { path: root.to_path_buf(), reason });
        }
    };
    let mut problems = listing.problems.clone();
    let read = read_all(root, &listing, reading, passed)?;
    read.failed.iter().for_each(|problem| problems.add(problem.clone()));
    if let Some(expected) = &reference.manifest {
        compare(expected, &read, &mut problems);
    }
    let files = read.files.len();
    let bytes = read.files.iter().map(|file| file.size).sum();
    let local = local_game(root, listing, read, &mut problems);
    let found = local.as_ref().and_then(|local| local.manifest.as_ref()?.content_root());
    if reference.content_root.is_some_and(|root| found != Some(root)) && problems.is_empty() {
        let message = "its content is not the one that the catalog states, and nobody here can tell \
                       in which file"
            .to_owned();
        problems.add(GameProblem { path: String::new(), reason: ProblemReason::Content, message });
    }
    Ok(Verdict { files, bytes, local, problems })
}

/// What was read.
#[derive(Default)]
struct Read {
    /// In path order; those that could not be read without hashes.
    files: Vec<ManifestFile>,
    doubtful: BTreeSet<RelPath>,
    failed: Vec<GameProblem>,
}

fn read_all(
    root: &Path,
    listing: &Listing,
    reading: &Reading<'_>,
    passed: &mut dyn FnMut(u64, u64),
) -> Result<Read, VerifyFailure> {
    let mut read = Read::default();
    let mut reader = FileReader::new(root, reading);
    let total = listing.fingerprint.files().iter().map(|file| file.stamp.size).sum();
    let mut done = 0;
    for file in listing.fingerprint.files() {
        let hashed = reader.read(&file.path, file.stamp, &mut |bytes| {
            done += bytes;
            passed(done, total);
        });
        let hashes = match hashed {
            Ok(hashed) => {
                if hashed.is_doubtful {
                    read.doubtful.insert(file.path.clone());
                }
                Some(hashed.hashes)
            }
            Err(HashError::Cancelled) => return Err(VerifyFailure::Cancelled),
            Err(error) => {
                let reason = match &error {
                    HashError::Changed { .. } => ProblemReason::Content,
                    _ => ProblemReason::Unreadable,
                };
                let message = match &error {
                    HashError::Io { source, .. } => format!("it cannot be read: {source}"),
                    _ => "it changed while it was read".to_owned(),
                };
                read.failed.push(GameProblem { path: file.path.to_string(), reason, message });
                None
            }
        };
        read.files.push(ManifestFile {
            path: file.path.clone(),
            size: file.stamp.size,
            hashes,
        });
    }
    Ok(read)
}

fn compare(expected: &Manifest, read: &Read, problems: &mut GameProblems) {
    let mut add = |path: &RelPath, reason, message| {
        problems.add(GameProblem { path: path.to_string(), reason, message });
    };
    for file in expected.files() {
        let found = read.files.binary_search_by(|found| found.path.cmp(&file.path));
        let Some(found) = found.ok().and_then(|at| read.files.get(at)) else {
            add(&file.path, ProblemReason::Missing, "it is missing".to_owned());
            continue;
        };
        if found.size != file.size {
            let message = format!("it has {} bytes and should have {}", found.size, file.size);
            add(&file.path, ProblemReason::Size, message);
        } else if let (Some(is), Some(should)) = (&found.hashes, &file.hashes)
            && is.file() != should.file()
        {
            let chunks = is.chunks().iter().zip(should.chunks());
            let wrong = chunks.filter(|(is, should)| is != should).count();
            let message = format!("{wrong} of its {} chunks are wrong", is.chunks().len());
            add(&file.path, ProblemReason::Content, message);
        }
    }
    for found in &read.files {
        if expected.file(&found.path).is_none() {
            let message = "it does not belong to the game".to_owned();
            add(&found.path, ProblemReason::Extra, message);
        }
    }
}

fn local_game(
    root: &Path,
    listing: Listing,
    read: Read,
    problems: &mut GameProblems,
) -> Option<LocalGame> {
    let mut own_problems = listing.problems;
    let mut broken = |path: &str, reason, message: String| {
        let problem = GameProblem { path: path.to_owned(), reason, message };
        problems.add(problem.clone());
        own_problems.add(problem);
    };
    let version = match read_version(root) {
        Ok(version) => version,
        Err(error) => {
            broken(VERSION_FILE, ProblemReason::BadVersion, error.to_string());
            None
        }
    };
    let manifest = version.clone().and_then(|version| {
        let manifest = Manifest::new(version, read.files);
        manifest.map_err(|error| broken("", ProblemReason::TooLarge, error.to_string())).ok()
    });
    let is_there = listing.installed || version.is_some() || !own_problems.is_empty();
    is_there.then(|| LocalGame {
        version,
        installed: listing.installed,
        fingerprint: listing.fingerprint,
        manifest: manifest.map(Arc::new),
        doubtful: Arc::new(read.doubtful),
        problems: Arc::new(own_problems),
        unread: read.failed.into_iter().next().map(Arc::new),
    })
}
