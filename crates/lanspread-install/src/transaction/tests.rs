use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use lanspread_archive::{FixtureUnpacker, UnpackSummary};
use lanspread_disk::testing::{
    make_link, may_mount, mount_disk, set_mode, unmount, without_privileges,
};
use lanspread_disk::trash::Trash;
use lanspread_fixture::FixtureWriter;
use tempfile::TempDir;

use super::*;
use crate::error::StreamFailure;
use crate::recovery::{recover, recover_all};
use crate::streamed;

const OLD: [(&str, &str); 3] = [("game.exe", "old"), ("only/in/old", "x"), ("save.dat", "mine")];
const NEW: [(&str, &str); 3] = [("game.exe", "new"), ("only/in/new", "yy"), ("two.dat", "zzz")];

type Tree = BTreeMap<String, String>;

fn tree(files: &[(&str, &str)]) -> Tree {
    files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
}

/// A game with two archives that unpack to [`NEW`].
struct Game {
    games: TempDir,
    state: TempDir,
    id: GameId,
}

impl Game {
    fn new(old: Option<&[(&str, &str)]>) -> Self {
        let game = Self {
            games: tempfile::tempdir().unwrap(),
            state: tempfile::tempdir().unwrap(),
            id: "quake".parse().unwrap(),
        };
        fs::create_dir(game.root()).unwrap();
        let (first, second) = NEW.split_at(1);
        game.add_archive("a.eti", first);
        game.add_archive("b.eti", second);
        for (path, text) in old.unwrap_or_default() {
            game.write(&format!("local/{path}"), text);
        }
        game
    }

    fn root(&self) -> PathBuf {
        self.games.path().join("quake")
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn add_archive(&self, name: &str, files: &[(&str, &str)]) {
        let mut writer = FixtureWriter::new(File::create(self.root().join(name)).unwrap()).unwrap();
        for (path, text) in files {
            let size = text.len() as u64;
            writer.add_file(&path.parse().unwrap(), size, false, text.as_bytes()).unwrap();
        }
        writer.finish().unwrap();
    }

    fn install_with(
        &self,
        unpacker: &dyn Unpacker,
        hook: &mut Hook<'_>,
    ) -> Result<InstallSummary, InstallFailure> {
        let root = self.root();
        let mut job = InstallJob {
            root: &root,
            state_dir: self.state.path(),
            game_id: &self.id,
            unpacker,
            cancel: &|| false,
            progress: &mut |_| {},
        };
        super::install_with(&mut job, hook)
    }

    fn install(&self) -> Result<InstallSummary, InstallFailure> {
        self.install_with(&FixtureUnpacker, &mut |_| Ok(()))
    }

    fn uninstall(&self) -> Result<(), InstallFailure> {
        uninstall(&self.root(), self.state.path(), &self.id)
    }

    fn recover(&self) {
        recover(&self.root(), self.state.path(), &self.id).unwrap();
    }

    fn local(&self) -> Option<Tree> {
        let local = self.root().join("local");
        local.exists().then(|| {
            let mut files = Tree::new();
            collect(&local, "", &mut files);
            files
        })
    }

    /// Everything but `local/` and the archives, on the disk and in the state directory.
    fn leftovers(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.root())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "local" && !name.ends_with(".eti"))
            .collect();
        let mut state = Tree::new();
        collect(self.state.path(), "", &mut state);
        names.extend(state.into_keys());
        names
    }

    fn assert_settled(&self, expected: Option<&[(&str, &str)]>, what: &str) {
        assert_eq!(self.local(), expected.map(tree), "{what}");
        assert_eq!(self.leftovers(), Vec::<String>::new(), "{what}");
    }
}

fn collect(directory: &Path, prefix: &str, files: &mut Tree) {
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            collect(&entry.path(), &format!("{path}/"), files);
        } else {
            files.insert(path, fs::read_to_string(entry.path()).unwrap());
        }
    }
}

/// What a kill unwinds with, so that it is told from a panic.
struct Killed;

