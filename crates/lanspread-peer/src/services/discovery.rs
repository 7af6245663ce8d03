//! Advertises this peer and tells the command loop whom mDNS sees.

use std::sync::Arc;

use lanspread_mdns::{MdnsConfig, MdnsService};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::net::view::View;
use crate::runtime::{CoreMessage, CoreSender};

/// Runs until cancelled.
///
/// # Errors
/// A message when mDNS cannot start or has died.
pub(crate) async fn run(
    config: MdnsConfig,
    mut view: watch::Receiver<Arc<View>>,
    core: CoreSender,
    cancel: CancellationToken,
) -> Result<(), String> {
    let (alive, died) = oneshot::channel::<()>();
    let on_event = move |event| {
        // Dropped together with this closure, when the browse thread ends.
        let _ = &alive;
        // The loop is gone only when the whole runtime is.
        let _ = core.blocking_send(CoreMessage::Discovered(event));
    };
    let service = MdnsService::start(config, on_event).map_err(|e| e.to_string())?;
    let Some(mut service) = service else { return Ok(()) };
    let advertise = async {
        loop {
            let library_rev = view.borrow_and_update().snapshot().rev;
            service.set_library_rev(library_rev).map_err(|e| e.to_string())?;
            if view.changed().await.is_err() {
                return Ok(());
            }
        }
    };
    let outcome = tokio::select! {
        () = cancel.cancelled() => Ok(()),
        outcome = advertise => outcome,
        _ = died => Err("browsing ended".to_owned()),
    };
    // Ending the threads blocks for a moment, which the async workers must not.
    let ended = tokio::task::spawn_blocking(move || service.shutdown()).await;
    outcome.and(ended.map_err(|e| e.to_string()))
}
