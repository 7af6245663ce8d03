use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use bytes::Bytes;
use lanspread_disk::chunk_buffer::ChunkBuffer;
use lanspread_disk::durable::Guarantee;
use lanspread_disk::durable::faults::lacking;
use lanspread_disk::testing::{may_mount, mount_disk, without_privileges};
use lanspread_disk::trash::{Disposal, Trash};
use lanspread_proto::{CHUNK_SIZE_BYTES, FileBits, GameVersion, RelPath};
use lanspread_transfer::layout::{ChunkIndex, Layout};
use rustix::io::Errno;
use tempfile::TempDir;

use super::*;

const SENTINEL: &[u8] = b"20240131\n";

/// A games directory with one game root in it.
struct Place {
    dir: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("game")
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root().join(path)
    }

    /// Puts a file there before the download.
    fn put(&self, path: &str, bytes: &[u8]) {
        fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        fs::write(self.path(path), bytes).unwrap();
    }

    fn exists(&self, path: &str) -> bool {
        fs::symlink_metadata(self.path(path)).is_ok()
    }
}

fn manifest(files: &[(&str, u64)]) -> Arc<Manifest> {
    let files = files.iter().map(|(path, size)| ManifestFile {
        path: RelPath::new(*path).unwrap(),
        size: *size,
        hashes: None,
    });
    Arc::new(Manifest::new(GameVersion::new("20240131").unwrap(), files.collect()).unwrap())
}

impl Storage {
    fn commit_plain(&self) -> Result<Committed, StorageError> {
        self.commit(&plain(), &self.manifest)
    }
}

/// Nothing but the sentinel beside the content.
fn plain() -> Agreed {
    Agreed { executable: None, directories: None, sentinel: Bytes::from_static(SENTINEL) }
}

fn place_of(manifest: &Arc<Manifest>, chunk: u32) -> ChunkLocation {
    let layout = Layout::new(Arc::clone(manifest));
    layout.location(ChunkIndex(chunk)).unwrap().0
}

#[test]
fn chunks_lie_at_their_place_and_the_sentinel_comes_with_the_commit() {
    let place = Place::new();
    let manifest = manifest(&[("a/b/c.txt", CHUNK_SIZE_BYTES + 3), ("empty", 0)]);
    let storage = Storage::prepare(&place.root(), Arc::clone(&manifest)).unwrap();
    storage.write(place_of(&manifest, 1), b"end", true).unwrap();
    assert!(!place.exists(VERSION_FILE));
    storage.commit_plain().unwrap();
    let bytes = fs::read(place.path("a/b/c.txt")).unwrap();
    assert_eq!(bytes.len() as u64, CHUNK_SIZE_BYTES + 3);
    assert!(bytes.ends_with(b"\0end"));
    assert_eq!(fs::read(place.path("empty")).unwrap(), b"");
    assert_eq!(fs::read(place.path(VERSION_FILE)).unwrap(), SENTINEL);
    assert!(!place.exists(SENTINEL_TMP));
}

#[test]
fn the_old_sentinel_is_parked_until_the_new_one_is_there() {
    let place = Place::new();
    place.put(VERSION_FILE, b"old");
    place.put(SENTINEL_DISCARDED, b"older");
    let storage = Storage::prepare(&place.root(), manifest(&[])).unwrap();
    assert!(!place.exists(VERSION_FILE));
    assert_eq!(fs::read(place.path(SENTINEL_DISCARDED)).unwrap(), b"old");
    storage.commit_plain().unwrap();
    assert!(!place.exists(SENTINEL_DISCARDED));
}

#[test]
fn zeros_in_a_fresh_place_take_no_room() {
    let place = Place::new();
    let size = 64 * CHUNK_SIZE_BYTES;
    let manifest = manifest(&[("sparse.eti", size)]);
    let storage = Storage::prepare(&place.root(), Arc::clone(&manifest)).unwrap();
    let zeros = vec![0; usize::try_from(CHUNK_SIZE_BYTES).unwrap()];
    for chunk in 0..64 {
        storage.write(place_of(&manifest, chunk), &zeros, true).unwrap();
    }
    let found = fs::metadata(place.path("sparse.eti")).unwrap();
    assert_eq!(found.len(), size);
    assert!(found.blocks() * 512 < CHUNK_SIZE_BYTES, "{} blocks", found.blocks());
}

#[test]
fn zeros_replace_what_was_written_before() {
    let place = Place::new();
    let manifest = manifest(&[("a", 3)]);
    let storage = Storage::prepare(&place.root(), Arc::clone(&manifest)).unwrap();
    storage.write(place_of(&manifest, 0), b"bad", true).unwrap();
    storage.write(place_of(&manifest, 0), b"\0\0\0", false).unwrap();
    assert_eq!(fs::read(place.path("a")).unwrap(), b"\0\0\0");
}

