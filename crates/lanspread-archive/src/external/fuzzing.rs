//! Reads any bytes as what the external program prints.

use super::listing::Listing;

/// Reads `bytes` as a listing, in two pieces.
///
/// # Panics
/// Where the pieces make a difference.
pub fn listing(bytes: &[u8]) {
    let read = |pieces: [&[u8]; 2]| {
        let mut listing = Listing::default();
        pieces.into_iter().try_for_each(|piece| listing.feed(piece))?;
        listing.finish()
    };
    let whole = read([bytes, &[]]);
    let halves = read(bytes.split_at(bytes.len() / 2).into());
    assert_eq!(whole, halves);
    for entry in whole.iter().flat_map(|listed| &listed.entries) {
        assert!(!entry.name.contains('\n'));
        let _ = entry.kind().size_bytes();
    }
}
