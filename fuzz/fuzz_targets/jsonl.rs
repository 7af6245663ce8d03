//! Lines of input, read as the program reads them, and what is answered to a bad one.
//!
//! The program is no library, so its modules are taken in here as they are.
#![no_main]
#![allow(dead_code, unused_imports, unreachable_pub)]

#[path = "../../crates/lanspread-peer-cli/src/args.rs"]
mod args;
#[path = "../../crates/lanspread-peer-cli/src/catalog.rs"]
mod catalog;
#[path = "../../crates/lanspread-peer-cli/src/commands.rs"]
mod commands;
#[path = "../../crates/lanspread-peer-cli/src/envelope.rs"]
mod envelope;
#[path = "../../crates/lanspread-peer-cli/src/errors.rs"]
mod errors;
#[path = "../../crates/lanspread-peer-cli/src/escape.rs"]
mod escape;
#[path = "../../crates/lanspread-peer-cli/src/fixture.rs"]
mod fixture;
#[path = "../../crates/lanspread-peer-cli/src/input.rs"]
mod input;
#[path = "../../crates/lanspread-peer-cli/src/platform.rs"]
mod platform;
#[path = "../../crates/lanspread-peer-cli/src/protocol.rs"]
mod protocol;
#[path = "../../crates/lanspread-peer-cli/src/schema.rs"]
mod schema;

use libfuzzer_sys::fuzz_target;
use lanspread_proto::text::is_deceptive;

use crate::input::Line;
use crate::protocol::records::Record;

fuzz_target!(|data: &[u8]| {
    let (line, is_whole) = match data.split_first() {
        Some((0, rest)) => (Line::TooLong(rest.to_vec()), false),
        _ => (Line::Whole(data.to_vec()), true),
    };
    let bad = match commands::parse(&line) {
        Ok(request) => {
            assert!(is_whole || request.is_none(), "a line that is too long is no command");
            return;
        }
        Err(bad) => bad,
    };
    let (id, cmd) = (bad.id.as_ref(), bad.cmd.as_deref());
    let record = Record::Error { seq: 1, t_us: 2, id, cmd, error: &bad.error };
    let mut printed = serde_json::to_vec(&record).expect("a record can be printed");
    escape::escape_json(&mut printed, 0);
    let text = std::str::from_utf8(&printed).expect("a record is text");
    assert!(!text.contains(is_deceptive), "{text:?}");
    serde_json::from_str::<serde_json::Value>(text).expect("a record is JSON");
});