#[test]
fn links_and_other_names_of_a_file_are_never_written_through() {
    let place = Place::new();
    let outside = place.dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    for name in ["linked", "hard", "below"] {
        fs::write(outside.join(name), b"precious").unwrap();
    }
    fs::create_dir(place.root()).unwrap();
    symlink(outside.join("linked"), place.path("linked")).unwrap();
    fs::hard_link(outside.join("hard"), place.path("hard")).unwrap();
    symlink(&outside, place.path("dir")).unwrap();
    symlink(outside.join("linked"), place.path(VERSION_FILE)).unwrap();

    let manifest = manifest(&[("dir/below", 3), ("hard", 3), ("linked", 3)]);
    let storage = Storage::prepare(&place.root(), Arc::clone(&manifest)).unwrap();
    for chunk in 0..3 {
        storage.write(place_of(&manifest, chunk), b"new", true).unwrap();
    }
    storage.commit_plain().unwrap();
    for name in ["linked", "hard", "below"] {
        assert_eq!(fs::read(outside.join(name)).unwrap(), b"precious", "{name}");
    }
    for name in ["linked", "hard", "dir/below"] {
        assert_eq!(fs::read(place.path(name)).unwrap(), b"new", "{name}");
    }
    assert!(fs::symlink_metadata(place.path(VERSION_FILE)).unwrap().is_file());
}

#[test]
fn a_link_that_takes_the_place_of_a_directory_meanwhile_is_not_followed() {
    let place = Place::new();
    let outside = place.dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let names: Vec<_> = (0..30).map(|n| format!("data/f{n:02}")).collect();
    for name in names.iter().map(|name| name.trim_start_matches("data/")).chain(["unlisted"]) {
        fs::write(outside.join(name), b"precious").unwrap();
    }
    let files: Vec<_> = names.iter().map(|name| (name.as_str(), CHUNK_SIZE_BYTES)).collect();
    let manifest = manifest(&files);
    let storage = Storage::prepare(&place.root(), Arc::clone(&manifest)).unwrap();
    let mut chunk = ChunkBuffer::of_len(usize::try_from(CHUNK_SIZE_BYTES).unwrap()).unwrap();
    chunk.fill(7);
    for number in 0..5 {
        storage.write(place_of(&manifest, number), &chunk, true).unwrap();
    }
    fs::rename(place.path("data"), place.path("moved")).unwrap();
    symlink(&outside, place.path("data")).unwrap();
    for number in 5..30 {
        // Long chunks are written past the page cache, short ones through an open file.
        let bytes = if number % 2 == 0 { &chunk[..] } else { &chunk[..3] };
        storage.write(place_of(&manifest, number), bytes, true).unwrap_err();
    }
    storage.commit_plain().unwrap_err();
    assert!(!place.exists(VERSION_FILE));
    discard(&place.root(), &mut Disposal::InPlace).unwrap();
    for entry in fs::read_dir(&outside).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(fs::read(&path).unwrap(), b"precious", "{}", path.display());
    }
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 31);
}

#[test]
fn the_commit_looks_at_every_file_once_more() {
    type Change = fn(&Path);
    let changes: [(&str, Change); 5] = [
        ("removed", |file| fs::remove_file(file).unwrap()),
        ("resized", |file| fs::write(file, b"four").unwrap()),
        ("renamed", |file| fs::rename(file, file.with_extension("OTHER")).unwrap()),
        ("one with another", |file| {
            fs::remove_file(file).unwrap();
            fs::hard_link(file.with_file_name("other"), file).unwrap();
        }),
        ("a link", |file| {
            fs::remove_file(file).unwrap();
            symlink("other", file).unwrap();
        }),
    ];
    for (what, change) in changes {
        let place = Place::new();
        place.put("unlisted", b"of the version before");
        let manifest = manifest(&[("data/file", 3), ("data/other", 3)]);
        let storage = Storage::prepare(&place.root(), manifest).unwrap();
        change(&place.path("data/file"));
        storage.commit_plain().unwrap_err();
        assert!(!place.exists(VERSION_FILE), "{what}");
        assert!(place.exists("unlisted"), "{what}");
    }
}

