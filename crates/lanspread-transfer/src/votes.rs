//! Votes, counted by IPv4 address.
//!
//! Pure. Peer ids cost nothing and a machine gives itself IPv6 addresses as it likes, so neither is
//! counted. Each IPv4 address has one vote, however many sources are behind it:
//!
//! - Sources at one address that say the same are its vote.
//! - An address whose sources contradict each other votes for nothing. It counts as an address all
//!   the same, so that nobody has a majority without it.
//! - Sources without an IPv4 address count only where no source has one, and then only while all of
//!   them say the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// An address that has a vote: the four bytes of an IPv4 address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Voter([u8; 4]);

impl Voter {
    /// Makes a voter of the bytes of its address.
    pub const fn new(octets: [u8; 4]) -> Self {
        Self(octets)
    }

    /// Returns the bytes of its address.
    pub const fn octets(self) -> [u8; 4] {
        self.0
    }
}

impl fmt::Debug for Voter {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d] = self.0;
        write!(out, "{a}.{b}.{c}.{d}")
    }
}

/// What one source says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vote<T> {
    /// It is for this.
    For(T),
    /// It may still say something.
    Pending,
    /// It has not answered yet, so that nothing is final that its address says.
    Awaited,
    /// It will say nothing.
    Abstains,
}

/// Whose addresses a majority is counted of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Among {
    /// All addresses, those included that have said nothing: a majority of them is final.
    All,
    /// Those that have said something.
    Voted,
}

/// The votes of all sources.
#[derive(Debug, Clone)]
pub struct Poll<T> {
    addresses: BTreeMap<Voter, Stand<T>>,
    /// The addresses of sources that have not answered yet.
    awaited: BTreeSet<Voter>,
    /// All sources without an IPv4 address together.
    unaddressed: Stand<T>,
    is_unaddressed_pending: bool,
}

/// What the sources at one address say together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stand<T> {
    Abstains,
    Pending,
    For(T),
    Contradictory,
}

impl<T: Copy + Ord> Stand<T> {
    fn add(&mut self, vote: Vote<T>) {
        *self = match (*self, vote) {
            (Self::Contradictory, _) => Self::Contradictory,
            (Self::For(one), Vote::For(other)) if one != other => Self::Contradictory,
            (_, Vote::For(one)) | (Self::For(one), _) => Self::For(one),
            (Self::Pending, _) | (_, Vote::Pending | Vote::Awaited) => Self::Pending,
            (Self::Abstains, Vote::Abstains) => Self::Abstains,
        };
    }

    fn has_voted(&self) -> bool {
        matches!(self, Self::For(_) | Self::Contradictory)
    }
}

impl<T> Default for Poll<T> {
    fn default() -> Self {
        Self {
            addresses: BTreeMap::new(),
            awaited: BTreeSet::new(),
            unaddressed: Stand::Abstains,
            is_unaddressed_pending: false,
        }
    }
}

impl<T: Copy + Ord> Poll<T> {
    /// Adds what a source says; `voter` is `None` where it has no IPv4 address.
    pub fn add(&mut self, voter: Option<Voter>, vote: Vote<T>) {
        match voter {
            Some(voter) => {
                self.addresses.entry(voter).or_insert(Stand::Abstains).add(vote);
                if matches!(vote, Vote::Awaited) {
                    self.awaited.insert(voter);
                }
            }
            None => {
                self.unaddressed.add(vote);
                self.is_unaddressed_pending |= matches!(vote, Vote::Pending | Vote::Awaited);
            }
        }
    }

    /// Returns what more than half of the addresses are for. Where no source has an IPv4 address:
    /// what all sources are for.
    pub fn winner(&self, among: Among) -> Option<T> {
        if self.addresses.is_empty() {
            let is_complete = among == Among::Voted || !self.is_unaddressed_pending;
            return self.unanimous_unaddressed().filter(|_| is_complete);
        }
        let electorate = match among {
            Among::All => self.addresses.len(),
            Among::Voted => self.addresses.values().filter(|stand| stand.has_voted()).count(),
        };
        let is_final = |voter: &Voter| among == Among::Voted || !self.awaited.contains(voter);
        let counts = self.counts_of(is_final);
        counts.into_iter().find(|(_, count)| count * 2 > electorate).map(|(it, _)| it)
    }

    /// Returns what all sources without an IPv4 address are for that have said something.
    pub fn unanimous_unaddressed(&self) -> Option<T> {
        match self.unaddressed {
            Stand::For(one) => Some(one),
            Stand::Abstains | Stand::Pending | Stand::Contradictory => None,
        }
    }

    /// Returns for what addresses are, and how many.
    pub fn counts(&self) -> BTreeMap<T, usize> {
        self.counts_of(|_| true)
    }

    fn counts_of(&self, is_counted: impl Fn(&Voter) -> bool) -> BTreeMap<T, usize> {
        let mut counts = BTreeMap::new();
        for (voter, stand) in &self.addresses {
            if let Stand::For(one) = stand
                && is_counted(voter)
            {
                *counts.entry(*one).or_default() += 1;
            }
        }
        counts
    }

    /// Returns whether an address that has said nothing may still say something, or contradict itself.
    pub fn is_open(&self) -> bool {
        match self.addresses.is_empty() {
            true => self.is_unaddressed_pending,
            false => {
                let is_pending = |stand: &Stand<T>| *stand == Stand::Pending;
                !self.awaited.is_empty() || self.addresses.values().any(is_pending)
            }
        }
    }

