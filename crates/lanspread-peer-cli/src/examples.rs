//! One example at least of every record that can be printed: the snapshots of `tests/snapshots` hold
//! the lines, and `schema::conformance` holds each line against its schema.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lanspread_mdns::{InterfaceError, MdnsError};
use lanspread_peer::{
    ActiveOperation, Availability, Candidate, CandidateSource, CommandError, ConnectError,
    ContentDispute, DownloadFailure, DownloadProgress, DownloadSummary, EventClass, GameDetails,
    GameInfo, GameProblem, GameProblems, GamesDirError, IdentityConflict, InstallFailure,
    IoFailure, LostReason, MdnsStatus, NotEnoughSpace, Operation, OtherVersionPeer, PeerEvent,
    PeerInfo, PeerStatus, ProblemReason, RejectReason, RemoveFailure, SetupFailure, SetupStarted,
    SourceBytes, SourceInfo, StartError, StreamFailure, StreamProgress, StreamSummary,
    VerifyFailure, VerifyReference, VerifyReport, VerifySummary,
};
use lanspread_proto::hash::chunk_hash;
use lanspread_proto::stream::StreamErrorCode;
use lanspread_proto::{
    Attributes, ContentHash, FileBits, FileHashes, GameId, GameVersion, Manifest, ManifestFile,
    NetworkName, PeerId, PeerName, RelPath,
};
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};
use tokio::time::Instant;

use crate::commands::{BadLine, parse};
use crate::convert::{all, game_details};
use crate::errors::{ERRORS, ErrorBody, ErrorCode};
use crate::input::Line;
use crate::protocol::VERSION;
use crate::protocol::data::ReadyData;
use crate::protocol::records::{CommandId, Record};
use crate::protocol::results::CommandResult;
use crate::session::Printed;
use crate::ticket::Ticket;
use crate::waits::{EventPattern, PastEvent, PendingWaits};

/// Names one example at least of each variant of an enum, else the test fails. A variant that is not
/// listed does not compile.
macro_rules! every {
    ($of:ident: $($variant:ident)*; $examples:expr) => {{
        let examples: Vec<$of> = $examples;
        let kind = |example: &$of| match example {
            $($of::$variant { .. } => stringify!($variant),)*
        };
        let seen: BTreeSet<_> = examples.iter().map(kind).collect();
        for variant in [$(stringify!($variant)),*] {
            assert!(seen.contains(variant), "{}::{variant} has no example", stringify!($of));
        }
        examples
    }};
}

fn line(record: &Record<'_>) -> String {
    serde_json::to_string(record).unwrap()
}

/// The line of `ready`.
pub(crate) fn ready_line() -> String {
    let data = ReadyData {
        peer_id: peer_id(),
        name: name(),
        listen_addr: addr(),
        network: NetworkName::new("lanspread").unwrap(),
        games_dir: "/g".to_owned(),
        pid: 1,
    };
    line(&Record::Ready { seq: 1, t_us: 2, protocol: VERSION, version: "1", data: &data })
}

/// The lines of all events.
pub(crate) fn event_lines() -> Vec<String> {
    let event_line = |event| {
        let Printed { event, data } = Printed::from(event);
        let data = data.into();
        line(&Record::Event { seq: 1, t_us: 2, event: &event, data: &data })
    };
    events().into_iter().map(event_line).collect()
}

/// The lines of all results.
pub(crate) fn result_lines() -> Vec<String> {
    let result_line =
        |result: &CommandResult| line(&Record::Result { seq: 1, t_us: 2, id: &id(), result });
    results().iter().map(result_line).collect()
}

/// The lines of all errors: with each code, and with each hint.
pub(crate) fn error_lines() -> Vec<String> {
    let error_line = |(cmd, error): (&str, ErrorBody)| {
        line(&Record::Error { seq: 1, t_us: 2, id: Some(&id()), cmd: Some(cmd), error: &error })
    };
    let mut lines: Vec<_> = failures().into_iter().map(error_line).collect();
    lines.extend(
        start_failures()
            .iter()
            .map(|error| line(&Record::Error { seq: 1, t_us: 2, id: None, cmd: None, error })),
    );
    lines
}

/// What is printed for lines that are no commands, below each such line.
pub(crate) fn bad_lines() -> Vec<(String, String)> {
    let bad = BAD_LINES.iter().map(|bytes| (*bytes, Line::Whole(bytes.to_vec())));
    let long: &[u8] = br#"{"id":3,"cmd":"connect","addr":"aaa"#;
    let all = bad.chain([(long, Line::TooLong(long.to_vec()))]);
    all.map(|(bytes, input)| {
        let BadLine { id, cmd, error } = parse(&input).unwrap_err();
        let (id, cmd) = (id.as_ref(), cmd.as_deref());
        let record = Record::Error { seq: 1, t_us: 2, id, cmd, error: &error };
        (bytes.escape_ascii().to_string(), line(&record))
    })
    .collect()
}

