//! Installation and uninstallation, step by step.

use std::io;
use std::path::{Path, PathBuf};

use lanspread_archive::{UnpackControl, UnpackError, Unpacker, root_archives};
use lanspread_disk::durable::{self, below};
use lanspread_disk::mark::{OwnerMarker, mark};
use lanspread_disk::root::ensure_root;
use lanspread_disk::{Dir, IoFailure, reserve, state_file};
use lanspread_proto::GameId;
use lanspread_proto::reserved::{BACKUP_DIR, INSTALLING_DIR, LOCAL_DIR};

use crate::decision::{Backup, Found, Installing, Local};
use crate::durability::sync_tree;
use crate::error::InstallFailure;
use crate::install_paths::InstallPaths;
use crate::intent::{self, Intent, intent_path};
use crate::recovery::settle;
use crate::step::{Hook, Step};
use crate::{points, setup};

/// Why a directory stays that carries no mark.
const NOT_OURS: &str = "it was not made by a peer";

/// What an installation needs to know.
pub struct InstallJob<'a> {
    /// The game root, which holds the archives.
    pub root: &'a Path,
    /// Where the intent is kept.
    pub state_dir: &'a Path,
    /// Which game.
    pub game_id: &'a GameId,
    /// What unpacks the archives.
    pub unpacker: &'a dyn Unpacker,
    /// Asked between blocks whether to give up.
    pub cancel: &'a dyn Fn() -> bool,
    /// Told between blocks how many bytes are unpacked; the number never falls.
    pub progress: &'a mut dyn FnMut(u64),
}

/// What an installation brought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InstallSummary {
    /// Files unpacked.
    pub files: u64,
    /// Their bytes together.
    pub bytes: u64,
}

/// Unpacks every archive of the root into a new `local/`, which replaces an old one.
///
/// # Errors
/// [`InstallFailure`]; then everything is as it was before, unless the disk keeps even that from
/// being done, in which case the next start does it.
pub fn install(job: &mut InstallJob<'_>) -> Result<InstallSummary, InstallFailure> {
    install_with(job, &mut |_| Ok(()))
}

/// Removes `local/`, and nothing else.
///
/// # Errors
/// [`InstallFailure`]. A `local/` that is still there is whole. If it is not, the rest of it lies in
/// `.local.backup/` and goes at the next start.
pub fn uninstall(root: &Path, state_dir: &Path, game_id: &GameId) -> Result<(), InstallFailure> {
    uninstall_with(root, state_dir, game_id, &mut |_| Ok(()))
}

fn install_with(
    job: &mut InstallJob<'_>,
    hook: &mut Hook<'_>,
) -> Result<InstallSummary, InstallFailure> {
    let archives = root_archives(job.root).map_err(IoFailure::at("read", job.root))?;
    if archives.is_empty() {
        return Err(InstallFailure::NoArchive(job.game_id.clone()));
    }
    let game = GameContext { root: job.root, state_dir: job.state_dir, game_id: job.game_id };
    let cancel = job.cancel;
    replace_local(game, cancel, &mut |installing| unpack_all(&archives, installing, job), hook)
}

/// The game whose `local/` a transaction replaces.
#[derive(Clone, Copy)]
pub(super) struct GameContext<'a> {
    /// The game root. Made if it is missing, in a directory that is there.
    pub(super) root: &'a Path,
    /// Where the intent is kept.
    pub(super) state_dir: &'a Path,
    /// Which game.
    pub(super) game_id: &'a GameId,
}

/// Puts what fills a directory into it: a new `local/` before it has its name.
pub(super) type Filler<'a, E> = dyn FnMut(&Dir) -> Result<InstallSummary, E> + 'a;

/// Puts a directory with what `fill` brings in the place of `local/`.
pub(super) fn replace_local<E: From<InstallFailure> + From<IoFailure>>(
    game: GameContext<'_>,
    cancel: &dyn Fn() -> bool,
    fill: &mut Filler<'_, E>,
    hook: &mut Hook<'_>,
) -> Result<InstallSummary, E> {
    let GameContext { root, state_dir, game_id } = game;
    let paths = InstallPaths::of(root);
    let found = prepare(&paths, state_dir, game_id, "replace")?;
    if found.installing != Installing::Absent {
        return Err(IoFailure::refused("replace", &paths.installing, NOT_OURS).into());
    }
    let replaces_old = found.local == Local::Plain;
    if replaces_old {
        refuse_mounts(&paths, "replace")?;
    }
    let result = begin(Intent::Install, state_dir, game_id, hook)
        .map_err(E::from)
        .and_then(|()| unpack_and_promote(&paths, game, cancel, fill, replaces_old, hook));
    // After a failure this is the rollback; after a success it puts away the old `local/`.
    match settle(&paths, state_dir, game_id, hook) {
        Ok(_) => {}
        // The game is installed, or the failure is known: the next transaction or start goes on.
        Err(error) => tracing::warn!(%game_id, %error, "installation left something behind"),
    }
    result
}