#[test]
fn directories_that_may_not_be_written_to_are_no_obstacle() {
    without_privileges();
    let place = Place::new();
    place.put("data/kept", b"old");
    place.put("gone/stale", b"x");
    for directory in ["data", "gone", ""] {
        fs::set_permissions(place.path(directory), Permissions::from_mode(0o555)).unwrap();
    }
    let manifest = manifest(&[("data/kept", 3), ("data/new", 3)]);
    let storage = Storage::prepare(&place.root(), Arc::clone(&manifest)).unwrap();
    for chunk in 0..2 {
        storage.write(place_of(&manifest, chunk), b"new", true).unwrap();
    }
    storage.commit_plain().unwrap();
    assert_eq!(fs::read(place.path("data/kept")).unwrap(), b"new");
    assert!(!place.exists("gone"));
    fs::set_permissions(place.path("data"), Permissions::from_mode(0o555)).unwrap();
    discard(&place.root(), &mut Disposal::InPlace).unwrap();
    assert!(!place.exists(""));
}

#[test]
fn a_root_that_is_a_link_or_a_file_is_refused() {
    let place = Place::new();
    let outside = place.dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    symlink(&outside, place.root()).unwrap();
    Storage::prepare(&place.root(), manifest(&[("a", 1)])).unwrap_err();
    discard(&place.root(), &mut Disposal::InPlace).unwrap();
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    fs::remove_file(place.root()).unwrap();
    fs::write(place.root(), b"x").unwrap();
    Storage::prepare(&place.root(), manifest(&[("a", 1)])).unwrap_err();
    assert!(place.root().is_file());
}

#[test]
fn more_files_than_may_be_open_at_once() {
    let place = Place::new();
    let names: Vec<_> = (10..90).map(|n| format!("f{n}")).collect();
    let files: Vec<_> = names.iter().map(|name| (name.as_str(), 3)).collect();
    let manifest = manifest(&files);
    let storage = Storage::prepare(&place.root(), Arc::clone(&manifest)).unwrap();
    for _ in 0..2 {
        for (chunk, name) in (0..).zip(&names) {
            storage.write(place_of(&manifest, chunk), name.as_bytes(), true).unwrap();
        }
    }
    storage.commit_plain().unwrap();
    for name in &names {
        assert_eq!(fs::read(place.path(name)).unwrap(), name.as_bytes());
    }
}

#[test]
fn the_commit_removes_what_only_another_version_had() {
    let place = Place::new();
    for stale in ["stale.eti", "data/stale", "old/deep/stale"] {
        place.put(stale, b"x");
    }
    for kept in ["local/save", ".local.backup/x", ".sync/x", ".softlan_game_installed"] {
        place.put(kept, b"mine");
    }
    fs::create_dir(place.path("empty directory")).unwrap();
    symlink("nowhere", place.path("link")).unwrap();
    let storage = Storage::prepare(&place.root(), manifest(&[("data/kept", 0)])).unwrap();
    assert!(place.exists("stale.eti"));
    storage.commit_plain().unwrap();
    for gone in ["stale.eti", "data/stale", "old"] {
        assert!(!place.exists(gone), "{gone}");
    }
    for kept in ["data/kept", "local/save", ".local.backup/x", ".sync/x", "empty directory", "link"]
    {
        assert!(place.exists(kept), "{kept}");
    }
    assert!(place.exists(".softlan_game_installed"));
}

/// What systems have left in a root, with something of the game beside some of it.
fn put_foreign(place: &Place) -> [&'static str; 4] {
    let foreign = ["Thumbs.db", "old/deep/.DS_Store", "$RECYCLE.BIN/x/y", "data/desktop.ini"];
    for path in foreign {
        place.put(path, b"of the system");
    }
    for path in ["old/stale", "old/deep/stale", "gone/stale"] {
        place.put(path, b"x");
    }
    foreign
}

#[test]
fn neither_a_commit_nor_a_discard_removes_what_systems_leave_behind() {
    let place = Place::new();
    let foreign = put_foreign(&place);
    let storage = Storage::prepare(&place.root(), manifest(&[("data/kept", 0)])).unwrap();
    storage.commit_plain().unwrap();
    let own = ["data/kept", VERSION_FILE];
    for kept in foreign.iter().chain(&own) {
        assert!(place.exists(kept), "{kept}");
    }
    for gone in ["old/stale", "old/deep/stale", "gone"] {
        assert!(!place.exists(gone), "{gone}");
    }
    for is_aside in [false, true] {
        put_foreign(&place);
        let mut trash = Trash::of(place.dir.path());
        let mut disposal = match is_aside {
            true => Disposal::Aside(&mut trash),
            false => Disposal::InPlace,
        };
        discard(&place.root(), &mut disposal).unwrap();
        assert!(foreign.iter().all(|path| place.exists(path)));
        for gone in ["data/kept", "old/stale", "old/deep/stale", "gone", VERSION_FILE] {
            assert!(!place.exists(gone), "{gone}");
        }
    }
}

