//! How the `UnRAR` library spells names and paths.

use std::ffi::c_char;
use std::path::Path;
use std::ptr;

use unrar_sys::WCHAR;

/// With this character the library begins a name that it could not decode in the locale of the process,
/// and puts each byte of it above 0x7f at [`BYTES_START`].
const BYTES_MARK: char = '\u{fffe}';
const BYTES_START: u32 = 0xe000;

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

/// Characters that are none become U+FFFD.
pub(super) fn wide_text(characters: impl Iterator<Item = WCHAR>) -> String {
    #[cfg(windows)]
    return char::decode_utf16(characters)
        .map(|character| character.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect();
    #[cfg(not(windows))]
    characters
        .map(|character| char::from_u32(character as u32).unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}

/// A path in the form that the library opens without changing it: bytes on Unix, UTF-16 on Windows.
pub(super) struct ArchiveName {
    #[cfg(not(windows))]
    name: std::ffi::CString,
    #[cfg(windows)]
    name: Vec<u16>,
}

impl ArchiveName {
    #[cfg(not(windows))]
    pub(super) fn new(path: &Path) -> Option<Self> {
        let bytes = path.as_os_str().as_encoded_bytes();
        std::ffi::CString::new(bytes).ok().map(|name| Self { name })
    }

    #[cfg(windows)]
    pub(super) fn new(path: &Path) -> Option<Self> {
        use std::os::windows::ffi::OsStrExt;
        let mut name: Vec<u16> = path.as_os_str().encode_wide().collect();
        let is_clean = !name.contains(&0);
        name.push(0);
        is_clean.then_some(Self { name })
    }

    pub(super) fn narrow(&self) -> *const c_char {
        #[cfg(not(windows))]
        return self.name.as_ptr();
        #[cfg(windows)]
        ptr::null()
    }

    pub(super) fn wide(&self) -> *const WCHAR {
        #[cfg(not(windows))]
        return ptr::null();
        #[cfg(windows)]
        self.name.as_ptr()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_the_library_could_not_decode_are_read_as_utf8() {
        let mapped = "a\u{fffe}\u{e0c3}\u{e0bc}.txt".to_owned();
        assert_eq!(decoded_name(mapped), "aü.txt");
        let not_utf8 = "\u{fffe}\u{e0fc}.txt".to_owned();
        assert_eq!(decoded_name(not_utf8.clone()), not_utf8);
        assert_eq!(decoded_name("plain \u{e0c3}".to_owned()), "plain \u{e0c3}");
    }
}
