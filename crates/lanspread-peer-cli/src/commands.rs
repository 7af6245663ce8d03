//! From a line of input to a command.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use lanspread_peer::GameScope;
use lanspread_proto::GameId;
use lanspread_proto::text::without_byte_order_mark;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::envelope::Envelope;
use crate::errors::{ErrorBody, ErrorCode};
use crate::input::{LINE_MAX_BYTES, Line};
use crate::protocol::{self, CommandSpec, EVENTS, EventSpec};
use crate::records::CommandId;
use crate::waits::EventPattern;

/// Longest wait in milliseconds: a day. Waits hold a place among the commands in flight.
pub(crate) const TIMEOUT_MAX_MS: u64 = 24 * 60 * 60 * 1000;
/// How long `wait-peers` waits when it does not say: three times what discovery takes on a slow LAN.
const WAIT_PEERS_DEFAULT_MS: u64 = 30_000;

/// A command with everything it needs, checked.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) id: CommandId,
    /// Its name, as in the table.
    pub(crate) cmd: &'static str,
    pub(crate) command: Command,
}

/// What is asked for.
#[derive(Debug)]
pub(crate) enum Command {
    /// What the runtime answers.
    Peer(PeerRequest),
    WaitPeers {
        count: usize,
        timeout: Duration,
    },
    WaitFor {
        pattern: EventPattern,
        timeout: Duration,
        since_seq: Option<u64>,
    },
    Shutdown,
}

/// Most files of a manifest that one answer has: with the longest paths, a line of 1.5 MiB.
pub(crate) const FILES_MAX: usize = 1_000;

/// Which files of a manifest are asked for: so many from this position on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileRange {
    pub(crate) from: usize,
    /// From 1 to [`FILES_MAX`].
    pub(crate) max: usize,
}

/// What the runtime is asked for.
#[derive(Debug)]
pub(crate) enum PeerRequest {
    Status,
    ListPeers,
    ListGames { scope: GameScope },
    GetGame { game_id: GameId, files: FileRange },
    Connect { addr: SocketAddr },
    SetGameDir { path: PathBuf },
    Download { game_id: GameId, install: Option<bool>, wait: bool },
    Update { game_id: GameId, install: Option<bool>, wait: bool },
    CancelDownload { game_id: GameId },
    Verify { game_id: GameId, repair: bool, wait: bool },
    Install { game_id: GameId, wait: bool },
    StreamInstall { game_id: GameId, wait: bool },
    Uninstall { game_id: GameId, wait: bool },
    RunSetup { game_id: GameId },
    RemoveDownload { game_id: GameId, wait: bool },
}

impl Command {
    /// Whether it changes nothing and is answered soon.
    pub(crate) fn is_question(&self) -> bool {
        match self {
            Self::Peer(request) => match request {
                PeerRequest::Status
                | PeerRequest::ListPeers
                | PeerRequest::ListGames { .. }
                | PeerRequest::GetGame { .. } => true,
                PeerRequest::Connect { .. }
                | PeerRequest::SetGameDir { .. }
                | PeerRequest::Download { .. }
                | PeerRequest::Update { .. }
                | PeerRequest::CancelDownload { .. }
                | PeerRequest::Verify { .. }
                | PeerRequest::Install { .. }
                | PeerRequest::StreamInstall { .. }
                | PeerRequest::Uninstall { .. }
                | PeerRequest::RunSetup { .. }
                | PeerRequest::RemoveDownload { .. } => false,
            },
            Self::WaitPeers { .. } | Self::WaitFor { .. } | Self::Shutdown => false,
        }
    }
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
            .and_then(|()| understand(id.as_ref(), envelope))
    };
    match (outcome, id) {
        (Ok((cmd, command)), Some(id)) => Ok(Some(Request { id, cmd, command })),
        (Ok(_), None) => Err(BadLine { id: None, cmd, error: missing_id() }),
        (Err(error), id) => Err(BadLine { id, cmd, error }),
    }
}

fn missing_id() -> ErrorBody {
    invalid("field `id` must be there, and text or a number")
}

fn invalid(message: impl ToString) -> ErrorBody {
    ErrorBody::new(ErrorCode::InvalidParams, message)
}

fn understand(
    id: Option<&CommandId>,
    envelope: Envelope,
) -> Result<(&'static str, Command), ErrorBody> {
    if id.is_none() {
        return Err(missing_id());
    }
    let name = match envelope.cmd {
        Some(Value::String(name)) => name,
        Some(_) => return Err(invalid("field `cmd` must be text")),
        None => return Err(invalid("field `cmd` is missing")),
    };
    let Some(spec) = protocol::command(&name) else {
        let message = format!("there is no command {name:?}");
        return Err(ErrorBody::new(ErrorCode::UnknownCommand, message));
    };
    let params = Params::new(spec, envelope.params)?;
    Ok((spec.name, command(params)?))
}

fn command(mut params: Params) -> Result<Command, ErrorBody> {
    match params.spec.name {
        "wait-peers" => Ok(Command::WaitPeers {
            count: params.required("count")?,
            timeout: millis(params.optional("timeout_ms")?.unwrap_or(WAIT_PEERS_DEFAULT_MS)),
        }),
        "wait-for" => Ok(Command::WaitFor {
            timeout: millis(params.required("timeout_ms")?),
            since_seq: params.optional("since_seq")?,
            pattern: pattern(params)?,
        }),
        "shutdown" => Ok(Command::Shutdown),
        _ => peer_request(params).map(Command::Peer),
    }
}

