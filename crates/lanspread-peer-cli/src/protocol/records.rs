//! The records, as they stand on standard output. Field order here is the order on the line.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::value::RawValue;

use super::data::{RawData, ReadyData};
use super::results::CommandResult;
use crate::errors::ErrorBody;

/// What a command is called by, exactly as it was written.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub(crate) struct CommandId(Box<RawValue>);

impl CommandId {
    /// Takes `raw` if it is text or a number.
    pub(crate) fn new(raw: Box<RawValue>) -> Option<Self> {
        matches!(raw.get().as_bytes().first(), Some(b'"' | b'-' | b'0'..=b'9')).then(|| Self(raw))
    }
}

impl JsonSchema for CommandId {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "CommandId".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["string", "number"]})
    }
}

/// One line of output.
///
/// The schema of `cmd`, `event` and `data` depends on their names: `schema` adds it.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub(crate) enum Record<'a> {
    /// The peer has started.
    Ready {
        #[schemars(range(min = 1))]
        seq: u64,
        t_us: u64,
        #[schemars(extend("const" = super::VERSION))]
        protocol: u32,
        version: &'a str,
        data: &'a ReadyData,
    },
    /// A command was carried out.
    Result {
        #[schemars(range(min = 1))]
        seq: u64,
        t_us: u64,
        id: &'a CommandId,
        #[serde(flatten)]
        #[schemars(skip)]
        result: &'a CommandResult,
    },
    /// A command was not carried out, a line was not understood, or the peer did not start.
    Error {
        #[schemars(range(min = 1))]
        seq: u64,
        t_us: u64,
        id: Option<&'a CommandId>,
        cmd: Option<&'a str>,
        error: &'a ErrorBody,
    },
    /// Something happened.
    Event {
        #[schemars(range(min = 1))]
        seq: u64,
        t_us: u64,
        #[schemars(skip)]
        event: &'a str,
        #[schemars(skip)]
        data: &'a RawData,
    },
}
