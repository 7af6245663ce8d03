//! Reads any bytes as names of the `UnRAR` library.

use unrar_sys::WCHAR;

use super::text::{decoded_name, wide_text};

/// Reads `bytes` as wide characters, of 16 bits and of 32.
///
/// # Panics
/// Where a text does not stay what it is.
pub fn names(bytes: &[u8]) {
    let units = bytes.as_chunks::<2>().0.iter().map(|unit| u32::from(u16::from_le_bytes(*unit)));
    let characters = bytes.as_chunks::<4>().0.iter().map(|unit| u32::from_le_bytes(*unit));
    for read in [
        wide_text(units.map(|unit| unit as WCHAR)),
        wide_text(characters.map(|character| character as WCHAR)),
    ] {
        if read.is_text {
            let again = wide_text(read.text.chars().map(|letter| letter as WCHAR));
            assert_eq!(again.text, read.text);
        }
        let _ = decoded_name(read.text);
    }
}
