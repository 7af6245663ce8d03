//! Holds every record that can be printed against the schema that is printed.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lanspread_peer::{
    ActiveOperation, Availability, DownloadFailure, DownloadProgress, DownloadSummary, GameDetails,
    GameInfo, GameProblem, GameProblems, IdentityConflict, InstallFailure, LostReason, MdnsStatus,
    Operation, OtherVersionPeer, PeerEvent, PeerInfo, PeerStatus, ProblemReason, RejectReason,
    RemoveFailure, SetupStarted, SourceBytes, SourceInfo, StreamFailure, StreamProgress,
    StreamSummary, VerifyFailure, VerifyReference, VerifyReport, VerifySummary,
};
use lanspread_proto::hash::chunk_hash;
use lanspread_proto::{
    Attributes, ContentHash, FileBits, FileHashes, GameId, GameVersion, Manifest, ManifestFile,
    NetworkName, PeerId, PeerName, RelPath,
};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};

use super::document;
use crate::commands::FileRange;
use crate::convert::{
    details_data, download_data, event_data, games_data, peers_data, setup_data, status_data,
    stream_data, verify_data,
};
use crate::errors::{ERRORS, ErrorBody, ErrorCode};
use crate::protocol::{COMMANDS, EVENTS, PROTOCOL};
use crate::records::{CommandId, ReadyData, Record, ResultData};

/// The keywords that the document uses, and no others: an unknown one fails the test.
fn faults(schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (keyword, rule) in schema.as_object().unwrap() {
        let holds = match keyword.as_str() {
            "description" | "title" | "$schema" => true,
            "then" => true,
            "if" => {
                if faults(rule, value, at).is_empty() {
                    found.extend(faults(&schema["then"], value, at));
                }
                true
            }
            "allOf" => {
                found.extend(rule.as_array().unwrap().iter().flat_map(|s| faults(s, value, at)));
                true
            }
            "type" => match rule {
                Value::Array(kinds) => kinds.iter().any(|kind| is_of_type(value, kind)),
                kind => is_of_type(value, kind),
            },
            "const" => value == rule,
            "enum" => rule.as_array().unwrap().contains(value),
            "minimum" => value.as_u64().is_none_or(|n| n >= rule.as_u64().unwrap()),
            "maximum" => value.as_u64().is_none_or(|n| n <= rule.as_u64().unwrap()),
            "minLength" => value.as_str().is_none_or(|s| s.len() as u64 >= rule.as_u64().unwrap()),
            "maxLength" => value.as_str().is_none_or(|s| s.len() as u64 <= rule.as_u64().unwrap()),
            "items" => {
                for (n, item) in value.as_array().into_iter().flatten().enumerate() {
                    found.extend(faults(rule, item, &format!("{at}[{n}]")));
                }
                true
            }
            "required" => value.as_object().is_none_or(|map| {
                rule.as_array().unwrap().iter().all(|name| map.contains_key(name.as_str().unwrap()))
            }),
            "properties" => {
                for (name, schema) in rule.as_object().unwrap() {
                    if let Some(value) = value.get(name) {
                        found.extend(faults(schema, value, &format!("{at}.{name}")));
                    }
                }
                true
            }
            "additionalProperties" => {
                let known = schema["properties"].as_object().unwrap();
                value.as_object().is_none_or(|map| map.keys().all(|name| known.contains_key(name)))
            }
            other => panic!("keyword {other:?} is not understood"),
        };
        if !holds {
            found.push(format!("{at}: {keyword} {rule} does not hold for {value}"));
        }
    }
    found
}

fn is_of_type(value: &Value, kind: &Value) -> bool {
    match kind.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_u64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("type {other:?} is not understood"),
    }
}

fn printed(record: &Record<'_>) -> Value {
    serde_json::from_str(&serde_json::to_string(record).unwrap()).unwrap()
}

fn id() -> CommandId {
    CommandId::new(RawValue::from_string("7".to_owned()).unwrap()).unwrap()
}

fn event_record(event: PeerEvent) -> Value {
    let (event, data) = event_data(event);
    let data = to_raw_value(&data).unwrap();
    printed(&Record::Event { seq: 1, t_us: 2, event, data: &data })
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

fn active() -> Vec<ActiveOperation> {
    let operations = [
        Operation::Downloading,
        Operation::Updating,
        Operation::Installing,
        Operation::StreamInstalling,
        Operation::Uninstalling,
        Operation::Removing,
        Operation::Verifying,
    ];
    operations.map(|operation| ActiveOperation { game_id: game_id(), operation }).to_vec()
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
        PeerEvent::RuntimeFailed { service: "server", message: "gone".to_owned() },
        PeerEvent::Stopped,
    ];
    let failures = [
        VerifyFailure::Cancelled,
        VerifyFailure::Io { path: "/g".into(), reason: "no".to_owned() },
        VerifyFailure::Interrupted,
    ];
    let game_id = self::game_id();
    events.extend(
        failures.map(|failure| PeerEvent::VerifyFailed { game_id: self::game_id(), failure }),
    );
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
    for reason in [LostReason::Goodbye, LostReason::Timeout] {
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
        events.push(PeerEvent::PeerRejected { peer_id, addr: addr(), reason, message });
    }
    events
}

