//! Advertises this peer, tells the command loop whom mDNS sees, and whether mDNS works at all.

use std::sync::Arc;
use std::time::Duration;

use lanspread_mdns::{MdnsConfig, MdnsError, MdnsService};
use lanspread_serve::published_library::PublishedLibrary;
use tokio::sync::{oneshot, watch};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use crate::messages::{InboxMessage, InboxSender};

/// Pause before mDNS is started again. Whoever holds the port may keep it for days, so it costs nothing.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// How often it is looked whether mDNS can work: an interface that went away is told within this time.
const PROBE_INTERVAL: Duration = Duration::from_secs(5);

/// Runs until cancelled. When mDNS cannot start or dies, it is told and started again.
///
/// # Errors
/// None; the signature is that of every service.
pub(crate) async fn run(
    config: MdnsConfig,
    published: watch::Receiver<Arc<PublishedLibrary>>,
    inbox_sender: InboxSender,
    cancel: CancellationToken,
) -> Result<(), String> {
    loop {
        let serve = serve(config.clone(), published.clone(), inbox_sender.clone(), &cancel);
        let Err(reason) = serve.await else { return Ok(()) };
        // Here and below: the loop is gone only when the whole runtime is.
        let _ = inbox_sender.send(InboxMessage::Mdns(Err(reason))).await;
        if cancel.run_until_cancelled(sleep(RETRY_AFTER)).await.is_none() {
            return Ok(());
        }
    }
}

async fn serve(
    config: MdnsConfig,
    mut published: watch::Receiver<Arc<PublishedLibrary>>,
    inbox_sender: InboxSender,
    cancel: &CancellationToken,
) -> Result<(), String> {
    let (alive, died) = oneshot::channel::<()>();
    let found = inbox_sender.clone();
    let on_event = move |event| {
        // Dropped together with this closure, when the browse thread ends.
        let _ = &alive;
        let _ = found.blocking_send(InboxMessage::Discovered(event));
    };
    let service = MdnsService::start(config.clone(), on_event).map_err(|e| e.to_string())?;
    let Some(mut service) = service else { return Ok(()) };
    let advertise = async {
        loop {
            let library_rev = published.borrow_and_update().snapshot().rev;
            service.set_library_rev(library_rev).map_err(|e| e.to_string())?;
            if published.changed().await.is_err() {
                return Ok(());
            }
        }
    };
    let outcome = tokio::select! {
        () = cancel.cancelled() => Ok(()),
        outcome = advertise => outcome,
        reason = watch_over(&config, &inbox_sender) => Err(reason),
        _ = died => Err("browsing ended".to_owned()),
    };
    // Ending the threads blocks for a moment, which the async workers must not.
    let ended = tokio::task::spawn_blocking(move || service.shutdown()).await;
    outcome.and(ended.map_err(|e| e.to_string()))
}

/// Tells again and again whether mDNS can work. Ends with the reason when it has to be started anew.
async fn watch_over(config: &MdnsConfig, inbox_sender: &InboxSender) -> String {
    let mut ticks = interval(PROBE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let config = config.clone();
        let probe = tokio::task::spawn_blocking(move || config.probe());
        let told = match probe.await {
            Ok(Ok(())) => Ok(()),
            // The daemon lost a race for its port and does without.
            Ok(Err(error @ MdnsError::Port(_))) => return error.to_string(),
            Ok(Err(error)) => Err(error.to_string()),
            Err(panic) => return panic.to_string(),
        };
        let _ = inbox_sender.send(InboxMessage::Mdns(told)).await;
    }
}
