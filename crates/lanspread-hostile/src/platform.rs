//! What differs between operating systems.

use std::io;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::signal::unix::{SignalKind, signal};

/// Returns the processor time that this process has taken.
pub(crate) fn cpu_time() -> Duration {
    // Since the start of the process, so never below 0.
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}

/// Returns when the process is asked to end.
pub(crate) async fn terminated() -> io::Result<()> {
    signal(SignalKind::terminate())?.recv().await;
    Ok(())
}