/// Runs `body` as far as it comes before the process is as good as killed: nothing that unwinds
/// has a destructor which touches the disk.
fn until_killed<T>(body: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(ended) => Some(ended),
        Err(payload) if payload.is::<Killed>() => None,
        Err(payload) => resume_unwind(payload),
    }
}

fn kill() -> ! {
    resume_unwind(Box::new(Killed))
}

/// A hook that lets `steps` steps pass, and what it does at the next one.
fn fault_after(
    steps: usize,
    mut fault: impl FnMut(Step) -> io::Result<()>,
) -> impl FnMut(Step) -> io::Result<()> {
    let mut seen = 0;
    move |step| {
        seen += 1;
        if seen == steps + 1 { fault(step) } else { Ok(()) }
    }
}

#[test]
fn an_installation_brings_every_archive_and_leaves_nothing_else() {
    let game = Game::new(None);
    let seen = RefCell::new(Vec::new());
    let root = game.root();
    let mut job = InstallJob {
        root: &root,
        state_dir: game.state.path(),
        game_id: &game.id,
        unpacker: &FixtureUnpacker,
        cancel: &|| false,
        progress: &mut |bytes| seen.borrow_mut().push(bytes),
    };
    let summary = install(&mut job).unwrap();
    assert_eq!(summary, InstallSummary { files: 3, bytes: 8 });
    assert!(seen.borrow().is_sorted());
    assert_eq!(seen.borrow().last(), Some(&8));
    game.assert_settled(Some(&NEW), "installed");
    game.uninstall().unwrap();
    game.assert_settled(None, "uninstalled");
    game.install().unwrap();
    game.assert_settled(Some(&NEW), "installed again");
}

#[test]
fn a_new_installation_replaces_the_old_one_whole() {
    let game = Game::new(Some(&OLD));
    game.install().unwrap();
    game.assert_settled(Some(&NEW), "replaced");
}

