//! The bytes of every message and page, one hex dump each, in `tests/snapshots`.
//!
//! A variant that is added to [`Request`], [`Response`] or [`StreamFrame`] has to be entered in the
//! tables of kinds below before the tests compile, and needs an example before they pass.
#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected should panic")]

use std::collections::BTreeSet;
use std::fmt::Write;

use bytes::Bytes;
use lanspread_proto::codec::{CONTROL_HEADER_MAX_BYTES, encode_header};
use lanspread_proto::hash::chunk_hash;
use lanspread_proto::layout::encode_layout;
use lanspread_proto::library::{GameSummary, encode_delta, encode_library};
use lanspread_proto::message::{
    ChunkHeader, ChunkName, FetchEnded, Fetching, GameHead, GetChunks, GetGame, GetLibrary,
    GetPage, Have, Hello, LibraryDelta, LibraryPageHeader, Part, Refusal, RefusalCode, Request,
    Response, StreamInstall, WrongChunk,
};
use lanspread_proto::stream::{FRAME_HEADER_MAX_BYTES, StreamErrorCode, StreamExtent, StreamFrame};
use lanspread_proto::{
    Attributes, ContentHash, FileBits, FileHashes, GameId, GameVersion, Manifest, ManifestFile,
    PieceSet, RelPath,
};
use serde::Serialize;

/// Names the variants of an enum. A missing one does not compile, since the `match` is exhaustive.
macro_rules! kinds {
    ($all:ident, $kind:ident, $of:ident: $($variant:ident)*) => {
        const $all: &[&str] = &[$(stringify!($variant)),*];

        fn $kind(message: &$of) -> &'static str {
            match message {
                $($of::$variant { .. } => stringify!($variant),)*
            }
        }
    };
}

kinds!(REQUESTS, request_kind, Request:
    Hello GetLibrary LibraryDelta GetGame GetPage GetChunks WrongChunk Fetching Have FetchEnded
    StreamInstall Ping Goodbye);
kinds!(RESPONSES, response_kind, Response:
    HelloAck LibraryPage Game Page Chunks Fetching Stream Done Refused);
kinds!(FRAMES, frame_kind, StreamFrame:
    Waiting Begin Directory File Data FileEnd Copy ArchiveEnd End Error);

fn hash(n: u8) -> ContentHash {
    ContentHash::from([n; 32])
}

fn game_id() -> GameId {
    GameId::new("quake").unwrap()
}

fn version() -> GameVersion {
    GameVersion::new("20240131").unwrap()
}

fn path(text: &str) -> RelPath {
    RelPath::new(text).unwrap()
}

fn hello(network_proof: Option<ContentHash>) -> Hello {
    Hello {
        // Not the constant: the bytes are those of this version.
        proto_ver: 4,
        peer_id: "7d3f2b1c-0000-8000-8000-000000000001".parse().unwrap(),
        session: u64::MAX,
        name: "alpha".parse().unwrap(),
        network: "lanspread".parse().unwrap(),
        network_proof,
        listen_port: 4433,
        features: vec!["tea".to_owned()],
        library_rev: 3,
    }
}

fn fetching() -> Fetching {
    Fetching {
        game_id: game_id(),
        manifest_hash: hash(1),
        content_root: hash(2),
        have_bytes: 2,
        asking: vec![7, 9],
    }
}

