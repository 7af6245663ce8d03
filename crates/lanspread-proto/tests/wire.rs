//! The wire format: golden bytes, round trips and hostile input.
#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected should panic")]

use lanspread_proto::codec::{
    CONTROL_HEADER_MAX_BYTES, CodecError, HeaderReader, decode_header, encode_header,
};
use lanspread_proto::ids::PeerName;
use lanspread_proto::message::{
    ChunkHeader, ChunkName, FetchEnded, Fetching, GameHead, GetChunks, GetGame, GetLibrary,
    GetPage, Have, Hello, LibraryDelta, LibraryPageHeader, Part, Refusal, RefusalCode, Request,
    Response, StreamInstall, WrongChunk,
};
use lanspread_proto::{
    ContentHash, GameId, GameVersion, NetworkName, PROTOCOL_VERSION, PeerId, RelPath,
};
use proptest::prelude::*;

fn hash(n: u8) -> ContentHash {
    ContentHash::from([n; 32])
}

fn hello() -> Hello {
    Hello {
        proto_ver: PROTOCOL_VERSION,
        peer_id: "7d3f2b1c-0000-8000-8000-000000000001".parse().unwrap(),
        session: 9,
        name: PeerName::new("alpha").unwrap(),
        network: NetworkName::new("lanspread").unwrap(),
        network_proof: None,
        listen_port: 4433,
        features: vec![],
        library_rev: 3,
    }
}

fn fetching() -> Fetching {
    Fetching {
        game_id: GameId::new("quake").unwrap(),
        manifest_hash: hash(1),
        content_root: hash(2),
        have_bytes: 2,
        asking: vec![7],
    }
}

