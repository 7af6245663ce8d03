//! Files that operating systems, file systems and network drives leave behind: no content of a game.
//!
//! The list is part of the wire version, because both ends need the same one. Names alone decide: a name
//! matches as one whole component, ASCII letters in any case, at any depth. docs/wire.md gives the list
//! with the origin of each name.

use crate::path::RelPath;

/// Names of foreign files.
const FILES: [&str; 12] = [
    // Windows.
    "Thumbs.db",
    "ehthumbs.db",
    "ehthumbs_vista.db",
    "desktop.ini",
    // macOS. The last one ends in a carriage return.
    ".DS_Store",
    ".localized",
    ".apdisk",
    ".VolumeIcon.icns",
    ".metadata_never_index",
    ".com.apple.timemachine.donotpresent",
    "Icon\r",
    // Linux desktops.
    ".directory",
];

/// Names of foreign directories. All that is below one is foreign too.
const DIRECTORIES: [&str; 16] = [
    // Windows.
    "$RECYCLE.BIN",
    "RECYCLER",
    "RECYCLED",
    "System Volume Information",
    // macOS.
    ".Trashes",
    ".Spotlight-V100",
    ".fseventsd",
    ".TemporaryItems",
    ".DocumentRevisions-V100",
    ".AppleDouble",
    // File systems of Linux.
    "lost+found",
    // Network drives.
    "@eaDir",
    "#recycle",
    "@Recycle",
    ".@__thumb",
    "Network Trash Folder",
];

/// How the files begin in which macOS keeps what a foreign file system cannot.
const APPLE_DOUBLE: &[u8] = b"._";
/// How NFS calls a deleted file that is open, and how many hexadecimal digits follow.
const NFS_DELETED: (&[u8], usize) = (b".nfs", 24);
/// How FUSE calls a deleted file that is open, and how many hexadecimal digits follow at least.
const FUSE_DELETED: (&[u8], usize) = (b".fuse_hidden", 16);
/// How a file system check of Windows calls what it found; three digits follow.
const CHECK_FOUND: (&[u8], usize) = (b"found.", 3);
/// How a trash of one user is called; the number of the user follows.
const USER_TRASH: &[u8] = b".Trash-";

/// Whether a file with this name is foreign.
#[must_use]
pub fn is_foreign_file(name: &[u8]) -> bool {
    let hex_after = |(prefix, _): (&[u8], usize)| digits_after(name, prefix, u8::is_ascii_hexdigit);
    FILES.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
        || name.len() > APPLE_DOUBLE.len() && name.starts_with(APPLE_DOUBLE)
        || hex_after(NFS_DELETED) == Some(NFS_DELETED.1)
        || hex_after(FUSE_DELETED).is_some_and(|digits| digits >= FUSE_DELETED.1)
}

/// Whether a directory with this name is foreign, and all that is below it.
#[must_use]
pub fn is_foreign_directory(name: &[u8]) -> bool {
    DIRECTORIES.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
        || digits_after(name, CHECK_FOUND.0, u8::is_ascii_digit) == Some(CHECK_FOUND.1)
        || digits_after(name, USER_TRASH, u8::is_ascii_digit).is_some_and(|digits| digits > 0)
}

/// Whether the file at `path` is foreign, by its own name or by that of a directory above it.
#[must_use]
pub fn is_foreign(path: &RelPath) -> bool {
    let mut components = path.components();
    let name = components.next_back().unwrap_or_default();
    is_foreign_file(name.as_bytes())
        || components.any(|directory| is_foreign_directory(directory.as_bytes()))
}

/// How many digits follow `prefix`, if nothing else does.
fn digits_after(name: &[u8], prefix: &[u8], is_digit: impl Fn(&u8) -> bool) -> Option<usize> {
    let (start, rest) = name.split_at_checked(prefix.len())?;
    let is_match = start.eq_ignore_ascii_case(prefix) && rest.iter().all(is_digit);
    is_match.then_some(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_foreign_path(path: &str) -> bool {
        is_foreign(&RelPath::new(path).unwrap())
    }

    #[test]
    fn names_that_systems_leave_behind_are_foreign_at_any_depth_and_in_any_case() {
        for name in [
            "Thumbs.db",
            "THUMBS.DB",
            "Desktop.ini",
            ".ds_store",
            "._readme.txt",
            ".directory",
            ".nfs000000000012ab3400000001",
            ".fuse_hidden0000000100000002",
            ".fuse_hidden00000001000000020",
            "lost+found/x",
            "$Recycle.Bin/S-1-5/file",
            "system volume information/x",
            "found.000/FILE0000.CHK",
            ".Trash-1000/files/x",
            "@eaDir/x",
            "Network Trash Folder/x",
        ] {
            assert!(is_foreign_path(name), "{name}");
            assert!(is_foreign_path(&format!("deep/er/{name}")), "{name}");
        }
        assert!(is_foreign_file(b"Icon\r") && is_foreign_file(b"._\xff"));
    }

    #[test]
    fn names_that_only_look_like_them_are_content() {
        for name in [
            "Thumbs.db/x",
            "lost+found",
            "Thumbs.db.bak",
            "._",
            ".nfs0000",
            ".nfs000000000012ab340000000g",
            ".nfs000000000012ab34000000010",
            ".fuse_hidden00000001",
            "found.00/x",
            "found.0000/x",
            ".Trash-/x",
            ".Trash-me/x",
            "recycle/x",
            "Icon",
            "d/.directory/x",
        ] {
            assert!(!is_foreign_path(name), "{name}");
        }
    }
}
