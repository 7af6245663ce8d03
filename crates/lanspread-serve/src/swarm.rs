//! Downloads of several peers that give each other what they have so far.
//!
//! A download whose content is decided and known by its hashes opens a [`Share`] of its game. From
//! then on its verified pieces may be asked for, and whoever is linked is told: in full once, and
//! those that fetch the same content also what comes in addition. What those tell in return reaches
//! the download as [`PartialSourceNews`].
//!
//! A share is no announcement of the game: the library hides it as long as it is being fetched, and
//! what a share says has no weight in the question what the content is.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lanspread_net::link::LinkId;
use lanspread_proto::message::{ChunkName, FetchEnded, GetChunks, HAVE_MAX_PIECES, Have};
use lanspread_proto::opening::Opening;
use lanspread_proto::piece_set::{PIECE_SET_MAX, PIECE_SET_MAX_BYTES};
use lanspread_proto::{ContentHash, GameId, PeerId, PieceSet};
use lanspread_transfer::layout::{Layout, PieceIndex};
use lanspread_transfer::ledger::ChunkHashes;
use tokio::sync::{mpsc, watch};

use crate::outbound::OutboundTransfers;

/// Most news that wait for a download; who tells more waits for it to take them in.
const NEWS_MAX: usize = 64;
/// Most bytes that what is told of a fetch takes in memory: its set of pieces, and the bytes of that as they travel.
pub(crate) const OPENING_BYTES: usize = 2 * PIECE_SET_MAX_BYTES;
/// Most pieces that a peer is believed to be asking for: as many as it may have requests.
const ASKING_MAX: usize = 64;

/// What a download hears of others that fetch the same content.
#[derive(Debug)]
pub enum PartialSourceNews {
    /// A peer fetches it, has some of it, and is asking for some. Replaces what was known of it.
    Has {
        /// Which peer.
        peer: PeerId,
        /// The pieces that it has.
        has: PieceSet,
        /// The pieces that it is asking others for.
        asking: Vec<PieceIndex>,
    },
    /// It has more.
    HasMore {
        /// Which peer.
        peer: PeerId,
        /// The pieces that it has in addition.
        more: Vec<PieceIndex>,
        /// The pieces that it is asking others for.
        asking: Vec<PieceIndex>,
    },
    /// It fetches it no more; what it was asked for may still come.
    Ended {
        /// Which peer.
        peer: PeerId,
    },
    /// It is not to be reached.
    Left {
        /// Which peer.
        peer: PeerId,
    },
}

/// What is to be told to a peer, in this order.
#[derive(Debug, PartialEq, Eq)]
pub enum Announcement {
    /// What is being fetched, and what there is of it.
    Opening(Opening),
    /// What there is in addition.
    More(Have),
    /// What is being fetched no more.
    Ended(FetchEnded),
}

impl Announcement {
    /// Returns the game of which this is the first that is told.
    pub fn opened(&self) -> Option<&GameId> {
        match self {
            Self::Opening(opening) => Some(&opening.game_id),
            Self::More(_) | Self::Ended(_) => None,
        }
    }

    /// Returns how many bytes of pieces it takes in memory while it is told, at most [`OPENING_BYTES`].
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Opening(opening) => 2 * opening.have.as_bytes().len(),
            Self::More(have) => 2 * size_of_val(have.more.as_slice()),
            Self::Ended(_) => 0,
        }
    }
}

/// Which fetches a peer has been told of on one connection.
#[derive(Debug, Default)]
pub struct AnnouncedFetches(BTreeMap<GameId, (FetchNumber, ContentHash)>);

impl AnnouncedFetches {
    /// Forgets an opening that did not arrive: it is sent once more.
    pub fn forget(&mut self, game_id: &GameId) {
        self.0.remove(game_id);
    }
}

/// Chunks of a game that is being fetched, to be given to another peer.
#[derive(Debug)]
pub struct SharedChunks {
    /// Where they are on disk.
    pub root: PathBuf,
    /// The chunks of the game and where they lie.
    pub layout: Arc<Layout>,
    /// What they have if nobody touched them.
    pub hashes: Vec<ContentHash>,
}

/// What a download shares.
pub struct Sharing {
    /// Which game.
    pub game_id: GameId,
    /// Where it lies on the disk.
    pub root: PathBuf,
    /// The chunks of the game and where they lie.
    pub layout: Arc<Layout>,
    /// The content that is fetched.
    pub content_root: ContentHash,
    /// The hashes of its chunks.
    pub hashes: Arc<ChunkHashes>,
    /// The pieces that are on the disk and verified.
    pub have: PieceSet,
}

/// The fetches of this peer that others may take part in, and who does.
#[derive(Clone)]
pub struct Swarm(Arc<Shared>);

