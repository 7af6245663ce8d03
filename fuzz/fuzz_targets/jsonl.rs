//! Lines of input, read as the program reads them, and what is answered to a bad one.
//!
//! The program is no library, so its modules are taken in here as they are.
#![no_main]
#![allow(dead_code, unused_imports, unreachable_pub)]

#[path = "../../crates/lanspread-peer-cli/src"]
mod cli {
    pub(crate) mod args;
    pub(crate) mod catalog;
    pub(crate) mod commands;
    pub(crate) mod convert;
    pub(crate) mod envelope;
    pub(crate) mod errors;
    pub(crate) mod escape;
    pub(crate) mod failures;
    pub(crate) mod fixture;
    pub(crate) mod input;
    pub(crate) mod platform;
    pub(crate) mod protocol;
    pub(crate) mod schema;
}

// Where they look for each other.
pub(crate) use cli::{
    args, catalog, commands, convert, envelope, errors, escape, failures, fixture, input, platform,
    protocol, schema,
};

use lanspread_proto::text::is_deceptive;
use libfuzzer_sys::fuzz_target;

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
    // Not as a value: an id is given back as it was written, also a number that no value can hold.
    serde_json::from_str::<&serde_json::value::RawValue>(text).expect("a record is JSON");
});