/// Lines that are no commands: each rule is broken by one.
const BAD_LINES: &[&[u8]] = &[
    b"frob",
    b"[1]",
    b"7",
    b"{",
    b"\xff\xfe",
    b"{\"id\":4,\"cmd\":\"\xff\"}",
    br#"{"id":"x","cmd":"status","#,
    br#"{"id":1,"cmd":"status"} x"#,
    br#"{"id":1,"cmd":"status","cmd":"status"}"#,
    br#"{"id":1,"cmd":"get-game","game_id":"a","game_id":"a"}"#,
    br#"{"cmd":"status"}"#,
    br#"{"id":null,"cmd":"status"}"#,
    br#"{"id":true,"cmd":"status"}"#,
    br#"{"id":1}"#,
    br#"{"id":1,"cmd":7}"#,
    br#"{"id":1,"cmd":"frob"}"#,
    br#"{"id":1,"cmd":"status","x":6}"#,
    br#"{"id":1,"cmd":"get-game"}"#,
    br#"{"id":1,"cmd":"get-game","game_id":5}"#,
    br#"{"id":1,"cmd":"get-game","game_id":"../x"}"#,
    br#"{"id":1,"cmd":"get-game","game_id":"x","x":1}"#,
    br#"{"id":1,"cmd":"get-game","game_id":"x","files_from":-1}"#,
    br#"{"id":1,"cmd":"get-game","game_id":"x","files_max":0}"#,
    br#"{"id":1,"cmd":"get-game","game_id":"x","files_max":1001}"#,
    br#"{"id":1,"cmd":"get-game","game_id":"x","files_max":1.5}"#,
    br#"{"id":1,"cmd":"list-games","scope":"mine"}"#,
    br#"{"id":1,"cmd":"list-games","scope":null}"#,
    br#"{"id":1,"cmd":"connect"}"#,
    br#"{"id":1,"cmd":"connect","addr":"here"}"#,
    br#"{"id":1,"cmd":"set-game-dir","path":7}"#,
    br#"{"id":1,"cmd":"download","game_id":"x","install":1}"#,
    br#"{"id":1,"cmd":"install","game_id":"x","wait":null}"#,
    br#"{"id":1,"cmd":"verify","game_id":"x","repair":"yes"}"#,
    br#"{"id":1,"cmd":"wait-peers"}"#,
    br#"{"id":1,"cmd":"wait-peers","count":-1}"#,
    br#"{"id":1,"cmd":"wait-peers","count":1,"timeout_ms":86400001}"#,
    br#"{"id":1,"cmd":"wait-for"}"#,
    br#"{"id":1,"cmd":"wait-for","timeout_ms":86400001}"#,
    br#"{"id":1,"cmd":"wait-for","timeout_ms":1,"event":7}"#,
    br#"{"id":1,"cmd":"wait-for","timeout_ms":1,"event":"peer-seen"}"#,
    br#"{"id":1,"cmd":"wait-for","timeout_ms":1,"where":[]}"#,
    br#"{"id":1,"cmd":"wait-for","timeout_ms":1,"where":{"colour":"red"}}"#,
    br#"{"id":1,"cmd":"wait-for","timeout_ms":1,"event":"stopped","where":{"a":1}}"#,
    br#"{"id":1,"cmd":"wait-for","timeout_ms":1,"event":"peer-lost","where":{"reason":"x"}}"#,
    br#"{"id":1,"cmd":"wait-for","timeout_ms":1,"event":"peer-lost","where":{"peer_id":"x"}}"#,
    br#"{"id":1,"cmd":"wait-for","timeout_ms":1,"event":"peer-rejected","where":{"peer_id":7}}"#,
    br#"{"id":1,"cmd":"wait-for","timeout_ms":1,"event":"stream-install-begin","where":{"files":"1"}}"#,
    br#"{"id":1,"cmd":"wait-for","timeout_ms":1,"event":"download-failed","where":{"error":{}}}"#,
    br#"{"id":1,"cmd":"wait-for","timeout_ms":1,"event":"verify-finished","where":{"report":{"problems":1}}}"#,
    br#"{"id":1,"cmd":"wait-for","timeout_ms":1,"event":"download-begin","where":{"sources":[1]}}"#,
    br#"{"id":1,"cmd":"wait-for","timeout_ms":1,"event":"peer-lost","where":{"advertised":1}}"#,
    br#"{"id":1,"cmd":"wait-for","timeout_ms":1,"event":"games-list-updated","where":{"changed":"x"}}"#,
    br#"{"id":1,"cmd":"wait-for","timeout_ms":1,"event":"remove-finished","where":{"kept":1}}"#,
    br#"{"id":1,"cmd":"wait-for","timeout_ms":1,"event":"game-incomplete","where":{"problems":[{}]}}"#,
    br#"{"id":1,"cmd":"wait-for","timeout_ms":1,"event":"peers-of-other-version","where":{"own":-1}}"#,
    br#"{"id":1,"cmd":"wait-for","timeout_ms":1,"event":"local-games-updated","where":{"active_operations":[1]}}"#,
];