struct Shared {
    fetches: Mutex<Fetches>,
    /// Counts changes of what is to be told.
    changes: watch::Sender<u64>,
    outbound: OutboundTransfers,
}

#[derive(Default)]
struct Fetches {
    by_game: BTreeMap<GameId, Fetch>,
    last: FetchNumber,
}

/// Tells the fetches of one game apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct FetchNumber(u64);

struct Fetch {
    number: FetchNumber,
    sharing: Sharing,
    asking: Vec<u32>,
    /// Who fetches the same content, and what they have been told.
    followers: BTreeMap<PeerId, Follower>,
    news: mpsc::Sender<PartialSourceNews>,
}

struct Follower {
    link: LinkId,
    told: PieceSet,
    told_asking: Vec<u32>,
}

/// The share of one download. Dropping it ends the sharing at once.
pub struct Share {
    swarm: Swarm,
    game_id: GameId,
    number: FetchNumber,
    is_handed_over: bool,
}

impl Swarm {
    /// Makes a swarm in which nothing is shared yet. Chunks that are given to others are counted in `outbound`.
    pub fn new(outbound: OutboundTransfers) -> Self {
        let (fetches, changes) = (Mutex::default(), watch::channel(0).0);
        Self(Arc::new(Shared { fetches, changes, outbound }))
    }

    /// Shares a game; `None` if it has more pieces than a set of them can tell.
    pub fn open(&self, sharing: Sharing) -> Option<(Share, mpsc::Receiver<PartialSourceNews>)> {
        if sharing.layout.piece_count() > PIECE_SET_MAX {
            return None;
        }
        let game_id = sharing.game_id.clone();
        let (news, receiver) = mpsc::channel(NEWS_MAX);
        let mut fetches = self.lock();
        fetches.last.0 += 1;
        let number = fetches.last;
        let (asking, followers) = (Vec::new(), BTreeMap::new());
        let fetch = Fetch { number, sharing, asking, followers, news };
        fetches.by_game.insert(game_id.clone(), fetch);
        drop(fetches);
        self.changed();
        Some((Share { swarm: self.clone(), game_id, number, is_handed_over: false }, receiver))
    }

    /// Ends the sharing of a game; whoever asks for it from here on is referred to the library.
    pub fn close(&self, game_id: &GameId) {
        if self.lock().by_game.remove(game_id).is_some() {
            self.changed();
        }
    }

    /// Returns whether a game is being shared.
    #[cfg(test)]
    fn is_shared(&self, game_id: &GameId) -> bool {
        self.lock().by_game.contains_key(game_id)
    }

    /// Returns chunks of a game that is being shared. `None` if the game is not; an inner `None` if one of
    /// them is not there (yet), or is one of another version.
    pub fn chunks(&self, wanted: &GetChunks) -> Option<Option<SharedChunks>> {
        let fetches = self.lock();
        let sharing = &fetches.by_game.get(&wanted.game_id)?.sharing;
        let is_version = *sharing.layout.manifest().version() == wanted.version;
        Some(is_version.then(|| sharing.find(&wanted.chunks)).flatten())
    }

    /// Returns a receiver that changes with everything that may have to be sent.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// Returns the games of which something is to be told to a peer over a connection on which it has been `told`.
    pub fn due(&self, peer: PeerId, link: LinkId, told: &AnnouncedFetches) -> Vec<GameId> {
        let fetches = self.lock();
        let ended = told.0.iter().filter(|(game_id, (number, _))| {
            fetches.by_game.get(*game_id).is_none_or(|fetch| fetch.number != *number)
        });
        let ended: Vec<_> = ended.map(|(game_id, _)| game_id.clone()).collect();
        let more = fetches.by_game.iter().filter(|(game_id, fetch)| {
            let is_told = told.0.get(*game_id).is_some_and(|(number, _)| *number == fetch.number);
            !is_told || fetch.has_more_for(peer, link)
        });
        let more = more.map(|(game_id, _)| game_id.clone());
        // One that has ended and begun anew comes twice.
        ended.into_iter().chain(more).collect()
    }

    /// Returns what is to be told next of a game; it counts as told from here on.
    pub fn announcement(
        &self,
        game_id: &GameId,
        peer: PeerId,
        link: LinkId,
        told: &mut AnnouncedFetches,
    ) -> Option<Announcement> {
        let mut fetches = self.lock();
        let fetch = fetches.by_game.get_mut(game_id);
        match (told.0.get(game_id).copied(), fetch) {
            (Some((number, _)), Some(fetch)) if fetch.number == number => {
                fetch.more_for(peer, link).map(Announcement::More)
            }
            (Some((_, content_root)), _) => {
                told.0.remove(game_id);
                let game_id = game_id.clone();
                Some(Announcement::Ended(FetchEnded { game_id, content_root }))
            }
            (None, Some(fetch)) => {
                told.0.insert(game_id.clone(), (fetch.number, fetch.sharing.content_root));
                Some(Announcement::Opening(fetch.opening()))
            }
            (None, None) => None,
        }
    }