fn unpack_and_promote<E: From<InstallFailure> + From<IoFailure>>(
    paths: &InstallPaths,
    game: GameContext<'_>,
    cancel: &dyn Fn() -> bool,
    fill: &mut Filler<'_, E>,
    replaces_old: bool,
    hook: &mut Hook<'_>,
) -> Result<InstallSummary, E> {
    let at = &paths.installing;
    let root = hook(Step::CreateInstalling)
        .and_then(|()| ensure_root(&paths.root))
        .and_then(|()| paths.open())
        .map_err(IoFailure::at("create", at))?;
    let installing = below::create_dir(points::INSTALLING_CREATE, &root, INSTALLING_DIR)
        .and_then(|()| root.dir(INSTALLING_DIR))
        .map_err(IoFailure::at("create", at))?;
    hook(Step::MarkInstalling)
        .and_then(|()| mark(&installing, OwnerMarker::Installing))
        .map_err(IoFailure::at("mark", at))?;
    hook(Step::Unpack).map_err(IoFailure::at("unpack into", at))?;
    let summary = fill(&installing)?;
    let synced = hook(Step::Sync).and_then(|()| sync_tree(&installing, cancel));
    if cancel() {
        return Err(InstallFailure::Interrupted.into());
    }
    synced.map_err(IoFailure::at("write", at))?;
    require_in_place(&root, &installing).map_err(IoFailure::at("find", at))?;
    forget_setup(game.state_dir, game.game_id)?;
    if replaces_old {
        put_local_aside(paths, OwnerMarker::Replaced, hook)?;
    }
    hook(Step::Promote)
        .and_then(|()| below::rename(points::PROMOTE, &root, INSTALLING_DIR, LOCAL_DIR))
        .map_err(IoFailure::at("create", &paths.local))?;
    Ok(summary)
}

/// Checks that the name still leads to the directory that was filled.
fn require_in_place(root: &Dir, installing: &Dir) -> io::Result<()> {
    let found = root.look(INSTALLING_DIR)?;
    if found.is_some_and(|found| found.is_dir())
        && found.map(|found| found.id) == installing.look("")?.map(|found| found.id)
    {
        return Ok(());
    }
    Err(io::Error::other("something else took its place"))
}

fn unpack_all(
    archives: &[PathBuf],
    target: &Dir,
    job: &mut InstallJob<'_>,
) -> Result<InstallSummary, InstallFailure> {
    let mut summary = InstallSummary::default();
    for archive in archives {
        durable::reach(points::UNPACK_ARCHIVE, target.path())
            .map_err(IoFailure::at("unpack into", target.path()))?;
        let mut watch =
            Watch { cancel: job.cancel, progress: &mut *job.progress, before: summary.bytes };
        let unpacked = job
            .unpacker
            .unpack(archive, target, &mut watch)
            .map_err(|error| unpack_failure(archive, error))?;
        summary.files += unpacked.files;
        summary.bytes += unpacked.bytes;
    }
    Ok(summary)
}

fn uninstall_with(
    root: &Path,
    state_dir: &Path,
    game_id: &GameId,
    hook: &mut Hook<'_>,
) -> Result<(), InstallFailure> {
    let paths = InstallPaths::of(root);
    let found = prepare(&paths, state_dir, game_id, "remove")?;
    if found.local == Local::Absent {
        return Err(IoFailure::refused("remove", &paths.local, "it is not there").into());
    }
    refuse_mounts(&paths, "remove")?;
    let result = begin(Intent::Uninstall, state_dir, game_id, hook)
        .and_then(|()| forget_setup(state_dir, game_id))
        .and_then(|()| put_local_aside(&paths, OwnerMarker::Removed, hook));
    let settled = settle(&paths, state_dir, game_id, hook);
    result?;
    settled?;
    Ok(())
}

/// Settles what an earlier transaction left, and refuses what this one must not touch.
fn prepare(
    paths: &InstallPaths,
    state_dir: &Path,
    game_id: &GameId,
    action: &'static str,
) -> Result<Found, IoFailure> {
    settle(paths, state_dir, game_id, &mut |_| Ok(()))?;
    let found = paths.look().map_err(IoFailure::at("look at", &paths.root))?;
    match (found.local, found.backup) {
        (Local::Foreign, _) => {
            Err(IoFailure::refused(action, &paths.local, "it is not a directory"))
        }
        (Local::Absent, _) | (_, Backup::Absent) => Ok(found),
        _ => Err(IoFailure::refused("replace", &paths.backup, NOT_OURS)),
    }
}

