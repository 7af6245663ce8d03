//! From a line of input to a command.

use lanspread_proto::text::without_byte_order_mark;
use serde_json::{Map, Value};

use crate::envelope::Envelope;
use crate::errors::{ErrorBody, ErrorCode};
use crate::input::{LINE_MAX_BYTES, Line};
use crate::protocol::commands::Command;
use crate::protocol::records::CommandId;
use crate::schema::{CommandSpec, PROTOCOL};

/// A command with everything it needs, checked.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) id: CommandId,
    /// Its name.
    pub(crate) cmd: &'static str,
    pub(crate) command: Command,
}

/// A line that is no command, with what could be read of it.
#[derive(Debug)]
pub(crate) struct BadLine {
    pub(crate) id: Option<CommandId>,
    pub(crate) cmd: Option<String>,
    pub(crate) error: ErrorBody,
}

/// Reads one line; `None` for a blank one.
pub(crate) fn parse(line: &Line) -> Result<Option<Request>, BadLine> {
    let (bytes, too_long) = match line {
        Line::Whole(bytes) => (bytes, false),
        Line::TooLong(bytes) => (bytes, true),
    };
    // At the beginning of any line: the input may be several files, one after the other.
    let bytes = without_byte_order_mark(bytes);
    if !too_long && bytes.trim_ascii().is_empty() {
        return Ok(None);
    }
    let (mut envelope, scanned) = Envelope::scan(bytes);
    let id = envelope.id.take().and_then(CommandId::new);
    let cmd = envelope.cmd.as_ref().and_then(Value::as_str).map(str::to_owned);
    let outcome = if too_long {
        let message = format!("the line is longer than {LINE_MAX_BYTES} bytes");
        Err(ErrorBody::new(ErrorCode::LineTooLong, message))
    } else {
        scanned
            .map_err(|fault| ErrorBody::new(ErrorCode::BadJson, fault))
            .and_then(|()| understand(id.clone(), envelope))
    };
    outcome.map(Some).map_err(|error| BadLine { id, cmd, error })
}

fn invalid(message: impl ToString) -> ErrorBody {
    ErrorBody::new(ErrorCode::InvalidParams, message)
}

fn understand(id: Option<CommandId>, envelope: Envelope) -> Result<Request, ErrorBody> {
    let Some(id) = id else {
        return Err(invalid("field `id` must be there, and text or a number"));
    };
    let name = match envelope.cmd {
        Some(Value::String(name)) => name,
        Some(_) => return Err(invalid("field `cmd` must be text")),
        None => return Err(invalid("field `cmd` is missing")),
    };
    let Some(spec) = PROTOCOL.command(&name) else {
        let message = format!("there is no command {name:?}");
        return Err(ErrorBody::new(ErrorCode::UnknownCommand, message));
    };
    check_params(spec, &envelope.params)?;
    let tagged = Value::Object(Map::from_iter([(name, envelope.params.into())]));
    // Types and bounds are right: what is refused now breaks a rule of ids or addresses.
    let command = serde_path_to_error::deserialize(tagged).map_err(|error| {
        let field = error.path().iter().next_back().map(ToString::to_string).unwrap_or_default();
        invalid(format!("field `{field}` is refused: {}", error.inner()))
    })?;
    check_pattern(&command)?;
    Ok(Request { id, cmd: &spec.name, command })
}

fn check_params(spec: &CommandSpec, params: &Map<String, Value>) -> Result<(), ErrorBody> {
    let shape = PROTOCOL.shape(&spec.params);
    for (name, value) in params {
        let Some(field) = shape.field(name) else {
            return Err(invalid(format!("command {} has no field {name:?}", spec.name)));
        };
        if !field.admits(value) {
            return Err(invalid(format!("field `{name}` must be {}", field.words())));
        }
    }
    let missing = shape.required().find(|name| !params.contains_key(*name));
    missing.map_or(Ok(()), |name| {
        let words = shape.field(name).map(|field| field.words()).unwrap_or_default();
        Err(invalid(format!("field `{name}` is missing: {words}")))
    })
}