/// What a transaction does to a game, and the two states it may leave.
struct Case {
    name: &'static str,
    run: fn(&Game, &mut Hook<'_>) -> Result<(), InstallFailure>,
    old: Option<&'static [(&'static str, &'static str)]>,
    new: Option<&'static [(&'static str, &'static str)]>,
}

fn run_install(game: &Game, hook: &mut Hook<'_>) -> Result<(), InstallFailure> {
    game.install_with(&FixtureUnpacker, hook).map(|_| ())
}

fn run_uninstall(game: &Game, hook: &mut Hook<'_>) -> Result<(), InstallFailure> {
    uninstall_with(&game.root(), game.state.path(), &game.id, hook)
}

fn run_streamed(game: &Game, hook: &mut Hook<'_>) -> Result<(), InstallFailure> {
    match streamed::testing::receive(&game.root(), game.state.path(), &game.id, &NEW, hook) {
        Ok(_) => Ok(()),
        Err(StreamFailure::Install(failure)) => Err(failure),
        Err(other) => panic!("{other}"),
    }
}

const CASES: [Case; 5] = [
    Case { name: "streamed", run: run_streamed, old: None, new: Some(&NEW) },
    Case { name: "streamed replace", run: run_streamed, old: Some(&OLD), new: Some(&NEW) },
    Case { name: "install", run: run_install, old: None, new: Some(&NEW) },
    Case { name: "replace", run: run_install, old: Some(&OLD), new: Some(&NEW) },
    Case { name: "uninstall", run: run_uninstall, old: Some(&OLD), new: None },
];

#[test]
fn a_kill_before_any_step_leaves_old_or_new_after_recovery() {
    for case in CASES {
        let mut outcomes = Vec::new();
        for steps in 0.. {
            let game = Game::new(case.old);
            let killed_at = Cell::new(None);
            let mut hook = fault_after(steps, |step| {
                killed_at.set(Some(step));
                kill()
            });
            let ended = until_killed(|| (case.run)(&game, &mut hook));
            let what = format!("{} killed before step {steps}, {:?}", case.name, killed_at.get());
            game.recover();
            let is_new = game.local() == case.new.map(tree);
            game.assert_settled(if is_new { case.new } else { case.old }, &what);
            outcomes.push(is_new);
            if ended.is_some() {
                break;
            }
        }
        assert!(outcomes.is_sorted(), "{}: new, then old again: {outcomes:?}", case.name);
        assert_eq!((outcomes[0], outcomes.last()), (false, Some(&true)), "{}", case.name);
        assert!(outcomes.len() > 5, "{}", case.name);
    }
}

#[test]
fn a_kill_during_recovery_is_recovered_from_as_well() {
    for case in CASES {
        for steps in 3.. {
            let mut all_steps_passed = false;
            for recovery_steps in 0..8 {
                let game = Game::new(case.old);
                let ended = until_killed(|| (case.run)(&game, &mut fault_after(steps, |_| kill())));
                all_steps_passed = ended.is_some();
                let mut hook = fault_after(recovery_steps, |_| kill());
                let paths = InstallPaths::of(&game.root());
                until_killed(|| settle(&paths, game.state.path(), &game.id, &mut hook));
                game.recover();
                let is_new = game.local() == case.new.map(tree);
                let what = format!("{} killed at {steps} and {recovery_steps}", case.name);
                game.assert_settled(if is_new { case.new } else { case.old }, &what);
            }
            if all_steps_passed {
                break;
            }
        }
    }
}

#[test]
fn a_failing_step_is_rolled_back_at_once() {
    for case in CASES {
        for steps in 0.. {
            let game = Game::new(case.old);
            let failed_at = Cell::new(None);
            let mut hook = fault_after(steps, |step| {
                failed_at.set(Some(step));
                Err(io::ErrorKind::StorageFull.into())
            });
            let result = (case.run)(&game, &mut hook);
            let what = format!("{} failed at step {steps}, {:?}", case.name, failed_at.get());
            match failed_at.get() {
                None => {
                    assert_eq!(result, Ok(()), "{what}");
                    break;
                }
                // What only clears away is made up for by the next recovery.
                Some(Step::Settle) => game.recover(),
                // The old one is out of the way for good, whether or not that was durable.
                Some(Step::SyncAside) if case.name == "uninstall" => {
                    game.assert_settled(case.new, &what);
                    continue;
                }
                Some(_) => {
                    assert!(matches!(result, Err(InstallFailure::DiskFull { .. })), "{what}");
                    game.assert_settled(case.old, &what);
                    continue;
                }
            }
            game.assert_settled(case.new, &what);
        }
    }
}

#[test]
fn what_follows_a_failed_cleaning_up_cleans_up_first() {
    let game = Game::new(Some(&OLD));
    let mut hook = |step| match step {
        Step::Settle => Err(io::ErrorKind::PermissionDenied.into()),
        _ => Ok(()),
    };
    game.install_with(&FixtureUnpacker, &mut hook).unwrap();
    assert_eq!(game.leftovers().len(), 2);
    game.uninstall().unwrap();
    game.assert_settled(None, "uninstalled");
}

/// Writes something, then ends in its own way.
struct Interrupting<F>(F);

impl<F: Fn(&Path) -> UnpackError + Send + Sync> Unpacker for Interrupting<F> {
    fn unpack(
        &self,
        archive: &Path,
        target: &Dir,
        _control: &mut dyn UnpackControl,
    ) -> Result<UnpackSummary, UnpackError> {
        fs::create_dir_all(target.at("half/way")).unwrap();
        fs::write(target.at("half/way/file"), "h").unwrap();
        Err((self.0)(archive))
    }
}

#[test]
fn a_kill_or_an_error_while_unpacking_leaves_the_old_installation() {
    let game = Game::new(Some(&OLD));
    let killing = Interrupting(|_: &Path| kill());
    assert!(until_killed(|| game.install_with(&killing, &mut |_| Ok(()))).is_none());
    assert_ne!(game.leftovers(), Vec::<String>::new());
    let mut trash = Trash::of(game.games.path());
    recover_all(game.games.path(), game.state.path(), &mut trash).unwrap();
    game.assert_settled(Some(&OLD), "killed while unpacking");

    let io_error = |kind: io::ErrorKind| {
        move |path: &Path| {
            let path = path.to_path_buf();
            UnpackError::Io { operation: "write", path, source: kind.into() }
        }
    };
    let full = Interrupting(io_error(io::ErrorKind::StorageFull));
    let failure = game.install_with(&full, &mut |_| Ok(())).unwrap_err();
    assert_eq!(failure, InstallFailure::DiskFull { path: game.root().join("a.eti") });
    game.assert_settled(Some(&OLD), "disk full");

    let denied = Interrupting(io_error(io::ErrorKind::PermissionDenied));
    let failure = game.install_with(&denied, &mut |_| Ok(())).unwrap_err();
    assert!(
        matches!(&failure, InstallFailure::Io(failure) if failure.action == "write"),
        "{failure:?}"
    );
    game.assert_settled(Some(&OLD), "permission denied");
}

#[test]
fn each_way_an_archive_can_be_bad_has_its_failure() {
    let game = Game::new(Some(&OLD));
    let fail = |error: fn(PathBuf) -> UnpackError| {
        let unpacker = Interrupting(move |archive: &Path| error(archive.to_path_buf()));
        let failure = game.install_with(&unpacker, &mut |_| Ok(())).unwrap_err();
        game.assert_settled(Some(&OLD), "bad archive");
        failure
    };
    let path = game.root().join("a.eti");
    let failure = fail(|archive| UnpackError::PasswordProtected { archive });
    assert_eq!(failure, InstallFailure::PasswordProtected { path: path.clone() });
    let volume = game.root().join("a.part2.eti");
    let failure = fail(|archive| UnpackError::MissingVolume {
        volume: archive.with_file_name("a.part2.eti"),
        archive,
    });
    assert_eq!(failure, InstallFailure::MissingVolume { path: path.clone(), volume });
    let failure = fail(|archive| UnpackError::UnknownFormat { archive });
    assert!(matches!(failure, InstallFailure::BadArchive { path: p, .. } if p == path));
    const REASON: &str = "needs a dictionary of 4 GiB, more than 1 GiB (--max-dictionary)";
    let failure = fail(|archive| UnpackError::Unsupported { archive, reason: REASON.to_owned() });
    let message = format!("archive {} {REASON}", path.display());
    assert_eq!(failure, InstallFailure::UnsupportedArchive { reason: message });
    let failure = fail(|archive| UnpackError::TooManyEntries { archive, limit: 9 });
    assert!(matches!(failure, InstallFailure::UnsupportedArchive { .. }), "{failure}");
    let failure = fail(|_| UnpackError::UnsafeEntry {
        entry: "../up".to_owned(),
        reason: lanspread_archive::UnsafeReason::SpecialFile,
    });
    assert!(matches!(failure, InstallFailure::UnsafeArchive { path: p, .. } if p == path));
    assert_eq!(fail(|_| UnpackError::Cancelled), InstallFailure::Interrupted);
}

#[test]
fn the_same_file_in_two_archives_is_refused() {
    let game = Game::new(Some(&OLD));
    game.add_archive("c.eti", &[("game.exe", "again")]);
    assert!(game.install().is_err());
    game.assert_settled(Some(&OLD), "conflict");
}

#[test]
fn cancelling_after_the_last_block_still_rolls_back() {
    let game = Game::new(Some(&OLD));
    let root = game.root();
    let unpacked = Cell::new(0);
    let mut progress = |bytes| unpacked.set(bytes);
    let mut job = InstallJob {
        root: &root,
        state_dir: game.state.path(),
        game_id: &game.id,
        unpacker: &FixtureUnpacker,
        cancel: &|| unpacked.get() == 8,
        progress: &mut progress,
    };
    assert_eq!(install(&mut job), Err(InstallFailure::Interrupted));
    game.assert_settled(Some(&OLD), "cancelled");
}

#[test]
fn a_root_without_archives_has_nothing_to_install() {
    let game = Game::new(None);
    for name in ["a.eti", "b.eti"] {
        fs::remove_file(game.root().join(name)).unwrap();
    }
    assert_eq!(game.install(), Err(InstallFailure::NoArchive(game.id.clone())));
    game.assert_settled(None, "no archive");
}

#[test]
fn what_no_peer_made_is_refused_and_stays() {
    for name in [".local.installing", ".local.backup"] {
        let game = Game::new(Some(&OLD));
        game.write(&format!("{name}/theirs"), "kept");
        let failure = game.install().unwrap_err();
        assert!(failure.to_string().contains("was not made by a peer"), "{failure}");
        assert_eq!(game.leftovers(), [name]);
        assert_eq!(game.local(), Some(tree(&OLD)));
    }
    let game = Game::new(None);
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("theirs"), "kept").unwrap();
    make_link(outside.path(), game.root().join("local"));
    for failure in [game.install().unwrap_err(), game.uninstall().unwrap_err()] {
        assert!(failure.to_string().ends_with("it is not a directory"), "{failure}");
    }
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
    assert!(game.root().join("local").is_symlink());
}

