//! What pages of records have in common: a page is a list of records in the order of their names, and a
//! record says how many bytes of the name before it its name begins with.

use serde::Deserialize;

use crate::limits::PAGE_MAX_BYTES;

/// What makes bytes not a page of records. `N` tells which rule a name breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PageError<N> {
    /// More than [`PAGE_MAX_BYTES`].
    #[error("it has {0} bytes, more than {PAGE_MAX_BYTES}")]
    TooLong(usize),
    /// It ends in the middle, or holds a number or a text that is none.
    #[error("record {0} cannot be read")]
    Unreadable(u32),
    /// The record is not written as every peer writes it.
    #[error("record {0} is not in the one form it can have")]
    NotCanonical(u32),
    /// A name in a record breaks a rule.
    #[error("record {record}: {reason}")]
    Name {
        /// Which record, from 0.
        record: u32,
        /// Which rule.
        reason: N,
    },
    /// The name of a record does not come after the one before it.
    #[error("record {0} is not in order")]
    Order(u32),
    /// There are no records where there must be some, or bytes behind the last one.
    #[error("it does not end with its last record")]
    End,
}

/// Reads the records of one page.
#[derive(Debug)]
pub(crate) struct RecordReader<'a> {
    rest: &'a [u8],
    /// Which record of the page is read.
    record: u32,
}

impl<'a> RecordReader<'a> {
    pub(crate) fn new<N>(page: &'a [u8]) -> Result<Self, PageError<N>> {
        match page.len() {
            0..=PAGE_MAX_BYTES => Ok(Self { rest: page, record: 0 }),
            len => Err(PageError::TooLong(len)),
        }
    }

    /// Takes the number of records with which a list begins.
    pub(crate) fn count<N>(&mut self) -> Result<u32, PageError<N>> {
        self.take(|count| varint_len(u64::from(*count)))
    }

    /// Takes the next value, of which `len` says how many bytes its one form has.
    pub(crate) fn take<T: Deserialize<'a>, N>(
        &mut self,
        len: impl Fn(&T) -> usize,
    ) -> Result<T, PageError<N>> {
        let taken = postcard::take_from_bytes(self.rest);
        let (value, rest) = taken.map_err(|_| PageError::Unreadable(self.record))?;
        self.check_form(self.rest.len() - rest.len() == len(&value))?;
        self.rest = rest;
        Ok(value)
    }

    /// Puts a name together and checks that it comes after the one before it.
    pub(crate) fn name<T, N>(
        &self,
        before: Option<&str>,
        shared: u16,
        suffix: &str,
        new: impl FnOnce(String) -> Result<T, N>,
    ) -> Result<T, PageError<N>> {
        let name = join_shared(before.unwrap_or_default(), shared, suffix);
        let name = name.ok_or(PageError::NotCanonical(self.record))?;
        if before.is_some_and(|before| name.as_str() <= before) {
            return Err(PageError::Order(self.record));
        }
        new(name).map_err(|reason| self.bad_name(reason))
    }

    pub(crate) fn bad_name<N>(&self, reason: N) -> PageError<N> {
        PageError::Name { record: self.record, reason }
    }

    pub(crate) fn check_form<N>(&self, is_canonical: bool) -> Result<(), PageError<N>> {
        is_canonical.then_some(()).ok_or(PageError::NotCanonical(self.record))
    }

    /// Goes on with the next record.
    pub(crate) fn advance(&mut self) {
        self.record += 1;
    }

    /// Checks that nothing follows.
    pub(crate) fn end<N>(&self) -> Result<(), PageError<N>> {
        self.rest.is_empty().then_some(()).ok_or(PageError::End)
    }
}

/// Writes a list of `count` encoded records.
pub(crate) fn encode_list(count: u32, records: &[u8]) -> Vec<u8> {
    // A number can always be encoded into memory.
    let mut list = postcard::to_allocvec(&count).unwrap_or_default();
    list.extend_from_slice(records);
    list
}

/// Splits `path` into the bytes that it has in common with `before`, up to a character, and the rest.
pub(crate) fn split_shared<'a>(before: &str, path: &'a str) -> (u16, &'a str) {
    let mut shared = before.bytes().zip(path.bytes()).take_while(|(a, b)| a == b).count();
    while !path.is_char_boundary(shared) {
        shared -= 1;
    }
    // A path has at most `PATH_MAX_BYTES`.
    let shared = u16::try_from(shared).unwrap_or(0);
    (shared, path.get(usize::from(shared)..).unwrap_or_default())
}

/// Puts a path together; `None` unless `shared` is what [`split_shared`] gives for it.
pub(crate) fn join_shared(before: &str, shared: u16, suffix: &str) -> Option<String> {
    let at = usize::from(shared);
    let (head, tail) = (before.get(..at)?, before.get(at..)?);
    let goes_on = tail.chars().next().is_some_and(|next| suffix.starts_with(next));
    (!goes_on).then(|| [head, suffix].concat())
}

/// How many bytes a text takes: their number and themselves.
pub(crate) fn text_len(text: &str) -> usize {
    varint_len(text.len() as u64) + text.len()
}

/// How many bytes a number takes: 7 bits in each.
pub(crate) fn varint_len(number: u64) -> usize {
    let bits = u64::BITS - number.leading_zeros();
    bits.div_ceil(7).max(1) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_paths_share_ends_at_a_character() {
        assert_eq!(split_shared("", "a"), (0, "a"));
        assert_eq!(split_shared("bin/tool", "bin/tools.dat"), (8, "s.dat"));
        // The two have three of the four bytes of their second character in common.
        assert_eq!(split_shared("a\u{1F600}", "a\u{1F601}"), (1, "\u{1F601}"));
        assert_eq!(join_shared("a\u{1F600}", 1, "\u{1F601}").as_deref(), Some("a\u{1F601}"));
        assert_eq!(join_shared("a\u{1F600}", 4, "\u{1F601}"), None);
        assert_eq!(join_shared("ab", 1, "bc"), None);
        assert_eq!(join_shared("ab", 3, "c"), None);
    }

    #[test]
    fn numbers_are_as_long_as_postcard_makes_them() {
        for number in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), u64::MAX] {
            assert_eq!(varint_len(number), postcard::to_allocvec(&number).unwrap().len());
        }
    }
}