/// The errors of commands, each with the command that it may come from.
fn failures() -> Vec<(&'static str, ErrorBody)> {
    let mut failures: Vec<(&str, ErrorBody)> = Vec::new();
    failures.extend(commands_refused().iter().map(|error| ("download", ErrorBody::from(error))));
    failures.extend(connects_refused().iter().map(|error| ("connect", ErrorBody::from(error))));
    failures.extend(timeouts());
    failures
}

fn io_error() -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, "permission denied")
}

fn no_room() -> NotEnoughSpace {
    NotEnoughSpace { path: "/g/doom".into(), needed: 3, available: 2, held: 1 }
}

fn dispute() -> ContentDispute {
    let source = |addr| CandidateSource { peer_id: peer_id(), addr };
    let candidate =
        |content_root, bytes, addr| Candidate { content_root, bytes, sources: vec![source(addr)] };
    let hashed = candidate(Some(ContentHash::of(b"one")), Some(7), Some(addr()));
    ContentDispute { game_id: game_id(), candidates: vec![hashed, candidate(None, None, None)] }
}

fn commands_refused() -> Vec<CommandError> {
    let operation_errors = OPERATIONS.into_iter().flat_map(|operation| {
        let game_id = game_id();
        let busy = CommandError::GameBusy { game_id: game_id.clone(), operation };
        [busy, CommandError::OperationsActive { game_id, operation }]
    });
    let games_dir = GamesDirError { path: "/g".into(), source: io_error() };
    let mut errors = vec![
        CommandError::UnknownGame(game_id()),
        CommandError::NoSource(game_id()),
        CommandError::OtherContentRoot {
            game_id: game_id(),
            content_root: ContentHash::of(b"stated"),
        },
        CommandError::AlreadyDownloaded(game_id()),
        CommandError::UpToDate(game_id()),
        CommandError::NotDownloaded(game_id()),
        CommandError::AlreadyInstalled(game_id()),
        CommandError::NotInstalled(game_id()),
        CommandError::StillInstalled(game_id()),
        CommandError::NotDownloading(game_id()),
        CommandError::GamesDir(games_dir),
        CommandError::ChangingGamesDir,
        CommandError::Cancelled(game_id()),
        CommandError::AllPeersGone(game_id()),
        CommandError::SetupStarting(game_id()),
        CommandError::ShuttingDown,
    ];
    errors.extend(operation_errors);
    errors.extend(download_failures().into_iter().map(CommandError::Download));
    errors.extend(install_failures().into_iter().map(CommandError::Install));
    errors.extend(stream_failures().into_iter().map(CommandError::Stream));
    errors.extend(remove_failures().into_iter().map(CommandError::Remove));
    errors.extend(verify_failures().into_iter().map(CommandError::Verify));
    errors.extend(setup_failures().into_iter().map(CommandError::Setup));
    every!(CommandError:
        UnknownGame GameBusy NoSource OtherContentRoot AlreadyDownloaded UpToDate NotDownloaded
        AlreadyInstalled NotInstalled StillInstalled NotDownloading GamesDir OperationsActive ChangingGamesDir
        Download Cancelled AllPeersGone Install Stream Remove Verify SetupStarting Setup
        ShuttingDown;
        errors)
}