    /// Notes that a peer has `answered` an opening with what it has itself. Waits while 64 news wait for
    /// its download.
    pub async fn on_answer(&self, peer: PeerId, link: LinkId, opening: Opening, answered: Opening) {
        let told = (opening.have, opening.asking);
        let news = self.lock().follow(peer, link, &answered, |_| told);
        send(news).await;
    }

    /// Notes what a peer fetches; returns what this peer has, if it fetches the same.
    pub async fn on_opening(
        &self,
        peer: PeerId,
        link: LinkId,
        theirs: &Opening,
    ) -> Option<Opening> {
        let mut own = None;
        let news = self.lock().follow(peer, link, theirs, |fetch| {
            let opening = own.insert(fetch.opening());
            (opening.have.clone(), opening.asking.clone())
        });
        send(news).await;
        own
    }

    /// Notes what a peer has in addition; returns whether that is of interest.
    pub async fn on_have(&self, peer: PeerId, have: Have) -> bool {
        let news = {
            let fetches = self.lock();
            let fetch = fetches.by_game.get(&have.game_id).filter(|fetch| {
                fetch.sharing.content_root == have.content_root
                    && fetch.followers.contains_key(&peer)
            });
            fetch.map(|fetch| {
                let (more, asking) = (fetch.known(have.more), fetch.known_asking(have.asking));
                (fetch.news.clone(), PartialSourceNews::HasMore { peer, more, asking })
            })
        };
        let is_of_interest = news.is_some();
        send(news).await;
        is_of_interest
    }

    /// Notes that a peer fetches a content no more.
    pub async fn on_fetch_ended(&self, peer: PeerId, ended: &FetchEnded) {
        let news = {
            let mut fetches = self.lock();
            let fetch = fetches.by_game.get_mut(&ended.game_id);
            fetch.filter(|fetch| fetch.sharing.content_root == ended.content_root).and_then(|f| {
                f.followers.remove(&peer)?;
                Some((f.news.clone(), PartialSourceNews::Ended { peer }))
            })
        };
        send(news).await;
    }

    /// Notes that a peer did not take in what it was sent. One that `refused` is not told more; another one is
    /// told everything anew.
    pub fn on_not_sent(&self, peer: PeerId, game_id: &GameId, refused: bool) {
        let mut fetches = self.lock();
        let Some(fetch) = fetches.by_game.get_mut(game_id) else { return };
        if refused {
            fetch.followers.remove(&peer);
        } else if let Some(follower) = fetch.followers.get_mut(&peer) {
            (follower.told, follower.told_asking) = Default::default();
        }
    }

    /// Notes that a connection is gone, and with it the peer that was reached over it.
    pub async fn on_disconnect(&self, peer: PeerId, link: LinkId) {
        let news: Vec<_> = {
            let mut fetches = self.lock();
            let left = fetches.by_game.values_mut().filter_map(|fetch| {
                fetch.followers.get(&peer).filter(|follower| follower.link == link)?;
                fetch.followers.remove(&peer);
                Some((fetch.news.clone(), PartialSourceNews::Left { peer }))
            });
            left.collect()
        };
        for news in news {
            send(Some(news)).await;
        }
    }

    fn update(&self, game_id: &GameId, number: FetchNumber, update: impl FnOnce(&mut Fetch)) {
        let mut fetches = self.lock();
        let fetch = fetches.by_game.get_mut(game_id).filter(|fetch| fetch.number == number);
        if let Some(fetch) = fetch {
            update(fetch);
            drop(fetches);
            self.changed();
        }
    }

    fn changed(&self) {
        self.0.changes.send_modify(|count| *count += 1);
    }

