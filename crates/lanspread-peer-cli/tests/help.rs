//! What the program says about its use, held by the snapshots of `tests/snapshots`.
#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected should panic")]

use std::fmt::Write;
use std::process::Command;

const BINARY: &str = env!("CARGO_BIN_EXE_lanspread-peer-cli");

/// What `arguments` print on standard output and standard error, with the exit status.
fn said(arguments: &[&str]) -> String {
    let output = Command::new(BINARY).args(arguments).env("NO_COLOR", "1").output().unwrap();
    let mut text = format!("$ lanspread-peer-cli {}\n", arguments.join(" "));
    text.push_str(&String::from_utf8(output.stdout).unwrap());
    text.push_str(&String::from_utf8(output.stderr).unwrap());
    write!(text, "[{}]", output.status).unwrap();
    text
}

#[test]
fn help_of_every_subcommand() {
    for (name, subcommand) in [
        ("help", &[] as &[&str]),
        ("help_run", &["run"]),
        ("help_schema", &["schema"]),
        ("help_catalog", &["catalog"]),
        ("help_catalog_write", &["catalog", "write"]),
        ("help_catalog_check", &["catalog", "check"]),
        ("help_catalog_add_roots", &["catalog", "add-roots"]),
        ("help_fixture", &["fixture"]),
    ] {
        let help = |flag| said(&[subcommand, &[flag]].concat());
        let (long, short) = (help("--help"), help("-h"));
        insta::assert_snapshot!(name, format!("{long}\n\n{short}"));
    }
}

#[test]
fn every_subcommand_is_held() {
    let help = said(&["--help"]);
    let (_, rest) = help.split_once("Commands:\n").unwrap();
    let names = rest.lines().take_while(|line| !line.is_empty());
    let names: Vec<_> = names.filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names, ["run", "schema", "catalog", "fixture"]);
}

#[test]
fn usage_that_is_wrong() {
    let wrong: [&[&str]; 8] = [
        &[],
        &["frob"],
        &["run"],
        &["run", "--games-dir", "g", "--state-dir", "s", "--ping-after", "10"],
        &["run", "--games-dir", "g", "--state-dir", "s", "--upload-limit", "1KiB"],
        &["run", "--games-dir", "g", "--state-dir", "s", "--max-dictionary", "3MiB"],
        &["run", "--games-dir", "g", "--state-dir", "s", "--network", ""],
        &["run", "--games-dir", "g", "--state-dir", "s", "--mdns-interface", ""],
    ];
    let said: Vec<_> = wrong.iter().map(|arguments| said(arguments)).collect();
    insta::assert_snapshot!("usage", said.join("\n\n"));
}