fn mode(place: &Place, path: &str) -> u32 {
    fs::metadata(place.path(path)).unwrap().permissions().mode() & 0o7777
}

/// With the second file of [`odd`] executable.
fn odd_agreed() -> Agreed {
    let mut bits = FileBits::new(3);
    bits.set(1);
    let directories = ["data/empty/deep", "saves"].map(|path| path.parse().unwrap());
    Agreed { executable: Some(bits), directories: Some(directories.into()), ..plain() }
}

/// A root with three files, of which the first is executable and the second is not.
fn odd(place: &Place) -> Storage {
    for (path, mode) in [("a", 0o6755), ("b", 0o640), ("data/c", 0o444)] {
        place.put(path, b"");
        fs::set_permissions(place.path(path), Permissions::from_mode(mode)).unwrap();
    }
    let manifest = manifest(&[("a", 0), ("b", 0), ("data/c", 0)]);
    Storage::prepare(&place.root(), manifest).unwrap()
}

#[test]
fn a_commit_sets_executable_bits_and_makes_empty_directories() {
    let place = Place::new();
    let storage = odd(&place);
    place.put("old/only", b"x");
    // Of the version before: one that is empty still, and one that is not any more.
    fs::create_dir_all(place.path("saves")).unwrap();
    fs::create_dir_all(place.path("logs/old")).unwrap();
    assert!(storage.commit(&odd_agreed(), &storage.manifest).unwrap().keeps_bits);
    assert_eq!(["a", "b", "data/c"].map(|path| mode(&place, path)), [0o644, 0o750, 0o444]);
    assert!(place.path("data/empty/deep").is_dir() && place.path("saves").is_dir());
    assert!(!place.exists("old") && !place.exists("logs"));
    assert_eq!(mode(&place, VERSION_FILE) & 0o111, 0);
}

#[test]
fn without_word_of_them_the_bits_on_the_disk_stay() {
    let place = Place::new();
    assert!(odd(&place).commit_plain().unwrap().keeps_bits);
    let bits = ["a", "b", "data/c"].map(|path| mode(&place, path) & 0o111);
    assert_eq!(bits, [0o111, 0, 0]);
}

#[test]
fn a_disk_that_keeps_no_bits_is_no_error_and_is_told() {
    let place = Place::new();
    let storage = odd(&place);
    let _lacking = lacking(&place.root(), Guarantee::ExecutableBits, Errno::PERM);
    assert!(!storage.commit(&odd_agreed(), &storage.manifest).unwrap().keeps_bits);
    assert!(place.exists(VERSION_FILE) && place.path("saves").is_dir());
}

#[test]
fn an_empty_directory_takes_the_place_of_nothing() {
    let place = Place::new();
    let storage = odd(&place);
    symlink("nowhere", place.path("saves")).unwrap();
    storage.commit(&odd_agreed(), &storage.manifest).unwrap();
    assert!(fs::symlink_metadata(place.path("saves")).unwrap().is_symlink());
    assert!(place.path("data/empty/deep").is_dir());
}

#[test]
fn what_systems_left_in_the_way_is_named_before_anything_is_touched() {
    for (left, wanted) in [
        ("maps/.DS_Store", "maps"),
        ("maps/deep/Thumbs.db", "maps"),
        ("data/lost+found/x", "data/lost+found"),
        ("Thumbs.db", "Thumbs.db/x"),
    ] {
        let place = Place::new();
        place.put("version.ini", b"1");
        place.put("maps/a.bsp", b"of the version before");
        place.put(left, b"of the system");
        let error = Storage::prepare(&place.root(), manifest(&[(wanted, 0)])).unwrap_err();
        let named = left.strip_suffix("/x").unwrap_or(left);
        assert!(error.to_string().contains(&format!("/{named}: a system left it")), "{error}");
        assert!(["version.ini", "maps/a.bsp", left].iter().all(|path| place.exists(path)));
    }
}

#[test]
fn a_version_may_have_a_file_where_another_has_a_directory() {
    let place = Place::new();
    let outside = place.dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("file"), b"precious").unwrap();
    place.put("maps/deep/a.bsp", b"old");
    place.put("music", b"old");
    symlink(&outside, place.path("maps/link")).unwrap();
    fs::create_dir(place.path("maps/empty")).unwrap();
    let new = manifest(&[("maps", 0), ("music/1.ogg", 0)]);
    Storage::prepare(&place.root(), new).unwrap().commit_plain().unwrap();
    assert!(place.path("maps").is_file() && place.path("music/1.ogg").is_file());
    assert_eq!(fs::read(outside.join("file")).unwrap(), b"precious");
}

