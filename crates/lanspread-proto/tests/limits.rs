//! A game at all limits at once, and one above each.
#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected should panic")]

use lanspread_proto::codec::{CONTROL_HEADER_MAX_BYTES, encode_header};
use lanspread_proto::layout::{LayoutPage, encode_layout};
use lanspread_proto::limits::{
    COMPONENT_MAX_BYTES, GET_CHUNKS_MAX, GET_CHUNKS_MAX_PATH_BYTES, HASH_PAGES_MAX,
    LAYOUT_PAGES_MAX, MANIFEST_MAX_CHUNKS, MANIFEST_MAX_FILES, MANIFEST_MAX_PATH_BYTES,
    PAGE_MAX_BYTES, PATH_MAX_BYTES, PATH_MAX_DEPTH,
};
use lanspread_proto::manifest::ManifestError;
use lanspread_proto::message::{ChunkName, GameHead, GetChunks, Request, Response};
use lanspread_proto::{CHUNK_SIZE_BYTES, GameVersion, Manifest, ManifestFile, RelPath};

fn version() -> GameVersion {
    GameVersion::new("20240131").unwrap()
}

/// A path of exactly so many bytes; `number` makes it another one from its first bytes on.
fn path(number: usize, len: usize) -> RelPath {
    let head = format!("{:05}{}/", number * 7_919 % MANIFEST_MAX_FILES, "d".repeat(195));
    RelPath::new(format!("{head}{}", "f".repeat(len - head.len()))).unwrap()
}

/// As many files, bytes of paths and chunks as there may be.
fn files() -> Vec<ManifestFile> {
    let each = usize::try_from(MANIFEST_MAX_PATH_BYTES).unwrap() / MANIFEST_MAX_FILES;
    let longer = usize::try_from(MANIFEST_MAX_PATH_BYTES).unwrap() % MANIFEST_MAX_FILES;
    let large = u64::from(MANIFEST_MAX_CHUNKS) - (MANIFEST_MAX_FILES as u64 - 1);
    let file = |number: usize| ManifestFile {
        path: path(number, each + usize::from(number < longer)),
        size: if number == 0 { large * CHUNK_SIZE_BYTES } else { CHUNK_SIZE_BYTES },
        hashes: None,
    };
    (0..MANIFEST_MAX_FILES).map(file).collect()
}

#[test]
fn a_game_at_all_limits_travels_and_one_above_each_is_refused() {
    let files = files();
    let manifest = Manifest::new(version(), files.clone()).unwrap();
    assert_eq!(manifest.path_bytes(), MANIFEST_MAX_PATH_BYTES);
    assert_eq!(manifest.chunk_count(), MANIFEST_MAX_CHUNKS);
    let layout: Vec<_> = manifest.files().iter().map(|file| (&file.path, file.size)).collect();
    let pages = encode_layout(layout.iter().copied());
    assert_eq!(pages.len(), manifest.layout_pages() as usize);
    assert!((120..=LAYOUT_PAGES_MAX as usize).contains(&pages.len()), "{}", pages.len());
    assert!(pages.iter().all(|page| page.len() <= PAGE_MAX_BYTES));
    let read = pages.iter().flat_map(|page| LayoutPage::new(page).unwrap().map(Result::unwrap));
    assert!(read.eq(layout.iter().map(|(path, size)| ((*path).clone(), *size))));

    let hashes: Vec<u8> =
        (0..MANIFEST_MAX_CHUNKS).flat_map(|n| [n.to_le_bytes(); 8].concat()).collect();
    let hashed = manifest.with_hashes(hashes.clone().into()).unwrap();
    let pages: Vec<_> = (0..).map_while(|page| hashed.hash_page(page)).collect();
    assert_eq!(pages.len(), HASH_PAGES_MAX as usize);
    assert_eq!(pages.concat(), hashes);
    let old = hashed.old_content_roots(Some(b"own"));
    let head = Response::Game(GameHead::of(&hashed, old, hashed.manifest_hash()));
    assert!(encode_header(&head, CONTROL_HEADER_MAX_BYTES).unwrap().len() < 4096);

    let mut more = files.clone();
    more.push(ManifestFile { path: path(0, 300), size: 0, hashes: None });
    let refused = Manifest::new(version(), more).unwrap_err();
    assert_eq!(refused, ManifestError::TooManyFiles(MANIFEST_MAX_FILES + 1));
    let mut more = files.clone();
    more[0].path = path(0, more[0].path.as_str().len() + 1);
    let refused = Manifest::new(version(), more).unwrap_err();
    assert_eq!(refused, ManifestError::PathsTooLong(MANIFEST_MAX_PATH_BYTES + 1));
    let mut more = files;
    more[1].size += 1;
    let refused = Manifest::new(version(), more).unwrap_err();
    assert_eq!(refused, ManifestError::TooManyChunks(u64::from(MANIFEST_MAX_CHUNKS) + 1));
}

#[test]
fn a_path_at_its_limits_is_one_and_one_above_each_is_none() {
    let component = "c".repeat(COMPONENT_MAX_BYTES);
    assert!(RelPath::new(component.clone()).is_ok());
    assert!(RelPath::new(component + "c").is_err());
    let deep = vec!["d"; PATH_MAX_DEPTH].join("/");
    assert!(RelPath::new(deep.clone()).is_ok());
    assert!(RelPath::new(deep + "/d").is_err());
    let four = ["p".repeat(255), "q".repeat(255), "r".repeat(255), "s".repeat(200)].join("/");
    let long = |bytes: usize| format!("{four}/{}", "t".repeat(bytes - four.len() - 1));
    assert!(RelPath::new(long(PATH_MAX_BYTES)).is_ok());
    assert!(RelPath::new(long(PATH_MAX_BYTES + 1)).is_err());
}

#[test]
fn a_request_for_as_many_chunks_with_as_long_paths_as_there_may_be_fits_its_header() {
    let path = |n: usize| RelPath::new(format!("{n:03}{}", "\u{1F600}".repeat(31))).unwrap();
    let each = path(0).as_str().len();
    let names = 0..GET_CHUNKS_MAX.min(GET_CHUNKS_MAX_PATH_BYTES / each);
    let chunks = names.map(|n| ChunkName { path: path(n), index: u32::MAX }).collect();
    let game_id = "quake".parse().unwrap();
    let request = Request::GetChunks(GetChunks { game_id, version: version(), chunks });
    assert!(encode_header(&request, CONTROL_HEADER_MAX_BYTES).is_ok());
}
