//! Holds every record that can be printed against the schema that is printed.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::document;
use crate::errors::ERRORS;
use crate::examples::{bad_lines, error_lines, event_lines, ready_line, result_lines};
use crate::protocol::{COMMANDS, EVENTS};

#[path = "../../tests/support/json_schema.rs"]
mod json_schema;

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
        let name = record["event"].as_str().unwrap();
        assert_fits(&document["events"][name], &record["data"]);
        seen.insert(name.to_owned());
    }
    assert_eq!(seen, EVENTS.iter().map(|spec| spec.name.to_owned()).collect());
}

#[test]
fn every_result_fits_its_schema() {
    let document = document();
    let mut seen = BTreeSet::new();
    for line in result_lines() {
        let record = read(&line);
        assert_fits(&document["record"], &record);
        let name = record["cmd"].as_str().unwrap();
        assert_fits(&document["commands"][name]["result"], &record["data"]);
        seen.insert(name.to_owned());
    }
    assert_eq!(seen, COMMANDS.iter().map(|spec| spec.name.to_owned()).collect());
}

#[test]
fn ready_and_errors_fit_their_schema() {
    let document = document();
    assert_fits(&document["record"], &read(&ready_line()));
    let bad = bad_lines().into_iter().map(|(_, record)| record);
    for line in error_lines().into_iter().chain(bad) {
        assert_fits(&document["record"], &read(&line));
    }
    assert_eq!(document["errors"].as_array().unwrap().len(), ERRORS.len());
}

#[test]
fn every_example_fits_the_schema_of_commands() {
    let document = document();
    for spec in COMMANDS {
        let line: Value = serde_json::from_str(spec.example).unwrap();
        assert_fits(&document["command"], &line);
        let params: Map<String, Value> = line
            .as_object()
            .unwrap()
            .clone()
            .into_iter()
            .filter(|(name, _)| name != "id" && name != "cmd")
            .collect();
        assert_fits(&document["commands"][spec.name]["params"], &params.into());
    }
}

#[test]
fn nothing_is_referred_to() {
    assert!(!document().to_string().contains("$ref"));
}
