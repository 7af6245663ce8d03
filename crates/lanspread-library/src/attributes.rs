//! What a source tells of a game beside its content, encoded once.

use std::sync::Arc;

use bytes::Bytes;
use lanspread_proto::attributes::fitting_directories;
use lanspread_proto::{Attributes, FileBits};

use crate::stamp::Fingerprint;

/// The attributes of a game on this disk. Clones share the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnAttributes {
    attributes: Arc<Attributes>,
    page: Bytes,
}

impl Default for OwnAttributes {
    fn default() -> Self {
        Self::of(Attributes::default())
    }
}

impl OwnAttributes {
    /// Those of files that look like `fingerprint`. Where the file system does not keep executable bits,
    /// `remembered` has them.
    pub fn new(
        fingerprint: &Fingerprint,
        remembered: Option<&FileBits>,
        version_ini: Option<&[u8]>,
    ) -> Self {
        let directories = fingerprint.directories();
        let fits = fitting_directories(directories);
        Self::of(Attributes {
            executable: remembered.cloned().or_else(|| fingerprint.executable()),
            directories: directories.iter().take(fits).cloned().collect(),
            version_ini: version_ini.map(Bytes::copy_from_slice),
        })
    }

    fn of(attributes: Attributes) -> Self {
        // A walk lists directories in order, and those beyond the bounds are left out above.
        let page = attributes.encode().unwrap_or_default();
        Self { attributes: Arc::new(attributes), page }
    }

    /// Returns what is told.
    pub fn attributes(&self) -> &Arc<Attributes> {
        &self.attributes
    }

    /// Returns how it is told.
    pub fn page(&self) -> &Bytes {
        &self.page
    }
}
