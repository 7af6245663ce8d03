//! FreeSpace on the disk for what operations are about to write.
//!
//! An operation that knows how much it will write asks for that room before it touches anything, and
//! holds it until it ends. What is free counts without what others hold and have not written yet, so
//! that two operations are not both promised the same room. Nothing is set aside on the disk itself:
//! another program may still fill it, and then writing fails.
//!
//! What is asked for has to be a lower bound of what writing it takes: whatever fits may begin.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::platform;

/// Tells how many bytes are still to be written. It may look at the disk, and blocks then.
pub type BytesLeft = dyn Fn() -> u64 + Send + Sync;

/// Tells how many bytes are free at a place; `None` where that is not known.
type FreeBytes = dyn Fn(&Path) -> Option<u64> + Send + Sync;

/// What the operations of a peer are about to write. Clones are the same.
#[derive(Clone)]
pub struct FreeSpace {
    free: Arc<FreeBytes>,
    claims: Arc<Mutex<Claims>>,
}

#[derive(Default)]
struct Claims {
    next: u64,
    held: BTreeMap<u64, Claim>,
}

struct Claim {
    device: u64,
    bytes_left: Arc<BytesLeft>,
}

/// FreeSpace that an operation holds until this is dropped.
pub struct Reservation {
    free_space: FreeSpace,
    number: u64,
}

/// What is about to be written does not fit on the disk. Nothing was touched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "not enough room at {path}: {needed} more bytes are needed, and {available} are free{}",
    beside(*held)
)]
pub struct NotEnoughSpace {
    /// Where.
    pub path: PathBuf,
    /// How many bytes are still to be written.
    pub needed: u64,
    /// How many bytes are free and wanted by nobody else.
    pub available: u64,
    /// How many free bytes other operations of this peer are about to write.
    pub held: u64,
}

fn beside(held: u64) -> String {
    match held {
        0 => String::new(),
        held => format!(" beside {held} that other operations are about to write"),
    }
}

impl FreeSpace {
    /// On the disks of this machine.
    #[must_use]
    pub fn of_this_machine() -> Self {
        Self::of(free_bytes)
    }

    /// On disks of which `free` tells how much is free.
    pub fn of(free: impl Fn(&Path) -> Option<u64> + Send + Sync + 'static) -> Self {
        Self { free: Arc::new(free), claims: Arc::default() }
    }

    /// Holds room in `place`, or in the directory above if there is no `place`, for what `bytes_left`
    /// says. A file system that does not tell what is free has room for everything. Blocks.
    ///
    /// # Errors
    /// [`NotEnoughSpace`] with the figures; then nothing is held.
    pub fn reserve(
        &self,
        place: &Path,
        bytes_left: Arc<BytesLeft>,
    ) -> Result<Reservation, NotEnoughSpace> {
        // A root that is not there yet will lie on the disk of its parent.
        let place = if place.is_dir() { place } else { place.parent().unwrap_or(place) };
        let device = place.metadata().map_or(0, |found| platform::file_id(&found).0);
        let mut claims = self.lock();
        if let Some(free) = (self.free)(place) {
            let others = claims.held.values().filter(|claim| claim.device == device);
            let held = others.map(|claim| (claim.bytes_left)()).fold(0, u64::saturating_add);
            let available = free.saturating_sub(held);
            let needed = bytes_left();
            if needed > available {
                let path = place.to_path_buf();
                return Err(NotEnoughSpace { path, needed, available, held });
            }
        }
        let number = claims.next;
        claims.next += 1;
        claims.held.insert(number, Claim { device, bytes_left });
        Ok(Reservation { free_space: self.clone(), number })
    }

    fn lock(&self) -> MutexGuard<'_, Claims> {
        // Each change is one insertion or removal.
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.free_space.lock().held.remove(&self.number);
    }
}

/// What is free at `place` for who is not root; `None` where the file system does not tell.
fn free_bytes(place: &Path) -> Option<u64> {
    match platform::free_bytes(place) {
        Ok(free) => free,
        Err(error) => {
            // Writing will tell what is wrong with it.
            tracing::warn!(path = %place.display(), %error, "cannot tell how much room there is");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    fn fixed(bytes: u64) -> Arc<BytesLeft> {
        Arc::new(move || bytes)
    }

    #[test]
    fn what_does_not_fit_is_refused_with_the_figures() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("quake");
        let free_space = FreeSpace::of(|_| Some(1000));
        drop(free_space.reserve(&root, fixed(1000)).unwrap());
        let refused = free_space.reserve(&root, fixed(1001)).unwrap_err();
        let path = dir.path().to_path_buf();
        let expected = NotEnoughSpace { path, needed: 1001, available: 1000, held: 0 };
        assert_eq!(refused, expected);
        let text = refused.to_string();
        assert!(text.contains("1001") && text.contains("1000"), "{text}");
        FreeSpace::of(|_| None).reserve(&root, fixed(u64::MAX)).unwrap();
    }

    #[test]
    fn what_others_hold_and_have_not_written_is_not_free() {
        let dir = tempfile::tempdir().unwrap();
        let free_space = FreeSpace::of(|_| Some(1000));
        let left = Arc::new(AtomicU64::new(600));
        let others = Arc::clone(&left);
        let others = Arc::new(move || others.load(Ordering::SeqCst));
        let first = free_space.reserve(dir.path(), others).unwrap();
        let refused = free_space.reserve(dir.path(), fixed(600)).unwrap_err();
        assert_eq!((refused.available, refused.held), (400, 600));
        assert!(refused.to_string().contains("beside 600"), "{refused}");
        left.store(0, Ordering::SeqCst);
        drop(free_space.reserve(dir.path(), fixed(600)).unwrap());
        left.store(600, Ordering::SeqCst);
        free_space.reserve(dir.path(), fixed(600)).unwrap_err();
        drop(first);
        free_space.reserve(dir.path(), fixed(600)).unwrap();
    }

    #[test]
    fn the_disk_of_this_machine_is_larger_than_nothing_and_smaller_than_any() {
        let dir = tempfile::tempdir().unwrap();
        let free_space = FreeSpace::of_this_machine();
        free_space.reserve(dir.path(), fixed(1)).unwrap();
        free_space.reserve(dir.path(), fixed(u64::MAX)).unwrap_err();
        assert_eq!(free_bytes(&dir.path().join("missing")), None);
    }
}
