//! What a victim does until it is killed.

use std::fs;
use std::net::SocketAddr;

use lanspread_disk::Point;
use lanspread_disk::durable::faults;
use lanspread_disk::state_file::game_state_dir;

use super::peer::Peer;
use super::world::{CrashWorld, Download, HERETIC, Local, QUAKE, Tree, game_id, write_tree};
use crate::{CommandError, PeerCommand};

/// One thing that a peer does to its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Script {
    FirstStart,
    Migrate,
    BrokenState,
    Download,
    Checkpoint,
    Resume,
    Cancel,
    CancelBesideLocal,
    CancelTooLate,
    Remove,
    RemovePartial,
    Install,
    Uninstall,
    Update,
    UpdateAndInstall,
    RecoverUnpacking,
    RecoverPutAside,
    RecoverPromoted,
    RecoverEmpty,
    RecoverUninstall,
    RecoverCommit,
    RecoverCancel,
    RecoverWholeCancel,
}

/// How the disk is before a script and how it is after it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Course {
    pub(super) before: (Download, Local),
    pub(super) after: (Download, Local),
}

impl Script {
    pub(super) const ALL: [Self; 23] = [
        Self::FirstStart,
        Self::Migrate,
        Self::BrokenState,
        Self::Download,
        Self::Checkpoint,
        Self::Resume,
        Self::Cancel,
        Self::CancelBesideLocal,
        Self::CancelTooLate,
        Self::Remove,
        Self::RemovePartial,
        Self::Install,
        Self::Uninstall,
        Self::Update,
        Self::UpdateAndInstall,
        Self::RecoverUnpacking,
        Self::RecoverPutAside,
        Self::RecoverPromoted,
        Self::RecoverEmpty,
        Self::RecoverUninstall,
        Self::RecoverCommit,
        Self::RecoverCancel,
        Self::RecoverWholeCancel,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::FirstStart => "first-start",
            Self::Migrate => "migrate",
            Self::BrokenState => "broken-state",
            Self::Download => "download",
            Self::Checkpoint => "checkpoint",
            Self::Resume => "resume",
            Self::Cancel => "cancel",
            Self::CancelBesideLocal => "cancel-beside-local",
            Self::CancelTooLate => "cancel-too-late",
            Self::Remove => "remove",
            Self::RemovePartial => "remove-partial",
            Self::Install => "install",
            Self::Uninstall => "uninstall",
            Self::Update => "update",
            Self::UpdateAndInstall => "update-and-install",
            Self::RecoverUnpacking => "recover-unpacking",
            Self::RecoverPutAside => "recover-put-aside",
            Self::RecoverPromoted => "recover-promoted",
            Self::RecoverEmpty => "recover-empty",
            Self::RecoverUninstall => "recover-uninstall",
            Self::RecoverCommit => "recover-commit",
            Self::RecoverCancel => "recover-cancel",
            Self::RecoverWholeCancel => "recover-whole-cancel",
        }
    }

    /// What is done and where it is killed before this script, which begins with what that left.
    pub(super) fn prelude(self) -> Option<(Self, Point)> {
        match self {
            Self::Resume | Self::RemovePartial => {
                Some((Self::Checkpoint, lanspread_download::points::COMMIT_FILE_SYNC))
            }
            Self::RecoverUnpacking => {
                Some((Self::UpdateAndInstall, lanspread_install::points::UNPACKED_FILE_SYNC))
            }
            Self::RecoverPutAside => {
                Some((Self::UpdateAndInstall, lanspread_install::points::PROMOTE))
            }
            Self::RecoverPromoted => {
                Some((Self::UpdateAndInstall, lanspread_install::points::SETTLE_SYNC))
            }
            Self::RecoverEmpty => Some((Self::Install, lanspread_disk::points::MARK_WRITE)),
            Self::RecoverUninstall => {
                Some((Self::Uninstall, lanspread_install::points::PUT_ASIDE_SYNC))
            }
            Self::RecoverCommit => {
                Some((Self::Update, lanspread_download::points::SENTINEL_RENAME))
            }
            Self::RecoverCancel => {
                Some((Self::CancelBesideLocal, lanspread_download::points::DISCARD_ENTRY))
            }
            Self::RecoverWholeCancel => {
                Some((Self::Cancel, lanspread_download::points::DISCARD_ENTRY))
            }
            _ => None,
        }
    }

    pub(super) fn course(self) -> Course {
        use {Download as D, Local as L};
        let course = |before, after| Course { before, after };
        match self {
            Self::FirstStart => course((D::Nothing, L::Absent), (D::Nothing, L::Absent)),
            Self::Migrate | Self::BrokenState => course((D::New, L::Old), (D::New, L::Old)),
            Self::Download | Self::Checkpoint | Self::Resume | Self::CancelTooLate => {
                course((D::Nothing, L::Absent), (D::New, L::Absent))
            }
            Self::Cancel | Self::RemovePartial | Self::RecoverWholeCancel => {
                course((D::Nothing, L::Absent), (D::Nothing, L::Absent))
            }
            Self::CancelBesideLocal | Self::RecoverCancel => {
                course((D::Old, L::Old), (D::Nothing, L::Old))
            }
            Self::Remove => course((D::New, L::Absent), (D::Nothing, L::Absent)),
            Self::Install | Self::RecoverEmpty => course((D::New, L::Absent), (D::New, L::New)),
            Self::Uninstall | Self::RecoverUninstall => {
                course((D::New, L::Old), (D::New, L::Absent))
            }
            Self::Update | Self::RecoverCommit => course((D::Old, L::Old), (D::New, L::Old)),
            Self::UpdateAndInstall
            | Self::RecoverUnpacking
            | Self::RecoverPutAside
            | Self::RecoverPromoted => course((D::Old, L::Old), (D::New, L::New)),
        }
    }

    /// Lays out the disk. A script with a prelude finds it as that left it.
    pub(super) fn prepare(self, world: &CrashWorld) {
        let Course { before: (download, local), .. } = self.course();
        world.prepare(download, local);
        if self != Self::FirstStart {
            world.make_identity();
        }
        match self {
            Self::Migrate => {
                write_tree(&world.games(), &legacy_files());
                let index = r#"{"format":2,"library_rev":7,"libraries":[]}"#;
                fs::write(world.state().join("library_index.json"), index).unwrap();
            }
            Self::BrokenState => {
                fs::write(world.state().join("library_index.bin"), "{\"library_rev\":7,").unwrap();
                let state = game_state_dir(&world.state(), &game_id(QUAKE));
                fs::create_dir_all(&state).unwrap();
                fs::write(state.join("install_intent.json"), "no intent").unwrap();
            }
            _ => {}
        }
    }

    /// Whether it needs somebody who serves the game.
    pub(super) fn needs_source(self) -> bool {
        let Course { before, after } = self.course();
        before.0 != after.0 && after.0 == Download::New
            || matches!(self, Self::Cancel | Self::CancelBesideLocal)
    }

    /// Does it. The peer has been started, which is all of it for some.
    pub(super) async fn act(self, peer: &mut Peer) -> Result<(), CommandError> {
        match self {
            // Its index is saved once more when it knows what it has.
            Self::FirstStart => {
                peer.hashed_game(HERETIC).await;
                Ok(())
            }
            Self::Migrate | Self::BrokenState | Self::RecoverEmpty | Self::RecoverCommit => Ok(()),
            Self::RecoverUnpacking
            | Self::RecoverPutAside
            | Self::RecoverPromoted
            | Self::RecoverUninstall
            | Self::RecoverCancel
            | Self::RecoverWholeCancel => {
                peer.wait_until_trash_is_gone(faults::happened).await;
                Ok(())
            }
            Self::Download | Self::Resume => peer.download().await,
            Self::Checkpoint => download_with_checkpoint(peer).await,
            Self::Cancel | Self::CancelBesideLocal => cancel(peer, self == Self::Cancel).await,
            Self::CancelTooLate => cancel_too_late(peer).await,
            Self::Remove | Self::RemovePartial => peer.remove().await,
            Self::Install => peer.install().await,
            Self::Uninstall => peer.uninstall().await,
            Self::Update => peer.update(false).await,
            Self::UpdateAndInstall => peer.update(true).await,
        }
    }

    /// Whether to have done it is to be where the course ends: not so for what only recovers.
    pub(super) fn reaches_end(self) -> bool {
        self.name().strip_prefix("recover").is_none()
    }

    /// Brings what a crash left of it to the end of its course, with what a user would do.
    pub(super) async fn go_on(self, peer: &Peer) -> Result<(), CommandError> {
        if self == Self::FirstStart {
            return Ok(());
        }
        let Course { after, .. } = self.course();
        let game = peer.game(QUAKE).await.game;
        if self == Self::RemovePartial && game.partial_bytes.is_some() {
            return peer.remove().await;
        }
        let is_current = game.version.as_ref() == Some(&game.expected_version);
        match after.0 {
            Download::New if is_current => {}
            Download::New if game.downloaded => peer.update(false).await?,
            Download::New => peer.download().await?,
            // What a crash left of a game that was to go is removed by fetching it once more. An
            // installation keeps it from being removed, and then it stays as it was left.
            _ => {
                if !is_current {
                    peer.update(false).await?;
                }
                if after.1 == Local::Absent {
                    peer.remove().await?;
                }
            }
        }
        match after.1 {
            Local::New if self == Self::Install || self == Self::RecoverEmpty => {
                if !game.installed {
                    peer.install().await?;
                }
            }
            Local::New => {
                if game.installed {
                    peer.uninstall().await?;
                }
                peer.install().await?;
            }
            Local::Absent if game.installed => peer.uninstall().await?,
            Local::Absent | Local::Old => {}
        }
        Ok(())
    }

    /// How the disk is after [`Self::go_on`].
    pub(super) fn end(self) -> (Download, Local) {
        match self.course().after {
            (Download::Nothing, Local::Old) => (Download::New, Local::Old),
            after => after,
        }
    }
}