#[test]
fn uninstalling_what_is_not_there_is_an_error() {
    let game = Game::new(None);
    assert!(game.uninstall().is_err());
    game.assert_settled(None, "nothing to uninstall");
}

#[test]
fn a_backup_that_is_half_deleted_never_comes_back() {
    let game = Game::new(Some(&NEW));
    game.write(".local.backup/game.exe", "half of the old one");
    game.write(".local.backup/.lanspread_owned", "replaced");
    game.recover();
    game.assert_settled(Some(&NEW), "replaced");

    let game = Game::new(None);
    game.write(".local.backup/game.exe", "half of the old one");
    game.write(".local.backup/.lanspread_owned", "removed");
    game.recover();
    game.assert_settled(None, "uninstalled");

    // The crash came between the mark and the directory.
    let game = Game::new(Some(&NEW));
    fs::create_dir(game.root().join(".local.backup")).unwrap();
    intent::write(game.state.path(), &game.id, Intent::Install).unwrap();
    game.recover();
    game.assert_settled(Some(&NEW), "replaced");
}

/// Makes a directory as `cp -r` leaves it that copies from a mounted disc.
fn lock(path: &Path) {
    fs::create_dir_all(path).unwrap();
    fs::write(path.join("x"), "").unwrap();
    set_mode(path, 0o555);
}

