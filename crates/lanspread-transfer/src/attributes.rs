//! What the sources of a download tell beside its content, and what follows from all of it.
//!
//! Pure. Each distinct [`Attributes`] is fetched once. None of it is in a hash, and sources may differ:
//!
//! What a source claims stays when it leaves, as the bytes stay that it gave. So this room keeps its
//! sources itself, in one entry each: [`AttributeClaims::end_requests`] ends what is under way with one,
//! and [`AttributeClaims::forget`] removes it.
//!
//! - A file is executable if any of them says so. A bit too many is harmless, as nothing is run unasked;
//!   a lost one breaks the game, and a majority of peers on disks that keep no bits would erase it.
//! - Empty directories are the union, in peer id order until the bounds are reached.
//! - `version.ini` gets the bytes that most addresses tell, the lowest among equals, if their first line is
//!   the version; else the version and a line feed. Where no address has a vote, sources are counted. A
//!   catalog that holds with certain bytes alone decides.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lanspread_proto::attributes::{AttributesError, fitting_directories};
use lanspread_proto::fold::is_same_fold;
use lanspread_proto::foreign::is_foreign_directory;
use lanspread_proto::manifest::VERSION_FILE;
use lanspread_proto::reserved::is_reserved_root_name;
use lanspread_proto::version_ini::{format_version_ini, parse_version_ini};
use lanspread_proto::{Attributes, ContentHash, FileBits, Manifest, PeerId, RelPath};

use crate::votes::{Poll, Vote, Voter};

/// How long a complete download waits for attributes that are still to come. They are one page.
pub const ATTRIBUTES_WAIT: Duration = Duration::from_secs(5);

/// How long a source may take before another one with the same attributes is asked for them as well.
const PATIENCE: Duration = Duration::from_millis(100);
/// How many more are asked at a time for each one that is late.
const GROWTH: usize = 3;
/// How often a source may fail to give its attributes. One that changes while it is asked fails once.
const FAILURES_MAX: u32 = 3;

/// What the sources tell so far.
#[derive(Debug, Default)]
pub struct AttributeClaims {
    sources: BTreeMap<PeerId, SourceState>,
    here: BTreeMap<ContentHash, Arc<Attributes>>,
    /// Of whom those are asked for that are not here, and since when.
    asked: BTreeMap<ContentHash, BTreeMap<PeerId, Duration>>,
}

/// What is known of one source.
#[derive(Debug, Default)]
struct SourceState {
    /// Its address, if that has a vote.
    voter: Option<Voter>,
    /// The identity of the attributes that it claims.
    claim: Option<ContentHash>,
    /// How often it did not give them.
    failures: u32,
}

/// The attributes of one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttributesPart {
    /// Which source is asked.
    pub peer: PeerId,
    /// The hash of the attributes.
    pub of: ContentHash,
}

/// What a download writes beside the content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreed {
    /// Which files are executable; `None` where nobody tells.
    pub executable: Option<FileBits>,
    /// The innermost empty directories, in path order; `None` where nobody tells.
    pub directories: Option<Vec<RelPath>>,
    /// The bytes of `version.ini`.
    pub sentinel: Bytes,
}

impl AttributeClaims {
    /// A source says which attributes its copy has.
    pub fn claim(&mut self, peer: PeerId, voter: Option<Voter>, identity: ContentHash) {
        let source = self.sources.entry(peer).or_default();
        source.voter = voter;
        if source.failures < FAILURES_MAX {
            source.claim = Some(identity);
        }
    }

    /// The requests to a source have ended. What it claims stays.
    pub fn end_requests(&mut self, peer: PeerId) {
        self.asked.values_mut().for_each(|asked| asked.retain(|other, _| *other != peer));
        self.asked.retain(|_, asked| !asked.is_empty());
    }

    /// A source is not to be believed in anything.
    pub fn forget(&mut self, peer: PeerId) {
        self.sources.remove(&peer);
        self.end_requests(peer);
    }

