//! The JSON Schema of every command and record, made from the tables.
//!
//! Everything stands inline, without `$ref`. The schemas of a whole line (`command`, `record`)
//! choose by name with `if` and `then`, so that a line is held against one shape and a fault is
//! reported where it is. Whoever knows the name already takes a smaller schema by it. What fields
//! mean stands in `commands` and `events` alone, since programs do not read it in the others.

#[cfg(test)]
mod conformance;

use serde_json::{Map, Value, json};

use crate::errors::{ERROR, ERRORS};
use crate::protocol::{COMMANDS, EVENTS, PROTOCOL, READY};
use crate::shape::{COUNT, Field, Shape, object_schema};

const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

/// The whole document.
pub(crate) fn document() -> Value {
    let commands = COMMANDS.iter().map(|spec| {
        let value = json!({
            "description": spec.doc,
            "params": object_schema(spec.params),
            "result": object_schema(spec.result),
            "example": spec.example,
        });
        (spec.name, value)
    });
    let results = COMMANDS.iter().map(|spec| (spec.name, terse(object_schema(spec.result))));
    json!({
        "protocol": PROTOCOL,
        "version": env!("CARGO_PKG_VERSION"),
        "commands": named(commands),
        "events": named(EVENTS.iter().map(|spec| (spec.name, event_data(spec.doc, spec.data)))),
        "errors": ERRORS.iter().map(|spec| json!({
            "code": spec.name,
            "retryable": spec.retryable,
            "meaning": spec.meaning,
            "hint": spec.hint,
        })).collect::<Vec<_>>(),
        "command": whole_line("a line of standard input", command_line()),
        "record": whole_line("a line of standard output", any_record()),
        "records": {
            "ready": terse(ready()),
            "result": terse(any_result()),
            "error": terse(error()),
            "event": terse(any_event()),
        },
        "results": named(results),
    })
}

fn named<'a>(values: impl Iterator<Item = (&'a str, Value)>) -> Map<String, Value> {
    values.map(|(name, value)| (name.to_owned(), value)).collect()
}

/// `schema` without its descriptions.
fn terse(mut schema: Value) -> Value {
    match &mut schema {
        Value::Object(map) => {
            // Under `properties`, a field of this name would be an object.
            map.retain(|key, value| key != "description" || !value.is_string());
            map.values_mut().for_each(|value| *value = terse(value.take()));
        }
        Value::Array(items) => items.iter_mut().for_each(|value| *value = terse(value.take())),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    schema
}

fn whole_line(title: &str, schema: Value) -> Value {
    let mut schema = terse(schema);
    if let Some(map) = schema.as_object_mut() {
        map.insert("$schema".to_owned(), DRAFT.into());
        map.insert("title".to_owned(), title.into());
    }
    schema
}

fn event_data(doc: &str, fields: &[Field]) -> Value {
    let mut schema = object_schema(fields);
    if let Some(map) = schema.as_object_mut() {
        map.insert("description".to_owned(), doc.into());
    }
    schema
}

/// An object with exactly these properties, all required.
fn exactly(properties: Vec<(&str, Value)>) -> Value {
    let required: Vec<_> = properties.iter().map(|(name, _)| (*name).to_owned()).collect();
    json!({
        "type": "object",
        "properties": named(properties.into_iter()),
        "required": required,
        "additionalProperties": false,
    })
}

/// A record of one type with `more` beside what every record has.
fn record(kind: &str, more: Vec<(&str, Value)>) -> Value {
    let mut properties = vec![
        ("type", json!({"const": kind})),
        ("seq", Shape::Integer(1, u64::MAX).schema()),
        ("t_us", COUNT.schema()),
    ];
    properties.extend(more);
    exactly(properties)
}

/// Objects that are told apart by the text in `key`.
fn chosen_by<'a>(key: &str, choices: impl Iterator<Item = (&'a str, Value)>) -> Value {
    let (mut names, mut rules) = (Vec::new(), Vec::new());
    for (name, then) in choices {
        names.push(name);
        rules.push(json!({"if": {"properties": {key: {"const": name}}}, "then": then}));
    }
    json!({
        "type": "object",
        "properties": {key: {"enum": names}},
        "required": [key],
        "allOf": rules,
    })
}

fn command_line() -> Value {
    let line = |name: &str, params: &[Field]| {
        let mut schema = object_schema(params);
        if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
            properties.insert("id".to_owned(), Shape::CommandId.schema());
            properties.insert("cmd".to_owned(), json!({"const": name}));
        }
        if let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) {
            required.extend(["id".into(), "cmd".into()]);
        }
        schema
    };
    chosen_by("cmd", COMMANDS.iter().map(|spec| (spec.name, line(spec.name, spec.params))))
}

fn any_record() -> Value {
    let kinds =
        [("ready", ready()), ("result", any_result()), ("error", error()), ("event", any_event())];
    chosen_by("type", kinds.into_iter())
}

fn ready() -> Value {
    record(
        "ready",
        vec![
            ("protocol", json!({"const": PROTOCOL})),
            ("version", Shape::Text.schema()),
            ("data", object_schema(READY)),
        ],
    )
}

fn any_result() -> Value {
    let result = |name: &str, fields: &[Field]| {
        record(
            "result",
            vec![
                ("id", Shape::CommandId.schema()),
                ("cmd", json!({"const": name})),
                ("data", object_schema(fields)),
            ],
        )
    };
    chosen_by("cmd", COMMANDS.iter().map(|spec| (spec.name, result(spec.name, spec.result))))
}

fn error() -> Value {
    record(
        "error",
        vec![
            ("id", Shape::Nullable(&Shape::CommandId).schema()),
            ("cmd", Shape::Nullable(&Shape::Text).schema()),
            ("error", object_schema(ERROR)),
        ],
    )
}

fn any_event() -> Value {
    let event = |name: &str, doc: &str, fields: &[Field]| {
        record("event", vec![("event", json!({"const": name})), ("data", event_data(doc, fields))])
    };
    chosen_by("event", EVENTS.iter().map(|spec| (spec.name, event(spec.name, spec.doc, spec.data))))
}
