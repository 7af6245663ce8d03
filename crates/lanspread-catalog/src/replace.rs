//! Replaces a file so that a reader sees the old or the new one, and a crash leaves one of them.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::error::CatalogError;
use crate::platform::{copy_rights, sync_directory};

/// A catalog that is about to be written: no other program that goes through here writes it meanwhile.
pub(crate) struct Replacement {
    /// The file itself, also where it was named by a link.
    path: PathBuf,
    temporary: PathBuf,
    /// Open while the lock is held.
    _directory: File,
}

impl Replacement {
    /// Waits until nobody else writes a catalog in the directory of `path`.
    ///
    /// # Errors
    /// [`CatalogError::Write`], when the directory is missing or cannot be read.
    pub(crate) fn begin(path: &Path) -> Result<Self, CatalogError> {
        let failed = |source| CatalogError::Write { path: path.to_owned(), source };
        let path = match path.canonicalize() {
            Ok(real) => real,
            Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
            Err(error) => return Err(failed(error)),
        };
        let name = path.file_name().ok_or_else(|| failed(io::ErrorKind::InvalidFilename.into()))?;
        let mut temporary_name = OsString::from(".");
        temporary_name.push(name);
        temporary_name.push(format!(".{}.tmp", std::process::id()));
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let temporary = directory.join(temporary_name);
        let directory = File::open(directory).map_err(failed)?;
        // The lock ends with the process, at the latest.
        match directory.lock() {
            Ok(()) => {}
            // A network drive may have no locks. Of two writers at once, one may be lost there.
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
            Err(error) => return Err(failed(error)),
        }
        Ok(Self { path, temporary, _directory: directory })
    }

    /// The file that is replaced.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Lets `write` fill a new file, which is opened and has a name, and puts it in place of the old one.
    ///
    /// # Errors
    /// What `write` says; else [`CatalogError::Write`]. The old file stays as it is.
    pub(crate) fn replace(
        self,
        write: impl FnOnce(&Path, File) -> Result<(), CatalogError>,
    ) -> Result<(), CatalogError> {
        let failed = |source| CatalogError::Write { path: self.path.clone(), source };
        let filled = self.create().map_err(failed).and_then(|file| {
            write(&self.temporary, file)?;
            self.put_in_place().map_err(failed)
        });
        if filled.is_err() {
            // The first error is what matters; a leftover is removed by the next attempt.
            let _ = fs::remove_file(&self.temporary);
        }
        filled
    }

    /// Finds out whether [`replace`](Self::replace) may succeed, without changing anything.
    ///
    /// # Errors
    /// [`CatalogError::Write`].
    pub(crate) fn rehearse(self) -> Result<(), CatalogError> {
        let created = self.create().and_then(|_| fs::remove_file(&self.temporary));
        created.map_err(|source| CatalogError::Write { path: self.path, source })
    }

    fn create(&self) -> io::Result<File> {
        // A process of this number may have left one. Whatever it is, it is not written through.
        match fs::remove_file(&self.temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => File::create_new(&self.temporary),
        }
    }

    fn put_in_place(&self) -> io::Result<()> {
        let file = File::open(&self.temporary)?;
        match fs::metadata(&self.path) {
            Ok(replaced) => copy_rights(&file, &replaced)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        file.sync_all()?;
        fs::rename(&self.temporary, &self.path)?;
        let directory = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        sync_directory(directory.unwrap_or(Path::new(".")))
    }
}
