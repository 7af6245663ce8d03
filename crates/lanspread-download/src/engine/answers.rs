//! What the engine does with an answer: from a source, or from the disk.

use lanspread_net::source::ReceivedChunks;
use lanspread_proto::message::{GameHead, WrongChunk};
use lanspread_proto::{PeerId, SourceError};
use lanspread_transfer::layout::ChunkIndex;
use lanspread_transfer::parts::PartError;
use lanspread_transfer::scheduler::Ask;

use super::disk::{ReceivedChunk, WriteOutcome};
use super::resume_state::{ResumeProbe, ResumeState};
use super::{Ended, Engine, Stage};
use crate::job::{DownloadEnd, DownloadNotice};

impl Engine {
    pub(super) async fn on_head(&mut self, peer: PeerId, answer: Result<GameHead, SourceError>) {
        let (now, voter) = (self.now(), self.sources.voter(peer));
        self.locate(peer);
        let refusal = match (&mut self.stage, answer) {
            (Stage::Gathering(gathering), Ok(head)) => {
                gathering.on_head(peer, voter, head, now).err()
            }
            (Stage::Describing(description), Ok(head)) => {
                description.on_head(peer, voter, head).err()
            }
            (Stage::Transferring(transfer), Ok(head)) => {
                transfer.on_claim(peer, voter, &head, now);
                return self.locate(peer);
            }
            (Stage::Gathering(gathering), Err(SourceError::Gone(_))) => {
                self.sources.given_up(peer, now);
                return gathering.on_left(peer);
            }
            (Stage::Describing(description), Err(SourceError::Gone(_))) => {
                self.sources.given_up(peer, now);
                return description.on_left(peer);
            }
            (Stage::Transferring(transfer), Err(SourceError::Gone(_))) => {
                self.sources.given_up(peer, now);
                transfer.on_left(peer, now);
                return;
            }
            (Stage::Transferring(transfer), Err(error)) => {
                return transfer.on_claim_refused(peer, error.to_string());
            }
            (_, Err(error)) => Some(error.to_string()),
            (Stage::Committing(_), Ok(_)) => None,
        };
        let Some(reason) = refusal else { return };
        match &mut self.stage {
            Stage::Gathering(gathering) => gathering.on_refusal(peer, reason.clone()),
            Stage::Describing(description) => description.on_refusal(peer, reason.clone()),
            Stage::Transferring(_) | Stage::Committing(_) => return,
        }
        self.send(DownloadNotice::SourceDropped { peer_id: peer, reason }).await;
    }

    pub(super) fn on_hashes(&mut self, peer: PeerId, answer: Result<GameHead, SourceError>) {
        let (now, voter) = (self.now(), self.sources.voter(peer));
        let Some(transfer) = self.stage.transfer() else { return };
        match answer {
            Ok(head) if head.content_root.is_some() => transfer.on_claim(peer, voter, &head, now),
            _ => transfer.on_abstention(peer),
        }
    }

    /// A source has given a part, or has not. One that has another game by now is asked once more what
    /// it has.
    pub(super) fn on_part(&mut self, peer: PeerId, result: Result<(), PartError>) {
        let has_changed = match &mut self.stage {
            Stage::Describing(description) => description.on_part_ended(peer, result),
            Stage::Transferring(transfer) => {
                transfer.on_part_ended(peer, result);
                false
            }
            Stage::Gathering(_) | Stage::Committing(_) => false,
        };
        if has_changed {
            self.invite(peer);
        }
    }

    pub(super) fn on_piece(
        &mut self,
        ask: Ask,
        chunks: Vec<ChunkIndex>,
        answer: Result<ReceivedChunks, SourceError>,
    ) {
        let now = self.now();
        let Some(transfer) = self.stage.transfer() else { return };
        let ReceivedChunks { hashes, mut bytes } = match answer {
            Ok(answer) => answer,
            Err(error) => return transfer.on_request_failed(ask, &error, now),
        };
        if !transfer.on_piece_received(ask, now) {
            return;
        }
        let mut received = Vec::with_capacity(chunks.len());
        for (chunk, hash) in chunks.into_iter().zip(hashes) {
            let Some((place, file)) = transfer.layout().location(chunk) else { continue };
            let len = usize::try_from(place.len).unwrap_or(usize::MAX).min(bytes.len());
            received.push(ReceivedChunk {
                chunk,
                place,
                file_size: file.size,
                bytes: bytes.split_to(len),
                hash,
                expected: transfer.expected_hash(ask.peer, chunk),
                is_hole: transfer.ledger().is_untouched(chunk),
            });
        }
        self.disk.push(ask, received);
    }

    pub(super) fn on_written(
        &mut self,
        ask: Ask,
        outcomes: Vec<(ChunkIndex, WriteOutcome)>,
    ) -> Option<Ended> {
        let wrong = outcomes
            .iter()
            .find(|(_, outcome)| matches!(outcome, WriteOutcome::Wrong))
            .map(|(chunk, _)| *chunk);
        if let Some(chunk) = wrong {
            self.report_wrong_chunk(ask.peer, chunk);
        }
        let transfer = self.stage.transfer()?;
        for (chunk, outcome) in outcomes {
            match outcome {
                WriteOutcome::Written { hash, len } => {
                    transfer.on_chunk_written(ask.peer, chunk, hash, len)
                }
                WriteOutcome::Wrong => transfer.on_chunk_mismatch(ask.peer, chunk),
                WriteOutcome::Failed(error) => return Some(Err(DownloadEnd::Failed(error.into()))),
            }
        }
        transfer.settle(ask.piece);
        None
    }

    /// Tells a source of the whole game that a chunk came wrong. It is not asked for anything any more.
    fn report_wrong_chunk(&mut self, peer: PeerId, chunk: ChunkIndex) {
        let Some(transfer) = self.stage.transfer().filter(|it| it.is_full_source(peer)) else {
            return;
        };
        let Some((place, file)) = transfer.layout().location(chunk) else { return };
        // Without hashes, a source could not tell whether it is right.
        let Some(content_root) = transfer.content_of(peer) else { return };
        let (game_id, path, index) = (self.job.game_id.clone(), file.path.clone(), place.index);
        let wrong = WrongChunk { game_id, content_root, path, index };
        if let Some(source) = self.sources.handle(peer) {
            // It outlives the download, which may end with this source. The source answers in time.
            tokio::spawn(async move { source.report_wrong_chunk(wrong).await });
        }
    }

    pub(super) fn on_probed(&mut self, probe: ResumeProbe, is_there: bool) {
        if let Some(transfer) = self.stage.transfer() {
            match is_there {
                true => transfer.on_chunk_found(probe.chunk, probe.expected, probe.place.len),
                false => transfer.on_chunk_missing(probe.chunk),
            }
        }
        self.resume.iter_mut().for_each(ResumeState::on_probed);
    }
}