fn download_failures() -> Vec<DownloadFailure> {
    let path = || PathBuf::from("/g/doom");
    let text = str::to_owned;
    every!(DownloadFailure:
    NoManifest BadSources ContentDisputed ContentMismatch NotEnoughSpace NamesClash NameNotKept
    DiskFull Io;
    vec![
        DownloadFailure::NoManifest { game_id: game_id(), reason: text("busy") },
        DownloadFailure::BadSources { game_id: game_id(), reason: text("wrong hash") },
        DownloadFailure::ContentDisputed(dispute()),
        DownloadFailure::ContentMismatch { game_id: game_id(), authority: "the catalog" },
        DownloadFailure::ContentMismatch { game_id: game_id(), authority: "`content_root`" },
        DownloadFailure::NotEnoughSpace(no_room()),
        DownloadFailure::NotEnoughSpace(NotEnoughSpace { held: 0, ..no_room() }),
        DownloadFailure::NamesClash { path: path(), first: text("A"), second: text("a") },
        DownloadFailure::NameNotKept { path: path(), name: text("é"), spelled: text("e") },
        DownloadFailure::DiskFull { path: path() },
        DownloadFailure::Io(IoFailure::refused("write", path(), "denied")),
    ])
}

fn install_failures() -> Vec<InstallFailure> {
    let path = || PathBuf::from("/g/doom/doom.eti");
    let text = str::to_owned;
    every!(InstallFailure:
    NoArchive PasswordProtected UnsafeArchive NamesClash MissingVolume UnsupportedArchive
    BadArchive DiskFull Io Cancelled Interrupted;
    vec![
        InstallFailure::NoArchive(game_id()),
        InstallFailure::PasswordProtected { path: path() },
        InstallFailure::UnsafeArchive { path: path(), reason: text("../x leaves") },
        InstallFailure::NamesClash { path: path(), first: text("A"), second: text("a") },
        InstallFailure::MissingVolume { path: path(), volume: "/g/doom/doom.e00".into() },
        InstallFailure::UnsupportedArchive { reason: text("2 GiB are needed") },
        InstallFailure::BadArchive { path: path(), reason: text("cut off") },
        InstallFailure::DiskFull { path: path() },
        InstallFailure::Io(IoFailure::refused("rename", path(), "denied")),
        InstallFailure::Cancelled,
        InstallFailure::Interrupted,
    ])
}

fn stream_failures() -> Vec<StreamFailure> {
    let text = str::to_owned;
    let archive =
        |code| StreamFailure::Archive { peer_id: peer_id(), code, message: "doom.eti".to_owned() };
    let codes = every!(StreamErrorCode:
    NoArchive PasswordProtected UnsafeArchive MissingVolume BadArchive UnsupportedArchive
    ReadFailed Stopped TooSlow;
    vec![
        StreamErrorCode::NoArchive,
        StreamErrorCode::PasswordProtected,
        StreamErrorCode::UnsafeArchive,
        StreamErrorCode::MissingVolume,
        StreamErrorCode::BadArchive,
        StreamErrorCode::UnsupportedArchive,
        StreamErrorCode::ReadFailed,
        StreamErrorCode::Stopped,
        StreamErrorCode::TooSlow,
    ]);
    let mut failures = vec![
        StreamFailure::SourceFailed { peer_id: peer_id(), reason: text("refused") },
        StreamFailure::SourceLost { peer_id: peer_id(), reason: text("silent") },
        StreamFailure::TurnLost { peer_id: peer_id(), reason: text("others wait") },
        StreamFailure::BadSource { peer_id: peer_id(), reason: text("wrong CRC32") },
        StreamFailure::ContentDisputed(dispute()),
        StreamFailure::NotEnoughSpace(no_room()),
        StreamFailure::Cancelled,
        StreamFailure::Install(InstallFailure::Interrupted),
    ];
    failures.extend(codes.into_iter().map(archive));
    every!(StreamFailure:
        SourceFailed SourceLost TurnLost BadSource Archive ContentDisputed NotEnoughSpace Cancelled
        Install;
        failures)
}

fn remove_failures() -> Vec<RemoveFailure> {
    let path = || PathBuf::from("/g/doom");
    every!(RemoveFailure: NotDownloaded Installation DiskFull Io Interrupted; vec![
        RemoveFailure::NotDownloaded(game_id()),
        RemoveFailure::Installation { path: path() },
        RemoveFailure::DiskFull { path: path() },
        RemoveFailure::Io(IoFailure::refused("remove", path(), "denied")),
        RemoveFailure::Interrupted,
    ])
}

fn verify_failures() -> Vec<VerifyFailure> {
    every!(VerifyFailure: Cancelled Io Interrupted; vec![
        VerifyFailure::Cancelled,
        VerifyFailure::Io(IoFailure::refused("read", "/g", "no")),
        VerifyFailure::Interrupted,
    ])
}

fn setup_failures() -> Vec<SetupFailure> {
    let path = || PathBuf::from("/g/doom/local/game_setup.sh");
    every!(SetupFailure: Unsupported NoScript Io; vec![
        SetupFailure::Unsupported,
        SetupFailure::NoScript { path: path() },
        SetupFailure::Io(IoFailure::refused("start", path(), "denied")),
    ])
}