/// What versions before the state directory left, below the games directory.
pub(super) fn legacy_files() -> Tree {
    [
        (".lanspread/index.json".to_owned(), b"an old index".to_vec()),
        (format!("{QUAKE}/.lanspread.json"), b"an old game".to_vec()),
        (format!("{HERETIC}/local/.softlan_first_start_done"), b"done".to_vec()),
    ]
    .into()
}

/// Where they go, below the state directory, in the order of their old paths.
pub(super) fn migrated_files() -> [String; 3] {
    [
        "legacy_index.json".to_owned(),
        format!("games/{HERETIC}/setup_done"),
        format!("games/{QUAKE}/legacy.json"),
    ]
}

/// Connects to the source, where there is one.
pub(super) async fn connect(script: Script, peer: &Peer, source: SocketAddr) {
    if script.needs_source() {
        peer.connect(source).await;
    }
}

/// A download that lasts until its journal has had its first entries.
async fn download_with_checkpoint(peer: &Peer) -> Result<(), CommandError> {
    // The last file of a piece: the other piece is written, and has to be synced before it is entered.
    faults::hold_file(lanspread_download::points::CHUNK_WRITE, "second.eti");
    let until_entered = tokio::task::spawn_blocking(|| {
        faults::wait_until_reached(lanspread_download::points::CHUNK_SYNC);
        faults::wait_until_reached(lanspread_download::points::JOURNAL_SYNC);
        faults::release();
    });
    let outcome = peer.download().await;
    until_entered.await.unwrap();
    outcome
}

