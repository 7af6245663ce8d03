//! Names that some file system may take for one.

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization;

/// What all names have in common that any file system may take for `name`: no letter case, letters
/// decomposed, and without the characters that are not seen.
#[must_use]
pub fn fold(name: &str) -> Cow<'_, str> {
    if name.is_ascii() {
        return match name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            true => Cow::Owned(name.to_ascii_lowercase()),
            false => Cow::Borrowed(name),
        };
    }
    // By way of upper case, which brings together what has several lower cases, such as the two small
    // sigmas; and first to lower case, because not every capital letter is that of its small one.
    let visible = name.nfd().filter(|letter| !is_ignorable(*letter));
    let upper = visible.flat_map(char::to_lowercase).flat_map(char::to_uppercase);
    let folded = upper.flat_map(char::to_lowercase);
    Cow::Owned(folded.nfd().collect())
}

/// Whether some file system may take two names for one.
#[must_use]
pub fn is_same_fold(one: &str, other: &str) -> bool {
    if one.is_ascii() && other.is_ascii() {
        return one.eq_ignore_ascii_case(other);
    }
    fold(one) == fold(other)
}

/// Characters that a case-folding file system ignores, the "default ignorable" ones of Unicode.
fn is_ignorable(letter: char) -> bool {
    matches!(
        letter,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fff8}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_some_disk_takes_for_one_fold_alike() {
        for (one, other) in [
            ("DATA.PAK", "data.pak"),
            ("Caf\u{e9}", "cafe\u{301}"),
            ("\u{c9}T\u{c9}", "\u{e9}t\u{e9}"),
            ("\u{17f}ync", "sync"),
            ("\u{212a}ing", "king"),
            ("stra\u{df}e", "STRASSE"),
            ("\u{3a3}\u{3a3}", "\u{3c3}\u{3c2}"),
            ("lo\u{200c}cal", "LOCAL"),
        ] {
            assert!(is_same_fold(one, other), "{one} {other}");
        }
        for (one, other) in [("a.txt", "a.tx"), ("e", "\u{e9}"), ("a_b", "a-b"), ("\u{131}", "l")] {
            assert!(!is_same_fold(one, other), "{one} {other}");
        }
    }

    #[test]
    fn every_letter_folds_like_each_of_its_cases_and_forms() {
        // The planes in which there are letters with cases.
        for letter in '\0'..='\u{1ffff}' {
            let name = letter.to_string();
            let folded = fold(&name).into_owned();
            assert_eq!(fold(&folded), folded.as_str(), "{letter:?}");
            let cases = [name.to_lowercase(), name.to_uppercase(), name.nfc().collect()];
            for other in cases {
                assert_eq!(fold(&other), folded.as_str(), "{letter:?} {other:?}");
            }
        }
    }
}
