//! Reads a game from the first byte to the last, and says what is wrong with it.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;

use lanspread_catalog::VersionIni;
use lanspread_disk::IoFailure;
use lanspread_proto::manifest::VERSION_FILE;
use lanspread_proto::{ContentHash, Manifest, ManifestFile, RelPath};

use crate::hashing::{FileReader, HashError, Reading};
use crate::local_game::LocalGame;
use crate::problem::{GameProblem, GameProblems, ProblemReason};
use crate::scan::{read_sentinel, remembered_bits};
use crate::stamp::KnownContent;
use crate::walk::{Listing, RootError, list_root};

/// What a game on this disk was held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerifyReference {
    /// The content that the catalog states.
    Catalog,
    /// What most of the sources have.
    Sources,
    /// What this peer read the last time. If that was wrong already, this does not show.
    Index,
    /// Nothing: the files could only be read.
    Nothing,
}

/// Why a verification ended without a result. Cloneable, since event and answer both carry it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyFailure {
    /// It was cancelled.
    #[error("the verification was cancelled")]
    Cancelled,
    /// The root of the game cannot be read.
    #[error(transparent)]
    Io(#[from] IoFailure),
    /// It did not come to its end.
    #[error("the verification was interrupted")]
    Interrupted,
}

/// What a game should be, and who says so.
#[derive(Debug, Clone)]
pub struct Reference {
    /// Who says what the game should be.
    pub authority: VerifyReference,
    /// With all hashes. `None` where nobody can tell the files.
    pub manifest: Option<Arc<Manifest>>,
    /// What the catalog states, whether or not somebody can tell the files of it.
    pub content_root: Option<ContentHash>,
    /// What the index knows of the game.
    pub known: Option<KnownContent>,
}

/// What a verification read, and what is wrong with it.
#[derive(Debug)]
pub struct Verdict {
    /// How many files were read.
    pub files: usize,
    /// Their bytes together.
    pub bytes: u64,
    /// What there is on the disk; `None` when the game is gone.
    pub local: Option<LocalGame>,
    /// What is wrong with the game.
    pub problems: GameProblems,
}

impl Reference {
    /// Decides what a game is held against: `fetched`, what a source gave as the content that the catalog
    /// or most sources want; else `own`, what this peer read the last time.
    pub fn choose(
        catalog: Option<ContentHash>,
        own: Option<Arc<Manifest>>,
        fetched: Option<Arc<Manifest>>,
    ) -> Self {
        let own = own.filter(|own| own.content_root().is_some());
        if let Some(catalog) = catalog {
            let fetched = fetched.filter(|it| {
                it.content_root() == Some(catalog) || it.old_content_roots(None).contains(&catalog)
            });
            // Without it, at least what has changed since the last time shows file by file.
            let (authority, manifest) = (VerifyReference::Catalog, fetched.or(own));
            return Self { authority, manifest, content_root: Some(catalog), known: None };
        }
        let (authority, manifest) = match (fetched, own) {
            (Some(manifest), _) => (VerifyReference::Sources, Some(manifest)),
            (None, Some(own)) => (VerifyReference::Index, Some(own)),
            (None, None) => (VerifyReference::Nothing, None),
        };
        Self { authority, manifest, content_root: None, known: None }
    }
}