/// A download that is cancelled while chunks are being written.
async fn cancel(peer: &Peer, is_new: bool) -> Result<(), CommandError> {
    faults::hold(lanspread_download::points::CHUNK_WRITE);
    let game_id = || game_id(QUAKE);
    let (install, wait) = (Some(false), false);
    let begun = peer
        .ask(|reply| match is_new {
            true => PeerCommand::Download {
                game_id: game_id(),
                content_root: None,
                install,
                wait,
                reply,
            },
            false => {
                PeerCommand::Update { game_id: game_id(), content_root: None, install, wait, reply }
            }
        })
        .await;
    let cancelled = match begun {
        Ok(_) => peer.send(|reply| PeerCommand::Cancel { game_id: game_id(), reply }).await,
        Err(error) => {
            faults::release();
            return Err(error);
        }
    };
    // Commands are taken in order: once this one is answered, the cancellation has come through.
    peer.ask(|reply| PeerCommand::Status { reply }).await.unwrap();
    faults::release();
    cancelled.get().await
}

/// A download that somebody tries to cancel while it is committed.
async fn cancel_too_late(peer: &Peer) -> Result<(), CommandError> {
    faults::hold_file(lanspread_download::points::COMMIT_FILE_SYNC, "second.eti");
    let game_id = || game_id(QUAKE);
    let (install, wait) = (Some(false), true);
    let download = peer
        .send(|reply| PeerCommand::Download {
            game_id: game_id(),
            content_root: None,
            install,
            wait,
            reply,
        })
        .await;
    let is_committing = tokio::task::spawn_blocking(|| {
        faults::wait_until_reached(lanspread_download::points::COMMIT_FILE_SYNC);
        // What was planned can happen long before.
        faults::hits().contains_key(lanspread_download::points::COMMIT_FILE_SYNC.name())
    });
    let cancelled = match is_committing.await.unwrap() {
        true => Some(peer.send(|reply| PeerCommand::Cancel { game_id: game_id(), reply }).await),
        false => None,
    };
    // Commands are taken in order, as above.
    peer.ask(|reply| PeerCommand::Status { reply }).await.unwrap();
    faults::release();
    let outcome = download.get().await.map(drop);
    if let Some(cancelled) = cancelled {
        let refused = cancelled.get().await.expect_err("a game that was committed is cancelled");
        let too_late = matches!(refused, CommandError::NotDownloading(_));
        assert!(too_late || outcome.is_err(), "{refused:?} after {outcome:?}");
    }
    outcome
}
