//! Which content a copy on the disk is held against.
//!
//! Pure. The catalog says so, else the addresses of the sources.

use std::cmp::Reverse;

use lanspread_proto::ContentHash;
use lanspread_proto::message::GameHead;

use crate::votes::{Among, Poll, Vote, Voter};

/// Returns which content a game is to be held against, of those that sources claim: the catalog's; else
/// the one that more than half of the addresses claim that have hashed the game. `own` is what this
/// peer read the last time, which decides among contents that hold by the catalog alike.
#[must_use]
pub fn wanted_content(
    catalog: Option<ContentHash>,
    own: Option<ContentHash>,
    claims: &[(Option<Voter>, GameHead)],
) -> Option<ContentHash> {
    let mut poll = Poll::default();
    let mut claimed = Vec::new();
    for (voter, head) in claims {
        let Some(root) = head.content_root else { continue };
        let is_stated = |stated| stated == root || head.old_content_roots.contains(&stated);
        if catalog.is_none_or(is_stated) {
            poll.add(*voter, Vote::For(root));
            claimed.push(root);
        }
    }
    let Some(catalog) = catalog else { return poll.winner(Among::Voted) };
    let counts = poll.counts();
    // Any of them holds only if its files have the root of the catalog.
    let rank = |root: &ContentHash| {
        let count = counts.get(root).copied().unwrap_or_default();
        (catalog == *root, count, own == Some(*root), Reverse(*root))
    };
    claimed.into_iter().max_by_key(rank)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(n: u8) -> ContentHash {
        [n; 32].into()
    }

    fn claim(address: u8, content: Option<u8>, old: &[u8]) -> (Option<Voter>, GameHead) {
        let head = GameHead {
            version: "1".parse().unwrap(),
            files: 0,
            chunks: 0,
            path_bytes: 0,
            manifest_hash: hash(1),
            layout_pages: 0,
            content_root: content.map(hash),
            old_content_roots: old.iter().copied().map(hash).collect(),
            attributes: hash(0),
        };
        ((address > 0).then_some(Voter::new([10, 0, 0, address])), head)
    }

    #[test]
    fn a_copy_is_held_against_what_most_addresses_have() {
        let all = |claims: &[(u8, u8)]| {
            let claims: Vec<_> = claims.iter().map(|it| claim(it.0, Some(it.1), &[])).collect();
            wanted_content(None, Some(hash(8)), &claims)
        };
        assert_eq!(all(&[(1, 7)]), Some(hash(7)));
        assert_eq!(all(&[(1, 7), (2, 7), (3, 8)]), Some(hash(7)));
        assert_eq!(all(&[(9, 7), (9, 7), (9, 7), (2, 8)]), None);
        assert_eq!(all(&[(9, 7), (9, 7), (9, 7), (2, 8), (3, 8)]), Some(hash(8)));
        assert_eq!(all(&[(0, 7), (0, 7), (2, 8)]), Some(hash(8)));
        assert_eq!(all(&[]), None);
        let hashing = [claim(1, None, &[]), claim(2, None, &[]), claim(3, Some(7), &[])];
        assert_eq!(wanted_content(None, None, &hashing), Some(hash(7)));
    }

    #[test]
    fn the_catalog_decides_whatever_the_sources_claim() {
        let claims = [claim(1, Some(7), &[]), claim(2, Some(7), &[]), claim(3, Some(6), &[9])];
        assert_eq!(wanted_content(Some(hash(9)), None, &claims), Some(hash(6)));
        assert_eq!(wanted_content(Some(hash(7)), None, &claims), Some(hash(7)));
        assert_eq!(wanted_content(Some(hash(5)), None, &claims), None);
        let two = [claim(1, Some(7), &[9]), claim(2, Some(6), &[9])];
        assert_eq!(wanted_content(Some(hash(9)), Some(hash(7)), &two), Some(hash(7)));
        assert_eq!(wanted_content(Some(hash(9)), None, &two), Some(hash(6)));
    }
}