fn requests() -> Vec<Request> {
    let page = |part| GetPage { game_id: game_id(), part, of: hash(1), page: 8 };
    let chunk = |index| ChunkName { path: path("data/pak0.eti"), index };
    vec![
        Request::Hello(hello(None)),
        Request::Hello(hello(Some(hash(3)))),
        Request::GetLibrary(GetLibrary { rev: None, page: 0 }),
        Request::GetLibrary(GetLibrary { rev: Some(3), page: 1 }),
        Request::LibraryDelta(LibraryDelta { from_rev: 3, to_rev: 4, len: 9 }),
        Request::GetGame(GetGame { game_id: game_id(), await_hashes: true }),
        Request::GetPage(page(Part::Layout)),
        Request::GetPage(page(Part::Hashes)),
        Request::GetPage(page(Part::Attributes)),
        Request::GetChunks(GetChunks {
            game_id: game_id(),
            version: version(),
            chunks: vec![chunk(0), chunk(u32::MAX)],
        }),
        Request::WrongChunk(WrongChunk {
            game_id: game_id(),
            content_root: hash(2),
            path: path("data/pak0.eti"),
            index: 5,
        }),
        Request::Fetching(fetching()),
        Request::Have(Have {
            game_id: game_id(),
            content_root: hash(2),
            more: vec![7, 8],
            asking: vec![9],
        }),
        Request::FetchEnded(FetchEnded { game_id: game_id(), content_root: hash(2) }),
        Request::StreamInstall(StreamInstall { game_id: game_id(), version: version() }),
        Request::Ping {},
        Request::Goodbye {},
    ]
}

fn refused() -> impl Iterator<Item = Response> {
    let codes = [
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
    ];
    codes.into_iter().map(|code| Response::Refused(Refusal { code, message: "no".to_owned() }))
}

fn responses() -> Vec<Response> {
    let head = GameHead {
        version: version(),
        files: 3,
        chunks: 4,
        path_bytes: 31,
        manifest_hash: hash(1),
        layout_pages: 1,
        content_root: Some(hash(2)),
        old_content_roots: vec![hash(3)],
        attributes: hash(4),
    };
    let unhashed = GameHead { content_root: None, old_content_roots: vec![], ..head.clone() };
    let mut responses = vec![
        Response::HelloAck(hello(None)),
        Response::LibraryPage(LibraryPageHeader { rev: 3, games: 2_801, pages: 2, len: 98 }),
        Response::Game(head),
        Response::Game(unhashed),
        Response::Page { len: 36 },
        Response::Chunks { chunks: vec![ChunkHeader { len: 2, hash: hash(1) }] },
        Response::Fetching(fetching()),
        Response::Stream {},
        Response::Done {},
    ];
    responses.extend(refused());
    responses
}

fn frames() -> Vec<StreamFrame> {
    let extent = StreamExtent { archives: 1, entries: 3, files: 2, bytes: 5_000_000_000 };
    let (file, other) = (path("maps/b.bsp"), path("maps/a.bsp"));
    let copy = |modified_ms, executable| {
        let (path, from) = (file.clone(), other.clone());
        StreamFrame::Copy { path, from, modified_ms, executable }
    };
    let whole = |modified_ms, executable| {
        let path = file.clone();
        StreamFrame::File { path, size: 7, modified_ms, executable }
    };
    let codes = [
        StreamErrorCode::NoArchive,
        StreamErrorCode::PasswordProtected,
        StreamErrorCode::UnsafeArchive,
        StreamErrorCode::MissingVolume,
        StreamErrorCode::BadArchive,
        StreamErrorCode::UnsupportedArchive,
        StreamErrorCode::ReadFailed,
        StreamErrorCode::Stopped,
        StreamErrorCode::TooSlow,
    ];
    let mut frames = vec![
        StreamFrame::Waiting { position: 2 },
        StreamFrame::Begin(extent),
        StreamFrame::Directory { path: path("maps") },
        whole(Some(-1), true),
        whole(None, false),
        StreamFrame::Data { len: 7 },
        StreamFrame::FileEnd { crc32: u32::MAX },
        copy(Some(1_700_000_000_000), true),
        copy(None, false),
        StreamFrame::ArchiveEnd {},
        StreamFrame::End(extent),
    ];
    let error = |code| StreamFrame::Error { code, message: "a.eti is damaged".to_owned() };
    frames.extend(codes.map(error));
    frames
}

fn manifest() -> Manifest {
    let file = |name: &str, content: &[u8]| {
        let size = content.len() as u64;
        let hashes = FileHashes::from_chunks(vec![chunk_hash(size, 0, content)]);
        ManifestFile { path: path(name), size, hashes: Some(hashes) }
    };
    let files = vec![file("bin/tool", b"tool"), file("bin/tools.dat", b"data"), file("a", b"a")];
    Manifest::new(version(), files).unwrap()
}

