//! What the protocol's types say of themselves: the JSON Schema of every command and record.
//!
//! [`PROTOCOL`] is read from the types once. Parameter checks, `schema` and the tables of
//! `docs/jsonl.md` are made from it. The whole document shares definitions under `$defs`; what
//! `schema COMMAND` prints stands alone.

#[cfg(test)]
mod conformance;
mod markdown;
mod shape;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use anyhow::Context;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

pub(crate) use self::shape::Shape;
use crate::args::SchemaArgs;
use crate::errors::{ERRORS, ErrorSpec};
use crate::protocol::commands::Command;
use crate::protocol::events::Event;
use crate::protocol::records::Record;
use crate::protocol::results::CommandResult;
use crate::protocol::{FIELD_DOCS, VERSION};

const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

/// The definition of whole numbers from 0 on: most fields are one.
const COUNT: &str = "Count";

/// The protocol as its types tell it.
pub(crate) static PROTOCOL: LazyLock<Protocol> = LazyLock::new(Protocol::of_types);

/// What `schema` prints.
pub(crate) fn printed(args: &SchemaArgs) -> anyhow::Result<String> {
    let document = match &args.command {
        None if args.markdown => return Ok(markdown::tables()),
        None => PROTOCOL.document(),
        Some(name) => PROTOCOL.command_document(name).with_context(|| {
            let names: Vec<_> = PROTOCOL.commands.iter().map(|it| it.name.as_str()).collect();
            format!("there is no command {name:?}; there are: {}", names.join(", "))
        })?,
    };
    Ok(format!("{document}\n"))
}

/// See [`PROTOCOL`].
#[derive(Debug)]
pub(crate) struct Protocol {
    /// In the order of the documentation, as events are.
    pub(crate) commands: Vec<CommandSpec>,
    pub(crate) events: Vec<EventSpec>,
    /// The records, without what depends on the name of a command or event.
    records: Vec<Value>,
    /// What `$ref` points to.
    defs: Map<String, Value>,
}

#[derive(Debug)]
pub(crate) struct CommandSpec {
    pub(crate) name: String,
    doc: String,
    pub(crate) params: Value,
    /// The `data` of its result.
    result: Value,
    /// A line that works as it stands.
    pub(crate) example: String,
}

#[derive(Debug)]
pub(crate) struct EventSpec {
    pub(crate) name: String,
    doc: String,
    pub(crate) data: Value,
}

impl Protocol {
    fn of_types() -> Self {
        let settings = SchemaSettings::draft2020_12();
        let mut input = settings.clone().for_deserialize().into_generator();
        let mut output = settings.for_serialize().into_generator();
        let results = variants::<CommandResult>(&mut output);
        let command = |variant: Value| {
            let (name, params) = at(&variant, "/properties").as_object()?.iter().next()?;
            let result = results.iter().find(|it| *at(it, "/properties/cmd/const") == **name)?;
            Some(CommandSpec {
                name: name.clone(),
                doc: text(at(&variant, "/description")),
                params: never_null(params.clone()),
                result: at(result, "/properties/data").clone(),
                example: text(at(&variant, "/example")),
            })
        };
        let commands = variants::<Command>(&mut input).into_iter().filter_map(command).collect();
        let event = |variant: Value| EventSpec {
            name: text(at(&variant, "/properties/event/const")),
            doc: text(at(&variant, "/description")),
            data: at(&variant, "/properties/data").clone(),
        };
        let events = variants::<Event>(&mut output).into_iter().map(event).collect();
        let records = variants::<Record<'_>>(&mut output);
        let records = records.into_iter().map(|it| without(it, "description")).collect();
        let mut defs = input.take_definitions(false);
        defs.extend(output.take_definitions(false));
        defs.values_mut().for_each(tidy);
        defs.insert(COUNT.to_owned(), json!({"type": "integer", "minimum": 0}));
        // What a type is for is told where it is used.
        let bare = |(name, schema)| (name, without(schema, "description"));
        Self { commands, events, records, defs: defs.into_iter().map(bare).collect() }
    }

    pub(crate) fn command(&self, name: &str) -> Option<&CommandSpec> {
        self.commands.iter().find(|command| command.name == name)
    }

    pub(crate) fn event(&self, name: &str) -> Option<&EventSpec> {
        self.events.iter().find(|event| event.name == name)
    }

    /// `schema` as something that can be asked about.
    pub(crate) fn shape<'a>(&'a self, schema: &'a Value) -> Shape<'a> {
        Shape::new(schema, &self.defs)
    }

    /// What is printed of one command: all that there is to say of it, with everything inline.
    fn command_document(&self, name: &str) -> Option<Value> {
        let spec = self.command(name)?;
        let mut line = self.shape(&spec.params).described();
        require(&mut line, [("id", command_id()), ("cmd", json!({"const": name}))]);
        Some(json!({
            "description": spec.doc,
            "example": spec.example,
            "line": line,
            "result": brief(self.shape(&spec.result).described(), 0),
        }))
    }

