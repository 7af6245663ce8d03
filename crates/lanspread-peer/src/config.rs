//! What a peer is started with.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lanspread_archive::{AutoUnpacker, StreamInstallProvider, Unpacker};
use lanspread_catalog::Catalog;
use lanspread_mdns::{IpNetwork, MdnsInterface};
use lanspread_proto::{NetworkName, PeerName};

pub use lanspread_net::limit::RateLimit;
pub use lanspread_net::network_key::NetworkKey;

/// How many streamed installations a peer serves at a time, unless told otherwise.
const MAX_STREAMS_DEFAULT: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1);
/// The default of [`PeerConfig::ping_after`].
const PING_AFTER_DEFAULT: Duration = Duration::from_secs(10);
/// The default of [`PeerConfig::peer_timeout`].
const PEER_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

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
    /// Networks beyond the link whose peers are dialled where mDNS tells of them: a reflector passes their
    /// records on. Records that lead anywhere else off the link are left out.
    pub mdns_networks: Vec<IpNetwork>,
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

impl PeerConfig {
    /// Returns a configuration with the defaults of `lanspread-peer-cli run`: any free port of any interface,
    /// mDNS on all interfaces, two streams at a time, no limits, no automatic installation, a ping after 10 s
    /// and a loss after 30 s.
    #[must_use]
    pub fn new(
        name: PeerName,
        network: NetworkName,
        games_dir: impl Into<PathBuf>,
        state_dir: impl Into<PathBuf>,
        catalog: Catalog,
    ) -> Self {
        let unpacker = AutoUnpacker::new(None);
        Self {
            name,
            games_dir: games_dir.into(),
            state_dir: state_dir.into(),
            catalog,
            listen: SocketAddr::from(([0, 0, 0, 0], 0)),
            network,
            network_key: None,
            mdns: MdnsInterface::All,
            mdns_networks: Vec::new(),
            stream_provider: Arc::new(unpacker.clone()),
            unpacker: Arc::new(unpacker),
            max_streams: MAX_STREAMS_DEFAULT,
            auto_install: false,
            upload_limit: None,
            download_limit: None,
            ping_after: PING_AFTER_DEFAULT,
            peer_timeout: PEER_TIMEOUT_DEFAULT,
        }
    }
}
