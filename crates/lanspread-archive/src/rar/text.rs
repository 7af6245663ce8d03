//! How the `UnRAR` library spells names.

use std::ops::Range;

use unrar_sys::WCHAR;

/// With this character the library begins a name that it could not decode in the locale of the process,
/// and puts each byte of it above 0x7f at [`BYTES_START`].
const BYTES_MARK: char = '\u{fffe}';
const BYTES_START: u32 = 0xe000;
/// The halves of a character beyond U+FFFF in UTF-16, and the first such character.
const HIGH_SURROGATES: Range<u32> = 0xd800..0xdc00;
const LOW_SURROGATES: Range<u32> = 0xdc00..0xe000;
const FIRST_PAIR: u32 = 0x1_0000;

/// Undoes what the library does to UTF-8 names of RAR 3 where no UTF-8 locale is set.
pub(super) fn decoded_name(name: String) -> String {
    if !name.contains(BYTES_MARK) {
        return name;
    }
    let mut bytes = Vec::with_capacity(name.len());
    for character in name.chars().filter(|character| *character != BYTES_MARK) {
        match u32::from(character).checked_sub(BYTES_START) {
            Some(byte @ 0x80..0x100) => bytes.push(byte as u8),
            _ => bytes.extend(character.encode_utf8(&mut [0; 4]).bytes()),
        }
    }
    String::from_utf8(bytes).unwrap_or(name)
}

/// What wide characters spell.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct WideText {
    pub(super) text: String,
    /// Whether all of them were text. Where not, U+FFFD stands for what was none.
    pub(super) is_text: bool,
}

/// Reads wide characters. RAR 3 stores UTF-16, and where a wide character has 32 bits the library puts
/// one unit into each: the two halves of a surrogate pair are joined here.
pub(super) fn wide_text(characters: impl Iterator<Item = WCHAR>) -> WideText {
    let mut characters = characters.map(|character| character as u32).peekable();
    let mut read = WideText { text: String::new(), is_text: true };
    while let Some(first) = characters.next() {
        let second = match HIGH_SURROGATES.contains(&first) {
            true => characters.next_if(|second| LOW_SURROGATES.contains(second)),
            false => None,
        };
        let joined = match second {
            Some(second) => {
                FIRST_PAIR
                    + ((first - HIGH_SURROGATES.start) << 10)
                    + (second - LOW_SURROGATES.start)
            }
            None => first,
        };
        match char::from_u32(joined) {
            Some(character) => read.text.push(character),
            None => {
                read.is_text = false;
                read.text.push(char::REPLACEMENT_CHARACTER);
            }
        }
    }
    read
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(characters: &[u32]) -> (String, bool) {
        let WideText { text, is_text } =
            wide_text(characters.iter().map(|character| *character as WCHAR));
        (text, is_text)
    }

    #[test]
    fn halves_of_a_character_are_joined_and_a_half_alone_is_no_text() {
        let text = |text: &str| (text.to_owned(), true);
        assert_eq!(read(&[0x61, 0xd83d, 0xde00, 0x62]), text("a😀b"));
        assert_eq!(read(&[0xd800, 0xdc00, 0xdbff, 0xdfff]), text("\u{10000}\u{10ffff}"));
        assert_eq!(read(&[0x1_f600, 0xfffd]), text("😀\u{fffd}"));
        let broken = |text: &str| (text.to_owned(), false);
        assert_eq!(read(&[0xd83d]), broken("\u{fffd}"));
        assert_eq!(read(&[0xde00, 0xd83d]), broken("\u{fffd}\u{fffd}"));
        assert_eq!(read(&[0xd83d, 0xd83d, 0xde00]), broken("\u{fffd}😀"));
        assert_eq!(read(&[0x11_0000, 0xffff_ffff]), broken("\u{fffd}\u{fffd}"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_from_units_and_from_characters(text: String) {
            let units = text.encode_utf16().map(|unit| unit as WCHAR);
            prop_assert_eq!(wide_text(units), WideText { text: text.clone(), is_text: true });
            let characters = text.chars().map(|character| character as WCHAR);
            prop_assert_eq!(wide_text(characters), WideText { text: text.clone(), is_text: true });
        }
    }

    #[test]
    fn names_that_the_library_could_not_decode_are_read_as_utf8() {
        let mapped = "a\u{fffe}\u{e0c3}\u{e0bc}.txt".to_owned();
        assert_eq!(decoded_name(mapped), "aü.txt");
        let not_utf8 = "\u{fffe}\u{e0fc}.txt".to_owned();
        assert_eq!(decoded_name(not_utf8.clone()), not_utf8);
        assert_eq!(decoded_name("plain \u{e0c3}".to_owned()), "plain \u{e0c3}");
    }
}