#[test]
fn a_directory_that_may_not_be_written_to_is_no_obstacle() {
    without_privileges();
    let game = Game::new(Some(&OLD));
    lock(&game.root().join("local/cd"));
    set_mode(game.root().join("local"), 0o555);
    game.uninstall().unwrap();
    game.assert_settled(None, "uninstalled");
    game.install().unwrap();
    lock(&game.root().join("local/cd/deep"));
    lock(&game.root().join("local/cd"));
    game.install().unwrap();
    game.assert_settled(Some(&NEW), "installed over it");
    // The root itself was copied from a disc.
    set_mode(game.root(), 0o555);
    game.uninstall().unwrap();
    game.assert_settled(None, "uninstalled from a locked root");
}

#[test]
fn what_a_removal_left_half_way_is_mended_by_the_next_command() {
    without_privileges();
    let backup = |game: &Game| {
        lock(&game.root().join(BACKUP_DIR).join("cd"));
        fs::write(game.root().join(BACKUP_DIR).join(".lanspread_owned"), "removed").unwrap();
    };
    let game = Game::new(None);
    backup(&game);
    game.install().unwrap();
    game.assert_settled(Some(&NEW), "installed");
    backup(&game);
    game.uninstall().unwrap();
    game.assert_settled(None, "uninstalled");
    backup(&game);
    game.recover();
    game.assert_settled(None, "started");
}

/// Unpacks, and then something else takes the place of the directory with what was unpacked.
struct Swapping {
    outside: PathBuf,
}