    /// The next source to be asked for its attributes, of those that may be; it counts as asked then. Where
    /// one does not give them soon, others that claim the same ones are asked as well.
    pub fn ask(
        &mut self,
        may_be_asked: impl Fn(PeerId) -> bool,
        now: Duration,
    ) -> Option<AttributesPart> {
        let none = BTreeMap::new();
        let is_open = |peer: PeerId, identity: &ContentHash| {
            let asked = self.asked.get(identity).unwrap_or(&none);
            let late = asked.values().filter(|at| **at + PATIENCE <= now).count();
            !self.here.contains_key(identity)
                && !asked.contains_key(&peer)
                && asked.len() - late < late.saturating_mul(GROWTH).max(1)
        };
        let claims = self.sources.iter().filter_map(|(peer, source)| Some((*peer, source.claim?)));
        let mut open = claims.filter(|(peer, identity)| is_open(*peer, identity));
        let (peer, of) = open.find(|(peer, _)| may_be_asked(*peer))?;
        self.asked.entry(of).or_default().insert(peer, now);
        Some(AttributesPart { peer, of })
    }

    /// When to call [`Self::ask`] again, should nothing happen before.
    pub fn wake_at(&self, now: Duration) -> Option<Duration> {
        self.asked().map(|(_, asked_at)| asked_at + PATIENCE).filter(|at| *at > now).min()
    }

    /// The sources that are being asked, and since when.
    pub fn asked(&self) -> impl Iterator<Item = (PeerId, Duration)> {
        self.asked.values().flatten().map(|(peer, at)| (*peer, *at))
    }

    /// Whether some have come.
    pub fn is_any_here(&self) -> bool {
        !self.here.is_empty()
    }

    /// A source did not give what it was asked for. It is not asked again unless it tells of them again.
    pub fn failed(&mut self, AttributesPart { peer, of }: AttributesPart) {
        if let Some(asked) = self.asked.get_mut(&of) {
            asked.remove(&peer);
        }
        self.asked.retain(|_, asked| !asked.is_empty());
        let source = self.sources.entry(peer).or_default();
        source.failures += 1;
        source.claim.take_if(|claim| *claim == of);
    }

    /// A source gave what it was asked for, a page with this identity.
    ///
    /// # Errors
    /// Which rule it breaks, in words.
    pub fn on_page(
        &mut self,
        part: AttributesPart,
        page: &[u8],
        manifest: &Manifest,
    ) -> Result<(), String> {
        self.asked.remove(&part.of);
        let attributes = check(page, part.of, manifest)?;
        self.here.insert(part.of, Arc::new(attributes));
        Ok(())
    }

    /// Whether some are asked for and have not come.
    pub fn is_awaited(&self) -> bool {
        !self.asked.is_empty()
    }

    /// Whether a game with this content is what a catalog states by its root, in any form: with one of the
    /// usual line ends of `version.ini`, or with bytes that a source tells.
    pub fn hold(&self, manifest: &Manifest, stated: ContentHash) -> bool {
        let with = |own: Option<&[u8]>| manifest.old_content_roots(own).contains(&stated);
        manifest.content_root() == Some(stated)
            || with(None)
            || self.sentinels(manifest).keys().any(|own| with(Some(own)))
    }

    /// What follows for a game with this content; `catalog` is the content root of the catalog, if it has
    /// one.
    pub fn agree(&self, manifest: &Manifest, catalog: Option<ContentHash>) -> Agreed {
        Agreed {
            executable: self.executable(manifest.files().len()),
            directories: self.directories(),
            sentinel: self.sentinel(manifest, catalog),
        }
    }

    /// Those of each source that are here, in peer id order.
    fn all(&self) -> impl Iterator<Item = &Arc<Attributes>> {
        self.told().map(|(_, attributes)| attributes)
    }

    /// Those of each source with its address.
    fn told(&self) -> impl Iterator<Item = (Option<Voter>, &Arc<Attributes>)> {
        let sources = self.sources.values();
        sources.filter_map(|source| Some((source.voter, self.here.get(&source.claim?)?)))
    }

    fn executable(&self, files: usize) -> Option<FileBits> {
        let mut all: Option<FileBits> = None;
        for bits in self.all().filter_map(|attributes| attributes.executable.as_ref()) {
            let all = all.get_or_insert_with(|| FileBits::new(files));
            (0..files).filter(|file| bits.get(*file)).for_each(|file| all.set(file));
        }
        all
    }