/// What is mounted at `local/` or below it cannot go with it.
fn refuse_mounts(paths: &InstallPaths, action: &'static str) -> Result<(), IoFailure> {
    paths
        .open()
        .and_then(|root| root.refuse_mounts(LOCAL_DIR, &|_| false))
        .map_err(IoFailure::at(action, &paths.local))
}

fn begin(
    intent: Intent,
    state_dir: &Path,
    game_id: &GameId,
    hook: &mut Hook<'_>,
) -> Result<(), IoFailure> {
    hook(Step::WriteIntent)
        .and_then(|()| match intent {
            Intent::Install => intent::write(state_dir, game_id, intent),
            Intent::Uninstall => {
                reserve::with(state_dir, || intent::write(state_dir, game_id, intent))
            }
        })
        .map_err(IoFailure::at("write", &intent_path(state_dir, game_id)))
}

/// Before `local/` is another one or gone: a setup that was done for this one counts for no other.
fn forget_setup(state_dir: &Path, game_id: &GameId) -> Result<(), IoFailure> {
    setup::forget(state_dir, game_id).map_err(IoFailure::at(
        "forget the setup in",
        &state_file::game_state_dir(state_dir, game_id),
    ))
}

/// Moves `local/` to `.local.backup/`, marked before and durable after.
fn put_local_aside(
    paths: &InstallPaths,
    as_what: OwnerMarker,
    hook: &mut Hook<'_>,
) -> Result<(), IoFailure> {
    let local = &paths.local;
    let root = paths.open().map_err(IoFailure::at("open", &paths.root))?;
    hook(Step::MarkLocal)
        .and_then(|()| mark(&root.dir(LOCAL_DIR)?, as_what))
        .map_err(IoFailure::at("mark", local))?;
    hook(Step::PutLocalAside)
        .and_then(|()| below::rename(points::PUT_ASIDE, &root, LOCAL_DIR, BACKUP_DIR))
        .map_err(IoFailure::at("put aside", local))?;
    hook(Step::SyncAside)
        .and_then(|()| below::sync_dir(points::PUT_ASIDE_SYNC, &root))
        .map_err(IoFailure::at("put aside", local))
}

/// Passes cancellation in and progress over all archives out.
struct Watch<'a> {
    cancel: &'a dyn Fn() -> bool,
    progress: &'a mut dyn FnMut(u64),
    /// Bytes of the archives before this one.
    before: u64,
}

impl UnpackControl for Watch<'_> {
    fn is_cancelled(&mut self) -> bool {
        durable::reach(points::UNPACK_BLOCK, Path::new("")).is_err() || (self.cancel)()
    }

    fn on_progress(&mut self, unpacked_bytes: u64) {
        (self.progress)(self.before.saturating_add(unpacked_bytes));
    }
}

fn unpack_failure(archive: &Path, error: UnpackError) -> InstallFailure {
    let path = archive.to_path_buf();
    match error {
        UnpackError::Cancelled => InstallFailure::Interrupted,
        UnpackError::PasswordProtected { archive } => {
            InstallFailure::PasswordProtected { path: archive }
        }
        UnpackError::UnsafeEntry { .. } => {
            InstallFailure::UnsafeArchive { path, reason: error.to_string() }
        }
        UnpackError::NamesClash { target, first, second } => names_clash(target, &first, &second),
        UnpackError::MissingVolume { volume, .. } => InstallFailure::MissingVolume { path, volume },
        UnpackError::Io { operation, path, source } => {
            IoFailure::new(operation, path, source).into()
        }
        UnpackError::TooManyEntries { .. } | UnpackError::Unsupported { .. } => {
            InstallFailure::UnsupportedArchive { reason: error.to_string() }
        }
        UnpackError::Damaged { .. }
        | UnpackError::NotFirstVolume { .. }
        | UnpackError::UnknownFormat { .. }
        | UnpackError::External { .. } => {
            InstallFailure::BadArchive { path, reason: error.to_string() }
        }
    }
}

/// Two names of an archive that the disk takes for one.
pub(super) fn names_clash(path: PathBuf, first: &Path, second: &Path) -> InstallFailure {
    let text = |path: &Path| path.display().to_string();
    InstallFailure::NamesClash { path, first: text(first), second: text(second) }
}

#[cfg(test)]
mod tests;