    /// Everything that is printed.
    fn document(&self) -> Value {
        let command = |spec: &CommandSpec| {
            let mut line = without(without(spec.params.clone(), "type"), "additionalProperties");
            require(&mut line, [("cmd", json!({"const": spec.name}))]);
            set(&mut line, "description", first_sentence(&spec.doc).into());
            line
        };
        let result = |spec: &CommandSpec| {
            let properties = json!({"cmd": {"const": spec.name}, "data": spec.result});
            json!({"properties": properties})
        };
        let event = |spec: &EventSpec| {
            let properties = json!({"event": {"const": spec.name}, "data": spec.data});
            json!({"description": first_sentence(&spec.doc), "properties": properties})
        };
        let error = |spec: &&ErrorSpec| {
            let mut about = json!({"meaning": spec.meaning});
            if spec.retryable {
                set(&mut about, "retryable", true.into());
            }
            (spec.name.to_owned(), about)
        };
        let record = |record: &Value| match at(record, "/properties/type/const").as_str() {
            Some("result") => chosen(record, "cmd", self.commands.iter().map(result).collect()),
            Some("event") => chosen(record, "event", self.events.iter().map(event).collect()),
            _ => record.clone(),
        };
        json!({
            "$schema": DRAFT,
            "protocol": VERSION,
            "version": env!("CARGO_PKG_VERSION"),
            "fields": FIELD_DOCS.iter().map(|(name, doc)| (*name, *doc)).collect::<BTreeMap<_, _>>(),
            "errors": ERRORS.iter().map(error).collect::<Map<_, _>>(),
            "command": {
                "type": "object",
                "properties": {"id": command_id()},
                "required": ["id", "cmd"],
                "oneOf": self.commands.iter().map(command).collect::<Vec<_>>(),
                "unevaluatedProperties": false,
            },
            "record": {"oneOf": self.records.iter().map(record).collect::<Vec<_>>()},
            "$defs": self.defs,
        })
    }
}

/// Lets the text in `key` say which `data` a record has.
fn chosen(record: &Value, key: &str, choices: Vec<Value>) -> Value {
    let mut record = record.clone();
    require(&mut record, [(key, true.into()), ("data", true.into())]);
    set(&mut record, "oneOf", choices.into());
    record
}

/// What stands at `pointer` in a schema, else null.
fn at<'a>(schema: &'a Value, pointer: &str) -> &'a Value {
    schema.pointer(pointer).unwrap_or(&Value::Null)
}

fn set(schema: &mut Value, keyword: &str, rule: Value) {
    if let Value::Object(schema) = schema {
        schema.insert(keyword.to_owned(), rule);
    }
}

/// Adds fields that must be there, before those that must be there already.
fn require<const N: usize>(schema: &mut Value, fields: [(&str, Value); N]) {
    let names = fields.iter().map(|(name, _)| Value::from(*name));
    let others = at(schema, "/required").as_array().into_iter().flatten().cloned();
    let required = names.chain(others).collect();
    let mut properties = at(schema, "/properties").as_object().cloned().unwrap_or_default();
    properties.extend(fields.map(|(name, field)| (name.to_owned(), field)));
    set(schema, "required", required);
    set(schema, "properties", properties.into());
}

fn command_id() -> Value {
    json!({"type": ["string", "number"]})
}

/// The variants of an enum of the protocol, each a schema.
fn variants<T: JsonSchema>(generator: &mut SchemaGenerator) -> Vec<Value> {
    let mut schema = T::json_schema(generator).to_value();
    tidy(&mut schema);
    at(&schema, "/oneOf").as_array().cloned().unwrap_or_default()
}

/// Brings what `schemars` writes into the form that is printed: objects are closed, and no keyword
/// says what another one says already.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if map.contains_key("enum") || map.contains_key("const") {
                map.retain(|key, value| {
                    !matches!(key.as_str(), "type" | "minimum") || value.is_object()
                });
            } else if map.get("type").is_some_and(|kind| kind == "integer")
                && map.get("minimum").is_some_and(|min| *min == 0)
                && !map.contains_key("maximum")
            {
                map.retain(|key, _| !matches!(key.as_str(), "type" | "minimum"));
                map.insert("$ref".to_owned(), format!("#/$defs/{COUNT}").into());
            } else if map.get("type").is_some_and(|kind| kind == "object") {
                // Maps say that they are open, and structs nothing.
                let is_open = map.remove("additionalProperties") == Some(true.into());
                if !is_open {
                    map.insert("additionalProperties".to_owned(), false.into());
                }
            }
            // A field may be called like a keyword, but then it has a schema.
            map.retain(|key, value| {
                !matches!(key.as_str(), "format" | "title") || value.is_object()
            });
            if let Some(Value::String(doc)) = map.get_mut("description") {
                *doc = doc.replace('\n', " ");
            }
            map.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn without(mut schema: Value, keyword: &str) -> Value {
    schema.as_object_mut().map(|schema| schema.remove(keyword));
    schema
}

/// Parameters that may be left out, but are never null.
fn never_null(mut params: Value) -> Value {
    let properties = params.get_mut("properties").and_then(Value::as_object_mut);
    for (_, field) in properties.into_iter().flatten() {
        if let Some([kind, _]) = at(field, "/type").as_array().map(Vec::as_slice) {
            let kind = kind.clone();
            set(field, "type", kind);
        }
        if let Some(values) = field.get_mut("enum").and_then(Value::as_array_mut) {
            values.retain(|value| !value.is_null());
        }
    }
    params
}

/// The schema of what is printed without what holds of all that is printed: every field is there, and
/// there are no others. Only its own fields are described, and those of nested objects are not.
fn brief(mut schema: Value, depth: usize) -> Value {
    match &mut schema {
        Value::Object(map) => {
            let is_object = map.contains_key("properties");
            map.retain(|key, value| match key.as_str() {
                "properties" => true,
                "description" => depth < 3 || value.is_object(),
                _ => !is_object,
            });
            map.values_mut().for_each(|value| *value = brief(value.take(), depth + 1));
        }
        Value::Array(items) => {
            items.iter_mut().for_each(|value| *value = brief(value.take(), depth + 1));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    schema
}

fn first_sentence(doc: &str) -> &str {
    doc.split_once(". ").map_or(doc, |(first, _)| doc.get(..=first.len()).unwrap_or(doc))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
