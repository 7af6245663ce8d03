//! Unix.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::Path;

/// Makes what happened to the entries of a directory durable.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Gives `file` the owner and the mode of the file that it replaces.
///
/// Only root may give a file away. Whoever else replaces the file of another user owns it from then on.
pub(crate) fn copy_rights(file: &File, replaced: &Metadata) -> io::Result<()> {
    match fchown(file, Some(replaced.uid()), Some(replaced.gid())) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
        Err(error) => return Err(error),
    }
    // After the change of the owner, which takes bits of the mode away.
    file.set_permissions(replaced.permissions())
}
