//! What is not part of a text that people write.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_mark_at_the_beginning_is_read_over() {
        assert_eq!(without_byte_order_mark(b"\xef\xbb\xbfa"), b"a");
        assert_eq!(without_byte_order_mark(b"a\xef\xbb\xbf"), b"a\xef\xbb\xbf");
        assert_eq!(without_byte_order_mark(b"\xef\xbb"), b"\xef\xbb");
        assert_eq!(without_byte_order_mark(b"\xff\xfea\0"), b"\xff\xfea\0");
        assert_eq!(without_byte_order_mark(b""), b"");
    }
}
