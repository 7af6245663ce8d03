//! What is not part of a text that people write, and characters that make a text look like another one.

use std::borrow::Cow;
use std::fmt::Write;

/// The bytes that some editors and shells put before UTF-8 text. Source: the Unicode Standard, section 23.8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Returns `text` without a byte order mark at its beginning.
///
/// Every reader of text that a person or another program wrote calls this first, so that a file
/// means the same wherever it is read. Text in UTF-16 begins with another mark and stays as it is:
/// it is refused as not UTF-8.
#[must_use]
pub fn without_byte_order_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text)
}

/// Whether a character is not seen, and can change what is shown around it: control characters, line and
/// paragraph separators, marks and controls of the writing direction, and marks without width.
///
/// Joiners (U+200C, U+200D), variation selectors and tags are none: Persian, Hindi and emoji need them.
/// Sources: the Unicode Standard, section 23, and Unicode Technical Standard 55, "Source Code Handling".
#[must_use]
pub fn is_deceptive(letter: char) -> bool {
    if letter.is_ascii() {
        return letter.is_ascii_control();
    }
    is_explicit_direction(letter)
        || letter.is_control()
        || matches!(
            letter,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'
                | '\u{200e}'..='\u{200f}'
                | '\u{2028}'..='\u{2029}'
                | '\u{2060}'..='\u{2064}'
                | '\u{206a}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
        )
}

/// Whether a character begins or ends a part of a text with a writing direction of its own.
#[must_use]
pub fn is_explicit_direction(letter: char) -> bool {
    matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether a character lets a file name look like another one, or breaks a line: it overrides the writing
/// direction, or separates lines or paragraphs.
///
/// The other characters that set a direction are in names that people have: Windows and phones put them into
/// names that are copied. They move no Latin letter.
#[must_use]
pub fn is_forbidden_in_names(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}' | '\u{202d}' | '\u{202e}')
}

/// Returns a text of one line in which deceptive characters stand as escapes, for logs and terminals.
#[must_use]
pub fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(is_deceptive) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        if is_deceptive(letter) {
            // Writing to memory does not fail.
            let _ = write!(safe, "{}", letter.escape_default());
        } else {
            safe.push(letter);
        }
    }
    Cow::Owned(safe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_seen_is_escaped_and_what_languages_need_is_not() {
        let joined = "نمی\u{200c}خواهم 👨\u{200d}👩 🏴\u{e0067}\u{e007f} ❤\u{fe0f} a–b";
        assert_eq!(escaped(joined), joined);
        assert_eq!(
            escaped("a\tb\r\n\u{1b}[31m\u{85}\u{202e}c\u{200b}"),
            "a\\tb\\r\\n\\u{1b}[31m\\u{85}\\u{202e}c\\u{200b}"
        );
        // Whatever may not be in a name is deceptive.
        let all = ('\0'..=char::MAX).filter(|letter| {
            (is_forbidden_in_names(*letter) || is_explicit_direction(*letter))
                && !is_deceptive(*letter)
        });
        assert_eq!(all.collect::<Vec<_>>(), []);
    }

    #[test]
    fn one_mark_at_the_beginning_is_read_over() {
        assert_eq!(without_byte_order_mark(b"\xef\xbb\xbfa"), b"a");
        assert_eq!(without_byte_order_mark(b"a\xef\xbb\xbf"), b"a\xef\xbb\xbf");
        assert_eq!(without_byte_order_mark(b"\xef\xbb"), b"\xef\xbb");
        assert_eq!(without_byte_order_mark(b"\xff\xfea\0"), b"\xff\xfea\0");
        assert_eq!(without_byte_order_mark(b""), b"");
    }
}
