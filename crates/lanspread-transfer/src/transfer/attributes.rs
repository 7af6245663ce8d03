//! What the sources of a transfer tell beside the content.

use std::sync::Arc;

use bytes::Bytes;
use lanspread_proto::message::RefusalCode;
use lanspread_proto::{Manifest, SourceError};

use super::{Blame, Effect, Transfer};
use crate::attributes::{Agreed, AttributesPart};
use crate::heads::Heads;

impl Transfer {
    /// The sources that are there at the beginning have told these heads.
    pub(super) fn claim_attributes(&mut self, heads: &Heads) {
        for (peer, head) in heads.iter().filter(|(peer, _)| self.sources.is_full(*peer)) {
            self.attributes.claim(peer, head.attributes);
        }
        self.ask_attributes();
    }

    /// Asks for the attributes that are told of, each once.
    pub(super) fn ask_attributes(&mut self) {
        while let Some(part) = self.attributes.ask(|peer| self.sources.is_full(peer)) {
            self.effects.push(Effect::AskAttributes(part));
        }
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
        self.ask_attributes();
    }

    /// What is to be written beside the content of `manifest`.
    pub fn agree(&self, manifest: &Manifest) -> Agreed {
        self.attributes.agree(manifest, self.consensus.catalog_content())
    }
}
