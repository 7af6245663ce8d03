//! What a peer tells of itself.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use lanspread_download::error::{DownloadFailure, RemoveFailure};
use lanspread_install::error::{InstallFailure, StreamFailure};
use lanspread_library::{GameProblems, VerifyFailure};
use lanspread_net::handshake::RejectReason;
use lanspread_proto::{ContentHash, GameId, PeerId};
use lanspread_transfer::consensus::VoteCount;
use lanspread_transfer::progress::{DownloadProgress, SourceBytes};
use lanspread_transfer::votes::Voter;

use crate::info::{OtherVersionPeer, PeerInfo, VerifyReport};
use crate::operation::ActiveOperation;

/// Why a peer is no longer known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LostReason {
    /// It said goodbye.
    Goodbye,
    /// It was silent for longer than [`crate::PeerConfig::peer_timeout`].
    Timeout,
    /// Another peer needed its place, and its address had most of them.
    Displaced,
}

/// Something that happened. Events come in the order in which it happened.
///
/// The last word of each is its [`crate::EventClass`]: what may become of it when whoever takes events falls behind.
#[derive(Debug, Clone)]
pub enum PeerEvent {
    /// A peer is now known, with its library.
    /// *Droppable.*
    PeerDiscovered(PeerInfo),
    /// A known peer changed its name, address or library.
    /// *Droppable.*
    PeerUpdated(PeerInfo),
    /// A peer is no longer known.
    /// *Droppable.*
    PeerLost {
        /// Who it was.
        peer_id: PeerId,
        /// Why.
        reason: LostReason,
        /// Whether discovery sees it, so that it is found again at any address.
        is_advertised: bool,
    },
    /// The number of known peers changed.
    /// *Latest.*
    PeerCountUpdated {
        /// How many are known now.
        peer_count: usize,
    },
    /// A peer was not let in, or did not let us in. Of refusals that no command asked for, the first one of an address
    /// is told at once, and those that follow in sums.
    /// *Droppable.*
    PeerRejected {
        /// Who it claimed to be, if it came to that.
        peer_id: Option<PeerId>,
        /// Where it was.
        addr: SocketAddr,
        /// Why.
        reason: RejectReason,
        /// In words.
        message: String,
        /// How many refusals this tells of, this one included.
        count: u64,
    },
    /// What the peers announce changed.
    /// *Latest.*
    GamesListUpdated {
        /// How many games at least one peer announces.
        game_count: usize,
        /// Which games changed, in id order.
        changed: Vec<GameId>,
    },
    /// The games on this disk, or what is being done with them, changed.
    /// *Latest.*
    LocalGamesUpdated {
        /// Revision of the announced library.
        library_rev: u64,
        /// How many games of the catalog are on this disk.
        game_count: usize,
        /// Which games changed, in id order.
        changed: Vec<GameId>,
        /// All that is going on, in game id order.
        active_operations: Vec<ActiveOperation>,
    },
    /// A game on this disk is not whole, or not whole for other reasons than before. Told once for each
    /// change of the problems.
    /// *Latest.*
    GameIncomplete {
        /// Which game.
        game_id: GameId,
        /// What keeps it from being whole.
        problems: GameProblems,
    },
    /// A game is being verified.
    /// *Kept.*
    VerifyBegin {
        /// Which game.
        game_id: GameId,
        /// How many files it is known to have.
        files: usize,
        /// Their bytes together.
        bytes: u64,
    },
    /// How far a verification is; at most ten a second.
    /// *Latest.*
    VerifyProgress {
        /// Which game.
        game_id: GameId,
        /// Bytes read so far.
        bytes_done: u64,
        /// Bytes of all files.
        bytes_total: u64,
    },
    /// A game was verified. What is wrong with it is in the report.
    /// *Kept.*
    VerifyFinished {
        /// Which game.
        game_id: GameId,
        /// How many files it has on this disk.
        files: usize,
        /// Their bytes together.
        bytes: u64,
        /// What was found.
        report: VerifyReport,
    },
    /// A verification ended without a result.
    /// *Kept.*
    VerifyFailed {
        /// Which game.
        game_id: GameId,
        /// Why; a cancellation is a reason as well.
        failure: VerifyFailure,
    },
    /// The manifest of a game to download has arrived.
    /// *Kept.*
    GotGameFiles {
        /// Which game.
        game_id: GameId,
        /// How many files it has.
        files: usize,
        /// Their bytes together.
        bytes: u64,
        /// Who serves it, in peer id order.
        sources: Vec<PeerId>,
    },
    /// The first chunks of a game are being asked for.
    /// *Kept.*
    DownloadBegin {
        /// Which game.
        game_id: GameId,
        /// How many files it has.
        files: usize,
        /// Their bytes together.
        bytes: u64,
        /// Who serves it, in peer id order.
        sources: Vec<PeerId>,
    },
    /// A game is fetched on the word of its sources: neither the catalog nor the command states its content.
    /// Told once for each download, update, repair and streamed installation.
    /// *Kept.*
    ContentVoted {
        /// Which game.
        game_id: GameId,
        /// The content that is fetched, if it is known.
        content_root: Option<ContentHash>,
        /// The addresses whose sources say so, in order.
        voters: Vec<Ipv4Addr>,
        /// The addresses whose sources say something else or nothing, in order.
        others: Vec<Ipv4Addr>,
    },
    /// How far a download is; at most ten a second, and a last one at the end.
    /// *Latest.*
    DownloadProgress(DownloadProgress),
    /// A game is downloaded, committed and announced.
    /// *Kept.*
    DownloadFinished {
        /// Which game.
        game_id: GameId,
        /// How many files it has.
        files: usize,
        /// Their bytes together.
        bytes: u64,
        /// What each source gave, in peer id order.
        sources: Vec<SourceBytes>,
    },
    /// A download ended without the game.
    /// *Kept.*
    DownloadFailed {
        /// Which game.
        game_id: GameId,
        /// Why.
        failure: DownloadFailure,
    },
    /// A download was cancelled and what it brought is discarded.
    /// *Kept.*
    DownloadCancelled {
        /// Which game.
        game_id: GameId,
    },
    /// A download ended because nobody serves the game any more; sent in place of `DownloadFailed`.
    /// *Kept.*
    DownloadAllPeersGone {
        /// Which game.
        game_id: GameId,
    },
    /// A game is being installed.
    /// *Kept.*
    InstallBegin {
        /// Which game.
        game_id: GameId,
    },
    /// How far an installation is; at most ten a second.
    /// *Latest.*
    InstallProgress {
        /// Which game.
        game_id: GameId,
        /// Bytes unpacked so far.
        bytes_done: u64,
    },
    /// A game is installed.
    /// *Kept.*
    InstallFinished {
        /// Which game.
        game_id: GameId,
        /// How many files were unpacked.
        files: u64,
        /// Their bytes together.
        bytes: u64,
    },
    /// An installation ended and everything is as it was before.
    /// *Kept.*
    InstallFailed {
        /// Which game.
        game_id: GameId,
        /// Why.
        failure: InstallFailure,
    },
    /// A source of a streamed installation has others to serve first.
    /// *Latest.*
    StreamInstallWaiting {
        /// Which game.
        game_id: GameId,
        /// Which source.
        peer_id: PeerId,
        /// How many it serves first; 0 when it is the turn of this peer.
        position: u32,
    },
    /// The first source of a streamed installation has said what it will send.
    /// *Kept.*
    StreamInstallBegin {
        /// Which game.
        game_id: GameId,
        /// Which source.
        peer_id: PeerId,
        /// How many files it will send.
        files: u64,
        /// Their bytes together.
        bytes: u64,
    },
    /// How far a streamed installation is; at most ten a second, and a last one at the end.
    /// *Latest.*
    StreamInstallProgress(StreamProgress),
    /// A game is installed from what a source unpacked.
    /// *Kept.*
    StreamInstallFinished {
        /// Which game.
        game_id: GameId,
        /// Which source.
        peer_id: PeerId,
        /// How many files were written.
        files: u64,
        /// Their bytes together.
        bytes: u64,
    },
    /// A streamed installation ended and everything is as it was before.
    /// *Kept.*
    StreamInstallFailed {
        /// Which game.
        game_id: GameId,
        /// Why; a cancellation is a reason as well.
        failure: StreamFailure,
    },
    /// The `local/` of a game is being removed.
    /// *Kept.*
    UninstallBegin {
        /// Which game.
        game_id: GameId,
    },
    /// The `local/` of a game is gone.
    /// *Kept.*
    UninstallFinished {
        /// Which game.
        game_id: GameId,
    },
    /// The `local/` of a game could not be removed whole.
    /// *Kept.*
    UninstallFailed {
        /// Which game.
        game_id: GameId,
        /// Why.
        failure: InstallFailure,
    },
    /// The root of a game is being deleted.
    /// *Kept.*
    RemoveBegin {
        /// Which game.
        game_id: GameId,
    },
    /// The root of a game is gone, or what was the peer's in it.
    /// *Kept.*
    RemoveFinished {
        /// Which game.
        game_id: GameId,
        /// The root, if it stayed: with foreign files, or with what is reserved for others.
        kept: Option<PathBuf>,
    },
    /// The root of a game is still there, or parts of it.
    /// *Kept.*
    RemoveFailed {
        /// Which game.
        game_id: GameId,
        /// Why.
        failure: RemoveFailure,
    },
    /// A source is no longer used for a game.
    /// *Droppable.*
    SourceDropped {
        /// Which game.
        game_id: GameId,
        /// Which source.
        peer_id: PeerId,
        /// Why, in words.
        reason: String,
    },
    /// The number of transfers of a game to others changed.
    /// *Latest.*
    OutboundTransferCountChanged {
        /// Which game.
        game_id: GameId,
        /// How many are under way now.
        count: usize,
    },
    /// Peers cannot be found by mDNS at the moment. It is tried again until [`Self::MdnsRecovered`].
    /// *Latest.*
    MdnsFailed {
        /// Why.
        message: String,
    },
    /// Peers can be found by mDNS again.
    /// *Latest.*
    MdnsRecovered,
    /// The peers of this party, 64 at most, that speak another version of the protocol, and so are neither listed nor
    /// dialled nor let in; in the order of their addresses. Told 5 s after a change.
    /// *Latest.*
    PeersOfOtherVersion(Vec<OtherVersionPeer>),
    /// Two running peers have the same identity: one of them is a copy. At most once a minute for each
    /// identity.
    /// *Droppable.*
    IdentityConflict {
        /// Which identity.
        peer_id: PeerId,
        /// Whether it is the one of this peer.
        is_own: bool,
        /// Where peers with it were seen lately, without this one; in order.
        addrs: Vec<SocketAddr>,
    },
    /// Events that nobody took in time are missing here: of peers, refusals, sources and identities.
    /// *Kept.*
    EventsDropped {
        /// How many.
        count: u64,
    },
    /// A required service died and the runtime stops.
    /// *Kept.*
    RuntimeFailed {
        /// Which service.
        service: &'static str,
        /// Why.
        message: String,
    },
    /// The last event: the runtime has stopped.
    /// *Kept.*
    Stopped,
}

impl PeerEvent {
    /// Returns the event that tells how the sources of a game voted.
    pub(crate) fn voted(game_id: GameId, count: VoteCount) -> Self {
        let addresses = |voters: Vec<_>| voters.into_iter().map(address).collect();
        let VoteCount { content, voters, others } = count;
        let (voters, others) = (addresses(voters), addresses(others));
        Self::ContentVoted { game_id, content_root: content, voters, others }
    }
}

fn address(voter: Voter) -> Ipv4Addr {
    Ipv4Addr::from(voter.octets())
}

/// How far a streamed installation is. Another source begins at 0 again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamProgress {
    /// Which game.
    pub game_id: GameId,
    /// Which source.
    pub peer_id: PeerId,
    /// Bytes written.
    pub bytes_done: u64,
    /// Bytes of all files that the source sends.
    pub bytes_total: u64,
    /// Speed over the last second.
    pub bytes_per_second: u64,
}
