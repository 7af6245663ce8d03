//! Reminds the command loop to judge who has fallen silent.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::messages::{InboxMessage, InboxSender};

/// Runs until cancelled.
///
/// # Errors
/// None; the signature is that of every service.
pub(crate) async fn run(
    pause: Duration,
    inbox_sender: InboxSender,
    cancel: CancellationToken,
) -> Result<(), String> {
    let mut ticks = interval(pause);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            _ = ticks.tick() => {}
        }
        if inbox_sender.send(InboxMessage::JudgeSilence).await.is_err() {
            return Ok(());
        }
    }
}
