//! What must hold after a crash.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use lanspread_disk::durable::faults::Action;
use lanspread_download::audit::audit;
use lanspread_install::setup;
use lanspread_proto::reserved::{
    BACKUP_DIR, INSTALLING_DIR, LOCAL_DIR, OWNER_MARKER, SENTINEL_DISCARDED, SENTINEL_TMP,
    TRASH_PREFIX, is_reserved_root_name,
};
use lanspread_proto::{ContentHash, Manifest};

use super::peer::Peer;
use super::script::{Course, Script, legacy_files, migrated_files};
use super::world::{
    CrashWorld, DOOM, Download, HERETIC, Local, QUAKE, Tree, bystanders, game_id, read_tree,
};
use crate::{
    Availability, CommandError, DownloadFailure, InstallFailure, PeerEvent, RemoveFailure,
};

/// What is wrong with the content of the disk: everything old or new, nothing half, nothing of the
/// user's touched. `is_done` says that the script was told to have succeeded; `is_unsettled` that an
/// old `local/` may still wait in its backup for the next transaction or start.
pub(super) fn check_content(
    script: Script,
    world: &CrashWorld,
    is_done: bool,
    is_unsettled: bool,
) -> Vec<String> {
    let Course { before, after } = script.course();
    let mut wrong = Vec::new();
    let found = read_tree(&world.root(), |name| !is_reserved_root_name(name));
    let is_downloaded = found.contains_key("version.ini");
    let is_after = |download: Download| is_downloaded && download.tree() == found;
    // Without a sentinel files are those of nobody, and the next download takes what is of use.
    let is_nothing = !is_downloaded && (after.0 == Download::Nothing || !is_done);
    let is_untouched = before.0 == after.0 && before.0 != Download::Nothing;
    let is_known = if is_done || is_untouched {
        is_after(after.0) || is_nothing && !is_untouched
    } else {
        is_after(before.0) || is_after(after.0) || is_nothing
    };
    if !is_known {
        wrong.push(format!("what is downloaded is neither old nor new: {}", sketch(&found)));
    }
    let found = installed(&world.root(), is_unsettled);
    let allowed: &[Local] = if is_done { &[after.1] } else { &[before.1, after.1] };
    if !allowed.iter().any(|local| local.tree() == found) {
        let found = found.as_ref().map(sketch);
        wrong.push(format!("what is installed is not of {allowed:?}: {found:?}"));
    }
    // What was set up was the old installation.
    let is_set_up = setup::is_done(&world.state(), &game_id(QUAKE));
    if is_set_up && before.1.tree() != found {
        wrong.push("what is installed now counts as set up".to_owned());
    }
    wrong.extend(check_bystanders(script, world));
    wrong
}

/// The files in `local/`, or in its backup if that is to come back.
fn installed(root: &Path, is_unsettled: bool) -> Option<Tree> {
    let mark = fs::read(root.join(BACKUP_DIR).join(OWNER_MARKER));
    let local = match root.join(LOCAL_DIR).is_dir() {
        true => LOCAL_DIR,
        false if is_unsettled && mark.is_ok_and(|mark| mark == b"replaced") => BACKUP_DIR,
        false => return None,
    };
    let mut tree = read_tree(&root.join(local), |_| true);
    if is_unsettled {
        tree.remove(OWNER_MARKER);
    }
    Some(tree)
}

/// What keeps the disk from being as it is at the end of a script.
pub(super) fn end_is_reached(script: Script, world: &CrashWorld) -> Vec<String> {
    let (download, local) = script.end();
    let mut wrong = check_bystanders(script, world);
    let found = read_tree(&world.root(), |name| !is_reserved_root_name(name));
    if found != download.tree() {
        wrong.push(format!("in the end what is downloaded is {}", sketch(&found)));
    }
    let found = installed(&world.root(), false);
    if found != local.tree() {
        wrong.push(format!("in the end what is installed is {:?}", found.as_ref().map(sketch)));
    }
    wrong
}

fn check_bystanders(script: Script, world: &CrashWorld) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut found = read_tree(&world.games(), |name| [DOOM, HERETIC].contains(&name));
    if script == Script::Migrate {
        for ((old, bytes), new) in legacy_files().iter().zip(migrated_files()) {
            found.remove(old);
            let places = [world.games().join(old), world.state().join(new)];
            if !places.iter().any(|path| fs::read(path).is_ok_and(|found| found == *bytes)) {
                wrong.push(format!("{old} is in neither of {places:?}"));
            }
        }
    }
    if found != bystanders() {
        wrong.push(format!("something was touched that is nobody's: {}", sketch(&found)));
    }
    wrong
}

/// Which claims of the journal the disk does not bear out.
pub(super) fn check_journal(world: &CrashWorld, manifest: &Arc<Manifest>) -> Vec<String> {
    match audit(&world.root(), &world.state(), &game_id(QUAKE), manifest) {
        Ok(None) => Vec::new(),
        Ok(Some((_, lies))) => lies.into_iter().map(|lie| format!("journal: {lie}")).collect(),
        Err(error) => vec![format!("the journal cannot be read: {error}")],
    }
}

/// What is left of what only an operation needs.
pub(super) fn check_leftovers(world: &CrashWorld) -> Vec<String> {
    let mut wrong = Vec::new();
    let root = world.root();
    let names = [INSTALLING_DIR, BACKUP_DIR, SENTINEL_TMP, SENTINEL_DISCARDED];
    let mut paths: Vec<_> = names.iter().map(|name| root.join(name)).collect();
    paths.push(root.join(LOCAL_DIR).join(OWNER_MARKER));
    let state = world.state().join("games").join(QUAKE);
    paths.push(state.join("install_intent.json"));
    if root.join("version.ini").exists() {
        paths.push(state.join("download.journal"));
    }
    let games = fs::read_dir(world.games()).unwrap().map(|entry| entry.unwrap().path());
    paths.extend(
        games.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(TRASH_PREFIX)),
    );
    for path in paths {
        if fs::symlink_metadata(&path).is_ok() {
            wrong.push(format!("{} is left", path.display()));
        }
    }
    wrong
}

