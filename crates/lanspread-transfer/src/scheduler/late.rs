//! Which piece that is asked for already is worth asking another source for.

use std::time::Duration;

use lanspread_proto::PeerId;

use super::Scheduler;
use super::request::Expected;
use crate::layout::PieceIndex;

/// How much sooner than those that are asked another source must be able to deliver a piece.
const MARGIN: Duration = Duration::from_millis(50);
/// How much later than now a piece must be expected for a source to be asked for it of which nothing is known: it is
/// taken to need 500 ms, as others twice their time and [`MARGIN`].
const UNKNOWN_NEEDED: Duration = Duration::from_millis(1_050);
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
        // Most sources are alike in what is not known of them: what none of those is worth asking for is not looked at
        // for each of them.
        let open: Vec<_> = awaited.iter().filter(|it| it.is_open(false, UNKNOWN_NEEDED)).collect();
        let all: Vec<_> = awaited.iter().collect();
        free.iter().find_map(|peer| {
            let source = self.sources.get(peer).filter(|source| !source.is_overdue(now))?;
            let latency = source.pace.latency();
            let (is_proven, needed) =
                (source.is_proven(), latency.map_or(UNKNOWN_NEEDED, |usual| usual * 2 + MARGIN));
            let pieces = if is_proven || latency.is_some() { &all } else { &open };
            let mut pieces = pieces.iter().filter(|it| source.has(it.piece) && !it.is_asked(*peer));
            Some((*peer, pieces.find(|it| it.is_open(is_proven, needed))?.piece))
        })
    }
}

impl Awaited {
    fn is_asked(&self, peer: PeerId) -> bool {
        self.askees.iter().any(|askee| askee.peer == peer)
    }

    /// Whether a source that needs so long is likely to deliver the piece well before those that are asked for it.
    fn is_open(&self, is_proven: bool, needed: Duration) -> bool {
        let is_slow = |askee: &Askee| askee.expected.is_later_than(needed);
        let is_waited_for = |askee: &&Askee| !is_slow(askee) && (!is_proven || !askee.is_trial);
        let in_vain = self.askees.iter().filter(|askee| is_slow(askee)).count();
        let most = in_vain.saturating_sub(1).saturating_mul(GROWTH).max(1);
        self.askees.iter().filter(is_waited_for).count() < most
    }
}
