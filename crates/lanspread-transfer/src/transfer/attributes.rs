//! What the sources of a transfer tell beside the content.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lanspread_proto::message::RefusalCode;
use lanspread_proto::{Manifest, PeerId, SourceError};

use super::{Blame, Effect, Transfer};
use crate::attributes::{ATTRIBUTES_WAIT, Agreed, AttributesPart};
use crate::heads::Heads;

/// Which part of a download a source has to give for its attributes to be waited for as long as they may take:
/// an eighth.
const GOOD_PART: u64 = 8;
/// How long the attributes of other sources are waited for, from the moment on that they are asked for: some
/// times what a page takes. Once some have come, the game can be had without the others.
const PROMISED_WAIT: Duration = Duration::from_millis(300);

impl Transfer {
    /// The sources that are there at the beginning have told these heads.
    pub(super) fn claim_attributes(&mut self, heads: &Heads) {
        for (peer, head) in heads.iter() {
            if let Some(claim) = self.sources.claim_of(peer) {
                self.attributes.claim(peer, claim.voter, head.attributes);
            }
        }
    }

    /// Asks for the attributes that are told of.
    pub(super) fn ask_attributes(&mut self, now: Duration) {
        while let Some(part) = self.attributes.ask(|peer| self.sources.is_full(peer), now) {
            self.effects.push(Effect::AskAttributes(part));
        }
    }

    /// How long attributes are waited for that are asked for, by a download that is complete `since` then.
    /// Sources that gave a good part of it are waited for longer than those that promise attributes alone.
    pub(super) fn attributes_awaited_until(&self, since: Duration) -> Option<Duration> {
        let given = self.ledger.given();
        let all: u64 = given.iter().map(|source| source.bytes).sum();
        let gave_part = |peer: PeerId| {
            let of_peer = given.iter().find(|source| source.peer_id == peer);
            of_peer.is_some_and(|source| source.bytes.saturating_mul(GOOD_PART) >= all)
        };
        let is_any_here = self.attributes.is_any_here();
        let asked = self.attributes.asked();
        let until = asked.map(|(peer, asked_at)| match !is_any_here || gave_part(peer) {
            true => since + ATTRIBUTES_WAIT,
            false => asked_at.min(since) + PROMISED_WAIT,
        });
        until.max()
    }

    /// The request to a source for its attributes has ended.
    pub fn on_attributes(&mut self, part: AttributesPart, answer: Result<Bytes, SourceError>) {
        let bad = match answer {
            Ok(page) => {
                let manifest = Arc::clone(self.layout.manifest());
                self.attributes.on_page(part, &page, &manifest).err()
            }
            Err(error) => {
                self.attributes.failed(part);
                match &error {
                    SourceError::Protocol(_) => Some(error.to_string()),
                    SourceError::Refused(refusal) if refusal.code == RefusalCode::NoSuchPage => {
                        Some(error.to_string())
                    }
                    SourceError::Refused(refusal) if refusal.code == RefusalCode::Changed => {
                        self.effects.push(Effect::AskHashes(part.peer));
                        None
                    }
                    // The game can be had without; what keeps the source from giving chunks shows there.
                    SourceError::Refused(_) | SourceError::Gone(_) => None,
                }
            }
        };
        if let Some(reason) = bad {
            self.release(part.peer, Blame::Bad, Some(reason));
        }
    }

    /// What is to be written beside the content of `manifest`.
    pub fn agree(&self, manifest: &Manifest) -> Agreed {
        self.attributes.agree(manifest, self.consensus.stated_content())
    }
}