    /// Returns whether anybody has said anything that counts.
    pub fn has_votes(&self) -> bool {
        match self.addresses.is_empty() {
            true => self.unaddressed.has_voted(),
            false => self.addresses.values().any(Stand::has_voted),
        }
    }

    /// Returns the addresses that are for `one`, and all others, in order.
    pub fn sides(&self, one: T) -> (Vec<Voter>, Vec<Voter>) {
        let is_for = |voter: &Voter| self.addresses.get(voter) == Some(&Stand::For(one));
        self.addresses.keys().copied().partition(is_for)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One source: the last byte of its address, 0 for none; `+x`, `?`, `!` (awaited) or `-` for its vote.
    fn poll(sources: &str) -> Poll<char> {
        let mut poll = Poll::default();
        for source in sources.split_whitespace() {
            let (address, vote) = source.split_at(source.find(['+', '?', '!', '-']).unwrap());
            let last: u8 = address.parse().unwrap();
            let vote = match vote.chars().nth(1) {
                Some(it) => Vote::For(it),
                None if vote == "?" => Vote::Pending,
                None if vote == "!" => Vote::Awaited,
                None => Vote::Abstains,
            };
            poll.add((last > 0).then_some(Voter::new([10, 0, 0, last])), vote);
        }
        poll
    }

    #[test]
    fn a_strict_majority_of_addresses_wins() {
        // Sources; the winner among all, among those that voted; whether more may come.
        let table = [
            ("", None, None, false),
            ("1+x", Some('x'), Some('x'), false),
            ("1+x 2+y", None, None, false),
            ("1+x 2+x 3+y", Some('x'), Some('x'), false),
            ("1+x 2+x 3+y 4+y", None, None, false),
            ("1+x 2+y 3+z", None, None, false),
            // Three keys at one address.
            ("9+y 9+y 9+y 2+x 3+x", Some('x'), Some('x'), false),
            ("9+y 9+y 9+y 2+x", None, None, false),
            // Two that contradict each other at one address.
            ("1+x 1+y", None, None, false),
            ("1+x 1+y 2+x", None, None, false),
            ("1+x 1+y 2+x 3+x", Some('x'), Some('x'), false),
            // Silence counts until it need not be waited for.
            ("1+x 2?", None, Some('x'), true),
            ("1+x 2? 3?", None, Some('x'), true),
            ("1+x 2+x 3?", Some('x'), Some('x'), true),
            ("1+x 1?", Some('x'), Some('x'), false),
            ("1+x 1!", None, Some('x'), true),
            ("1+x 2+x 3!", Some('x'), Some('x'), true),
            ("1+x 2+x 2!", None, Some('x'), true),
            ("1+x 2-", None, Some('x'), false),
            ("1? 2-", None, None, true),
            // Without an IPv4 address there is no vote,
            ("1+x 0+y 0+y 0+y", Some('x'), Some('x'), false),
            ("1? 0+y", None, None, true),
            // unless nobody has one.
            ("0+y 0+y", Some('y'), Some('y'), false),
            ("0+y 0?", None, Some('y'), true),
            ("0+y 0+x", None, None, false),
        ];
        for (sources, all, voted, is_open) in table {
            let poll = poll(sources);
            let found = (poll.winner(Among::All), poll.winner(Among::Voted), poll.is_open());
            assert_eq!(found, (all, voted, is_open), "{sources:?}");
        }
    }

    #[test]
    fn both_sides_are_told() {
        let last = |voters: Vec<Voter>| voters.iter().map(|it| it.octets()[3]).collect::<Vec<_>>();
        let (voters, others) = poll("3+x 1+x 2+y 4? 5+x 5+y 0+x").sides('x');
        assert_eq!((last(voters), last(others)), (vec![1, 3], vec![2, 4, 5]));
    }

    fn vote() -> impl Strategy<Value = Vote<u8>> {
        prop_oneof![(0..4_u8).prop_map(Vote::For), Just(Vote::Pending), Just(Vote::Abstains)]
    }

    proptest! {
        #[test]
        fn free_ids_never_change_the_outcome_of_an_honest_majority_of_addresses(
            honest in 2..6_u8,
            at_one_address in prop::collection::vec(vote(), 0..40),
            without_address in prop::collection::vec(vote(), 0..40),
        ) {
            let right = 9;
            let mut poll = Poll::default();
            let liar = Voter::new([10, 0, 0, 200]);
            at_one_address.into_iter().for_each(|vote| poll.add(Some(liar), vote));
            without_address.into_iter().for_each(|vote| poll.add(None, vote));
            for n in 0..honest {
                poll.add(Some(Voter::new([10, 0, 0, n])), Vote::For(right));
            }
            prop_assert_eq!(poll.winner(Among::All), Some(right));
            prop_assert_eq!(poll.winner(Among::Voted), Some(right));
        }

        #[test]
        fn free_ids_at_one_address_count_as_one(
            others in prop::collection::vec((0..6_u8, vote()), 0..8),
            at_one_address in prop::collection::vec(vote(), 1..20),
        ) {
            let mut poll = Poll::default();
            for (address, vote) in others {
                poll.add(Some(Voter::new([10, 0, 0, address])), vote);
            }
            let before = poll.winner(Among::All);
            let mut after = poll.clone();
            let liar = Voter::new([10, 0, 0, 200]);
            at_one_address.into_iter().for_each(|vote| after.add(Some(liar), vote));
            // One address more takes a bare majority away, and never gives it to something else.
            if let (Some(before), Some(after)) = (before, after.winner(Among::All)) {
                prop_assert_eq!(before, after);
            }
            prop_assert_eq!(after.addresses.len(), poll.addresses.len() + 1);
        }
    }
}
