//! Holds the schema that the program prints to lines that it must accept and lines that it must refuse.
//!
//! `corpus/accepted.jsonl` has commands and records as they travel: among them one of each shape that a
//! run of all scenarios printed. A line of `corpus/refused.jsonl` has the `line`, whether it is refused
//! `as` a command or a record, and `why`.
#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected should panic")]

#[path = "support/json_schema.rs"]
mod json_schema;

use std::collections::BTreeSet;
use std::process::Command;

use serde::Deserialize;
use serde_json::Value;

const BINARY: &str = env!("CARGO_BIN_EXE_lanspread-peer-cli");
const ACCEPTED: &str = include_str!("corpus/accepted.jsonl");
const REFUSED: &str = include_str!("corpus/refused.jsonl");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refused {
    r#as: String,
    why: String,
    line: Value,
}

fn document() -> Value {
    let output = Command::new(BINARY).arg("schema").output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

fn accepted() -> impl Iterator<Item = Value> {
    ACCEPTED.lines().map(|line| serde_json::from_str(line).unwrap())
}

/// Records have a type, and commands have none.
fn kind(line: &Value) -> &'static str {
    if line.get("type").is_some() { "record" } else { "command" }
}

#[test]
fn what_travels_is_accepted() {
    let document = document();
    for line in accepted() {
        let faults = json_schema::faults(&document, &document[kind(&line)], &line);
        assert!(faults.is_empty(), "{line}\n{}", faults.join("\n"));
    }
}

#[test]
fn what_is_wrong_is_refused() {
    let document = document();
    for line in REFUSED.lines() {
        let Refused { r#as: kind, why, line } = serde_json::from_str(line).unwrap();
        assert!(matches!(kind.as_str(), "command" | "record"), "{kind}");
        let faults = json_schema::faults(&document, &document[&kind], &line);
        assert!(!faults.is_empty(), "accepted though {why}: {line}");
    }
}

#[test]
fn each_command_and_each_event_is_in_the_corpus() {
    let document = document();
    let names = |choices: &Value, key: &str| -> BTreeSet<String> {
        let name = |choice: &Value| choice["properties"][key]["const"].as_str().map(str::to_owned);
        choices["oneOf"].as_array().unwrap().iter().filter_map(name).collect()
    };
    let kinds = document["record"]["oneOf"].as_array().unwrap();
    let event = kinds.iter().find(|kind| kind["properties"]["type"]["const"] == "event");
    let (commands, events) = (names(&document["command"], "cmd"), names(event.unwrap(), "event"));
    let seen = |kinds: &[&str], key: &str| -> BTreeSet<String> {
        let lines = accepted().filter(|line| {
            kinds.contains(&line.get("type").and_then(Value::as_str).unwrap_or("command"))
        });
        lines.filter_map(|line| line[key].as_str().map(str::to_owned)).collect()
    };
    assert_eq!(seen(&["command"], "cmd"), commands);
    assert_eq!(seen(&["result"], "cmd"), commands);
    assert_eq!(seen(&["event"], "event"), events);
}
