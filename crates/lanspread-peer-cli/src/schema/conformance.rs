//! Holds every record that can be printed against the schema that is printed.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{PROTOCOL, Shape};
use crate::errors::ERRORS;
use crate::examples::{bad_lines, error_lines, event_lines, ready_line, result_lines};
use crate::protocol::FIELD_DOCS;

#[path = "../../tests/support/json_schema.rs"]
mod json_schema;

fn document() -> Value {
    PROTOCOL.document()
}

fn faults(schema: &Value, value: &Value) -> Vec<String> {
    json_schema::faults(&document(), schema, value)
}

fn assert_fits(schema: &Value, value: &Value) {
    let faults = faults(schema, value);
    assert!(faults.is_empty(), "{value}\n{}", faults.join("\n"));
}

fn read(line: &str) -> Value {
    serde_json::from_str(line).unwrap()
}

#[test]
fn every_event_fits_its_schema() {
    let document = document();
    let mut seen = BTreeSet::new();
    for line in event_lines() {
        let record = read(&line);
        assert_fits(&document["record"], &record);
        seen.insert(record["event"].as_str().unwrap().to_owned());
    }
    assert_eq!(seen, PROTOCOL.events.iter().map(|spec| spec.name.clone()).collect());
}

#[test]
fn every_result_fits_its_schema() {
    let document = document();
    let mut seen = BTreeSet::new();
    for line in result_lines() {
        let record = read(&line);
        assert_fits(&document["record"], &record);
        let name = record["cmd"].as_str().unwrap();
        let alone = PROTOCOL.command_document(name).unwrap();
        assert_fits(&alone["result"], &record["data"]);
        seen.insert(name.to_owned());
    }
    assert_eq!(seen, PROTOCOL.commands.iter().map(|spec| spec.name.clone()).collect());
}

#[test]
fn ready_and_errors_fit_their_schema() {
    let document = document();
    assert_fits(&document["record"], &read(&ready_line()));
    let bad = bad_lines().into_iter().map(|(_, record)| record);
    for line in error_lines().into_iter().chain(bad) {
        assert_fits(&document["record"], &read(&line));
    }
    assert_eq!(document["errors"].as_object().unwrap().len(), ERRORS.len());
}

#[test]
fn every_example_fits_the_schema_of_its_command() {
    let document = document();
    for spec in &PROTOCOL.commands {
        let line = read(&spec.example);
        assert_fits(&document["command"], &line);
        assert_fits(&PROTOCOL.command_document(&spec.name).unwrap()["line"], &line);
    }
}

#[test]
fn the_schema_is_short() {
    assert!(document().to_string().len() <= 40_000);
    for spec in &PROTOCOL.commands {
        let alone = PROTOCOL.command_document(&spec.name).unwrap().to_string();
        assert!(alone.len() <= 3_000, "{}: {}", spec.name, alone.len());
        assert!(!alone.contains("$ref"), "{}", spec.name);
    }
}

/// The fields of a shape and of all shapes in it, each with what it is for.
fn described<'a>(shape: Shape<'a>, found: &mut Vec<(&'a str, &'a str)>) {
    for (name, field) in shape.fields() {
        found.push((name, shape.doc(name)));
        described(field, found);
    }
    [shape.items(), shape.of_nullable()].into_iter().flatten().for_each(|it| described(it, found));
}

#[test]
fn every_field_is_described() {
    let mut found = Vec::new();
    let commands = PROTOCOL.commands.iter().flat_map(|spec| [&spec.params, &spec.result]);
    for schema in commands.chain(PROTOCOL.events.iter().map(|spec| &spec.data)) {
        described(PROTOCOL.shape(schema), &mut found);
    }
    let without: Vec<_> = found.iter().filter(|(_, doc)| doc.is_empty()).collect();
    assert!(without.is_empty(), "{without:?}");
    for (name, doc) in FIELD_DOCS {
        assert!(found.contains(&(*name, *doc)), "{name} needs no description");
    }
}