fn connects_refused() -> Vec<ConnectError> {
    every!(ConnectError: Unreachable Rejected Myself ShuttingDown; vec![
        ConnectError::Unreachable { addr: addr(), reason: "silence".to_owned() },
        ConnectError::Rejected {
            addr: addr(),
            peer_id: Some(peer_id()),
            reason: RejectReason::Network,
            message: "the networks differ".to_owned(),
        },
        ConnectError::Myself(addr()),
        ConnectError::ShuttingDown,
    ])
}

/// The errors of a peer that did not start, and those that its files and flags may have.
fn start_failures() -> Vec<ErrorBody> {
    let path = || PathBuf::from("/s");
    let newer = |program: Option<&str>| StartError::StateDirNewer {
        path: path(),
        format: 9,
        known: 3,
        program: program.map(str::to_owned),
    };
    let unknown = InterfaceError::Unknown { name: "eth9".to_owned(), known: vec!["lo".to_owned()] };
    let errors = every!(StartError:
    GamesDir StateDir StateInsideGames StateDirNewer StateDirLocked Identity Listen Mdns
    Timeouts;
    vec![
        StartError::GamesDir(GamesDirError { path: "/g".into(), source: io_error() }),
        StartError::StateDir { path: path(), source: io_error() },
        StartError::StateInsideGames { state_dir: "/g/s".into(), games_dir: "/g".into() },
        newer(None),
        newer(Some("9.0.0")),
        StartError::StateDirLocked { path: path() },
        StartError::Identity { path: "/s/identity/key.pem".into(), reason: "cut".to_owned() },
        StartError::Listen { addr: addr(), reason: "in use".to_owned() },
        StartError::Mdns(MdnsError::Interface(unknown)),
        StartError::Timeouts,
    ]);
    let of_files = [
        (ErrorCode::CatalogUnusable, "catalog /c is not usable"),
        (ErrorCode::NetworkKeyUnusable, "network key file /k: too short"),
        (ErrorCode::InvalidConfig, "unrar program u is not an executable file"),
        (ErrorCode::Internal, "a task panicked"),
    ];
    let mut bodies: Vec<_> = errors.iter().map(ErrorBody::from).collect();
    bodies.extend(of_files.map(|(code, message)| ErrorBody::new(code, message)));
    bodies
}

/// Waits that end in vain, with each hint that such an end may have.
fn timeouts() -> Vec<(&'static str, ErrorBody)> {
    let (mut waits, now) = (PendingWaits::default(), Instant::now());
    let past = |seq, event: &str| {
        let data = to_raw_value(&json!({})).unwrap().into();
        PastEvent::new(seq, seq, EventClass::Kept, event.to_owned(), data)
    };
    for seq in 1..=5_000 {
        waits.on_event(past(seq, "install-finished"));
    }
    let pattern = |event: Option<&str>, fields: serde_json::Value| EventPattern {
        event: event.map(str::to_owned),
        fields: fields.as_object().unwrap().clone(),
    };
    let second = Duration::from_secs(1);
    let finished = || pattern(Some("install-finished"), json!({"game_id": "doom"}));
    waits.for_peers(Ticket(0), 2, second, now);
    waits.for_event(Ticket(1), finished(), None, second, now);
    waits.for_event(Ticket(2), finished(), Some(1), second, now);
    waits.for_event(Ticket(3), finished(), Some(4_999), second, now);
    waits.for_event(Ticket(4), pattern(None, json!({"game_id": "doom"})), None, second, now);
    let mut ended = waits.on_time(now + second);
    let mut waits = PendingWaits::default();
    waits.on_event(past(5, "events-dropped"));
    waits.for_event(Ticket(5), pattern(Some("peer-lost"), json!({})), Some(4), second, now);
    ended.extend(waits.on_time(now + second));
    let command = |Ticket(n)| if n == 0 { "wait-peers" } else { "wait-for" };
    let told = ended.into_iter();
    told.map(|(ticket, outcome)| (command(ticket), outcome.unwrap_err())).collect()
}

fn id() -> CommandId {
    CommandId::new(RawValue::from_string("7".to_owned()).unwrap()).unwrap()
}

fn game_id() -> GameId {
    GameId::new("doom").unwrap()
}

fn peer_id() -> PeerId {
    PeerId::from_public_key(b"key")
}

fn name() -> PeerName {
    PeerName::new("alpha").unwrap()
}

fn addr() -> SocketAddr {
    "[::1]:7".parse().unwrap()
}

