//! What the engine does because the transfer says so.

use std::sync::Arc;

use lanspread_proto::message::{GetChunk, GetGame, KnownManifest};

use super::super::DownloadNotice;
use super::super::scheduler::Ask;
use super::super::transfer::{Effect, Transfer};
use super::requests::Subject;
use super::{Engine, Stage};

impl Engine {
    pub(super) async fn carry_out_effects(&mut self) {
        let effects = self.stage.transfer().map(Transfer::take_effects).unwrap_or_default();
        for effect in effects {
            match effect {
                Effect::AskChunk(ask) => self.ask_chunk(ask),
                Effect::AbandonChunk(ask) => {
                    self.requests.end(ask.peer, Subject::Chunk(ask.chunk));
                }
                Effect::AskHashes(peer) => {
                    let known = self.stage.transfer().map(|transfer| transfer.known_manifest());
                    let known = known.filter(|known| known.content_root.is_some());
                    let request = self.get_game(known, true);
                    if let Some(source) = self.sources.get(&peer) {
                        self.requests.ask_hashes(Arc::clone(source), request);
                    }
                }
                Effect::Drop { peer, reason } => {
                    self.requests.end_all_of(peer);
                    self.tell(DownloadNotice::SourceDropped { peer_id: peer, reason }).await;
                }
                Effect::Enter(record) => {
                    if let (Stage::Transferring(transfer), Some(books)) =
                        (&self.stage, &mut self.books)
                    {
                        books.enter(transfer, record);
                        self.sharer.entered(transfer, record, self.sentinel.as_deref());
                    }
                }
            }
        }
    }

    fn ask_chunk(&mut self, ask: Ask) {
        let Some(transfer) = self.stage.transfer() else { return };
        let Some((place, file)) = transfer.layout().place(ask.chunk) else { return };
        let request = GetChunk {
            game_id: self.job.game_id.clone(),
            version: self.job.version.clone(),
            path: file.path.clone(),
            index: place.index,
        };
        if let Some(source) = self.sources.get(&ask.peer) {
            self.requests.ask_chunk(Arc::clone(source), ask, request, place.len);
        }
    }

    pub(super) fn get_game(
        &self,
        known_manifest: Option<KnownManifest>,
        await_hashes: bool,
    ) -> GetGame {
        GetGame { game_id: self.job.game_id.clone(), known_manifest, await_hashes }
    }
}
