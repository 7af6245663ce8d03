//! What peers send to each other.

use bytes_of::split_at_first;
use lanspread_proto::attributes::{Attributes, FileBits};
use lanspread_proto::codec::{
    CONTROL_HEADER_MAX_BYTES, HeaderReader, decode_header, encode_header,
};
use lanspread_proto::fold::{fold, is_same_fold};
use lanspread_proto::foreign::is_foreign;
use lanspread_proto::layout::{LayoutPage, encode_layout, layout_pages};
use lanspread_proto::library::{DeltaPage, LibraryPage};
use lanspread_proto::message::{Request, Response};
use lanspread_proto::stream::{FRAME_HEADER_MAX_BYTES, StreamFrame};
use lanspread_proto::text::{escaped, is_deceptive, is_explicit_direction, is_forbidden_in_names};
use lanspread_proto::version_ini::{format_version_ini, parse_version_ini};
use lanspread_proto::{
    ContentHash, FileHashes, GameId, GameVersion, Manifest, ManifestFile, NetworkName, PeerName,
    PieceSet, RelPath,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

mod bytes_of {
    /// The first byte, or 0, and the rest.
    pub(super) fn split_at_first(data: &[u8]) -> (u8, &[u8]) {
        data.split_first().map_or((0, data), |(first, rest)| (*first, rest))
    }
}

/// Frames, in pieces of any size: nothing is lost, nothing is held beyond the bound.
pub fn codec(data: &[u8]) {
    let (step, stream) = split_at_first(data);
    let max = if step & 0x80 == 0 { CONTROL_HEADER_MAX_BYTES } else { FRAME_HEADER_MAX_BYTES };
    let mut reader = HeaderReader::new(max);
    let mut taken = 0;
    for piece in stream.chunks(usize::from(step & 0x7f) + 1) {
        taken += piece.len();
        match reader.push(piece) {
            Ok(None) => {}
            Ok(Some(read)) => {
                assert!(read.header.len() <= max && read.missing == 0);
                assert_eq!(4 + read.header.len() + read.rest.len(), taken);
                each_message(&read.header);
                return;
            }
            Err(_) => return,
        }
    }
}

/// The header of every message.
pub fn messages(data: &[u8]) {
    each_message(data);
}

fn each_message(header: &[u8]) {
    round_trip::<Request>(header);
    round_trip::<Response>(header);
    round_trip::<StreamFrame>(header);
}

fn round_trip<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(header: &[u8]) {
    let Ok(message) = decode_header::<T>(header) else { return };
    // Numbers and escapes may become longer, but never without end.
    let frame =
        encode_header(&message, 8 * header.len() + 1024).expect("what was read can be sent");
    let again = decode_header::<T>(&frame[4..]).expect("what is sent can be read");
    assert_eq!(again, message);
}

/// Pages of libraries, changes of libraries, attributes and sets of pieces.
pub fn pages(data: &[u8]) {
    let (kind, page) = split_at_first(data);
    match kind % 4 {
        0 => {
            let Ok(games) = LibraryPage::new(page) else { return };
            let games: Vec<_> = games.collect();
            assert!(games.len() <= page.len() + 1);
        }
        1 => {
            let Ok(changes) = DeltaPage::new(page) else { return };
            assert!(changes.count() <= page.len() + 1);
        }
        2 => {
            let (files, page) = split_at_first(page);
            let files = usize::from(files);
            let Ok(attributes) = Attributes::decode(page, files) else { return };
            let again = attributes.encode().expect("what was read can be sent");
            assert_eq!(Attributes::decode(&again, files).as_ref(), Ok(&attributes));
            let _ = FileBits::from_bytes(page, files);
        }
        _ => {
            let Ok(set) = PieceSet::from_bytes(page) else { return };
            assert_eq!(set.iter().count(), set.len());
            assert!(set.iter().all(|piece| set.contains(piece)));
            assert_eq!(PieceSet::from_bytes(set.as_bytes()).as_ref(), Ok(&set));
        }
    }
}

/// The layout of a game, page by page, and the manifest that comes of it.
pub fn manifest(data: &[u8]) {
    let (with_hashes, page) = split_at_first(data);
    let Ok(layout) = LayoutPage::new(page) else { return };
    let mut files = Vec::new();
    for file in layout {
        let Ok((path, size)) = file else { return };
        files.push((path, size));
    }
    let pages = encode_layout(files.iter().map(|(path, size)| (path, *size)));
    assert_eq!(pages, [page], "there is one encoding only");
    assert_eq!(layout_pages(files.iter().map(|(path, size)| (path, *size))), 1);
    let version: GameVersion = "1".parse().expect("it is a version");
    let files: Vec<_> =
        files.into_iter().map(|(path, size)| ManifestFile { path, size, hashes: None }).collect();
    let Ok(manifest) = Manifest::new(version, files) else { return };
    assert!(manifest.files().is_sorted_by(|a, b| a.path < b.path));
    assert!(manifest.content_root().is_none() || manifest.chunk_count() == 0);
    let few = manifest.chunk_count() <= 4096;
    if with_hashes & 1 == 1 && few {
        let hashes = vec![7; 32 * manifest.chunk_count() as usize];
        let hashed = manifest.with_hashes(hashes.into()).expect("there are as many as chunks");
        assert!(hashed.content_root().is_some());
        assert_eq!(hashed.manifest_hash(), manifest.manifest_hash());
        let _ = hashed.old_content_roots(Some(page));
        for file in hashed.files() {
            let chunks = file.hashes.as_ref().map_or(0, |hashes| hashes.chunks().len());
            assert_eq!(chunks, file.chunk_count() as usize);
        }
        let _ = FileHashes::from_chunks([ContentHash::of(page)]).file();
    }
}

/// Names: paths, ids and texts.
pub fn path(data: &[u8]) {
    if let Ok(version) = parse_version_ini(data) {
        assert_eq!(parse_version_ini(&format_version_ini(&version)), Ok(version));
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    let folded = fold(text);
    assert_eq!(fold(&folded), folded);
    assert!(is_same_fold(text, &folded));
    assert!(!escaped(text).contains(is_deceptive));
    if let Ok(name) = PeerName::new(text) {
        assert!(!name.as_str().contains(is_deceptive));
    }
    if let Ok(name) = NetworkName::new(text) {
        assert!(!name.as_str().contains(is_deceptive));
    }
    if let Ok(id) = GameId::new(text) {
        assert!(RelPath::new(id.as_str()).expect("an id is a path").is_root_level());
        assert!(!id.as_str().contains(is_explicit_direction));
    }
    let Ok(path) = RelPath::new(text) else { return };
    assert_eq!(path.as_str(), text);
    assert!(!text.contains(is_forbidden_in_names));
    let root = std::path::Path::new("/games/root");
    let below = path.under(root);
    assert!(below.starts_with(root));
    assert_eq!(below.components().count(), 3 + path.components().count());
    assert_eq!(
        RelPath::from_native(below.strip_prefix(root).expect("it is below")).as_ref(),
        Ok(&path)
    );
    let _ = is_foreign(&path);
}