/// An event or a field that there never is would be waited for in vain until the timeout: better to
/// say so now.
fn check_pattern(command: &Command) -> Result<(), ErrorBody> {
    let Command::WaitFor { event, r#where, .. } = command else { return Ok(()) };
    let Some(event) = event else {
        let has = |name: &str| {
            let mut events = PROTOCOL.events.iter();
            events.any(|spec| PROTOCOL.shape(&spec.data).field(name).is_some())
        };
        let unknown = r#where.iter().flatten().map(|(name, _)| name).find(|name| !has(name));
        let none = |name| Err(invalid(format!("no event has a field {name:?}")));
        return unknown.map_or(Ok(()), none);
    };
    let Some(spec) = PROTOCOL.event(event) else {
        return Err(invalid(format!("field `event` names no event: {event:?}")));
    };
    for (name, value) in r#where.iter().flatten() {
        let Some(field) = PROTOCOL.shape(&spec.data).field(name) else {
            return Err(invalid(format!("event {event} has no field {name:?}")));
        };
        if !field.admits(value) {
            let words = field.words();
            return Err(invalid(format!("field `where.{name}` of {event} must be {words}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Line {
        Line::Whole(text.as_bytes().to_vec())
    }

    fn refused(text: &str) -> (Option<String>, Option<String>, String, String) {
        let bad = parse(&line(text)).unwrap_err();
        let id = bad.id.map(|id| serde_json::to_string(&id).unwrap());
        let error = serde_json::to_value(&bad.error).unwrap();
        let text = |name: &str| error[name].as_str().unwrap().to_owned();
        (id, bad.cmd, text("code"), text("message"))
    }

    #[test]
    fn every_example_of_the_table_is_understood() {
        for spec in &PROTOCOL.commands {
            let request = parse(&line(&spec.example)).unwrap().unwrap();
            assert_eq!(request.cmd, spec.name);
        }
    }

    #[test]
    fn blank_lines_are_nothing() {
        assert!(parse(&line("")).unwrap().is_none());
        assert!(parse(&line(" \t\r")).unwrap().is_none());
        assert!(parse(&line("\u{feff}")).unwrap().is_none());
    }

    #[test]
    fn a_byte_order_mark_before_a_line_is_read_over() {
        let request = parse(&line("\u{feff}{\"id\":1,\"cmd\":\"status\"}\r")).unwrap().unwrap();
        assert_eq!(request.cmd, "status");
        // Inside of a line it is what it is anywhere else in JSON.
        assert_eq!(refused("{\u{feff}\"id\":1,\"cmd\":\"status\"}").2, "bad-json");
    }

    #[test]
    fn ids_are_kept_as_they_were_written() {
        for id in ["7", "-0", "1.50", "1e400", "123456789012345678901234567890", r#""a\u00e9\n""#] {
            let request = parse(&line(&format!(r#"{{"cmd":"status","id":{id}}}"#))).unwrap();
            assert_eq!(serde_json::to_string(&request.unwrap().id).unwrap(), id);
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, code, words) in [
            (
                r#"{"id":1,"cmd":"list-games","scope":"mine"}"#,
                "invalid-params",
                "one of all, local",
            ),
            (r#"{"id":1,"cmd":"get-game"}"#, "invalid-params", "`game_id` is missing"),
            (
                r#"{"id":1,"cmd":"get-game","game_id":5}"#,
                "invalid-params",
                "`game_id` must be text",
            ),
            (
                r#"{"id":1,"cmd":"get-game","game_id":"../x"}"#,
                "invalid-params",
                "`game_id` is refu",
            ),
            (
                r#"{"id":1,"cmd":"get-game","game_id":"x","x":1}"#,
                "invalid-params",
                "no field \"x\"",
            ),
            (r#"{"id":1,"cmd":"connect","addr":"here"}"#, "invalid-params", "`addr` is refused"),
            (r#"{"id":1,"cmd":"install","game_id":"x","wait":null}"#, "invalid-params", "true or"),
            (
                r#"{"id":1,"cmd":"wait-peers","count":-1}"#,
                "invalid-params",
                "`count` must be an int",
            ),
            (r#"{"id":1,"cmd":"frob"}"#, "unknown-command", "\"frob\""),
            (r#"{"id":1,"cmd":"status"} x"#, "bad-json", "trailing"),
            (r#"{"id":1,"cmd":"status","cmd":"status"}"#, "bad-json", "twice"),
        ] {
            let (id, _, found, message) = refused(text);
            assert_eq!((id.as_deref(), found.as_str()), (Some("1"), code), "{text}");
            assert!(message.contains(words), "{text}: {message}");
        }
    }

    #[test]
    fn an_id_that_cannot_be_read_is_none() {
        for text in ["[1]", "7", "{", r#"{"cmd":"status"}"#, r#"{"id":null,"cmd":"status"}"#] {
            assert_eq!(refused(text).0, None, "{text}");
        }
        assert_eq!(refused(r#"{"id":true,"cmd":"status"}"#).1.as_deref(), Some("status"));
    }

    #[test]
    fn a_broken_or_long_line_still_tells_its_id() {
        let (id, cmd, code, _) = refused(r#"{"id":"x","cmd":"status","#);
        assert_eq!((id.as_deref(), cmd.as_deref()), (Some(r#""x""#), Some("status")));
        assert_eq!(code, "bad-json");
        let bad = parse(&Line::TooLong(br#"{"id":3,"cmd":"connect","addr":"aaa"#.to_vec()));
        assert!(bad.unwrap_err().id.is_some());
        let bad = parse(&Line::Whole(b"{\"id\":4,\"cmd\":\"\xff\"}".to_vec())).unwrap_err();
        assert!(bad.id.is_some());
        assert!(format!("{:?}", bad.error).contains("UTF-8"));
    }

    #[test]
    fn a_pattern_that_can_never_match_is_refused() {
        for (text, words) in [
            (r#"{"id":1,"cmd":"wait-for","timeout_ms":1,"event":"peer-seen"}"#, "names no event"),
            (
                r#"{"id":1,"cmd":"wait-for","timeout_ms":1,"event":"stopped","where":{"a":1}}"#,
                "has no field",
            ),
            (
                r#"{"id":1,"cmd":"wait-for","timeout_ms":1,"event":"peer-lost","where":{"reason":"x"}}"#,
                "where.reason",
            ),
            (r#"{"id":1,"cmd":"wait-for","timeout_ms":86400001}"#, "timeout_ms"),
        ] {
            let (_, _, code, message) = refused(text);
            assert_eq!(code, "invalid-params", "{text}");
            assert!(message.contains(words), "{text}: {message}");
        }
    }
}
