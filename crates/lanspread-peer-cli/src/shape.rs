//! The shape of a JSON value, from which parameter checks, JSON Schema and documentation are made.

use serde_json::{Map, Value, json};

/// What a JSON value of the protocol looks like.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shape {
    /// Any text.
    Text,
    /// A UUID in its usual form.
    PeerId,
    /// 64 lower-case hexadecimal digits.
    Hash,
    /// A whole number, at least the first and at most the second.
    Integer(u64, u64),
    /// `true` or `false`.
    Flag,
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// `null`, or a value of this shape.
    Nullable(&'static Shape),
    /// An array of values of this shape.
    List(&'static Shape),
    /// An object with exactly these fields.
    Object(&'static [Field]),
    /// An object with any fields.
    AnyObject,
    /// What a command can be called by: text or a number.
    CommandId,
}

/// One field of an object.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) shape: Shape,
    pub(crate) required: bool,
    pub(crate) doc: &'static str,
}

/// A count or a number of bytes.
pub(crate) const COUNT: Shape = Shape::Integer(0, u64::MAX);

/// A field that must be there.
pub(crate) const fn field(name: &'static str, shape: Shape, doc: &'static str) -> Field {
    Field { name, shape, required: true, doc }
}

/// A field that may be left out.
pub(crate) const fn optional(name: &'static str, shape: Shape, doc: &'static str) -> Field {
    Field { name, shape, required: false, doc }
}

impl Shape {
    /// The JSON Schema of this shape.
    pub(crate) fn schema(self) -> Value {
        match self {
            Self::Text => json!({"type": "string"}),
            Self::PeerId => json!({"type": "string", "minLength": 36, "maxLength": 36}),
            Self::Hash => json!({"type": "string", "minLength": 64, "maxLength": 64}),
            Self::Integer(min, u64::MAX) => json!({"type": "integer", "minimum": min}),
            Self::Integer(min, max) => json!({"type": "integer", "minimum": min, "maximum": max}),
            Self::Flag => json!({"type": "boolean"}),
            Self::OneOf(values) => json!({"type": "string", "enum": values}),
            Self::Nullable(inner) => nullable(inner.schema()),
            Self::List(inner) => json!({"type": "array", "items": inner.schema()}),
            Self::Object(fields) => object_schema(fields),
            Self::AnyObject => json!({"type": "object"}),
            Self::CommandId => json!({"type": ["string", "number"]}),
        }
    }

    /// The shape in words, for messages and documentation.
    pub(crate) fn words(self) -> String {
        match self {
            Self::Text => "text".to_owned(),
            Self::PeerId => "a peer id".to_owned(),
            Self::Hash => "a BLAKE3 hash".to_owned(),
            Self::Integer(0, u64::MAX) => "an integer from 0".to_owned(),
            Self::Integer(min, u64::MAX) => format!("an integer of at least {min}"),
            Self::Integer(min, max) => format!("an integer from {min} to {max}"),
            Self::Flag => "true or false".to_owned(),
            Self::OneOf(values) => one_of(values),
            Self::Nullable(inner) => format!("{} or null", inner.words()),
            Self::List(inner) => format!("a list, each {}", inner.words()),
            Self::Object(fields) => {
                let names: Vec<_> = fields.iter().map(|field| field.name).collect();
                format!("an object of {}", names.join(", "))
            }
            Self::AnyObject => "an object".to_owned(),
            Self::CommandId => "text or a number".to_owned(),
        }
    }

    /// Whether `value` is of the right JSON type and within its bounds.
    pub(crate) fn admits(self, value: &Value) -> bool {
        match self {
            Self::Text => value.is_string(),
            Self::PeerId => value.as_str().is_some_and(|text| text.len() == 36),
            Self::Hash => value.as_str().is_some_and(|text| text.len() == 64),
            Self::Integer(min, max) => value.as_u64().is_some_and(|n| (min..=max).contains(&n)),
            Self::Flag => value.is_boolean(),
            Self::OneOf(values) => value.as_str().is_some_and(|text| values.contains(&text)),
            Self::Nullable(inner) => value.is_null() || inner.admits(value),
            Self::List(inner) => {
                value.as_array().is_some_and(|items| items.iter().all(|item| inner.admits(item)))
            }
            Self::Object(fields) => value.as_object().is_some_and(|map| {
                map.keys().all(|name| fields.iter().any(|field| field.name == name))
                    && fields.iter().all(|field| match map.get(field.name) {
                        Some(value) => field.shape.admits(value),
                        None => !field.required,
                    })
            }),
            Self::AnyObject => value.is_object(),
            Self::CommandId => value.is_string() || value.is_number(),
        }
    }
}

fn one_of(values: &[&str]) -> String {
    match values {
        [only] => format!("{only:?}"),
        _ => format!("one of {}", values.join(", ")),
    }
}

fn nullable(mut schema: Value) -> Value {
    if let Some(map) = schema.as_object_mut() {
        if let Some(values) = map.get_mut("enum").and_then(Value::as_array_mut) {
            values.push(Value::Null);
        }
        match map.get_mut("type") {
            Some(Value::Array(kinds)) => kinds.push("null".into()),
            Some(kind) => *kind = json!([kind.take(), "null"]),
            None => {}
        }
    }
    schema
}

/// The JSON Schema of an object with exactly `fields`.
pub(crate) fn object_schema(fields: &[Field]) -> Value {
    let properties: Map<String, Value> =
        fields.iter().map(|field| (field.name.to_owned(), described(field))).collect();
    let required: Vec<_> = fields.iter().filter(|f| f.required).map(|f| f.name).collect();
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn described(field: &Field) -> Value {
    let mut schema = field.shape.schema();
    if let Some(map) = schema.as_object_mut() {
        map.insert("description".to_owned(), field.doc.into());
    }
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nullable_admits_null_in_type_and_enum() {
        const NAMES: Shape = Shape::OneOf(&["a", "b"]);
        let schema = Shape::Nullable(&NAMES).schema();
        assert_eq!(schema, json!({"type": ["string", "null"], "enum": ["a", "b", null]}));
        assert!(Shape::Nullable(&NAMES).admits(&Value::Null));
        assert!(!NAMES.admits(&Value::Null));
    }

    #[test]
    fn an_integer_is_whole_and_within_its_bounds() {
        const SMALL: Shape = Shape::Integer(1, 5);
        for good in [json!(1), json!(5)] {
            assert!(SMALL.admits(&good), "{good}");
        }
        for bad in [json!(0), json!(6), json!(-1), json!(2.0), json!("2"), json!(null)] {
            assert!(!SMALL.admits(&bad), "{bad}");
        }
    }

    #[test]
    fn an_object_has_every_required_and_no_other_field() {
        const POINT: Shape =
            Shape::Object(&[field("x", COUNT, "x"), optional("y", COUNT, "y, if there is one")]);
        assert!(POINT.admits(&json!({"x": 1})));
        assert!(POINT.admits(&json!({"x": 1, "y": 2})));
        for bad in [json!({}), json!({"x": 1, "z": 2}), json!({"x": "1"}), json!([1])] {
            assert!(!POINT.admits(&bad), "{bad}");
        }
    }
}
