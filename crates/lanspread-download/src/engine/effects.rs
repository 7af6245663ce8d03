//! What the engine does because the transfer says so.

use lanspread_proto::message::{ChunkName, GetChunks, GetGame, Part};
use lanspread_transfer::part_fetch::AskPart;
use lanspread_transfer::scheduler::Ask;
use lanspread_transfer::transfer::{Effect, Transfer};

use super::requests::Subject;
use super::{Engine, Stage};
use crate::job::DownloadNotice;

impl Engine {
    pub(super) async fn carry_out_effects(&mut self) {
        let effects = self.stage.transfer().map(Transfer::take_effects).unwrap_or_default();
        for effect in effects {
            match effect {
                Effect::AskPiece(ask) => self.ask_piece(ask),
                Effect::AbandonPiece(ask) => {
                    self.sources.end(ask.peer, Subject::Piece(ask.piece));
                }
                Effect::AskHashes(peer) => {
                    let request = self.get_game(true);
                    self.sources.ask_hashes(peer, request);
                }
                Effect::AskPart(ask) => self.ask_part(ask),
                Effect::EndPart(peer) => self.sources.end(peer, Subject::Part(Part::Hashes)),
                Effect::AskAttributes(part) => {
                    self.sources.ask_attributes(self.job.game_id.clone(), part);
                }
                Effect::Drop { peer, reason, is_for_good } => {
                    self.drop_source(peer, is_for_good);
                    self.send(DownloadNotice::SourceDropped { peer_id: peer, reason }).await;
                }
                Effect::Record(record) => {
                    if let (Stage::Transferring(transfer), Some(resume)) =
                        (&self.stage, &mut self.resume)
                    {
                        resume.enter(transfer, record);
                    }
                }
                Effect::AnnouncePiece(piece) => {
                    if let Stage::Transferring(_) = &self.stage {
                        self.sharer.announce(piece);
                    }
                }
            }
        }
    }

    /// Asks for what is missing of a piece: some of it may have been on disk before.
    fn ask_piece(&mut self, ask: Ask) {
        let Some(transfer) = self.stage.transfer() else { return };
        let missing: Vec<_> = transfer.missing(ask.piece).collect();
        let places = missing.iter().filter_map(|chunk| transfer.layout().location(*chunk));
        let (chunks, lens): (Vec<_>, Vec<_>) = places
            .map(|(place, file)| {
                (ChunkName { path: file.path.clone(), index: place.index }, place.len)
            })
            .unzip();
        let (game_id, version) = (self.job.game_id.clone(), self.job.version.clone());
        let request = GetChunks { game_id, version, chunks };
        self.sources.ask_chunks(ask, missing, request, lens);
    }

    pub(super) fn ask_part(&mut self, ask: AskPart) {
        self.sources.ask_part(self.job.game_id.clone(), ask);
    }

    pub(super) fn get_game(&self, await_hashes: bool) -> GetGame {
        GetGame { game_id: self.job.game_id.clone(), await_hashes }
    }
}
