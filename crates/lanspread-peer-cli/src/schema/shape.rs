//! A schema of the protocol as something that can be asked about.

use serde_json::{Map, Value, json};

use super::{at, set};
use crate::protocol::FIELD_DOCS;

/// A schema, and the definitions that it may refer to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape<'a> {
    schema: &'a Value,
    defs: &'a Map<String, Value>,
}

impl<'a> Shape<'a> {
    /// `schema`, or what it refers to.
    pub(super) fn new(schema: &'a Value, defs: &'a Map<String, Value>) -> Self {
        let name = at(schema, "/$ref").as_str().and_then(|target| target.strip_prefix("#/$defs/"));
        let schema = name.and_then(|name| defs.get(name)).unwrap_or(schema);
        Self { schema, defs }
    }

    fn rule(self, keyword: &str) -> &'a Value {
        self.schema.get(keyword).unwrap_or(&Value::Null)
    }

    fn other(self, schema: &'a Value) -> Self {
        Self::new(schema, self.defs)
    }

    /// The fields of an object with their names: first those that must be there, in their order.
    pub(crate) fn fields(self) -> impl Iterator<Item = (&'a str, Self)> {
        let names = self.required();
        let properties = self.rule("properties").as_object().into_iter().flatten();
        let others = properties.map(|(name, _)| name.as_str());
        let others = others.filter(move |name| self.required().all(|it| it != *name));
        names.chain(others).filter_map(move |name| Some((name, self.field(name)?)))
    }

    /// The names of the fields that must be there.
    pub(crate) fn required(self) -> impl Iterator<Item = &'a str> {
        self.rule("required").as_array().into_iter().flatten().filter_map(Value::as_str)
    }

    /// One field of an object.
    pub(crate) fn field(self, name: &str) -> Option<Self> {
        self.rule("properties").get(name).map(|schema| self.other(schema))
    }

    /// What the field is for, in words.
    pub(super) fn doc(self, name: &str) -> &'a str {
        let own = self.rule("properties").get(name).and_then(|it| it.get("description"));
        let own = own.and_then(Value::as_str);
        let usual = || FIELD_DOCS.iter().find(|(of, _)| *of == name).map(|(_, doc)| *doc);
        own.or_else(usual).unwrap_or_default()
    }

    /// The shape of which this one is `null` or a value.
    pub(super) fn of_nullable(self) -> Option<Self> {
        match self.rule("anyOf").as_array()?.as_slice() {
            [inner, null] if *null == json!({"type": "null"}) => Some(self.other(inner)),
            _ => None,
        }
    }

    /// The shape of the items of a list.
    pub(super) fn items(self) -> Option<Self> {
        self.schema.get("items").map(|items| self.other(items))
    }

    fn kinds(self) -> impl Iterator<Item = &'a str> {
        let kinds = match self.rule("type") {
            Value::Array(kinds) => kinds.as_slice(),
            kind => std::slice::from_ref(kind),
        };
        kinds.iter().filter_map(Value::as_str)
    }

    fn is_of(self, kind: &str) -> bool {
        self.kinds().any(|it| it == kind)
    }

    /// The shape in words, for messages and documentation.
    pub(crate) fn words(self) -> String {
        if let Some(inner) = self.of_nullable() {
            return format!("{} or null", inner.words());
        }
        if let Some(values) = self.rule("enum").as_array() {
            let values: Vec<_> = values.iter().filter_map(Value::as_str).collect();
            return format!("one of {}", values.join(", "));
        }
        let kinds: Vec<_> = self.kinds().map(|kind| self.kind_words(kind)).collect();
        kinds.join(" or ")
    }

    fn kind_words(self, kind: &str) -> String {
        let words = match kind {
            "string" => match self.rule("minLength").as_u64() {
                Some(36) => "a peer id",
                Some(64) => "a BLAKE3 hash",
                _ => "text",
            },
            "number" => "a number",
            "boolean" => "true or false",
            "null" => "null",
            "integer" => {
                let min = self.rule("minimum").as_u64().unwrap_or_default();
                return match self.rule("maximum").as_u64() {
                    Some(max) => format!("an integer from {min} to {max}"),
                    None if min == 0 => "an integer from 0".to_owned(),
                    None => format!("an integer of at least {min}"),
                };
            }
            "array" => {
                let items = self.items().map(Self::words).unwrap_or_default();
                return format!("a list, each {items}");
            }
            _ => {
                let names: Vec<_> = self.fields().map(|(name, _)| name).collect();
                if names.is_empty() {
                    return "an object".to_owned();
                }
                return format!("an object of {}", names.join(", "));
            }
        };
        words.to_owned()
    }

    /// Whether `value` is of the right JSON type and within its bounds.
    pub(crate) fn admits(self, value: &Value) -> bool {
        if let Some(inner) = self.of_nullable() {
            return value.is_null() || inner.admits(value);
        }
        if let Some(values) = self.rule("enum").as_array() {
            return values.contains(value);
        }
        match value {
            Value::Null => self.is_of("null"),
            Value::Bool(_) => self.is_of("boolean"),
            Value::Number(number) => {
                let bound = |keyword: &str| self.rule(keyword).as_u64();
                let is_within = |n| {
                    bound("minimum").is_none_or(|min| n >= min)
                        && bound("maximum").is_none_or(|max| n <= max)
                };
                self.is_of("integer") && number.as_u64().is_some_and(is_within)
            }
            Value::String(text) => {
                let len = self.rule("minLength").as_u64();
                self.is_of("string") && len.is_none_or(|len| text.len() as u64 == len)
            }
            Value::Array(list) => {
                self.items().is_some_and(|items| list.iter().all(|item| items.admits(item)))
            }
            Value::Object(map) => {
                let is_open = self.schema.get("properties").is_none();
                self.is_of("object")
                    && self.required().all(|name| map.contains_key(name))
                    && map.iter().all(|(name, value)| {
                        is_open || self.field(name).is_some_and(|field| field.admits(value))
                    })
            }
        }
    }

    /// The schema of an object with all that it refers to inside, and each of its fields described.
    pub(super) fn described(self) -> Value {
        let mut schema = self.inline();
        let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
        for (name, field) in properties.into_iter().flatten() {
            set(field, "description", self.doc(name).into());
        }
        schema
    }

    fn inline(self) -> Value {
        fn inlined(shape: Shape<'_>, schema: &Value) -> Value {
            match schema {
                Value::Object(map) if map.contains_key("$ref") => {
                    let mut schema = shape.other(schema).inline();
                    if let Some(doc) = map.get("description") {
                        set(&mut schema, "description", doc.clone());
                    }
                    schema
                }
                Value::Object(map) => {
                    map.iter().map(|(key, it)| (key.clone(), inlined(shape, it))).collect()
                }
                Value::Array(items) => items.iter().map(|it| inlined(shape, it)).collect(),
                other => other.clone(),
            }
        }
        inlined(self, self.schema)
    }
}
