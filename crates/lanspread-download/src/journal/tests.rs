use lanspread_proto::{ManifestFile, RelPath};
use proptest::prelude::*;

use super::*;

fn header(version: &str) -> Header {
    let file = ManifestFile { path: RelPath::new("a.eti").unwrap(), size: 1, hashes: None };
    let manifest = Manifest::new(GameVersion::new(version).unwrap(), vec![file]).unwrap();
    Header::new(Path::new("/games/quake"), &manifest)
}

fn stored(chunk: u32, hash: u8) -> Record {
    Record::Written(ChunkIndex(chunk), [hash; 32].into())
}

/// A journal of version 1 that says `records`.
fn journal(path: &Path, records: &[Record]) {
    Journal::begin(path, header("1")).unwrap().0.append(records).unwrap();
}

fn claims(contents: &Contents) -> Vec<(u32, u8)> {
    contents.claims.iter().map(|(chunk, hash)| (chunk.0, hash.as_bytes()[0])).collect()
}

#[test]
fn what_was_appended_is_there_at_the_next_beginning() {
    let dir = tempfile::tempdir().unwrap();
    let path = journal_path(dir.path(), &"quake".parse().unwrap());
    journal(&path, &[stored(1, 1), stored(2, 2), Record::Struck(ChunkIndex(1)), stored(3, 3)]);
    let (again, contents) = Journal::begin(&path, header("1")).unwrap();
    assert_eq!(claims(&contents), [(2, 2), (3, 3)]);
    assert!(!contents.is_surveyed);
    again.append(&[Record::Surveyed, stored(3, 4)]).unwrap();
    let contents = read(&path).unwrap().unwrap();
    assert_eq!(claims(&contents), [(2, 2), (3, 4)]);
    assert!(contents.is_surveyed && contents.header.is_about(Path::new("/games/quake")));
    assert_eq!(journalled_games(dir.path()).unwrap(), ["quake".parse().unwrap()]);
    again.remove().unwrap();
    assert_eq!(read(&path).unwrap(), None);
    assert!(journalled_games(dir.path()).unwrap().is_empty());
}

#[test]
fn the_journal_of_another_download_or_a_cancelled_one_claims_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    journal(&path, &[stored(1, 1)]);
    assert!(Journal::begin(&path, header("2")).unwrap().1.claims.is_empty());
    assert!(Journal::begin(&path, header("1")).unwrap().1.claims.is_empty());
    journal(&path, &[stored(1, 1)]);
    mark_discarding(&path).unwrap();
    assert!(read(&path).unwrap().unwrap().is_discarding);
    let contents = Journal::begin(&path, header("1")).unwrap().1;
    assert!(contents.claims.is_empty() && !contents.is_discarding);
    mark_discarding(&dir.path().join("none")).unwrap();
}

#[test]
fn what_is_appended_after_a_torn_tail_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    journal(&path, &[stored(1, 1), stored(2, 2)]);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 7]).unwrap();
    journal(&path, &[stored(3, 3)]);
    assert_eq!(claims(&read(&path).unwrap().unwrap()), [(1, 1), (3, 3)]);
}

#[test]
fn a_cancellation_is_noted_behind_a_torn_tail() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let (_, begun) = Journal::begin(&path, header("1")).unwrap();
    let header_bytes = begun.encode().unwrap().0.len();
    journal(&path, &[stored(1, 1), stored(2, 2)]);
    let whole = fs::read(&path).unwrap();
    for cut in header_bytes..=whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        let before = read(&path).unwrap().unwrap();
        mark_discarding(&path).unwrap();
        let after = read(&path).unwrap().unwrap();
        assert_eq!(after, Contents { is_discarding: true, ..before }, "cut at {cut}");
    }
    let mut damaged = whole.clone();
    damaged[header_bytes] ^= 1;
    fs::write(&path, damaged).unwrap();
    mark_discarding(&path).unwrap();
    assert!(read(&path).unwrap().unwrap().is_discarding);
    // Nothing follows from one whose header does not hold, whatever it says.
    fs::write(&path, &whole[..header_bytes - 1]).unwrap();
    mark_discarding(&path).unwrap();
    assert_eq!(read(&path).unwrap(), None);
}

#[test]
fn a_journal_that_grows_without_end_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let (journal, _) = Journal::begin(&path, header("1")).unwrap();
    let size = || fs::metadata(&path).unwrap().len();
    let before = size();
    let many = vec![stored(1, 1); RECORDS_MAX + 1];
    assert_eq!(journal.append(&many).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    journal.append(&[stored(1, 1)]).unwrap();
    assert_eq!(size(), before);
}

fn record() -> impl Strategy<Value = Record> {
    prop_oneof![
        4 => (0..9_u32, 1..9_u8).prop_map(|(chunk, hash)| stored(chunk, hash)),
        1 => (0..9_u32).prop_map(|chunk| Record::Struck(ChunkIndex(chunk))),
        1 => Just(Record::Surveyed),
    ]
}

/// What `records` come to.
fn sum(records: &[Record]) -> (BTreeMap<ChunkIndex, ContentHash>, bool) {
    let mut claims = BTreeMap::new();
    for record in records {
        match record {
            Record::Written(chunk, hash) => drop(claims.insert(*chunk, *hash)),
            Record::Struck(chunk) => drop(claims.remove(chunk)),
            Record::Surveyed | Record::Discarding => {}
        }
    }
    (claims, records.contains(&Record::Surveyed))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_damaged_journal_says_what_came_before_the_damage(
        records in proptest::collection::vec(record(), 0..20),
        at in any::<proptest::sample::Index>(),
        flip in 0..=255_u8,
    ) {
        let contents = Contents {
            header: header("1"),
            claims: BTreeMap::new(),
            is_surveyed: false,
            is_discarding: false,
        };
        let mut bytes = contents.encode().unwrap().0;
        let header_len = bytes.len();
        bytes.extend(records.iter().flat_map(|record| encode(*record)));
        let at = at.index(bytes.len());
        // No flip stands for a tail that is cut off.
        if flip == 0 {
            bytes.truncate(at);
        } else {
            bytes[at] ^= flip;
        }
        match parse(&bytes) {
            None => prop_assert!(at < header_len),
            Some(parsed) => {
                prop_assert!(at >= header_len);
                let whole = (at - header_len) / RECORD_BYTES;
                prop_assert_eq!((parsed.claims, parsed.is_surveyed), sum(&records[..whole]));
            }
        }
    }

    #[test]
    fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&bytes);
    }
}

/// A journal of any records, with a check or without, that `fuzz/` would make.
fn raw_journal() -> impl Strategy<Value = Vec<u8>> {
    let record = proptest::collection::vec(any::<u8>(), RECORD_BYTES);
    let kind = 0_u8..6;
    let records = proptest::collection::vec((kind, record), 0..8);
    records.prop_map(|records| {
        let header = serde_json::to_vec(&header("1")).unwrap();
        let mut bytes = u32::try_from(header.len()).unwrap().to_le_bytes().to_vec();
        bytes.extend(header);
        for (kind, mut record) in records {
            record[0] = kind;
            bytes.extend(record);
        }
        bytes
    })
}

proptest! {
    #[test]
    fn no_bytes_break_a_journal(bytes in prop_oneof![raw_journal(), proptest::collection::vec(any::<u8>(), 0..200)]) {
        fuzzing::journal(&bytes);
    }
}