fn peer() -> PeerInfo {
    PeerInfo {
        peer_id: peer_id(),
        name: name(),
        addr: addr(),
        library_rev: 3,
        game_count: 4,
        last_seen: Duration::from_millis(5),
    }
}

fn version() -> GameVersion {
    GameVersion::new("20240131").unwrap()
}

fn game(availability: Option<Availability>, operation: Option<Operation>) -> GameInfo {
    GameInfo {
        id: game_id(),
        title: "Doom".to_owned(),
        version: availability.map(|_| version()),
        expected_version: version(),
        size: u64::MAX,
        downloaded: true,
        installed: false,
        availability,
        peer_count: 2,
        operation,
        partial_bytes: availability.is_none().then_some(7),
        problems: if operation == Some(Operation::Verifying) {
            problems()
        } else {
            GameProblems::default()
        },
    }
}

const OPERATIONS: [Operation; 7] = [
    Operation::Downloading,
    Operation::Updating,
    Operation::Installing,
    Operation::StreamInstalling,
    Operation::Uninstalling,
    Operation::Removing,
    Operation::Verifying,
];

fn active() -> Vec<ActiveOperation> {
    OPERATIONS.map(|operation| ActiveOperation { game_id: game_id(), operation }).to_vec()
}

fn manifest() -> Manifest {
    let hashes = FileHashes::from_chunks(vec![chunk_hash(1, 0, b"x")]);
    let file = |path: &str, hashes| {
        let path = RelPath::new(path).unwrap();
        ManifestFile { path, size: 1, hashes }
    };
    Manifest::new(version(), vec![file("a", Some(hashes)), file("b", None)]).unwrap()
}

fn source_bytes() -> Vec<SourceBytes> {
    vec![SourceBytes { peer_id: peer_id(), bytes: 9 }]
}

