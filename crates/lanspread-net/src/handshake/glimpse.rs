//! What can be read of a hello before its version is known, or of which only the beginning is there.

use std::fmt;

use lanspread_proto::PeerName;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

/// What a hello of any version says, as far as it says it. `proto_ver` has been in it from the first
/// version on; nothing else need be there, or be what it is in this version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Glimpse {
    /// The protocol version of the sender.
    pub proto_ver: Option<u32>,
    /// What the sender calls itself.
    pub name: Option<PeerName>,
    /// Where the sender listens.
    pub listen_port: Option<u16>,
}

impl Glimpse {
    /// Reads a header, or the beginning of one.
    pub(super) fn of(header: &[u8]) -> Self {
        let mut glimpse = Self::default();
        let mut json = serde_json::Deserializer::from_slice(header);
        // What came before the place where it ends or goes wrong counts.
        let _ = (&mut json).deserialize_map(Fields(&mut glimpse));
        glimpse
    }
}

struct Fields<'a>(&'a mut Glimpse);

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "proto_ver" => {
                    let version: Value = map.next_value()?;
                    self.0.proto_ver = version.as_u64().and_then(|n| u32::try_from(n).ok());
                }
                "name" => {
                    let name: Value = map.next_value()?;
                    self.0.name = name.as_str().and_then(|name| PeerName::new(name).ok());
                }
                "listen_port" => {
                    let port: Value = map.next_value()?;
                    self.0.listen_port = port.as_u64().and_then(|n| u16::try_from(n).ok());
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_before_the_end_of_a_header_is_read() {
        let whole = r#"{"type":"hello","peer_id":"x","proto_ver":3,"name":"old","listen_port":7,"library":{"games":[1,2"#;
        let expected = Glimpse {
            proto_ver: Some(3),
            name: Some(PeerName::new("old").unwrap()),
            listen_port: Some(7),
        };
        assert_eq!(Glimpse::of(whole.as_bytes()), expected);
        assert_eq!(Glimpse::of(&whole.as_bytes()[..50]).proto_ver, Some(3));
        for len in 0..whole.len() {
            Glimpse::of(&whole.as_bytes()[..len]);
        }
    }

    #[test]
    fn what_is_not_what_it_should_be_is_not_there() {
        let odd = br#"{"proto_ver":"3","name":{"a":1},"listen_port":70000}"#;
        assert_eq!(Glimpse::of(odd), Glimpse::default());
        for none in [&b"[]"[..], b"", b"3", b"{"] {
            assert_eq!(Glimpse::of(none), Glimpse::default());
        }
    }
}
