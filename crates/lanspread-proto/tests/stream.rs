//! The frames of a streamed installation: golden bytes, round trips and hostile input.
#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected should panic")]

use lanspread_proto::RelPath;
use lanspread_proto::codec::{HeaderReader, decode_header, encode_header};
use lanspread_proto::limits::PATH_MAX_BYTES;
use lanspread_proto::stream::{
    FRAME_HEADER_MAX_BYTES, STREAM_MESSAGE_MAX_BYTES, StreamErrorCode, StreamExtent, StreamFrame,
};
use proptest::prelude::*;

fn extent() -> StreamExtent {
    StreamExtent { archives: 1, entries: 3, files: 2, bytes: 5_000_000_000 }
}

fn frames() -> Vec<(StreamFrame, &'static str)> {
    let path = RelPath::new("data/pak0.pk3").unwrap();
    vec![
        (StreamFrame::Waiting { position: 2 }, r#"{"type":"waiting","position":2}"#),
        (
            StreamFrame::Begin(extent()),
            r#"{"type":"begin","archives":1,"entries":3,"files":2,"bytes":5000000000}"#,
        ),
        (
            StreamFrame::Directory { path: path.clone() },
            r#"{"type":"directory","path":"data/pak0.pk3"}"#,
        ),
        (
            StreamFrame::File {
                path: path.clone(),
                size: 7,
                modified_ms: Some(-1),
                executable: true,
            },
            r#"{"type":"file","path":"data/pak0.pk3","size":7,"modified_ms":-1,"executable":true}"#,
        ),
        (
            StreamFrame::File { path, size: 0, modified_ms: None, executable: false },
            r#"{"type":"file","path":"data/pak0.pk3","size":0}"#,
        ),
        (StreamFrame::Data { len: 7 }, r#"{"type":"data","len":7}"#),
        (StreamFrame::FileEnd { crc32: u32::MAX }, r#"{"type":"file_end","crc32":4294967295}"#),
        (
            StreamFrame::Copy {
                path: RelPath::new("maps/b.bsp").unwrap(),
                from: RelPath::new("maps/a.bsp").unwrap(),
                modified_ms: None,
                executable: false,
            },
            r#"{"type":"copy","path":"maps/b.bsp","from":"maps/a.bsp"}"#,
        ),
        (StreamFrame::ArchiveEnd {}, r#"{"type":"archive_end"}"#),
        (
            StreamFrame::End(extent()),
            r#"{"type":"end","archives":1,"entries":3,"files":2,"bytes":5000000000}"#,
        ),
        (
            StreamFrame::Error {
                code: StreamErrorCode::BadArchive,
                message: "archive a.eti is damaged".to_owned(),
            },
            r#"{"type":"error","code":"bad-archive","message":"archive a.eti is damaged"}"#,
        ),
    ]
}

#[test]
fn golden_bytes_of_every_frame() {
    for (frame, json) in frames() {
        let mut expected = u32::try_from(json.len()).unwrap().to_be_bytes().to_vec();
        expected.extend_from_slice(json.as_bytes());
        assert_eq!(encode_header(&frame, FRAME_HEADER_MAX_BYTES).unwrap(), expected, "{frame:?}");
        assert_eq!(decode_header::<StreamFrame>(json.as_bytes()).unwrap(), frame);
    }
}

#[test]
fn error_codes_print_as_they_travel() {
    for code in [
        StreamErrorCode::NoArchive,
        StreamErrorCode::PasswordProtected,
        StreamErrorCode::UnsafeArchive,
        StreamErrorCode::MissingVolume,
        StreamErrorCode::BadArchive,
        StreamErrorCode::UnsupportedArchive,
        StreamErrorCode::ReadFailed,
        StreamErrorCode::Stopped,
        StreamErrorCode::TooSlow,
    ] {
        assert_eq!(serde_json::to_value(code).unwrap(), code.to_string());
    }
}

#[test]
fn the_longest_frames_fit_their_bound() {
    // The longest path, of two-byte characters, and a message of characters that JSON escapes most.
    let path = vec!["é".repeat(127); 4].join("/");
    assert!(path.len() <= PATH_MAX_BYTES);
    let frame = StreamFrame::File {
        path: RelPath::new(path).unwrap(),
        size: u64::MAX,
        modified_ms: Some(i64::MIN),
        executable: true,
    };
    encode_header(&frame, FRAME_HEADER_MAX_BYTES).unwrap();
    let longest = || RelPath::new(vec!["é".repeat(127); 4].join("/")).unwrap();
    let frame = StreamFrame::Copy {
        path: longest(),
        from: longest(),
        modified_ms: Some(i64::MIN),
        executable: true,
    };
    encode_header(&frame, FRAME_HEADER_MAX_BYTES).unwrap();
    let frame = StreamFrame::Error {
        code: StreamErrorCode::PasswordProtected,
        message: "\"".repeat(STREAM_MESSAGE_MAX_BYTES),
    };
    encode_header(&frame, FRAME_HEADER_MAX_BYTES).unwrap();
}

#[test]
fn unsafe_values_and_unknown_fields_do_not_decode() {
    for json in [
        r#"{"type":"file","path":"../a","size":1}"#,
        r#"{"type":"file","path":"/a","size":1}"#,
        r#"{"type":"file","path":"a\\b","size":1}"#,
        r#"{"type":"file","path":"C:/a","size":1}"#,
        r#"{"type":"file","path":"aux.txt","size":1}"#,
        r#"{"type":"file","path":"a","size":-1}"#,
        r#"{"type":"file","path":"a"}"#,
        r#"{"type":"directory","path":"a/.."}"#,
        r#"{"type":"directory","path":""}"#,
        r#"{"type":"copy","path":"a"}"#,
        r#"{"type":"copy","path":"a","from":"../b"}"#,
        r#"{"type":"copy","path":"/a","from":"b"}"#,
        r#"{"type":"copy","path":"a","from":"b","size":1}"#,
        r#"{"type":"symlink","path":"a","target":"/etc"}"#,
        r#"{"type":"data","len":4294967296}"#,
        r#"{"type":"data","len":1,"more":2}"#,
        r#"{"type":"file_end","crc32":4294967296}"#,
        r#"{"type":"archive_end","more":1}"#,
        r#"{"type":"begin","archives":1,"entries":1,"files":1}"#,
        r#"{"type":"error","code":"tired","message":""}"#,
        "",
    ] {
        assert!(decode_header::<StreamFrame>(json.as_bytes()).is_err(), "{json}");
    }
}

proptest! {
    #[test]
    fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode_header::<StreamFrame>(&bytes);
        let mut reader = HeaderReader::new(FRAME_HEADER_MAX_BYTES);
        if let Ok(Some(complete)) = reader.push(&bytes) {
            prop_assert!(complete.header.len() <= FRAME_HEADER_MAX_BYTES);
        }
    }

    #[test]
    fn damaged_frames_stay_safe(at in 0_usize..400, byte in any::<u8>()) {
        for (_, json) in frames() {
            let mut bytes = json.as_bytes().to_vec();
            let at = at % bytes.len();
            bytes[at] = byte;
            if let Ok(
                StreamFrame::File { path, .. }
                | StreamFrame::Copy { path, .. }
                | StreamFrame::Directory { path },
            ) = decode_header(&bytes)
            {
                prop_assert!(RelPath::new(path.as_str()).is_ok());
            }
        }
    }
}