    fn lock(&self) -> MutexGuard<'_, Fetches> {
        // The table is consistent after every statement, so a panic elsewhere does not spoil it.
        self.0.fetches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Addressed = (mpsc::Sender<PartialSourceNews>, PartialSourceNews);

async fn send(news: Option<Addressed>) {
    if let Some((download, news)) = news {
        // A download that has just ended has nothing to learn.
        let _ = download.send(news).await;
    }
}

impl Fetches {
    /// Notes that a peer fetches the same content, if it does, and what it is `told` of this one.
    fn follow(
        &mut self,
        peer: PeerId,
        link: LinkId,
        theirs: &Opening,
        told: impl FnOnce(&Fetch) -> (PieceSet, Vec<u32>),
    ) -> Option<Addressed> {
        let fetch = self.by_game.get_mut(&theirs.game_id)?;
        let Sharing { layout, content_root, .. } = &fetch.sharing;
        let is_same = *content_root == theirs.content_root
            && layout.manifest().manifest_hash() == theirs.manifest_hash
            && theirs.have.iter().all(|piece| piece < layout.piece_count());
        if !is_same {
            return None;
        }
        let (told, told_asking) = told(fetch);
        fetch.followers.insert(peer, Follower { link, told, told_asking });
        let (has, asking) = (theirs.have.clone(), fetch.known_asking(theirs.asking.clone()));
        Some((fetch.news.clone(), PartialSourceNews::Has { peer, has, asking }))
    }
}

impl Fetch {
    fn opening(&self) -> Opening {
        let Sharing { game_id, layout, content_root, have, .. } = &self.sharing;
        Opening {
            game_id: game_id.clone(),
            manifest_hash: layout.manifest().manifest_hash(),
            content_root: *content_root,
            have: have.clone(),
            asking: self.asking.clone(),
        }
    }

    /// Returns whether there is something that a follower has not been told.
    fn has_more_for(&self, peer: PeerId, link: LinkId) -> bool {
        let follower = self.followers.get(&peer).filter(|follower| follower.link == link);
        follower.is_some_and(|follower| {
            follower.told_asking != self.asking
                || self.sharing.have.iter().any(|piece| !follower.told.contains(piece))
        })
    }

    /// Returns what a follower has not been told; it counts as told from here on.
    fn more_for(&mut self, peer: PeerId, link: LinkId) -> Option<Have> {
        let follower = self.followers.get_mut(&peer).filter(|follower| follower.link == link)?;
        let Sharing { game_id, content_root, have, .. } = &self.sharing;
        let untold = have.iter().filter(|piece| !follower.told.contains(*piece));
        let more: Vec<_> = untold.take(HAVE_MAX_PIECES).collect();
        if more.is_empty() && follower.told_asking == self.asking {
            return None;
        }
        for piece in &more {
            follower.told.insert(*piece);
        }
        follower.told_asking.clone_from(&self.asking);
        let (game_id, content_root) = (game_id.clone(), *content_root);
        Some(Have { game_id, content_root, more, asking: self.asking.clone() })
    }

    fn known(&self, pieces: Vec<u32>) -> Vec<PieceIndex> {
        let known = pieces.into_iter().filter(|piece| *piece < self.sharing.layout.piece_count());
        known.take(HAVE_MAX_PIECES).map(PieceIndex).collect()
    }

    fn known_asking(&self, mut pieces: Vec<u32>) -> Vec<PieceIndex> {
        pieces.truncate(ASKING_MAX);
        self.known(pieces)
    }
}

impl Share {
    /// Notes that a piece is verified and can be read back, and so can be given to others.
    pub fn announce_verified(&self, piece: PieceIndex) {
        self.update(|fetch| {
            fetch.sharing.have.insert(piece.0);
        });
    }

    /// Notes the pieces for which full sources are being asked.
    pub fn announce_asking(&self, pieces: &[PieceIndex]) {
        self.update(|fetch| fetch.asking = pieces.iter().map(|piece| piece.0).collect());
    }

    /// Leaves the share open for whoever publishes the finished game, and then has to close it.
    pub fn hand_over(mut self) {
        self.is_handed_over = true;
    }

    /// Ends the sharing, and waits until nobody reads the files any more.
    pub async fn end(self) {
        let (swarm, game_id) = (self.swarm.clone(), self.game_id.clone());
        drop(self);
        swarm.0.outbound.drain(&game_id).await;
    }

    fn update(&self, update: impl FnOnce(&mut Fetch)) {
        self.swarm.update(&self.game_id, self.number, update);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let is_ours = || {
            let fetches = self.swarm.lock();
            fetches.by_game.get(&self.game_id).is_some_and(|fetch| fetch.number == self.number)
        };
        if !self.is_handed_over && is_ours() {
            self.swarm.close(&self.game_id);
        }
    }
}

impl Sharing {
    fn find(&self, names: &[ChunkName]) -> Option<SharedChunks> {
        let find = |name: &ChunkName| {
            let chunk = self.layout.find(&name.path, name.index)?;
            let is_here = self.have.contains(self.layout.piece_of(chunk).0);
            self.hashes.get(chunk).filter(|_| is_here)
        };
        let hashes = names.iter().map(find).collect::<Option<_>>()?;
        let (root, layout) = (self.root.clone(), Arc::clone(&self.layout));
        Some(SharedChunks { root, layout, hashes })
    }
}