/// Reads every file in `root` and holds it against `reference`. `passed` hears of the bytes that were
/// read and of those there are.
///
/// # Errors
/// [`VerifyFailure`]. That a file cannot be read is no error but a problem.
pub fn verify(
    root: &Path,
    reference: &Reference,
    reading: &Reading<'_>,
    passed: &mut dyn FnMut(u64, u64),
) -> Result<Verdict, VerifyFailure> {
    let listing = match list_root(root) {
        Ok(listing) => listing.unwrap_or_default(),
        Err(error) => {
            let source = match error {
                RootError::Special => io::Error::other("it is no directory of its own"),
                RootError::Unreadable(error) => error,
            };
            return Err(IoFailure::new("read", root, source).into());
        }
    };
    if !listing.has_sentinel {
        // It went a moment ago: the next look takes the game out of the library.
        let reason = "it is not there any more, so the game is no longer downloaded";
        return Err(IoFailure::refused("read", root.join(VERSION_FILE), reason).into());
    }
    let mut problems = listing.problems.clone();
    let read = read_all(root, &listing, reading, passed)?;
    read.failed.iter().for_each(|problem| problems.add(problem.clone()));
    if let Some(expected) = &reference.manifest {
        compare(expected, &read, &mut problems);
    }
    let files = read.files.len();
    let bytes = read.files.iter().map(|file| file.size).sum();
    let local = local_game(root, listing, read, reference.known.as_ref(), &mut problems);
    let is_as_stated = match &local {
        Some(local) => {
            local.content_root().is_some() && !local.is_other_content(reference.content_root)
        }
        None => false,
    };
    if reference.content_root.is_some() && !is_as_stated && problems.is_empty() {
        let message =
            "its content is not the one that the catalog states, and nobody here can tell \
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
        read.files.push(ManifestFile { path: file.path.clone(), size: file.stamp.size, hashes });
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
            let chunks = is.chunks().zip(should.chunks());
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
    known: Option<&KnownContent>,
    problems: &mut GameProblems,
) -> Option<LocalGame> {
    let mut broken = GameProblems::default();
    let sentinel = read_sentinel(root, &mut broken);
    let manifest = sentinel.as_ref().and_then(|sentinel| {
        let manifest = Manifest::new(sentinel.version.clone(), read.files);
        manifest
            .map_err(|error| {
                broken.add(GameProblem::of_manifest(&error));
            })
            .ok()
    });
    let mut own_problems = listing.problems;
    for problem in broken.told {
        problems.add(problem.clone());
        own_problems.add(problem);
    }
    let (version, version_ini) = match sentinel {
        Some(VersionIni { version, bytes }) => (Some(version), bytes.map(Arc::from)),
        None => (None, None),
    };
    let is_there = listing.installed || version.is_some() || !own_problems.is_empty();
    let game = LocalGame {
        remembered: remembered_bits(known, &listing.fingerprint),
        leaves_out_directories: listing.has_more_directories,
        version,
        version_ini,
        installed: listing.installed,
        fingerprint: listing.fingerprint,
        manifest: manifest.map(Arc::new),
        doubtful: Arc::new(read.doubtful),
        problems: Arc::new(own_problems),
        unread: read.failed.into_iter().next().map(Arc::new),
        ..LocalGame::default()
    };
    is_there.then(|| game.with_old_content_roots().with_attributes())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::SystemTime;

    use lanspread_proto::FileHashes;
    use lanspread_proto::hash::chunk_hash;

    use super::*;

    fn manifest(files: &[(&str, &[u8])]) -> Arc<Manifest> {
        let files = files.iter().map(|(path, bytes)| {
            let size = bytes.len() as u64;
            let hashes = Some(FileHashes::from_chunks(vec![chunk_hash(size, 0, bytes)]));
            ManifestFile { path: path.parse().unwrap(), size, hashes }
        });
        Arc::new(Manifest::new("1".parse().unwrap(), files.collect()).unwrap())
    }

    fn whole() -> Arc<Manifest> {
        manifest(&[("a.eti", b"archive"), ("cfg/x", b"1234")])
    }

    #[test]
    fn the_catalog_decides_else_the_sources_else_what_was_read_before() {
        let (one, other) = (manifest(&[("a", b"1")]), manifest(&[("a", b"2")]));
        let root = |manifest: &Arc<Manifest>| manifest.content_root();
        let choose = |catalog, own: Option<&Arc<Manifest>>, fetched: Option<&Arc<Manifest>>| {
            let chosen = Reference::choose(catalog, own.cloned(), fetched.cloned());
            (chosen.authority, chosen.manifest.as_ref().and_then(root))
        };
        use VerifyReference::{Catalog, Index, Nothing, Sources};
        assert_eq!(choose(None, None, None), (Nothing, None));
        assert_eq!(choose(None, Some(&one), None), (Index, root(&one)));
        assert_eq!(choose(None, Some(&one), Some(&other)), (Sources, root(&other)));
        assert_eq!(choose(root(&one), Some(&other), Some(&one)), (Catalog, root(&one)));
        assert_eq!(choose(root(&one), Some(&other), None), (Catalog, root(&other)));
        // What was fetched is not what the catalog states, whatever its source claims.
        assert_eq!(choose(root(&one), Some(&one), Some(&other)), (Catalog, root(&one)));
        let old = one.old_content_roots(None).pop();
        assert_eq!(choose(old, Some(&other), Some(&one)), (Catalog, root(&one)));
    }

    #[test]
    fn every_difference_is_named_and_local_is_not_looked_at() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, bytes: &[u8]| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        };
        let check = |reference: &Reference| {
            let reading = Reading { cancel: &|| false, now: &SystemTime::now };
            let verdict = verify(root.path(), reference, &reading, &mut |_, _| {}).unwrap();
            let told = verdict.problems.told.into_iter();
            told.map(|problem| (problem.path, problem.reason)).collect::<Vec<_>>()
        };
        let reference = Reference::choose(None, Some(whole()), None);
        write("a.eti", b"archive");
        write("cfg/x", b"1234");
        write("version.ini", b"1\n");
        write("local/save.dat", b"mine");
        write("cfg/Thumbs.db", b"of the system");
        assert_eq!(check(&reference), []);
        let other = Reference { content_root: Some(ContentHash::of(b"x")), ..reference.clone() };
        assert_eq!(check(&other), [(String::new(), ProblemReason::Content)]);

        write("a.eti", b"arXhive");
        write("cfg/y", b"");
        fs::remove_file(root.path().join("cfg/x")).unwrap();
        write("aux.dat", b"");
        let named = |path: &str, reason| (path.to_owned(), reason);
        let expected = [
            named("a.eti", ProblemReason::Content),
            named("aux.dat", ProblemReason::Name),
            named("cfg/x", ProblemReason::Missing),
            named("cfg/y", ProblemReason::Extra),
        ];
        assert_eq!(check(&reference), expected);
        write("a.eti", b"short");
        assert_eq!(check(&reference)[0], named("a.eti", ProblemReason::Size));
    }
}