    fn directories(&self) -> Option<Vec<RelPath>> {
        let mut all: Option<BTreeSet<RelPath>> = None;
        for attributes in self.all() {
            let mut more = all.take().unwrap_or_default();
            more.extend(attributes.directories.iter().cloned());
            let more: Vec<_> = innermost(more).into_iter().collect();
            let fits = fitting_directories(&more);
            let is_full = fits < more.len();
            all = Some(more.into_iter().take(fits).collect());
            if is_full {
                break;
            }
        }
        all.map(|all| all.into_iter().collect())
    }

    fn sentinel(&self, manifest: &Manifest, catalog: Option<ContentHash>) -> Bytes {
        let mut counts = self.sentinel_votes(manifest).counts();
        if counts.is_empty() {
            counts = self.sentinels(manifest);
        }
        let holds = |own: Option<&[u8]>| {
            catalog.is_none_or(|catalog| {
                manifest.content_root() == Some(catalog)
                    || manifest.old_content_roots(own).contains(&catalog)
            })
        };
        if !holds(None) {
            counts = self.sentinels(manifest);
            counts.retain(|bytes, _| holds(Some(bytes)));
        }
        // The first of equals in reverse order is the lowest.
        let most = counts.into_iter().rev().max_by_key(|(_, count)| *count);
        match most {
            Some((bytes, _)) => bytes.clone(),
            None => format_version_ini(manifest.version()).into(),
        }
    }

    /// The bytes of `version.ini` that tell the version, and how many sources tell them.
    fn sentinels(&self, manifest: &Manifest) -> BTreeMap<&Bytes, usize> {
        let mut counts = BTreeMap::new();
        for (_, bytes) in self.told_sentinels(manifest) {
            *counts.entry(bytes).or_default() += 1;
        }
        counts
    }

    fn sentinel_votes(&self, manifest: &Manifest) -> Poll<&Bytes> {
        let mut poll = Poll::default();
        let told = self.told_sentinels(manifest);
        told.for_each(|(voter, bytes)| poll.add(voter, Vote::For(bytes)));
        poll
    }

    fn told_sentinels(&self, manifest: &Manifest) -> impl Iterator<Item = (Option<Voter>, &Bytes)> {
        self.told().filter_map(|(voter, attributes)| {
            let bytes = attributes.version_ini.as_ref()?;
            let is_right =
                parse_version_ini(bytes).is_ok_and(|stated| stated == *manifest.version());
            is_right.then_some((voter, bytes))
        })
    }
}

/// Leaves out directories that have another one below them.
fn innermost(directories: BTreeSet<RelPath>) -> BTreeSet<RelPath> {
    let above: BTreeSet<String> =
        directories.iter().flat_map(RelPath::ancestors).map(str::to_owned).collect();
    directories.into_iter().filter(|path| !above.contains(path.as_str())).collect()
}

fn check(page: &[u8], identity: ContentHash, manifest: &Manifest) -> Result<Attributes, String> {
    let broken = |error: AttributesError| format!("its attributes are broken: {error}");
    if Attributes::identity(page) != identity {
        return Err("its attributes are not those that it tells of".to_owned());
    }
    let attributes = Attributes::decode(page, manifest.files().len()).map_err(broken)?;
    for directory in &attributes.directories {
        let is_sentinel = is_same_fold(directory.first(), VERSION_FILE);
        let mut components = directory.components();
        let reason = if is_sentinel || is_reserved_root_name(directory.first()) {
            "is reserved"
        } else if components.any(|name| is_foreign_directory(name.as_bytes())) {
            "is no content of a game"
        } else if is_of_a_file(manifest, directory) {
            "is a file, or lies above or below one"
        } else {
            continue;
        };
        return Err(format!("its attributes list {directory}, which {reason}"));
    }
    Ok(attributes)
}

/// Whether a directory is a file of the game, or lies above or below one.
fn is_of_a_file(manifest: &Manifest, directory: &RelPath) -> bool {
    let files = manifest.files();
    let is_file = |path: &str| files.binary_search_by(|file| file.path.as_str().cmp(path)).is_ok();
    let below = format!("{directory}/");
    let next = files.partition_point(|file| file.path.as_str() < below.as_str());
    is_file(directory.as_str())
        || directory.ancestors().any(is_file)
        || files.get(next).is_some_and(|file| file.path.as_str().starts_with(&below))
}

#[cfg(test)]
mod tests;
