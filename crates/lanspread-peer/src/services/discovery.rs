//! Advertises this peer, tells the command loop whom mDNS sees, and whether mDNS works at all.

use std::sync::Arc;
use std::time::Duration;

use lanspread_mdns::{MdnsConfig, MdnsError, MdnsService};
use lanspread_serve::published_library::PublishedLibrary;
use tokio::sync::{oneshot, watch};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use crate::messages::{InboxMessage, InboxSender};
use crate::services::sightings::Sightings;

/// Pause before mDNS is started again. Whoever holds the port may keep it for days, so it costs nothing.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// How often it is looked whether mDNS can work: an interface that went away is told within this time.
const PROBE_INTERVAL: Duration = Duration::from_secs(5);

/// How often a service that was told of too many peers is replaced. Only a flood from many addresses gets it
/// there, and a new one has found everybody within a second.
const RENEW_AFTER: Duration = Duration::from_secs(10);

/// What the service needs.
#[derive(Clone)]
pub(crate) struct Discovery {
    pub(crate) config: MdnsConfig,
    pub(crate) published: watch::Receiver<Arc<PublishedLibrary>>,
    pub(crate) inbox_sender: InboxSender,
    pub(crate) sightings: Arc<Sightings>,
    pub(crate) cancel: CancellationToken,
}

/// Why mDNS was stopped.
enum Stopped {
    /// The peer ends.
    Cancelled,
    /// It was told of too many peers.
    Worn,
}

/// Runs until cancelled. When mDNS cannot start or dies, it is told and started again.
///
/// # Errors
/// None; the signature is that of every service.
pub(crate) async fn run(discovery: Discovery) -> Result<(), String> {
    loop {
        match serve(discovery.clone()).await {
            Ok(Stopped::Cancelled) => return Ok(()),
            Ok(Stopped::Worn) => {
                tracing::info!("mDNS told of too many peers, and is started anew");
                continue;
            }
            // Here and below: the loop is gone only when the whole runtime is.
            Err(reason) => {
                let _ = discovery.inbox_sender.send(InboxMessage::Mdns(Err(reason))).await;
            }
        }
        if discovery.cancel.run_until_cancelled(sleep(RETRY_AFTER)).await.is_none() {
            return Ok(());
        }
    }
}

async fn serve(discovery: Discovery) -> Result<Stopped, String> {
    let Discovery { config, mut published, inbox_sender, sightings, cancel } = discovery;
    let (alive, died) = oneshot::channel::<()>();
    let on_event = move |event| {
        // Dropped together with this closure, when the browse thread ends.
        let _ = &alive;
        sightings.note(event);
    };
    let service = MdnsService::start(config.clone(), on_event).map_err(|e| e.to_string())?;
    let Some(mut service) = service else { return Ok(Stopped::Cancelled) };
    let mut renewals = interval(RENEW_AFTER);
    renewals.reset();
    let advertise = async {
        loop {
            let library_rev = published.borrow_and_update().snapshot().rev;
            service.set_library_rev(library_rev).map_err(|e| e.to_string())?;
            tokio::select! {
                changed = published.changed() => {
                    if changed.is_err() {
                        return Ok(Stopped::Cancelled);
                    }
                }
                _ = renewals.tick() => {
                    if service.is_worn() {
                        return Ok(Stopped::Worn);
                    }
                }
            }
        }
    };
    let outcome = tokio::select! {
        () = cancel.cancelled() => Ok(Stopped::Cancelled),
        outcome = advertise => outcome,
        reason = watch_over(&config, &inbox_sender) => Err(reason),
        _ = died => Err("browsing ended".to_owned()),
    };
    // Ending the threads blocks for a moment, which the async workers must not.
    let ended = tokio::task::spawn_blocking(move || service.shutdown()).await;
    let stopped = outcome?;
    ended.map_err(|e| e.to_string())?;
    Ok(stopped)
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