fn events() -> Vec<PeerEvent> {
    let game_id = game_id();
    let path = PathBuf::from("/x");
    let mut events = vec![
        PeerEvent::PeerDiscovered(peer()),
        PeerEvent::PeerUpdated(peer()),
        PeerEvent::PeerCountUpdated { peer_count: 1 },
        PeerEvent::GamesListUpdated { game_count: 1, changed: vec![game_id.clone()] },
        PeerEvent::LocalGamesUpdated {
            library_rev: 1,
            game_count: 1,
            changed: vec![game_id.clone()],
            active_operations: active(),
        },
        PeerEvent::GotGameFiles {
            game_id: game_id.clone(),
            files: 1,
            bytes: 2,
            sources: vec![peer_id()],
        },
        PeerEvent::DownloadBegin {
            game_id: game_id.clone(),
            files: 1,
            bytes: 2,
            sources: vec![peer_id()],
        },
        PeerEvent::ContentVoted {
            game_id: game_id.clone(),
            content_root: Some(ContentHash::of(b"one")),
            voters: vec![[192, 168, 1, 20].into(), [192, 168, 1, 21].into()],
            others: vec![[192, 168, 1, 99].into()],
        },
        PeerEvent::ContentVoted {
            game_id: game_id.clone(),
            content_root: None,
            voters: Vec::new(),
            others: Vec::new(),
        },
        PeerEvent::DownloadProgress(DownloadProgress {
            game_id: game_id.clone(),
            bytes_done: 1,
            bytes_total: 2,
            bytes_per_second: 3,
            active_peers: 4,
            sources: Arc::from(source_bytes()),
        }),
        PeerEvent::DownloadFinished {
            game_id: game_id.clone(),
            files: 1,
            bytes: 2,
            sources: source_bytes(),
        },
        PeerEvent::DownloadFailed {
            game_id: game_id.clone(),
            failure: DownloadFailure::DiskFull { path: path.clone() },
        },
        PeerEvent::DownloadCancelled { game_id: game_id.clone() },
        PeerEvent::DownloadAllPeersGone { game_id: game_id.clone() },
        PeerEvent::InstallBegin { game_id: game_id.clone() },
        PeerEvent::InstallProgress { game_id: game_id.clone(), bytes_done: 1 },
        PeerEvent::InstallFinished { game_id: game_id.clone(), files: 1, bytes: 2 },
        PeerEvent::InstallFailed {
            game_id: game_id.clone(),
            failure: InstallFailure::PasswordProtected { path },
        },
        PeerEvent::StreamInstallWaiting {
            game_id: game_id.clone(),
            peer_id: peer_id(),
            position: 1,
        },
        PeerEvent::StreamInstallBegin {
            game_id: game_id.clone(),
            peer_id: peer_id(),
            files: 1,
            bytes: 2,
        },
        PeerEvent::StreamInstallProgress(StreamProgress {
            game_id: game_id.clone(),
            peer_id: peer_id(),
            bytes_done: 1,
            bytes_total: 2,
            bytes_per_second: 3,
        }),
        PeerEvent::StreamInstallFinished {
            game_id: game_id.clone(),
            peer_id: peer_id(),
            files: 1,
            bytes: 2,
        },
        PeerEvent::StreamInstallFailed {
            game_id: game_id.clone(),
            failure: StreamFailure::Cancelled,
        },
        PeerEvent::UninstallBegin { game_id: game_id.clone() },
        PeerEvent::UninstallFinished { game_id: game_id.clone() },
        PeerEvent::UninstallFailed {
            game_id: game_id.clone(),
            failure: InstallFailure::Interrupted,
        },
        PeerEvent::RemoveBegin { game_id: game_id.clone() },
        PeerEvent::RemoveFinished { game_id: game_id.clone(), kept: None },
        PeerEvent::RemoveFinished { game_id: game_id.clone(), kept: Some("/games/quake".into()) },
        PeerEvent::RemoveFailed {
            game_id: game_id.clone(),
            failure: RemoveFailure::NotDownloaded(game_id.clone()),
        },
        PeerEvent::SourceDropped {
            game_id: game_id.clone(),
            peer_id: peer_id(),
            reason: "it lied".to_owned(),
        },
        PeerEvent::OutboundTransferCountChanged { game_id, count: 1 },
        PeerEvent::PeersOfOtherVersion(other_version_peers()),
        PeerEvent::PeersOfOtherVersion(Vec::new()),
        PeerEvent::IdentityConflict { peer_id: peer_id(), is_own: true, addrs: vec![addr()] },
        PeerEvent::IdentityConflict { peer_id: peer_id(), is_own: false, addrs: Vec::new() },
        PeerEvent::MdnsFailed { message: "taken".to_owned() },
        PeerEvent::MdnsRecovered,
        PeerEvent::EventsDropped { count: 3 },
        PeerEvent::RuntimeFailed { service: "server", message: "gone".to_owned() },
        PeerEvent::Stopped,
    ];
    let game_id = self::game_id();
    let failed = |failure| PeerEvent::VerifyFailed { game_id: self::game_id(), failure };
    events.extend(verify_failures().into_iter().map(failed));
    events.push(PeerEvent::GameIncomplete { game_id: game_id.clone(), problems: problems() });
    events.push(PeerEvent::VerifyBegin { game_id: game_id.clone(), files: 1, bytes: 2 });
    events.push(PeerEvent::VerifyProgress {
        game_id: game_id.clone(),
        bytes_done: 1,
        bytes_total: 2,
    });
    for reference in [
        VerifyReference::Catalog,
        VerifyReference::Sources,
        VerifyReference::Index,
        VerifyReference::Nothing,
    ] {
        let report = report(reference);
        let game_id = game_id.clone();
        events.push(PeerEvent::VerifyFinished { game_id, files: 1, bytes: 2, report });
    }
    for reason in [LostReason::Goodbye, LostReason::Timeout, LostReason::Displaced] {
        events.push(PeerEvent::PeerLost { peer_id: peer_id(), reason, is_advertised: true });
    }
    for (reason, peer_id) in [
        (RejectReason::ProtocolVersion, None),
        (RejectReason::Network, Some(peer_id())),
        (RejectReason::NetworkKey, None),
        (RejectReason::Identity, None),
        (RejectReason::Protocol, None),
    ] {
        let message = "no".to_owned();
        events.push(PeerEvent::PeerRejected { peer_id, addr: addr(), reason, message, count: 2 });
    }
    events
}

fn other_version_peers() -> Vec<OtherVersionPeer> {
    vec![
        OtherVersionPeer { name: Some(name()), addr: addr(), proto_ver: Some(3) },
        OtherVersionPeer { name: None, addr: addr(), proto_ver: None },
    ]
}