/// What travels behind headers: each body once, with its name.
fn pages() -> Vec<(&'static str, Bytes)> {
    let manifest = manifest();
    let files = manifest.files().iter().map(|file| (&file.path, file.size));
    let mut executable = FileBits::new(3);
    executable.set(1);
    let attributes = Attributes {
        executable: Some(executable),
        directories: vec![path("saves/slot1"), path("saves/slot2")],
        version_ini: Some(Bytes::from_static(b"20240131\r\n")),
    };
    let game = |id: &str, content_root| GameSummary {
        id: GameId::new(id).unwrap(),
        version: version(),
        size: 734_003_200,
        manifest_hash: hash(1),
        content_root,
    };
    let games = [game("doom", Some(hash(2))), game("doom 2", None)];
    let mut pieces = PieceSet::default();
    for piece in [0, 9, 17] {
        pieces.insert(piece);
    }
    let page = |pages: Vec<Bytes>| pages.first().unwrap().clone();
    vec![
        ("layout", page(encode_layout(files))),
        ("hashes", manifest.hash_page(0).unwrap()),
        ("attributes", attributes.encode().unwrap()),
        ("attributes of nothing", Attributes::default().encode().unwrap()),
        ("library", page(encode_library(&games))),
        ("library of nothing", page(encode_library(&[]))),
        ("library delta", encode_delta(&games, &[game_id()]).unwrap()),
        ("piece set", Bytes::copy_from_slice(pieces.as_bytes())),
        ("manifest hash", Bytes::copy_from_slice(manifest.manifest_hash().as_bytes())),
        ("content root", Bytes::copy_from_slice(manifest.content_root().unwrap().as_bytes())),
    ]
}

/// Rows of 16 bytes: offset, digits and letters, as `hexdump -C` prints them.
fn dump(title: &str, bytes: &[u8]) -> String {
    let mut text = format!("{title}, {} bytes\n", bytes.len());
    for (row, bytes) in bytes.chunks(16).enumerate() {
        let digits: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let letter = |byte: &u8| match byte {
            0x20..=0x7e => char::from(*byte),
            _ => '.',
        };
        let letters: String = bytes.iter().map(letter).collect();
        writeln!(text, "{:04x}  {:<47}  {letters}", row * 16, digits.join(" ")).unwrap();
    }
    text
}

/// Dumps all messages, and fails where a kind has no example.
fn dumped<M: Serialize>(
    messages: Vec<M>,
    all: &[&str],
    kind: fn(&M) -> &'static str,
    header_max_bytes: usize,
) -> String {
    let seen: BTreeSet<_> = messages.iter().map(kind).collect();
    let without: Vec<_> = all.iter().filter(|kind| !seen.contains(*kind)).collect();
    assert!(without.is_empty(), "without an example: {without:?}");
    let frame = |message: &M| encode_header(message, header_max_bytes).unwrap();
    let dumps = messages.iter().map(|message| dump(kind(message), &frame(message)));
    dumps.collect::<Vec<_>>().join("\n")
}

#[test]
fn every_request() {
    let dumps = dumped(requests(), REQUESTS, request_kind, CONTROL_HEADER_MAX_BYTES);
    insta::assert_snapshot!("requests", dumps);
}

#[test]
fn every_response() {
    let dumps = dumped(responses(), RESPONSES, response_kind, CONTROL_HEADER_MAX_BYTES);
    insta::assert_snapshot!("responses", dumps);
}

#[test]
fn every_frame_of_a_stream() {
    let dumps = dumped(frames(), FRAMES, frame_kind, FRAME_HEADER_MAX_BYTES);
    insta::assert_snapshot!("frames", dumps);
}

#[test]
fn every_page() {
    let dumps = pages().into_iter().map(|(title, page)| dump(title, &page));
    insta::assert_snapshot!("pages", dumps.collect::<Vec<_>>().join("\n"));
}
