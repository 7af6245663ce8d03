//! The outer object of a command: its id, its name, and the rest.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// What stands in one line.
#[derive(Debug, Default)]
pub(crate) struct Envelope {
    /// The id, exactly as it was written.
    pub(crate) id: Option<Box<RawValue>>,
    /// The name of the command, of whatever type.
    pub(crate) cmd: Option<Value>,
    /// All other fields.
    pub(crate) params: Map<String, Value>,
}

impl Envelope {
    /// Reads `bytes`, and of a broken line what comes before the fault: the error record can then
    /// still say which command it is about.
    pub(crate) fn scan(bytes: &[u8]) -> (Self, Result<(), String>) {
        let mut envelope = Self::default();
        let (text, utf8) = match std::str::from_utf8(bytes) {
            Ok(text) => (text, Ok(())),
            Err(fault) => {
                let at = fault.valid_up_to();
                let valid = bytes.get(..at).and_then(|valid| std::str::from_utf8(valid).ok());
                let message = format!("the line is not UTF-8 at byte {}", at + 1);
                (valid.unwrap_or_default(), Err(message))
            }
        };
        let mut json = serde_json::Deserializer::from_str(text);
        let read = (&mut envelope).deserialize(&mut json).and_then(|()| json.end());
        let read = read.map_err(|fault| format!("the line is not one JSON object: {fault}"));
        (envelope, utf8.and(read))
    }
}

impl<'de> DeserializeSeed<'de> for &mut Envelope {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut Envelope {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            let repeated = match name.as_str() {
                "id" => self.id.replace(map.next_value()?).is_some(),
                "cmd" => self.cmd.replace(map.next_value()?).is_some(),
                _ => self.params.insert(name.clone(), map.next_value()?).is_some(),
            };
            if repeated {
                return Err(A::Error::custom(format_args!("field {name:?} stands there twice")));
            }
        }
        Ok(())
    }
}
