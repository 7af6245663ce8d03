//! States content roots in the text of a JSON catalog, and changes nothing else in it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use lanspread_proto::text::without_byte_order_mark;
use lanspread_proto::{ContentHash, GameId};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::error::CatalogError;

/// The games as they are written.
#[derive(Deserialize)]
struct Text<'a> {
    #[serde(borrow)]
    games: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    id: GameId,
    #[serde(borrow)]
    version: &'a RawValue,
    #[serde(borrow, default, deserialize_with = "as_written")]
    content_root: Option<&'a RawValue>,
}

/// Reads also `null` as something that is there.
fn as_written<'de, D: Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

/// Returns `text`, the catalog at `path`, with these roots.
pub(crate) fn state_roots(
    path: &Path,
    text: &[u8],
    roots: &BTreeMap<&GameId, ContentHash>,
) -> Result<Vec<u8>, CatalogError> {
    let invalid = |source| CatalogError::Json { path: path.to_owned(), source };
    let json = without_byte_order_mark(text);
    let before = text.len() - json.len();
    let file: Text<'_> = serde_json::from_slice(json).map_err(invalid)?;
    let mut result = Vec::with_capacity(text.len());
    let mut copied = 0;
    for game in file.games {
        let entry: Entry<'_> = serde_json::from_str(game.get()).map_err(invalid)?;
        let Some(root) = roots.get(&entry.id) else { continue };
        let (at, written) = match entry.content_root {
            Some(old) => (place(json, old.get()), format!("\"{root}\"")),
            None => {
                let end = place(json, entry.version.get()).end;
                (end..end, format!(",{}\"content_root\": \"{root}\"", white_space(game.get())))
            }
        };
        let (start, end) = (at.start + before, at.end + before);
        result.extend_from_slice(text.get(copied..start).unwrap_or_default());
        result.extend_from_slice(written.as_bytes());
        copied = end;
    }
    result.extend_from_slice(text.get(copied..).unwrap_or_default());
    Ok(result)
}

/// Where `part` lies in `whole`, which it was borrowed from.
fn place(whole: &[u8], part: &str) -> Range<usize> {
    let start = part.as_ptr().addr().saturating_sub(whole.as_ptr().addr());
    start..start + part.len()
}

/// What separates the fields of an object that has one line for each, else a space.
fn white_space(object: &str) -> &str {
    let inside = object.strip_prefix('{').unwrap_or(object);
    let first = inside.len() - inside.trim_start().len();
    inside.get(..first).filter(|space| space.contains('\n')).unwrap_or(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stated(text: &str) -> String {
        let (a, b) = ("a".parse().unwrap(), "b".parse().unwrap());
        let roots = BTreeMap::from([(&a, [0xaa; 32].into()), (&b, [0xbb; 32].into())]);
        let bytes = state_roots(Path::new("games.json"), text.as_bytes(), &roots).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn only_the_roots_change() {
        let (a, b) = ("aa".repeat(32), "bb".repeat(32));
        let others = r#"{"id":"c" , "version":"1","title":"C"}"#;
        let compact = stated(&format!(
            r#"{{"games":[{others},{{"version":"1","id":"a","title":"A"}},{{"id":"b","content_root":null,"version":"2","title":"B"}}]}}"#
        ));
        assert_eq!(
            compact,
            format!(
                r#"{{"games":[{others},{{"version":"1", "content_root": "{a}","id":"a","title":"A"}},{{"id":"b","content_root":"{b}","version":"2","title":"B"}}]}}"#
            )
        );
        let lines = stated(
            "\u{feff}{\n  \"games\": [\n    {\n      \"title\": \"Ä\",\n      \"id\": \"a\",\n      \
             \"version\": \"1\"\n    }\n  ]\n}\n",
        );
        assert_eq!(
            lines,
            format!(
                "\u{feff}{{\n  \"games\": [\n    {{\n      \"title\": \"Ä\",\n      \"id\": \"a\",\n      \
                 \"version\": \"1\",\n      \"content_root\": \"{a}\"\n    }}\n  ]\n}}\n"
            )
        );
    }

    #[test]
    fn a_root_that_is_there_is_replaced_in_its_place() {
        let old = "0".repeat(64);
        let text = format!(
            r#"{{"games":[{{"id":"a","title":"\"version\":","content_root": "{old}","version":"1"}}]}}"#
        );
        assert_eq!(stated(&text), text.replace(&old, &"aa".repeat(32)));
    }
}
