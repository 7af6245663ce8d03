//! Which piece that is asked for already is worth asking another source for.

use std::time::Duration;

use lanspread_proto::PeerId;

use super::Scheduler;
use super::request::Expected;
use super::source::SourceState;
use crate::layout::PieceIndex;

/// How much sooner than those that are asked another source must be able to deliver a piece.
const MARGIN: Duration = Duration::from_millis(50);
/// What a source of which nothing is known is taken to need for a piece.
const LATENCY_UNKNOWN: Duration = Duration::from_millis(500);
/// How many more may be asked for a piece at a time for each that was asked in vain, from the second on. One
/// that is late may have had an accident; a piece that 350 silent sources are asked for is past them after six rounds.
const GROWTH: usize = 3;

/// What is to be expected of those that are asked for a piece.
#[derive(Debug)]
pub(super) struct Awaited {
    piece: PieceIndex,
    askees: Vec<Askee>,
}

#[derive(Debug)]
struct Askee {
    peer: PeerId,
    expected: Expected,
    /// Asked in addition, has delivered nothing, and nothing of this piece has come either.
    is_trial: bool,
}

impl Scheduler {
    /// The pieces that are asked for, those first of which fewest sources are.
    fn awaited(&self, now: Duration) -> Vec<Awaited> {
        let pieces = self.asked.iter().map(|(piece, peers)| {
            let askees = peers.iter().enumerate().filter_map(|(nth, peer)| {
                let source = self.sources.get(peer)?;
                let request = source.requests.get(piece)?;
                let is_trial = nth > 0 && !source.is_proven() && request.received_bytes() == 0;
                Some(Askee { peer: *peer, expected: source.expected(request, now), is_trial })
            });
            Awaited { piece: *piece, askees: askees.collect() }
        });
        let mut pieces: Vec<_> = pieces.collect();
        pieces.sort_by_key(|awaited| awaited.askees.len());
        pieces
    }

    /// The first of the sources that is worth asking for a piece of others, and the piece.
    pub(super) fn pick_late(&self, free: &[PeerId], now: Duration) -> Option<(PeerId, PieceIndex)> {
        if free.is_empty() {
            return None;
        }
        let awaited = self.awaited(now);
        free.iter().find_map(|peer| {
            let source = self.sources.get(peer).filter(|source| !source.is_overdue(now))?;
            let mut pieces = awaited.iter().filter(|it| source.has(it.piece));
            Some((*peer, pieces.find(|it| it.is_worth_asking(*peer, source))?.piece))
        })
    }
}

impl Awaited {
    /// Whether `source` is likely to deliver the piece well before those that are asked for it.
    fn is_worth_asking(&self, peer: PeerId, source: &SourceState) -> bool {
        if self.askees.iter().any(|askee| askee.peer == peer) {
            return false;
        }
        let needed = source.pace.latency().unwrap_or(LATENCY_UNKNOWN) * 2 + MARGIN;
        let is_slow = |askee: &Askee| askee.expected.is_later_than(needed);
        let is_waited_for =
            |askee: &&Askee| !is_slow(askee) && (!source.is_proven() || !askee.is_trial);
        let in_vain = self.askees.iter().filter(|askee| is_slow(askee)).count();
        let most = in_vain.saturating_sub(1).saturating_mul(GROWTH).max(1);
        self.askees.iter().filter(is_waited_for).count() < most
    }
}
