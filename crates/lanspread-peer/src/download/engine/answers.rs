//! What the engine does with an answer: from a source, or from the disk.

use lanspread_proto::PeerId;
use lanspread_proto::message::{ChunkName, KnownManifest};

use super::super::layout::ChunkIndex;
use super::super::scheduler::Ask;
use super::super::source::{GameAnswer, ReceivedChunks, SourceError};
use super::super::transfer::Told;
use super::super::{DownloadEnd, DownloadNotice};
use super::books::{Books, Look};
use super::disk::{Arrived, Kept};
use super::{Ended, Engine, Stage};

impl Engine {
    pub(super) async fn manifest_came(
        &mut self,
        peer: PeerId,
        known: Option<KnownManifest>,
        answer: Result<GameAnswer, SourceError>,
    ) {
        let now = self.now();
        match &mut self.stage {
            Stage::Gathering(gathering) => {
                let reason = match answer {
                    Ok(GameAnswer::Manifest(manifest)) => {
                        gathering.offered(peer, manifest, now).err()
                    }
                    Ok(GameAnswer::Unchanged) => Some("it told no manifest".to_owned()),
                    Err(SourceError::Gone(_)) => {
                        self.returns.given_up(peer, now);
                        return gathering.left(peer);
                    }
                    Err(error) => Some(error.to_string()),
                };
                if let Some(reason) = reason {
                    gathering.refused(peer, reason.clone());
                    self.tell(DownloadNotice::SourceDropped { peer_id: peer, reason }).await;
                }
            }
            Stage::Transferring(transfer) => match (answer, known) {
                (Ok(GameAnswer::Manifest(manifest)), _) => {
                    transfer.claimed(peer, Told::Manifest(&manifest), now);
                }
                (Ok(GameAnswer::Unchanged), Some(known)) => {
                    transfer.claimed(peer, Told::Known(known), now);
                }
                (Ok(GameAnswer::Unchanged), None) => {
                    transfer.not_joining(peer, "it told no manifest".to_owned());
                }
                (Err(SourceError::Gone(_)), _) => {
                    self.returns.given_up(peer, now);
                    transfer.left(peer, now);
                }
                (Err(error), _) => transfer.not_joining(peer, error.to_string()),
            },
            Stage::Committing(_) => {}
        }
    }

    pub(super) fn hashes_came(
        &mut self,
        peer: PeerId,
        known: Option<KnownManifest>,
        answer: Result<GameAnswer, SourceError>,
    ) {
        let now = self.now();
        let Some(transfer) = self.stage.transfer() else { return };
        match (answer, known) {
            (Ok(GameAnswer::Manifest(manifest)), _) if manifest.content_root().is_some() => {
                transfer.claimed(peer, Told::Manifest(&manifest), now);
            }
            (Ok(GameAnswer::Unchanged), Some(known)) if known.content_root.is_some() => {
                transfer.claimed(peer, Told::Known(known), now);
            }
            _ => transfer.abstains(peer),
        }
    }

    pub(super) fn piece_came(
        &mut self,
        ask: Ask,
        chunks: Vec<ChunkIndex>,
        answer: Result<ReceivedChunks, SourceError>,
    ) {
        let now = self.now();
        let Some(transfer) = self.stage.transfer() else { return };
        let ReceivedChunks { hashes, mut bytes } = match answer {
            Ok(received) => received,
            Err(error) => return transfer.request_failed(ask, &error, now),
        };
        if !transfer.arrived(ask, now) {
            return;
        }
        let mut arrived = Vec::with_capacity(chunks.len());
        for (chunk, hash) in chunks.into_iter().zip(hashes) {
            let Some((place, file)) = transfer.layout().place(chunk) else { continue };
            let len = usize::try_from(place.len).unwrap_or(usize::MAX).min(bytes.len());
            arrived.push(Arrived {
                chunk,
                place,
                file_size: file.size,
                bytes: bytes.split_to(len),
                hash,
                expected: transfer.expected_hash(ask.peer, chunk),
                is_hole: transfer.ledger().is_untouched(chunk),
                sentinel_of: transfer.layout().is_sentinel(chunk).then(|| self.job.version.clone()),
            });
        }
        self.disk.push(ask, arrived);
    }

    pub(super) fn kept(&mut self, ask: Ask, kept: Vec<(ChunkIndex, Kept)>) -> Option<Ended> {
        let wrong =
            kept.iter().find(|(_, kept)| matches!(kept, Kept::Wrong)).map(|(chunk, _)| *chunk);
        if let Some(chunk) = wrong {
            self.complain(ask.peer, chunk);
        }
        let transfer = self.stage.transfer()?;
        for (chunk, kept) in kept {
            match kept {
                Kept::Stored { hash, len, sentinel } => {
                    self.sentinel = sentinel.or(self.sentinel.take());
                    transfer.stored(ask.peer, chunk, hash, len);
                }
                Kept::Wrong => transfer.mismatched(ask.peer, chunk),
                Kept::Failed(error) => return Some(Err(DownloadEnd::Failed(error.into()))),
            }
        }
        transfer.settle(ask.piece);
        None
    }

    /// Tells a source of the whole game that a chunk came wrong. It is not asked for anything any more.
    fn complain(&mut self, peer: PeerId, chunk: ChunkIndex) {
        let Some(transfer) = self.stage.transfer().filter(|it| it.members().contains(&peer)) else {
            return;
        };
        let Some((place, file)) = transfer.layout().place(chunk) else { return };
        let name = ChunkName { path: file.path.clone(), index: place.index };
        let (game_id, version) = (self.job.game_id.clone(), self.job.version.clone());
        if let Some(source) = self.sources.get(&peer).cloned() {
            // It outlives the download, which may end with this source. The source answers in time.
            tokio::spawn(async move { source.complain(game_id, version, name).await });
        }
    }

    pub(super) fn looked(&mut self, look: Look, is_there: bool) {
        if let Some(transfer) = self.stage.transfer() {
            match is_there {
                true => transfer.found(look.chunk, look.expected, look.place.len),
                false => transfer.not_found(look.chunk),
            }
        }
        self.books.iter_mut().for_each(Books::looked);
    }
}
