//! SIGTERM, SIGINT and SIGHUP (a closed terminal): the first asks for a clean end, the second does not wait for it.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// Exit status after a second SIGINT, as shells count it.
const STATUS_INTERRUPTED: i32 = 130;
/// Exit status after a second SIGHUP.
const STATUS_HUNG_UP: i32 = 129;
/// Exit status after a second SIGTERM.
const STATUS_TERMINATED: i32 = 143;

/// Begins to listen. The receiver resolves at the first signal; the second one ends the process,
/// whatever it is doing.
pub(crate) fn listen() -> io::Result<oneshot::Receiver<()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let (first, receiver) = oneshot::channel();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {}
        }
        // Nobody listens when the end has begun for another reason; the next one is still the last.
        let _ = first.send(());
        let status = tokio::select! {
            _ = terminate.recv() => STATUS_TERMINATED,
            _ = interrupt.recv() => STATUS_INTERRUPTED,
            _ = hangup.recv() => STATUS_HUNG_UP,
        };
        std::process::exit(status);
    });
    Ok(receiver)
}
