//! What a peer is started with.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lanspread_archive::{StreamInstallProvider, Unpacker};
use lanspread_catalog::Catalog;
use lanspread_mdns::MdnsInterface;
use lanspread_proto::text::without_byte_order_mark;
use lanspread_proto::{NetworkName, PeerName};

pub use crate::net::limit::RateLimit;

/// Everything that [`crate::start_peer`] needs to know.
#[derive(Clone)]
pub struct PeerConfig {
    /// What the peer calls itself.
    pub name: PeerName,
    /// Where the game roots lie. Must exist and be readable.
    pub games_dir: PathBuf,
    /// Where identity, index and intents are kept; made if missing. One peer at a time, and never
    /// inside the games directory.
    pub state_dir: PathBuf,
    /// Which games there are, and at which versions.
    pub catalog: Catalog,
    /// The UDP address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Which party on the LAN the peer belongs to.
    pub network: NetworkName,
    /// Closes the party to all that cannot prove this key.
    pub network_key: Option<NetworkKey>,
    /// Where to advertise and browse.
    pub mdns: MdnsInterface,
    /// What unpacks root archives.
    pub unpacker: Arc<dyn Unpacker>,
    /// What unpacks them for peers that store no archives.
    pub stream_provider: Arc<dyn StreamInstallProvider>,
    /// To how many such peers at a time; the others wait. Each may take the memory that its archive asks
    /// for, up to the [`lanspread_archive::MaxDictionary`] of `stream_provider`.
    pub max_streams: NonZeroUsize,
    /// Whether a download installs the game when the command does not say.
    pub auto_install: bool,
    /// What is sent to all others together at most.
    pub upload_limit: Option<RateLimit>,
    /// What all downloads together fetch at most.
    pub download_limit: Option<RateLimit>,
    /// Silence after which a peer is asked for a sign of life.
    pub ping_after: Duration,
    /// Silence after which a peer is lost; longer than `ping_after`.
    pub peer_timeout: Duration,
}

/// The secret of a closed party.
#[derive(Clone, PartialEq, Eq)]
pub struct NetworkKey([u8; 32]);

impl NetworkKey {
    /// Shortest secret in bytes: below it, trying all of them is too easy.
    pub const SECRET_MIN_BYTES: usize = 8;

    /// Derives the key from the bytes of a key file, without a byte order mark at its beginning and
    /// white space at its ends.
    ///
    /// Returns `None` when less than [`Self::SECRET_MIN_BYTES`] bytes are left.
    #[must_use]
    pub fn from_secret(secret: &[u8]) -> Option<Self> {
        let secret = without_byte_order_mark(secret).trim_ascii();
        (secret.len() >= Self::SECRET_MIN_BYTES)
            .then(|| Self(blake3::derive_key("lanspread 2024 network key", secret)))
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Debug for NetworkKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NetworkKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn editors_leave_a_secret_as_it_is() {
        let key = |secret: &[u8]| NetworkKey::from_secret(secret).map(|key| key.0);
        let plain = key(b"long secret");
        assert!(plain.is_some());
        assert_eq!(key(b"\xef\xbb\xbflong secret\r\n"), plain);
        assert_ne!(key(b"long secret\xef\xbb\xbf"), plain);
        // The mark is no part of the secret, so it does not make it long enough.
        assert_eq!(key(b"\xef\xbb\xbfshort"), None);
    }
}
