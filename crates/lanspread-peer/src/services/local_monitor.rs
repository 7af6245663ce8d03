//! Tells the command loop that something on the disk may have changed.
//!
//! The games directory and each game root of the catalog are watched, and nothing below them. What
//! is reported is gathered until it is quiet for a moment. A scan at long intervals finds what
//! watches miss: they may be refused, get lost when too much happens at once, or not exist at all on
//! a network drive. What to look at and when is the loop's decision.

mod pending_changes;
mod watches;

use std::mem;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lanspread_catalog::Catalog;
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use self::pending_changes::PendingChanges;
use self::watches::Watches;
use crate::messages::{DiskChange, InboxMessage, InboxSender};

/// How long it must be quiet before changes are told: a copied file is a burst of changes.
const QUIET: Duration = Duration::from_millis(200);
/// How long changes are held back at most: a large file takes minutes to copy.
const QUIET_WAIT_MAX: Duration = Duration::from_secs(2);
/// Pause between two scans for changes that no watch reported.
const FALLBACK_SCAN_PAUSE: Duration = Duration::from_secs(300);

/// Shortest pause between two such scans for whatever reason. A scan opens every root, which the
/// watches report: one that made them overflow would ask for the next one at once.
const QUICK_SCAN_PAUSE_MIN: Duration = Duration::from_secs(30);

/// Watches whichever games directory `games_dirs` names until cancelled. When it names one again,
/// that one is watched anew.
///
/// # Errors
/// None; the signature is that of every service.
pub(crate) async fn run(
    catalog: Arc<Catalog>,
    mut games_dirs: watch::Receiver<PathBuf>,
    inbox_sender: InboxSender,
    cancel: CancellationToken,
) -> Result<(), String> {
    loop {
        let games_dir = games_dirs.borrow_and_update().clone();
        tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            () = watch_over(&games_dir, &catalog, &inbox_sender) => return Ok(()),
            named = games_dirs.changed() => if named.is_err() { return Ok(()) },
        }
    }
}

/// Returns when the command loop is gone.
async fn watch_over(games_dir: &Path, catalog: &Arc<Catalog>, inbox_sender: &InboxSender) {
    let mut fallback = interval_at(Instant::now() + FALLBACK_SCAN_PAUSE, FALLBACK_SCAN_PAUSE);
    fallback.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while watch_until_stale(games_dir, catalog, inbox_sender, &mut fallback).await.is_ok() {}
}

/// Returns when new watches are needed.
///
/// # Errors
/// [`LoopGone`].
async fn watch_until_stale(
    games_dir: &Path,
    catalog: &Arc<Catalog>,
    inbox_sender: &InboxSender,
    fallback: &mut Interval,
) -> Result<(), LoopGone> {
    let (sender, mut pending) = watch::channel(PendingChanges::default());
    let sender = Arc::new(sender);
    let (asked_dir, asked, inbox) =
        (games_dir.to_path_buf(), Arc::clone(catalog), Arc::clone(&sender));
    let mut watches = off_the_workers(move || Watches::new(asked_dir, &asked, inbox)).await;
    // What happened before the watches were there shows in no event.
    tell(inbox_sender, DiskChange::Anything).await?;
    let mut quick_scan_at = Instant::now() + QUICK_SCAN_PAUSE_MIN;
    let mut is_quick_scan_owed = false;
    loop {
        let is_fallback = tokio::select! {
            () = quiet(&mut pending) => false,
            () = sleep_until(quick_scan_at), if is_quick_scan_owed => false,
            _ = fallback.tick() => true,
        };
        let mut batch = PendingChanges::default();
        sender.send_if_modified(|pending| {
            mem::swap(pending, &mut batch);
            false
        });
        if batch.is_games_dir_other || is_fallback && !watches.are_whole() {
            return Ok(());
        }
        // Before the games are looked at: what happens from then on shows in events.
        let roots = batch.roots;
        watches = off_the_workers(move || watches.follow(&roots)).await;
        if !batch.games.is_empty() {
            tell(inbox_sender, DiskChange::Games(batch.games)).await?;
        }
        is_quick_scan_owed |= batch.is_anything || is_fallback;
        if is_quick_scan_owed && quick_scan_at <= Instant::now() {
            tell(inbox_sender, DiskChange::Anything).await?;
            quick_scan_at = Instant::now() + QUICK_SCAN_PAUSE_MIN;
            is_quick_scan_owed = false;
        }
    }
}

/// The command loop is gone, and with it the whole runtime.
struct LoopGone;

async fn tell(inbox_sender: &InboxSender, change: DiskChange) -> Result<(), LoopGone> {
    inbox_sender.send(InboxMessage::DiskChanged(change)).await.map_err(|_| LoopGone)
}

/// Waits for a change, and then until there is none for a moment.
async fn quiet(pending: &mut watch::Receiver<PendingChanges>) {
    // The sender lives as long as the caller.
    let _ = pending.changed().await;
    let latest = Instant::now() + QUIET_WAIT_MAX;
    loop {
        let quiet_at = latest.min(Instant::now() + QUIET);
        if timeout_at(quiet_at, pending.changed()).await.is_err() || quiet_at == latest {
            return;
        }
    }
}

async fn off_the_workers<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            // The supervisor says what to do about it.
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only a runtime that is shutting down cancels: nobody waits any more.
            Err(_) => std::future::pending().await,
        },
    }
}

#[cfg(test)]
mod tests;