fn peer_request(mut params: Params) -> Result<PeerRequest, ErrorBody> {
    Ok(match params.spec.name {
        "status" => PeerRequest::Status,
        "list-peers" => PeerRequest::ListPeers,
        "list-games" => PeerRequest::ListGames { scope: scope(&mut params)? },
        "get-game" => PeerRequest::GetGame {
            game_id: params.required("game_id")?,
            files: FileRange {
                from: params.optional("files_from")?.unwrap_or(0),
                max: params.optional("files_max")?.unwrap_or(FILES_MAX),
            },
        },
        "connect" => PeerRequest::Connect { addr: params.required("addr")? },
        "set-game-dir" => PeerRequest::SetGameDir { path: params.required("path")? },
        "download" => PeerRequest::Download {
            game_id: params.required("game_id")?,
            install: params.optional("install")?,
            wait: params.wait()?,
        },
        "update" => PeerRequest::Update {
            game_id: params.required("game_id")?,
            install: params.optional("install")?,
            wait: params.wait()?,
        },
        "cancel-download" => PeerRequest::CancelDownload { game_id: params.required("game_id")? },
        "verify" => PeerRequest::Verify {
            game_id: params.required("game_id")?,
            repair: params.optional("repair")?.unwrap_or(false),
            wait: params.wait()?,
        },
        "install" => {
            PeerRequest::Install { game_id: params.required("game_id")?, wait: params.wait()? }
        }
        "stream-install" => PeerRequest::StreamInstall {
            game_id: params.required("game_id")?,
            wait: params.wait()?,
        },
        "uninstall" => {
            PeerRequest::Uninstall { game_id: params.required("game_id")?, wait: params.wait()? }
        }
        "run-setup" => PeerRequest::RunSetup { game_id: params.required("game_id")? },
        "remove-download" => PeerRequest::RemoveDownload {
            game_id: params.required("game_id")?,
            wait: params.wait()?,
        },
        // A test holds every row of the table against this function.
        other => {
            let message = format!("command {other:?} is in the table and nowhere else");
            return Err(ErrorBody::new(ErrorCode::Internal, message));
        }
    })
}

fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn scope(params: &mut Params) -> Result<GameScope, ErrorBody> {
    Ok(match params.optional::<String>("scope")?.as_deref() {
        Some("local") => GameScope::Local,
        Some("remote") => GameScope::Remote,
        _ => GameScope::All,
    })
}

fn pattern(mut params: Params) -> Result<EventPattern, ErrorBody> {
    let fields: Map<String, Value> = params.optional("where")?.unwrap_or_default();
    let Some(name) = params.optional::<String>("event")? else {
        let is_of_any = |name: &&String| {
            EVENTS.iter().any(|spec| spec.data.iter().any(|field| field.name == **name))
        };
        if let Some(name) = fields.keys().find(|name| !is_of_any(name)) {
            return Err(invalid(format!("no event has a field {name:?}")));
        }
        return Ok(EventPattern { event: None, fields });
    };
    let Some(spec) = protocol::event(&name) else {
        return Err(invalid(format!("field `event` names no event: {name:?}")));
    };
    check_pattern(spec, &fields)?;
    Ok(EventPattern { event: Some(spec.name), fields })
}

/// A field that the event never has would wait in vain until the timeout: better to say so now.
fn check_pattern(spec: &EventSpec, fields: &Map<String, Value>) -> Result<(), ErrorBody> {
    for (name, value) in fields {
        let Some(field) = spec.data.iter().find(|field| field.name == name) else {
            return Err(invalid(format!("event {} has no field {name:?}", spec.name)));
        };
        if !field.shape.admits(value) {
            let words = field.shape.words();
            return Err(invalid(format!("field `where.{name}` of {} must be {words}", spec.name)));
        }
    }
    Ok(())
}

/// The parameters of one command, checked against the table.
struct Params {
    spec: &'static CommandSpec,
    values: Map<String, Value>,
}

impl Params {
    fn new(spec: &'static CommandSpec, values: Map<String, Value>) -> Result<Self, ErrorBody> {
        for (name, value) in &values {
            let Some(field) = spec.params.iter().find(|field| field.name == name) else {
                return Err(invalid(format!("command {} has no field {name:?}", spec.name)));
            };
            if !field.shape.admits(value) {
                return Err(invalid(format!("field `{name}` must be {}", field.shape.words())));
            }
        }
        let missing = |name: &str| !values.contains_key(name);
        if let Some(field) = spec.params.iter().find(|field| field.required && missing(field.name))
        {
            let words = field.shape.words();
            return Err(invalid(format!("field `{}` is missing: {words}", field.name)));
        }
        Ok(Self { spec, values })
    }

    fn optional<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<T>, ErrorBody> {
        let Some(value) = self.values.remove(name) else { return Ok(None) };
        let value = serde_json::from_value(value);
        value.map(Some).map_err(|reason| invalid(format!("field `{name}` is refused: {reason}")))
    }

    fn required<T: DeserializeOwned>(&mut self, name: &str) -> Result<T, ErrorBody> {
        let value = self.optional(name)?;
        value.ok_or_else(|| invalid(format!("field `{name}` is missing")))
    }

    fn wait(&mut self) -> Result<bool, ErrorBody> {
        Ok(self.optional("wait")?.unwrap_or(false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::COMMANDS;

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
        for spec in COMMANDS {
            let request = parse(&line(spec.example)).unwrap().unwrap();
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