#[test]
fn discarding_keeps_what_belongs_to_the_user() {
    let place = Place::new();
    let outside = place.dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("file"), b"precious").unwrap();
    for gone in ["a.eti", "data/deep/x", VERSION_FILE, SENTINEL_DISCARDED, SENTINEL_TMP] {
        place.put(gone, b"x");
    }
    symlink(&outside, place.path("link")).unwrap();
    for kept in ["local/save", ".local.installing/x", ".sync/x", ".softlan_game_installed"] {
        place.put(kept, b"mine");
    }
    discard(&place.root(), &mut Disposal::InPlace).unwrap();
    let mut names: Vec<_> =
        fs::read_dir(place.root()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, [".local.installing", ".softlan_game_installed", ".sync", "local"]);
    assert_eq!(fs::read(outside.join("file")).unwrap(), b"precious");
}

#[test]
fn discarding_removes_a_root_that_is_empty_then_and_does_not_mind_a_missing_one() {
    let place = Place::new();
    place.put("a/b", b"x");
    discard(&place.root(), &mut Disposal::InPlace).unwrap();
    assert!(!place.root().exists());
    discard(&place.root(), &mut Disposal::InPlace).unwrap();
}

#[test]
fn a_full_disk_is_told_from_other_failures() {
    let failure = |kind: io::ErrorKind| {
        let error = failed("write", Path::new("a"))(io::Error::from(kind));
        DownloadFailure::from(error)
    };
    let full = DownloadFailure::DiskFull { path: PathBuf::from("a") };
    assert_eq!(failure(io::ErrorKind::StorageFull), full);
    assert_eq!(failure(io::ErrorKind::QuotaExceeded), full);
    let other = failure(io::ErrorKind::PermissionDenied);
    assert!(
        matches!(&other, DownloadFailure::Io(failure) if failure.action == "write"),
        "{other:?}"
    );
}

#[test]
fn what_is_mounted_in_a_root_is_refused_before_anything_is_touched() {
    if !may_mount() {
        return;
    }
    let place = Place::new();
    for file in [VERSION_FILE, "a", "deep/old"] {
        place.put(file, b"x");
    }
    mount_disk(&place.path("deep/user"), None);
    place.put("deep/user/theirs", b"x");
    let files: [&[(&str, u64)]; 2] = [&[("a", 1)], &[("a", 1), ("deep", 1)]];
    let updates = files.map(|files| Storage::prepare(&place.root(), manifest(files)).map(drop));
    let discarded = discard(&place.root(), &mut Disposal::InPlace);
    for refused in updates.into_iter().chain([discarded]) {
        let text = refused.unwrap_err().to_string();
        assert!(text.contains("deep/user; unmount it"), "{text}");
    }
    for file in [VERSION_FILE, "a", "deep/old", "deep/user/theirs"] {
        assert!(place.exists(file), "{file}");
    }
}

#[test]
fn files_of_the_game_may_lie_in_a_mount_and_an_empty_one_stays() {
    if !may_mount() {
        return;
    }
    let place = Place::new();
    for mount in ["data", "empty"] {
        mount_disk(&place.path(mount), None);
    }
    for file in ["data/kept", "data/Thumbs.db", "old/gone"] {
        place.put(file, b"x");
    }
    let storage = Storage::prepare(&place.root(), manifest(&[("data/kept", 1)])).unwrap();
    // It comes while the download is under way.
    place.put("data/new", b"x");
    let text = storage.commit_plain().unwrap_err().to_string();
    assert!(text.contains("data; unmount it"), "{text}");
    fs::remove_file(place.path("data/new")).unwrap();
    storage.commit_plain().unwrap();
    for path in ["data/kept", "data/Thumbs.db", "empty", VERSION_FILE] {
        assert!(place.exists(path), "{path}");
    }
    assert!(!place.exists("old"));
}

#[test]
fn a_root_that_is_a_mount_point_stays_when_all_in_it_goes() {
    if !may_mount() {
        return;
    }
    let place = Place::new();
    mount_disk(&place.root(), None);
    for disposal in [true, false] {
        place.put("deep/file", b"x");
        let mut trash = Trash::of(place.dir.path());
        let mut disposal = if disposal { Disposal::Aside(&mut trash) } else { Disposal::InPlace };
        discard(&place.root(), &mut disposal).unwrap();
        assert_eq!(fs::read_dir(place.root()).unwrap().count(), 0);
    }
}
