//! A game on this disk, as far as it is known.

use std::collections::BTreeSet;
use std::sync::Arc;

use lanspread_proto::{ContentHash, FileBits, GameVersion, Manifest, ManifestFile, RelPath};

use crate::attributes::OwnAttributes;
use crate::problem::{GameProblem, GameProblems};
use crate::stamp::{Fingerprint, KnownContent};

/// A game of the catalog of which there is something on this disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LocalGame {
    /// What `version.ini` says, where it is a regular file directly in the root.
    pub version: Option<GameVersion>,
    /// Whether `local/` is a directory, and not a link to one.
    pub installed: bool,
    /// What the root looked like.
    pub fingerprint: Fingerprint,
    /// The bytes of `version.ini`, where it has a version and few enough of them.
    pub version_ini: Option<Arc<[u8]>>,
    /// The content files, with the hashes known so far. `None` without a version, and where the files
    /// cannot be listed.
    pub manifest: Option<Arc<Manifest>>,
    /// [`Manifest::old_content_roots`], once every file is hashed.
    pub old_content_roots: Arc<[ContentHash]>,
    /// Files whose time was too close to the moment at which they were hashed: they have to be read
    /// once more before their time stands for their content.
    pub doubtful: Arc<BTreeSet<RelPath>>,
    /// Which files are executable, where the file system does not keep that.
    pub remembered: Option<FileBits>,
    /// What is told beside the content.
    pub attributes: OwnAttributes,
    /// Whether it has more empty directories than are told.
    pub leaves_out_directories: bool,
    /// What belongs to the game and cannot travel.
    pub problems: Arc<GameProblems>,
    /// The file that could not be read when it was to be hashed.
    pub unread: Option<Arc<GameProblem>>,
}

impl LocalGame {
    /// Keeps what is known of the same files: it may have become known while this was being found.
    pub fn keep_hashes_of(mut self, known: &Self) -> Self {
        if self.fingerprint != known.fingerprint {
            return self;
        }
        if let (Some(found), Some(manifest)) = (&self.manifest, &known.manifest)
            && found.manifest_hash() == manifest.manifest_hash()
            && found.content_root().is_none()
        {
            self.manifest = Some(Arc::clone(manifest));
            self.old_content_roots = Arc::clone(&known.old_content_roots);
            self.doubtful = Arc::clone(&known.doubtful);
        }
        self.unread = self.unread.or_else(|| known.unread.clone());
        self
    }

    /// Takes back what is thought to be known of the content of some files.
    pub fn without_hashes(&self, paths: &BTreeSet<RelPath>) -> Self {
        let manifest = self.manifest.as_ref().map(|manifest| {
            if paths.is_empty() {
                return Arc::clone(manifest);
            }
            let unhashed = |file: &ManifestFile| match paths.contains(&file.path) {
                true => ManifestFile { hashes: None, ..file.clone() },
                false => file.clone(),
            };
            let files = manifest.files().iter().map(unhashed).collect();
            // Without some hashes, it breaks no rule that it kept before.
            Manifest::new(manifest.version().clone(), files).map_or(Arc::clone(manifest), Arc::new)
        });
        Self { manifest, ..self.clone() }.with_old_content_roots()
    }

    /// Computes the old forms of the content root anew. Takes 10 ms for 100,000 files.
    pub fn with_old_content_roots(mut self) -> Self {
        let own = self.version_ini.as_deref();
        let roots = self.manifest.as_ref().map(|manifest| manifest.old_content_roots(own));
        self.old_content_roots = roots.unwrap_or_default().into();
        self
    }

    /// [`Manifest::content_root`], once every file is hashed.
    pub fn content_root(&self) -> Option<ContentHash> {
        self.manifest.as_ref()?.content_root()
    }

    /// Makes anew what is told beside the content.
    pub fn with_attributes(mut self) -> Self {
        let (remembered, version_ini) = (self.remembered.as_ref(), self.version_ini.as_deref());
        self.attributes = OwnAttributes::new(&self.fingerprint, remembered, version_ini);
        self.leaves_out_directories |=
            self.attributes.attributes().directories.len() < self.fingerprint.directories().len();
        self
    }

    /// Returns whether its content is known and is not the one with the root `stated` in a catalog, in the
    /// form of this wire version or in the old one.
    pub fn is_other_content(&self, stated: Option<ContentHash>) -> bool {
        stated.zip(self.content_root()).is_some_and(|(stated, found)| {
            stated != found && !self.old_content_roots.contains(&stated)
        })
    }

    /// Returns whether its files are listed and not all hashed.
    pub fn is_unhashed(&self) -> bool {
        self.manifest.as_ref().is_some_and(|manifest| manifest.content_root().is_none())
    }

    /// Returns whether something of it cannot travel, so that nobody can get the whole game from
    /// here.
    pub fn is_incomplete(&self) -> bool {
        !self.problems.is_empty() || self.unread.is_some()
    }

    /// Returns all that keeps it from being whole.
    pub fn all_problems(&self) -> GameProblems {
        let mut problems = self.problems.as_ref().clone();
        if let Some(unread) = &self.unread {
            problems.add(unread.as_ref().clone());
        }
        problems
    }

    /// Returns what the index is told of it.
    pub fn known_content(&self) -> Option<KnownContent> {
        let manifest = Arc::clone(self.manifest.as_ref()?);
        let is_doubtful = |path: &RelPath| self.doubtful.contains(path);
        let known = KnownContent::new(manifest, &self.fingerprint, is_doubtful);
        Some(KnownContent { remembered: self.remembered.clone(), ..known })
    }
}
