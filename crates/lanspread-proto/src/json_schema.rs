//! How ids, paths and hashes look in JSON: for the schemas of formats that carry them.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::{ContentHash, GameId, GameVersion, NetworkName, PeerId, PeerName, RelPath};

macro_rules! texts {
    ($($name:ident, inline: $inline:literal, $schema:tt;)*) => {
        $(
            impl JsonSchema for $name {
                fn inline_schema() -> bool {
                    $inline
                }

                fn schema_name() -> Cow<'static, str> {
                    stringify!($name).into()
                }

                fn json_schema(_: &mut SchemaGenerator) -> Schema {
                    json_schema!($schema)
                }
            }
        )*
    };
}

texts! {
    PeerId, inline: false, {"type": "string", "minLength": 36, "maxLength": 36};
    ContentHash, inline: false, {"type": "string", "minLength": 64, "maxLength": 64};
    GameId, inline: true, {"type": "string"};
    GameVersion, inline: true, {"type": "string"};
    NetworkName, inline: true, {"type": "string"};
    PeerName, inline: true, {"type": "string"};
    RelPath, inline: true, {"type": "string"};
}
