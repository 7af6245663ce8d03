//! The engine's part about votes: whose address has one, and what is told of their outcome.

use std::net::IpAddr;

use lanspread_net::dispute::{self, CandidateSource, ContentDispute};
use lanspread_transfer::consensus::Candidate;
use lanspread_transfer::votes::Voter;

use super::{Ended, Engine, Stage};
use crate::error::DownloadFailure;
use crate::job::{DownloadEnd, DownloadNotice};

/// Returns the vote of an address, if it has one: a machine gives itself IPv6 addresses as it likes.
#[must_use]
pub fn voter_of(address: IpAddr) -> Option<Voter> {
    match address.to_canonical() {
        IpAddr::V4(address) => Some(Voter::new(address.octets())),
        IpAddr::V6(_) => None,
    }
}

impl Engine {
    /// Tells how the vote on the content ended, once the download has begun.
    pub(super) async fn tell_vote(&mut self) {
        if self.is_vote_told || self.resume.is_none() {
            return;
        }
        let Stage::Transferring(transfer) = &self.stage else { return };
        if let Some(count) = transfer.vote_count().cloned() {
            self.is_vote_told = true;
            self.send(DownloadNotice::Voted(count)).await;
        }
    }

    pub(super) fn disputed(&self, candidates: Vec<Candidate>) -> Ended {
        let source = |peer_id| CandidateSource { peer_id, addr: self.sources.addr(peer_id) };
        let candidate = |Candidate { content, sources }| dispute::Candidate {
            content_root: content,
            bytes: None,
            sources: sources.into_iter().map(source).collect(),
        };
        let candidates = candidates.into_iter().map(candidate).collect();
        let dispute = ContentDispute { game_id: self.job.game_id.clone(), candidates };
        Err(DownloadEnd::Failed(DownloadFailure::ContentDisputed(dispute)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv4_address_has_a_vote_in_either_form_and_an_ipv6_address_has_none() {
        let voter = |text: &str| voter_of(text.parse().unwrap());
        assert_eq!(voter("10.0.0.7"), Some(Voter::new([10, 0, 0, 7])));
        assert_eq!(voter("::ffff:10.0.0.7"), voter("10.0.0.7"));
        for other in ["fe80::1", "::1", "2001:db8::10.0.0.7", "::10.0.0.7"] {
            assert_eq!(voter(other), None, "{other}");
        }
    }
}
