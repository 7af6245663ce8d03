//! Identities: peers, games, versions and networks.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::path::{ComponentError, check_component};
use crate::text::{is_deceptive, is_explicit_direction};

/// Longest game id in bytes: it is one directory name, and leaves room for suffixes beside it.
pub const GAME_ID_MAX_BYTES: usize = 100;
/// Longest version in bytes. Real ones are dates (`20240131`).
pub const GAME_VERSION_MAX_BYTES: usize = 64;
/// Longest network name in bytes: it travels in an mDNS TXT record.
pub const NETWORK_NAME_MAX_BYTES: usize = 63;
/// Longest peer name in bytes: it travels in an mDNS TXT record.
pub const PEER_NAME_MAX_BYTES: usize = 63;

/// Why a string is not the id it was read as.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The string is empty.
    #[error("{what} is empty")]
    Empty {
        /// Which id was read.
        what: &'static str,
    },
    /// The string is longer than its bound.
    #[error("{what} has {len} bytes, more than {max}")]
    TooLong {
        /// Which id was read.
        what: &'static str,
        /// Its length in bytes.
        len: usize,
        /// The bound in bytes.
        max: usize,
    },
    /// The string holds a character that is not seen, or white space at an end.
    #[error(
        "{what} {value:?} holds a control character or one that is not seen, or white space at an end"
    )]
    BadCharacter {
        /// Which id was read.
        what: &'static str,
        /// The string.
        value: String,
    },
    /// The string is no UUID.
    #[error("peer id {0:?} is not a UUID")]
    NotUuid(String),
    /// A game id must be usable as one directory name.
    #[error("game id {value:?} is not usable as a directory name: {reason}")]
    NotDirectoryName {
        /// The string.
        value: String,
        /// What is wrong with it.
        reason: ComponentError,
    },
    /// A game id must not begin with a dot: such names are reserved in the games directory.
    #[error("game id {0:?} begins with a dot")]
    Hidden(String),
}

fn check_text(
    what: &'static str,
    value: &str,
    max: usize,
    is_refused: impl Fn(char) -> bool,
) -> Result<(), IdError> {
    if value.is_empty() {
        return Err(IdError::Empty { what });
    }
    if value.len() > max {
        return Err(IdError::TooLong { what, len: value.len(), max });
    }
    if value.trim() != value || value.contains(is_refused) {
        return Err(IdError::BadCharacter { what, value: value.to_owned() });
    }
    Ok(())
}

/// Who a peer is: a UUID of version 8 made from the hash of its public key.
///
/// Stable across restarts, addresses and names; only the holder of the private key can show it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PeerId(Uuid);

impl PeerId {
    /// The id of the peer whose public key is `spki_der` (a DER `SubjectPublicKeyInfo`).
    #[must_use]
    pub fn from_public_key(spki_der: &[u8]) -> Self {
        let digest = blake3::derive_key("lanspread 2024 peer id from public key", spki_der);
        let [b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, b10, b11, b12, b13, b14, b15, ..] = digest;
        let head = [b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, b10, b11, b12, b13, b14, b15];
        Self(Uuid::new_v8(head))
    }

    /// The id as a number.
    #[must_use]
    pub fn as_u128(self) -> u128 {
        self.0.as_u128()
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerId({})", self.0)
    }
}

impl FromStr for PeerId {
    type Err = IdError;

    fn from_str(s: &str) -> Result<Self, IdError> {
        Uuid::parse_str(s).map(Self).map_err(|_| IdError::NotUuid(s.to_owned()))
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks `value` against the rules of this id.
            ///
            /// # Errors
            /// [`IdError`] says which rule `value` breaks.
            pub fn new(value: impl Into<String>) -> Result<Self, IdError> {
                let value = value.into();
                $check(&value)?;
                Ok(Self(value))
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(value: String) -> Result<Self, IdError> {
                Self::new(value)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(s: &str) -> Result<Self, IdError> {
                Self::new(s)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:?})"), self.0)
            }
        }
    };
}

