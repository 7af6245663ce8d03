//! The engine's part in the swarm: what it gives to others that fetch the same content, and what
//! it does with what they tell.

use std::time::Duration;

use lanspread_serve::swarm::{PartialSourceNews, Share, Sharing};
use lanspread_transfer::layout::PieceIndex;
use lanspread_transfer::transfer::Transfer;
use tokio::sync::mpsc;

use super::{Engine, Event};
use crate::job::{DownloadJob, SwarmContext};

/// The share of a download, once its content is known for good and its disk is prepared.
pub(super) struct Sharer {
    seat: SwarmContext,
    share: Option<Share>,
    news: Option<mpsc::Receiver<PartialSourceNews>>,
    /// Whether it was tried to open one.
    is_settled: bool,
    asking: Vec<PieceIndex>,
}

impl Sharer {
    pub(super) fn new(seat: SwarmContext) -> Self {
        Self { seat, share: None, news: None, is_settled: false, asking: Vec::new() }
    }

    /// Opens the share as soon as that is possible, and tells what is being asked for.
    pub(super) fn follow(&mut self, job: &DownloadJob, transfer: &Transfer, now: Duration) {
        if !self.is_settled
            && let Some((content_root, hashes)) = transfer.decided_content()
        {
            self.is_settled = true;
            let opened = self.seat.swarm.open(Sharing {
                game_id: job.game_id.clone(),
                root: job.root.clone(),
                layout: transfer.layout().clone(),
                content_root,
                hashes,
                have: transfer.ledger().whole_pieces(transfer.layout()),
            });
            (self.share, self.news) = opened.unzip();
        }
        let Some(share) = &self.share else { return };
        let asking = transfer.fetching(now);
        if asking != self.asking {
            share.announce_asking(&asking);
            self.asking = asking;
        }
    }

    /// Gives a piece to others that is stored.
    pub(super) fn announce(&self, piece: PieceIndex) {
        if let Some(share) = &self.share {
            share.announce_verified(piece);
        }
    }

    /// The next news; never, where nothing is shared.
    pub(super) async fn next(&mut self) -> Event {
        if let Some(news) = &mut self.news
            && let Some(news) = news.recv().await
        {
            return Event::Swarm(news);
        }
        std::future::pending().await
    }

    /// Leaves the share open until the finished game is published.
    pub(super) fn hand_over(&mut self) {
        if let Some(share) = self.share.take() {
            share.hand_over();
        }
    }

    /// Ends it, without waiting for those who still read.
    pub(super) fn close(&mut self) {
        self.share = None;
    }

    /// Ends it. Nobody reads the files of the game after that.
    pub(super) async fn end(&mut self) {
        if let Some(share) = self.share.take() {
            share.end().await;
        }
    }
}

impl Engine {
    pub(super) fn on_partial_source_news(&mut self, news: PartialSourceNews) {
        let now = self.now();
        let Some(transfer) = self.stage.transfer() else { return };
        match news {
            PartialSourceNews::Has { peer, has, asking } => {
                transfer.on_offer(peer, &has, &asking, now);
                self.sources.introduce(peer, || (self.sharer.seat.source_of)(peer));
                self.locate(peer);
            }
            PartialSourceNews::HasMore { peer, more, asking } => {
                transfer.on_more_offered(peer, &more, &asking, now);
            }
            PartialSourceNews::Ended { peer } => transfer.on_offers_ended(peer),
            PartialSourceNews::Left { peer } => {
                if transfer.on_partial_source_left(peer) {
                    // It may be asked for its manifest at the same time: a download that has ended
                    // is in the library instead.
                    self.sources.end_pieces_of(peer);
                }
                self.sources.remove_unannounced(peer);
            }
        }
    }
}