fn requests() -> Vec<(Request, String)> {
    let (one, two) = ("01".repeat(32), "02".repeat(32));
    vec![
        (
            Request::Hello(hello()),
            format!(
                r#"{{"type":"hello","proto_ver":{PROTOCOL_VERSION},"peer_id":"7d3f2b1c-0000-8000-8000-000000000001","session":9,"name":"alpha","network":"lanspread","listen_port":4433,"features":[],"library_rev":3}}"#
            ),
        ),
        (
            Request::GetLibrary(GetLibrary { rev: None, page: 0 }),
            r#"{"type":"get_library","page":0}"#.to_owned(),
        ),
        (
            Request::GetLibrary(GetLibrary { rev: Some(3), page: 1 }),
            r#"{"type":"get_library","rev":3,"page":1}"#.to_owned(),
        ),
        (
            Request::LibraryDelta(LibraryDelta { from_rev: 3, to_rev: 4, len: 9 }),
            r#"{"type":"library_delta","from_rev":3,"to_rev":4,"len":9}"#.to_owned(),
        ),
        (
            Request::GetGame(GetGame {
                game_id: GameId::new("quake").unwrap(),
                await_hashes: true,
            }),
            r#"{"type":"get_game","game_id":"quake","await_hashes":true}"#.to_owned(),
        ),
        (
            Request::GetPage(GetPage {
                game_id: GameId::new("quake").unwrap(),
                part: Part::Layout,
                of: hash(1),
                page: 8,
            }),
            format!(
                r#"{{"type":"get_page","game_id":"quake","part":"layout","of":"{one}","page":8}}"#
            ),
        ),
        (
            Request::GetChunks(GetChunks {
                game_id: GameId::new("quake").unwrap(),
                version: GameVersion::new("20240131").unwrap(),
                chunks: vec![ChunkName {
                    path: RelPath::new("data/pak0.eti").unwrap(),
                    index: 5,
                }],
            }),
            r#"{"type":"get_chunks","game_id":"quake","version":"20240131","chunks":[{"path":"data/pak0.eti","index":5}]}"#
                .to_owned(),
        ),
        (
            Request::WrongChunk(WrongChunk {
                game_id: GameId::new("quake").unwrap(),
                content_root: hash(2),
                path: RelPath::new("data/pak0.eti").unwrap(),
                index: 5,
            }),
            format!(
                r#"{{"type":"wrong_chunk","game_id":"quake","content_root":"{two}","path":"data/pak0.eti","index":5}}"#
            ),
        ),
        (
            Request::StreamInstall(StreamInstall {
                game_id: GameId::new("quake").unwrap(),
                version: GameVersion::new("20240131").unwrap(),
            }),
            r#"{"type":"stream_install","game_id":"quake","version":"20240131"}"#.to_owned(),
        ),
        (
            Request::Fetching(fetching()),
            format!(
                r#"{{"type":"fetching","game_id":"quake","manifest_hash":"{one}","content_root":"{two}","have_bytes":2,"asking":[7]}}"#
            ),
        ),
        (
            Request::Have(Have {
                game_id: GameId::new("quake").unwrap(),
                content_root: hash(2),
                more: vec![7, 8],
                asking: vec![],
            }),
            format!(
                r#"{{"type":"have","game_id":"quake","content_root":"{two}","more":[7,8],"asking":[]}}"#
            ),
        ),
        (
            Request::FetchEnded(FetchEnded {
                game_id: GameId::new("quake").unwrap(),
                content_root: hash(2),
            }),
            format!(r#"{{"type":"fetch_ended","game_id":"quake","content_root":"{two}"}}"#),
        ),
        (Request::Ping {}, r#"{"type":"ping"}"#.to_owned()),
        (Request::Goodbye {}, r#"{"type":"goodbye"}"#.to_owned()),
    ]
}

fn responses() -> Vec<(Response, String)> {
    let one = "01".repeat(32);
    let two = "02".repeat(32);
    let head = GameHead {
        version: GameVersion::new("20240131").unwrap(),
        files: 3,
        chunks: 4,
        path_bytes: 31,
        manifest_hash: hash(1),
        layout_pages: 1,
        content_root: Some(hash(2)),
        old_content_roots: vec![hash(1)],
        attributes: hash(2),
    };
    let unhashed = GameHead { content_root: None, old_content_roots: vec![], ..head.clone() };
    let told = format!(
        r#"{{"type":"game","version":"20240131","files":3,"chunks":4,"path_bytes":31,"manifest_hash":"{one}","layout_pages":1,"#
    );
    vec![
        (Response::Game(unhashed), format!(r#"{told}"attributes":"{two}"}}"#)),
        (
            Response::Game(head),
            format!(
                r#"{told}"content_root":"{two}","old_content_roots":["{one}"],"attributes":"{two}"}}"#
            ),
        ),
        (Response::Page { len: 36 }, r#"{"type":"page","len":36}"#.to_owned()),
        (
            Response::LibraryPage(LibraryPageHeader { rev: 3, games: 2_801, pages: 2, len: 98 }),
            r#"{"type":"library_page","rev":3,"games":2801,"pages":2,"len":98}"#.to_owned(),
        ),
        (
            Response::Chunks { chunks: vec![ChunkHeader { len: 2, hash: hash(1) }] },
            format!(r#"{{"type":"chunks","chunks":[{{"len":2,"hash":"{one}"}}]}}"#),
        ),
        (
            Response::Fetching(fetching()),
            format!(
                r#"{{"type":"fetching","game_id":"quake","manifest_hash":"{one}","content_root":"{two}","have_bytes":2,"asking":[7]}}"#
            ),
        ),
        (Response::Stream {}, r#"{"type":"stream"}"#.to_owned()),
        (Response::Done {}, r#"{"type":"done"}"#.to_owned()),
        (
            Response::Refused(Refusal {
                code: RefusalCode::NoSuchChunk,
                message: "no chunk 9".to_owned(),
            }),
            r#"{"type":"refused","code":"no-such-chunk","message":"no chunk 9"}"#.to_owned(),
        ),
    ]
}

fn framed(json: &str) -> Vec<u8> {
    let mut bytes = u32::try_from(json.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend_from_slice(json.as_bytes());
    bytes
}

#[test]
fn golden_bytes_of_every_request() {
    for (request, json) in requests() {
        let frame = encode_header(&request, CONTROL_HEADER_MAX_BYTES).unwrap();
        assert_eq!(frame, framed(&json), "{request:?}");
        assert_eq!(decode_header::<Request>(json.as_bytes()).unwrap(), request);
    }
}

#[test]
fn golden_bytes_of_every_response() {
    let ack = (
        Response::HelloAck(hello()),
        requests()[0].1.replace(r#""type":"hello""#, r#""type":"hello_ack""#),
    );
    for (response, json) in responses().into_iter().chain([ack]) {
        let frame = encode_header(&response, CONTROL_HEADER_MAX_BYTES).unwrap();
        assert_eq!(frame, framed(&json), "{response:?}");
        assert_eq!(decode_header::<Response>(json.as_bytes()).unwrap(), response);
    }
}

#[test]
fn refusal_codes_print_as_they_travel() {
    for code in [
        RefusalCode::ProtocolVersion,
        RefusalCode::Network,
        RefusalCode::NetworkKey,
        RefusalCode::Identity,
        RefusalCode::OutOfOrder,
        RefusalCode::NotServed,
        RefusalCode::NoSuchChunk,
        RefusalCode::Changed,
        RefusalCode::NoSuchPage,
        RefusalCode::ReadFailed,
        RefusalCode::Busy,
    ] {
        assert_eq!(serde_json::to_value(code).unwrap(), code.to_string());
    }
}

#[test]
fn parts_print_as_they_travel() {
    for part in [Part::Layout, Part::Hashes, Part::Attributes] {
        assert_eq!(serde_json::to_value(part).unwrap(), part.to_string());
    }
}

#[test]
fn unsafe_values_and_unknown_fields_do_not_decode() {
    for json in [
        r#"{"type":"get_chunks","game_id":"../x","version":"1","chunks":[{"path":"a","index":0}]}"#,
        r#"{"type":"get_chunks","game_id":"x","version":"1","chunks":[{"path":"../a","index":0}]}"#,
        r#"{"type":"get_chunks","game_id":"x","version":"1","chunks":[{"path":"/a","index":0}]}"#,
        r#"{"type":"get_chunks","game_id":"x","version":"1","chunks":[{"path":"a","index":-1}]}"#,
        r#"{"type":"get_chunks","game_id":"x","version":"1","chunks":[{"path":"a","index":0,"more":1}]}"#,
        r#"{"type":"get_chunks","game_id":"x","version":"1","chunks":[{"path":"a"}]}"#,
        r#"{"type":"ping","more":1}"#,
        r#"{"type":"launch"}"#,
        r#"{"game_id":"x"}"#,
        "[]",
        "",
    ] {
        assert!(decode_header::<Request>(json.as_bytes()).is_err(), "{json}");
    }
}

#[test]
fn an_announced_length_over_the_bound_is_refused_at_once() {
    let mut reader = HeaderReader::new(100);
    let error = reader.push(&101_u32.to_be_bytes()).unwrap_err();
    assert!(matches!(error, CodecError::TooLong { len: 101, max: 100 }));
    let long = Refusal { code: RefusalCode::Busy, message: "x".repeat(200) };
    assert!(matches!(encode_header(&long, 100), Err(CodecError::TooLong { max: 100, .. })));
}

fn any_path() -> impl Strategy<Value = RelPath> {
    "[a-zé][a-z0-9é _-]{0,8}[a-z](/[a-z]{1,6}){0,4}"
        .prop_filter_map("device names", |s| RelPath::new(s).ok())
}

proptest! {
    #[test]
    fn chunk_requests_round_trip_in_any_split(
        path in any_path(),
        index in any::<u32>(),
        tail in proptest::collection::vec(any::<u8>(), 0..50),
        piece_len in 1_usize..40,
    ) {
        let request = Request::GetChunks(GetChunks {
            game_id: GameId::new("quake").unwrap(),
            version: GameVersion::new("1").unwrap(),
            chunks: vec![ChunkName { path, index }],
        });
        let mut wire = encode_header(&request, CONTROL_HEADER_MAX_BYTES).unwrap().to_vec();
        wire.extend_from_slice(&tail);
        let mut reader = HeaderReader::new(CONTROL_HEADER_MAX_BYTES);
        let mut pieces = wire.chunks(piece_len);
        let complete = loop {
            if let Some(complete) = reader.push(pieces.next().unwrap()).unwrap() {
                break complete;
            }
        };
        prop_assert_eq!(decode_header::<Request>(&complete.header).unwrap(), request);
        let rest: Vec<u8> = complete.rest.iter().chain(pieces.flatten()).copied().collect();
        prop_assert_eq!(rest, tail);
    }

    #[test]
    fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut reader = HeaderReader::new(200);
        if let Ok(Some(complete)) = reader.push(&bytes) {
            prop_assert!(complete.header.len() <= 200);
        }
        let _ = decode_header::<Request>(&bytes);
        let _ = decode_header::<Response>(&bytes);
    }

    #[test]
    fn damaged_messages_never_panic_and_stay_safe(at in 0_usize..400, byte in any::<u8>()) {
        for (request, json) in requests() {
            let mut bytes = json.into_bytes();
            let at = at % bytes.len();
            bytes[at] = byte;
            if let Ok(Request::GetChunks(wanted)) = decode_header(&bytes) {
                let safe = |chunk: &ChunkName| RelPath::new(chunk.path.as_str()).is_ok();
                prop_assert!(wanted.chunks.iter().all(safe));
            }
            drop(request);
        }
    }

    #[test]
    fn any_peer_id_round_trips(key in proptest::collection::vec(any::<u8>(), 0..64)) {
        let id = PeerId::from_public_key(&key);
        prop_assert_eq!(id.to_string().parse::<PeerId>().unwrap(), id);
    }
}