text_id!(
    /// Which game: the name of its root directory, at most [`GAME_ID_MAX_BYTES`] bytes.
    GameId,
    |value: &str| {
        // Other marks are in names of directories that people have.
        let is_refused = |letter: char| letter.is_control() || is_explicit_direction(letter);
        check_text("game id", value, GAME_ID_MAX_BYTES, is_refused)?;
        if value.starts_with('.') {
            return Err(IdError::Hidden(value.to_owned()));
        }
        check_component(value)
            .map_err(|reason| IdError::NotDirectoryName { value: value.to_owned(), reason })
    }
);

text_id!(
    /// Which version of a game: the trimmed first line of its `version.ini`, such as `20240131`,
    /// at most [`GAME_VERSION_MAX_BYTES`] bytes.
    GameVersion,
    |value: &str| check_text("game version", value, GAME_VERSION_MAX_BYTES, is_deceptive)
);

text_id!(
    /// Which party on the LAN, at most [`NETWORK_NAME_MAX_BYTES`] bytes.
    NetworkName,
    |value: &str| check_text("network name", value, NETWORK_NAME_MAX_BYTES, is_deceptive)
);

text_id!(
    /// What a peer calls itself, at most [`PEER_NAME_MAX_BYTES`] bytes. Not unique and not trusted.
    PeerName,
    |value: &str| check_text("peer name", value, PEER_NAME_MAX_BYTES, is_deceptive)
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peer_id_is_a_version_8_uuid_that_depends_on_the_key_alone() {
        let id = PeerId::from_public_key(b"key");
        assert_eq!(id, PeerId::from_public_key(b"key"));
        assert_ne!(id, PeerId::from_public_key(b"kez"));
        let text = id.to_string();
        assert_eq!(text.as_bytes()[14], b'8');
        assert_eq!(text.parse::<PeerId>().unwrap(), id);
    }

    #[test]
    fn game_id_is_one_safe_directory_name() {
        for good in ["quake", "Age of Empires II", "ünreal", "a.b"] {
            assert!(GameId::new(good).is_ok(), "{good}");
        }
        let long = "x".repeat(GAME_ID_MAX_BYTES + 1);
        for bad in ["", ".", "..", ".sync", "a/b", "a\\b", "C:", "nul", "a.", "a ", "a\0", &long] {
            assert!(GameId::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn names_hold_nothing_that_is_not_seen_but_what_languages_need() {
        for deceptive in [
            "a\u{202e}b",
            "a\u{2066}b",
            "a\u{200f}",
            "a\u{200b}b",
            "a\u{2028}b",
            "\u{feff}a",
            "a\u{9b}b",
        ] {
            assert!(PeerName::new(deceptive).is_err(), "{deceptive:?}");
            assert!(NetworkName::new(deceptive).is_err(), "{deceptive:?}");
            assert!(GameVersion::new(deceptive).is_err(), "{deceptive:?}");
        }
        for honest in [
            "Zoë",
            "محمد",
            "נועה",
            "می\u{200c}خواهم",
            "👨\u{200d}👩\u{200d}👧",
            "日本 1",
            "❤\u{fe0f}",
        ] {
            assert!(PeerName::new(honest).is_ok(), "{honest:?}");
            assert!(GameId::new(honest).is_ok(), "{honest:?}");
        }
        assert!(GameId::new("שלום\u{200f}!").is_ok(), "a directory may have a mark in its name");
        assert!(GameId::new("a\u{202b}b").is_err() && GameId::new("a\u{2029}b").is_err());
    }

    #[test]
    fn text_ids_refuse_control_characters_and_outer_white_space() {
        assert!(NetworkName::new("lan 1").is_ok());
        for bad in ["", " lan", "lan\n", "l\u{1b}an"] {
            assert!(NetworkName::new(bad).is_err(), "{bad:?}");
            assert!(GameVersion::new(bad).is_err(), "{bad:?}");
        }
    }
}