fn other_version_peers() -> Vec<OtherVersionPeer> {
    vec![
        OtherVersionPeer { name: Some(name()), addr: addr(), proto_ver: Some(3) },
        OtherVersionPeer { name: None, addr: addr(), proto_ver: None },
    ]
}

fn results() -> Vec<(&'static str, ResultData)> {
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
    let awaited = ResultData::Awaited {
        event: "stopped",
        seq: 1,
        t_us: 2,
        data: to_raw_value(&json!({"a": [1]})).unwrap(),
    };
    vec![
        ("status", status_data(status)),
        ("list-peers", peers_data(vec![peer()])),
        ("list-games", games_data(games)),
        ("get-game", details_data(details(None), FileRange { from: 0, max: 1 })),
        ("get-game", details_data(details(Some(manifest())), FileRange { from: 0, max: 1 })),
        ("connect", ResultData::Connected { peer_id: peer_id() }),
        ("wait-peers", ResultData::PeerCount { peer_count: 1 }),
        ("wait-for", awaited),
        ("set-game-dir", ResultData::GamesDir { games_dir: "/g".to_owned() }),
        ("download", download_data(summary.clone())),
        ("update", download_data(summary)),
        ("cancel-download", ResultData::Done {}),
        ("verify", verify_data(verified(None))),
        ("verify", verify_data(verified(Some(report(VerifyReference::Index))))),
        ("install", ResultData::Done {}),
        ("stream-install", stream_data(StreamSummary { peer_id: peer_id(), files: 1, bytes: 2 })),
        ("uninstall", ResultData::Done {}),
        ("remove-download", ResultData::Done {}),
        ("run-setup", setup_data(started)),
        ("shutdown", ResultData::Done {}),
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

fn assert_fits(schema: &Value, value: &Value) {
    let faults = faults(schema, value, "");
    assert!(faults.is_empty(), "{value}\n{}", faults.join("\n"));
}

#[test]
fn every_event_fits_its_schema() {
    let document = document();
    let mut seen = BTreeSet::new();
    for event in events() {
        let record = event_record(event);
        assert_fits(&document["record"], &record);
        assert_fits(&document["records"]["event"], &record);
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
    for (cmd, data) in results() {
        let record = printed(&Record::Result { seq: 1, t_us: 2, id: &id(), cmd, data: &data });
        assert_fits(&document["record"], &record);
        assert_fits(&document["records"]["result"], &record);
        assert_fits(&document["results"][cmd], &record["data"]);
        seen.insert(cmd);
    }
    assert_eq!(seen, COMMANDS.iter().map(|spec| spec.name).collect());
}

#[test]
fn ready_and_errors_fit_their_schema() {
    let document = document();
    let data = ReadyData {
        peer_id: peer_id(),
        name: name(),
        listen_addr: addr(),
        network: NetworkName::new("lanspread").unwrap(),
        games_dir: "/g".to_owned(),
        pid: 1,
    };
    let ready = Record::Ready { seq: 1, t_us: 2, protocol: PROTOCOL, version: "1", data: &data };
    assert_fits(&document["record"], &printed(&ready));
    let error = ErrorBody::new(ErrorCode::Timeout, "late");
    for (id, cmd) in [(None, None), (Some(&id()), Some("status")), (None, Some("frob"))] {
        let record = printed(&Record::Error { seq: 1, t_us: 2, id, cmd, error: &error });
        assert_fits(&document["record"], &record);
        assert_fits(&document["records"]["error"], &record);
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
fn lines_that_are_wrong_do_not_fit() {
    let document = document();
    for record in [
        json!({"type": "event", "seq": 1, "t_us": 2, "event": "frob", "data": {}}),
        json!({"type": "event", "seq": 0, "t_us": 2, "event": "stopped", "data": {}}),
        json!({"type": "event", "seq": 1, "t_us": 2, "event": "stopped", "data": {"x": 1}}),
        json!({"type": "event", "seq": 1, "event": "stopped", "data": {}}),
        json!({"type": "result", "seq": 1, "t_us": 2, "id": null, "cmd": "install", "data": {}}),
        json!({"type": "result", "seq": 1, "t_us": 2, "id": 1, "cmd": "connect", "data": {}}),
        json!({"type": "frob", "seq": 1, "t_us": 2}),
    ] {
        assert!(!faults(&document["record"], &record, "").is_empty(), "{record}");
    }
    for line in [
        json!({"id": 1, "cmd": "frob"}),
        json!({"cmd": "status"}),
        json!({"id": true, "cmd": "status"}),
        json!({"id": 1, "cmd": "status", "x": 1}),
        json!({"id": 1, "cmd": "wait-for", "timeout_ms": -1}),
    ] {
        assert!(!faults(&document["command"], &line, "").is_empty(), "{line}");
    }
}

#[test]
fn nothing_is_referred_to() {
    assert!(!document().to_string().contains("$ref"));
}