/// Files of the state directory that cannot be read by what reads them.
pub(super) fn check_state(world: &CrashWorld) -> Vec<String> {
    let mut wrong = Vec::new();
    for (path, bytes) in read_tree(&world.state(), |_| true) {
        let is_json = path.ends_with(".json") && !path.contains("legacy");
        if is_json && serde_json::from_slice::<serde_json::Value>(&bytes).is_err() {
            wrong.push(format!("{path} is not JSON"));
        }
    }
    wrong
}

/// Whether the library tells what is on the disk, and hashes what it says it has hashed.
pub(super) async fn check_library(world: &CrashWorld, peer: &mut Peer) -> Vec<String> {
    let mut wrong = Vec::new();
    for id in [QUAKE, HERETIC] {
        let details = peer.hashed_game(id).await;
        let root = world.games().join(id);
        let found = read_tree(&root, |name| !is_reserved_root_name(name));
        let is_current = details.game.version.as_ref() == Some(&details.game.expected_version);
        if details.game.installed != root.join(LOCAL_DIR).is_dir() {
            wrong.push(format!("{id}: installed is {}", details.game.installed));
        }
        if details.game.downloaded != found.contains_key("version.ini") {
            wrong.push(format!("{id}: downloaded is {}", details.game.downloaded));
        }
        let is_ready = details.game.availability == Some(Availability::Ready);
        if is_ready != is_current {
            wrong.push(format!("{id}: {:?}, current: {is_current}", details.game.availability));
        }
        let Some(manifest) = details.manifest.filter(|_| is_current) else { continue };
        let told: BTreeMap<_, _> = manifest
            .files()
            .iter()
            .map(|file| (file.path.to_string(), file.hashes.as_ref().map(|hashes| hashes.file())))
            .collect();
        let real: BTreeMap<_, _> = found
            .iter()
            .filter(|(path, _)| *path != "version.ini")
            .map(|(path, bytes)| (path.clone(), Some(ContentHash::of(bytes))))
            .collect();
        if told != real {
            wrong.push(format!("{id}: the library has {told:?}, the disk {real:?}"));
        }
    }
    wrong
}

/// Whether the peer is still who it said it was, with a library that others do not take for old.
pub(super) async fn check_identity(world: &CrashWorld, peer: &Peer) -> Vec<String> {
    let Ok(told) = fs::read_to_string(world.told()) else { return Vec::new() };
    let (told_id, told_rev) = told.split_once(' ').unwrap();
    let (peer_id, rev) = peer.identity().await;
    let mut wrong = Vec::new();
    if told_id != peer_id.to_string() {
        wrong.push(format!("it was {told_id} and is {peer_id}"));
    }
    if rev < told_rev.parse().unwrap() {
        wrong.push(format!("its library was at {told_rev} and is at {rev}"));
    }
    wrong
}

/// Whether an answer says what is the matter: that the disk is full, or that work was lost.
pub(super) fn is_clear_failure(error: &CommandError, action: Action) -> bool {
    use CommandError as C;
    use DownloadFailure as D;
    use InstallFailure as I;
    use RemoveFailure as R;
    match action {
        Action::Panic => matches!(
            error,
            C::Download(D::Io { .. })
                | C::Install(I::Interrupted | I::Io { .. })
                | C::Remove(R::Interrupted)
        ),
        _ => matches!(
            error,
            C::Download(D::DiskFull { .. })
                | C::Install(I::DiskFull { .. })
                | C::Remove(R::DiskFull { .. } | R::Io { .. })
                // A download that has failed already is not cancelled any more.
                | C::NotDownloading(_)
        ),
    }
}

/// Panics unless what began has ended once, and a failure was told.
pub(super) fn check_events(events: &[PeerEvent], has_failed: bool) {
    let (mut begun, mut ended, mut failed) = (0, 0, 0);
    for event in events {
        match event {
            PeerEvent::DownloadBegin { .. }
            | PeerEvent::InstallBegin { .. }
            | PeerEvent::UninstallBegin { .. }
            | PeerEvent::RemoveBegin { .. } => begun += 1,
            PeerEvent::DownloadFinished { .. }
            | PeerEvent::DownloadCancelled { .. }
            | PeerEvent::InstallFinished { .. }
            | PeerEvent::UninstallFinished { .. }
            | PeerEvent::RemoveFinished { .. } => ended += 1,
            // A download that fails before its files are made has not begun.
            PeerEvent::DownloadFailed { .. } => failed += 1,
            PeerEvent::InstallFailed { .. }
            | PeerEvent::UninstallFailed { .. }
            | PeerEvent::RemoveFailed { .. } => {
                ended += 1;
                failed += 1;
            }
            _ => {}
        }
    }
    assert!((ended..=ended + failed).contains(&begun), "{begun} began, {ended} ended: {events:#?}");
    assert_eq!(has_failed, failed > 0, "{events:#?}");
}

/// Paths and sizes, for a reader.
fn sketch(tree: &Tree) -> String {
    let files: Vec<_> = tree
        .iter()
        .map(|(path, bytes)| {
            let hash = ContentHash::of(bytes).to_string();
            format!("{path} ({} bytes, {})", bytes.len(), hash.get(..8).unwrap_or_default())
        })
        .collect();
    files.join(", ")
}
