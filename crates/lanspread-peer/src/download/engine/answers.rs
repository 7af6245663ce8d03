//! What the engine does with an answer: from a source, or from the disk.

use lanspread_proto::PeerId;
use lanspread_proto::message::KnownManifest;

use super::super::scheduler::Ask;
use super::super::source::{GameAnswer, ReceivedChunk, SourceError};
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
                    Err(SourceError::Gone(_)) => return gathering.left(peer),
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
                (Err(SourceError::Gone(_)), _) => transfer.left(peer),
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

    pub(super) fn chunk_came(&mut self, ask: Ask, answer: Result<ReceivedChunk, SourceError>) {
        let now = self.now();
        let Some(transfer) = self.stage.transfer() else { return };
        let chunk = match answer {
            Ok(chunk) => chunk,
            Err(error) => return transfer.request_failed(ask, &error, now),
        };
        if !transfer.arrived(ask, now) {
            return;
        }
        let Some((place, file)) = transfer.layout().place(ask.chunk) else { return };
        let is_sentinel = transfer.layout().is_sentinel(ask.chunk);
        self.disk.push(Arrived {
            ask,
            place,
            file_size: file.size,
            chunk,
            expected: transfer.expected_hash(ask),
            is_hole: transfer.ledger().is_untouched(ask.chunk),
            sentinel_of: is_sentinel.then(|| self.job.version.clone()),
        });
    }

    pub(super) fn kept(&mut self, ask: Ask, kept: Kept) -> Option<Ended> {
        let transfer = self.stage.transfer()?;
        match kept {
            Kept::Stored { hash, len, sentinel } => {
                self.sentinel = sentinel.or(self.sentinel.take());
                transfer.stored(ask, hash, len);
                None
            }
            Kept::Wrong => {
                transfer.mismatched(ask);
                None
            }
            Kept::Failed(error) => Some(Err(DownloadEnd::Failed(error.into()))),
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
