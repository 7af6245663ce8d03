//! The operating system, as far as the standard library does not cover it: what files are to a disk, and
//! answers of the system by their meaning.
//!
//! No other module of this crate names a system. Another system gets a module beside `unix` with the same
//! items. Everything here blocks.

#[cfg(unix)]
mod unix;

#[cfg(all(unix, any(test, feature = "failpoints")))]
pub use unix::testing;
#[cfg(unix)]
pub(crate) use unix::{
    Access, DirHandle, cannot_grow, cannot_sync_directory, executable_permissions, free_bytes,
    has_no_locks, invalid_argument, is_executable, is_not_supported, is_open_to_others,
    owner_alone, private_directory,
};
#[cfg(unix)]
pub use unix::{
    DirReader, advise_sequential, allocated_bytes, changed, file_id, has_other_names,
    may_be_changed_by_others, modified, mount_of, name_from_bytes, read_exact_at, unnamed_file,
    write_all_at,
};