fn results() -> Vec<CommandResult> {
    let status = PeerStatus {
        peer_id: peer_id(),
        name: name(),
        listen_addr: addr(),
        games_dir: "/g".into(),
        state_dir: "/s".into(),
        library_rev: 1,
        peer_count: 2,
        mdns: MdnsStatus::Failed("taken".to_owned()),
        peers_of_other_version: other_version_peers(),
        identity_conflicts: vec![IdentityConflict {
            peer_id: peer_id(),
            is_own: false,
            addrs: vec![addr()],
        }],
        active_operations: active(),
        outbound_transfers: vec![(game_id(), 1)],
    };
    let games = vec![
        game(None, None),
        game(Some(Availability::Ready), None),
        game(Some(Availability::Downloading), Some(Operation::Downloading)),
        game(Some(Availability::LocalOnly), Some(Operation::Installing)),
        game(Some(Availability::Incomplete), Some(Operation::Verifying)),
    ];
    let source =
        |content_root| SourceInfo { peer_id: peer_id(), name: name(), addr: addr(), content_root };
    let details = |manifest: Option<Manifest>| GameDetails {
        game: game(None, None),
        sources: vec![source(None), source(Some(ContentHash::of(b"x")))],
        setup_done: manifest.is_some(),
        attributes: manifest.as_ref().map(|manifest| {
            let executable = Some(FileBits::new(manifest.files().len()));
            let directories = vec!["saves/slot1".parse().unwrap()];
            Arc::new(Attributes { executable, directories, version_ini: None })
        }),
        manifest: manifest.map(Arc::new),
    };
    let summary = DownloadSummary { files: 1, bytes: 2, sources: vec![peer_id()] };
    let started = SetupStarted {
        script: "/g/doom/local/game_setup.sh".into(),
        log: "/s/games/doom/setup.log".into(),
        pid: 7,
        was_done: false,
    };
    let awaited = CommandResult::WaitFor {
        event: "stopped".to_owned(),
        seq: 1,
        t_us: 2,
        data: to_raw_value(&json!({"a": [1]})).unwrap().into(),
    };
    vec![
        status.into(),
        CommandResult::ListPeers { peers: all([peer()]) },
        CommandResult::ListGames { games: all(games) },
        game_details(details(None), 0, 1),
        game_details(details(Some(manifest())), 0, 1),
        CommandResult::Connect { peer_id: peer_id() },
        CommandResult::WaitPeers { peer_count: 1 },
        awaited,
        CommandResult::SetGameDir { games_dir: "/g".to_owned() },
        CommandResult::Download(summary.clone().into()),
        CommandResult::Update(summary.into()),
        CommandResult::CancelDownload {},
        verified(None).into(),
        verified(Some(report(VerifyReference::Index))).into(),
        CommandResult::Install {},
        StreamSummary { peer_id: peer_id(), files: 1, bytes: 2 }.into(),
        CommandResult::Uninstall {},
        CommandResult::RemoveDownload {},
        started.into(),
        CommandResult::Shutdown {},
    ]
}

fn problems() -> GameProblems {
    let reasons = [
        ProblemReason::Name,
        ProblemReason::NotUtf8,
        ProblemReason::TooDeep,
        ProblemReason::Special,
        ProblemReason::Unreadable,
        ProblemReason::TooManyFiles,
        ProblemReason::PathsTooLong,
        ProblemReason::TooManyDirectories,
        ProblemReason::TooLarge,
        ProblemReason::BadVersion,
        ProblemReason::Missing,
        ProblemReason::Size,
        ProblemReason::Content,
        ProblemReason::Extra,
    ];
    let told = reasons.map(|reason| GameProblem {
        path: "aux.dat".to_owned(),
        reason,
        message: "no".to_owned(),
    });
    GameProblems { told: told.into(), count: 200 }
}

fn report(reference: VerifyReference) -> VerifyReport {
    VerifyReport { reference, problems: problems() }
}

fn verified(report: Option<VerifyReport>) -> VerifySummary {
    VerifySummary { files: 1, bytes: 2, repaired: report.is_some(), report }
}

#[test]
fn the_lines_are_as_they_were() {
    insta::with_settings!({ snapshot_path => "../tests/snapshots", prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("ready", ready_line());
        insta::assert_snapshot!("events", event_lines().join("\n"));
        insta::assert_snapshot!("results", result_lines().join("\n"));
        insta::assert_snapshot!("errors", error_lines().join("\n"));
        let bad = bad_lines().into_iter().map(|(input, record)| format!("{input}\n  {record}"));
        insta::assert_snapshot!("bad_lines", bad.collect::<Vec<_>>().join("\n"));
    });
}

#[test]
fn every_code_has_an_example() {
    let bad = bad_lines().into_iter().map(|(_, record)| record);
    let code = |line: String| {
        let record: serde_json::Value = serde_json::from_str(&line).unwrap();
        record["error"]["code"].as_str().unwrap().to_owned()
    };
    let seen: BTreeSet<_> = error_lines().into_iter().chain(bad).map(code).collect();
    let all: BTreeSet<_> = ERRORS.iter().map(|spec| spec.name.to_owned()).collect();
    assert_eq!(seen, all);
}
