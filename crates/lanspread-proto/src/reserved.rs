//! The names in a game root that are never transferred.

use crate::fold::{fold, is_same_fold};

/// What the game was installed into. Its contents belong to the user.
pub const LOCAL_DIR: &str = "local";
/// An installation on its way to [`LOCAL_DIR`].
pub const INSTALLING_DIR: &str = ".local.installing";
/// A [`LOCAL_DIR`] that was put aside.
pub const BACKUP_DIR: &str = ".local.backup";
/// The file that marks [`INSTALLING_DIR`] and [`BACKUP_DIR`], from within, as made by a peer.
pub const OWNER_MARKER: &str = ".lanspread_owned";
/// The sentinel while it is written.
pub const SENTINEL_TMP: &str = ".version.ini.tmp";
/// The sentinel of the version that a download replaces.
pub const SENTINEL_DISCARDED: &str = ".version.ini.discarded";
/// Belongs to the synchronisation program that many parties fill their disks with.
pub const SYNC_DIR: &str = ".sync";
/// Belongs to the softlan launcher: it has installed the game.
pub const SOFTLAN_MARKER: &str = ".softlan_game_installed";

/// Metadata of a game, kept by versions before the state directory existed.
pub const LEGACY_GAME_FILE: &str = ".lanspread.json";
/// Where such versions kept their index, in the games directory.
pub const LEGACY_DIR: &str = ".lanspread";
/// By which launchers remember that the setup script of a game was started.
pub const FIRST_START_MARKER: &str = ".softlan_first_start_done";

/// How the directories in a games directory begin in which a start puts what it found to delete.
pub const TRASH_PREFIX: &str = ".lanspread.removing-";

/// The directory in which a disk is asked what it takes for one name. It is there for a moment only;
/// one that a crash left is removed before the next is made.
pub const PROBE_DIR: &str = ".lanspread.probe";

/// Names with a meaning on this machine alone.
const RESERVED: [&str; 12] = [
    LOCAL_DIR,
    INSTALLING_DIR,
    BACKUP_DIR,
    OWNER_MARKER,
    SENTINEL_TMP,
    SENTINEL_DISCARDED,
    SYNC_DIR,
    SOFTLAN_MARKER,
    LEGACY_GAME_FILE,
    LEGACY_DIR,
    FIRST_START_MARKER,
    PROBE_DIR,
];

/// How the names of an installation's transient directories begin.
const INSTALL_TRANSIENT_PREFIX: &str = ".local.";

/// Whether `name`, directly in a game root, is never listed, transferred or accepted.
///
/// What a file system of a receiver may ignore is ignored, such as letter case.
#[must_use]
pub fn is_reserved_root_name(name: &str) -> bool {
    RESERVED.iter().any(|reserved| is_same_fold(name, reserved))
}

/// Whether `name` is a reserved name in exactly this spelling.
#[must_use]
pub fn is_reserved_as_spelled(name: &str) -> bool {
    RESERVED.contains(&name)
}

/// Whether `name`, directly in a game root, may be that of a directory between which an installation
/// moves, of this version of the program or another.
#[must_use]
pub fn is_install_transient(name: &str) -> bool {
    fold(name).starts_with(INSTALL_TRANSIENT_PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_names_are_known_in_any_case() {
        for name in [
            "local",
            "LOCAL",
            ".Local.Installing",
            ".sync",
            ".softlan_first_start_done",
            ".lanspread.probe",
            ".\u{17f}ync",
            "lo\u{200c}cal",
        ] {
            assert!(is_reserved_root_name(name), "{name}");
        }
        for name in ["version.ini", "locals", "local.eti", "game.eti", ""] {
            assert!(!is_reserved_root_name(name), "{name}");
        }
    }
}
