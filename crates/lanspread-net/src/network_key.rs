//! The secret of a closed party.

use lanspread_proto::text::without_byte_order_mark;

/// The secret of a closed party.
#[derive(Clone, PartialEq, Eq)]
pub struct NetworkKey([u8; 32]);

impl NetworkKey {
    /// Shortest secret in bytes: below it, trying all of them is too easy.
    pub const SECRET_MIN_BYTES: usize = 8;

    /// Derives the key from the bytes of a key file, without a byte order mark at its beginning and
    /// white space at its ends.
    ///
    /// Returns `None` when less than [`Self::SECRET_MIN_BYTES`] bytes are left.
    #[must_use]
    pub fn from_secret(secret: &[u8]) -> Option<Self> {
        let secret = without_byte_order_mark(secret).trim_ascii();
        (secret.len() >= Self::SECRET_MIN_BYTES)
            .then(|| Self(blake3::derive_key("lanspread 2024 network key", secret)))
    }

    /// Returns the key as it is used: 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Debug for NetworkKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NetworkKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn editors_leave_a_secret_as_it_is() {
        let key = |secret: &[u8]| NetworkKey::from_secret(secret).map(|key| key.0);
        let plain = key(b"long secret");
        assert!(plain.is_some());
        assert_eq!(key(b"\xef\xbb\xbflong secret\r\n"), plain);
        assert_ne!(key(b"long secret\xef\xbb\xbf"), plain);
        // The mark is no part of the secret, so it does not make it long enough.
        assert_eq!(key(b"\xef\xbb\xbfshort"), None);
    }
}