impl Unpacker for Swapping {
    fn unpack(
        &self,
        archive: &Path,
        target: &Dir,
        control: &mut dyn UnpackControl,
    ) -> Result<UnpackSummary, UnpackError> {
        let half = archive.with_extension("half");
        if !half.exists() {
            fs::rename(target.path(), &half).unwrap();
            make_link(&self.outside, target.path());
        }
        FixtureUnpacker.unpack(archive, target, control)
    }
}

#[test]
fn a_link_that_takes_the_place_of_an_installation_is_not_followed() {
    let game = Game::new(Some(&OLD));
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join(".lanspread_owned"), "installing").unwrap();
    fs::write(outside.path().join("precious"), "theirs").unwrap();
    let swapping = Swapping { outside: outside.path().to_path_buf() };
    game.install_with(&swapping, &mut |_| Ok(())).unwrap_err();
    assert_eq!(game.local(), Some(tree(&OLD)));
    assert!(!fs::symlink_metadata(game.root().join("local")).unwrap().is_symlink());
    let mut left: Vec<_> =
        fs::read_dir(outside.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, [".lanspread_owned", "precious"]);
}

#[test]
fn what_is_mounted_in_an_installation_is_refused_before_anything_is_touched() {
    if !may_mount() {
        return;
    }
    for below in ["saves", ""] {
        let game = Game::new(Some(&OLD));
        let mount = game.root().join("local").join(below);
        mount_disk(&mount, None);
        let save = mount.join("save.dat");
        fs::write(&save, "mine").unwrap();
        let before = game.local();
        let said = "something is mounted at";
        for outcome in [game.uninstall(), game.install().map(drop)] {
            let Err(InstallFailure::Io(failure)) = outcome else {
                panic!("{outcome:?}");
            };
            let reason = failure.source.to_string();
            assert!(reason.contains(said) && !reason.contains("backup"), "{reason}");
            assert!(save.is_file());
            assert_eq!(game.local(), before);
            assert_eq!(game.leftovers(), Vec::<String>::new());
        }
    }
}

#[test]
fn what_was_mounted_in_an_old_installation_keeps_it_until_it_is_unmounted() {
    if !may_mount() {
        return;
    }
    let game = Game::new(None);
    let saves = game.root().join(".local.backup/saves");
    fs::create_dir_all(&saves).unwrap();
    mark(&Dir::open(&game.root().join(".local.backup")).unwrap(), OwnerMarker::Removed).unwrap();
    mount_disk(&saves, None);
    fs::write(saves.join("save.dat"), "mine").unwrap();
    let Err(InstallFailure::Io(failure)) = game.install() else { panic!("it went") };
    assert!(failure.source.to_string().contains("something is mounted at"), "{failure}");
    assert!(saves.join("save.dat").is_file());
    unmount(&saves);
    game.install().unwrap();
    game.assert_settled(Some(&NEW), "after it was unmounted");
}

#[test]
fn an_installation_can_be_removed_from_a_full_disk() {
    if !may_mount() {
        return;
    }
    let disk = tempfile::tempdir().unwrap();
    mount_disk(disk.path(), Some(c"size=1m"));
    let (root, id) = (disk.path().join("games/quake"), "quake".parse().unwrap());
    let state = disk.path().join("state");
    fs::create_dir_all(root.join("local")).unwrap();
    fs::create_dir(&state).unwrap();
    lanspread_disk::reserve::keep(&state);
    let mut file = File::create(root.join("local/save.dat")).unwrap();
    while io::Write::write_all(&mut file, &[1; 4096]).is_ok() {}
    uninstall(&root, &state, &id).unwrap();
    assert_eq!(fs::read_dir(&root).unwrap().count(), 0);
    assert!(!state.join("reserve").exists());
    // The state directory has room, and the disk of the games has none.
    fs::create_dir(root.join("local")).unwrap();
    let mut file = File::create(root.join("local/save.dat")).unwrap();
    while io::Write::write_all(&mut file, &[1; 4096]).is_ok() {}
    let elsewhere = tempfile::tempdir().unwrap();
    uninstall(&root, elsewhere.path(), &id).unwrap();
    assert_eq!(fs::read_dir(&root).unwrap().count(), 0);
}
