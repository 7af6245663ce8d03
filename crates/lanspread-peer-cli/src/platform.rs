//! What depends on the operating system: here it is Unix.

pub(crate) mod signals;

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::PermissionsExt;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

/// Whether it is a file that somebody may execute.
pub(crate) fn is_program(metadata: &Metadata) -> bool {
    metadata.is_file() && metadata.permissions().mode() & 0o111 != 0
}

/// The name of this machine; empty where it has none that is UTF-8.
pub(crate) fn host_name() -> String {
    rustix::system::uname().nodename().to_str().unwrap_or_default().to_owned()
}

/// Returns when the other end of standard input is closed, if that is a pipe, socket or terminal; never
/// for a file.
pub(crate) fn wait_for_hang_up() {
    let stdin = io::stdin();
    let mut polled = [PollFd::new(&stdin, PollFlags::RDHUP)];
    while poll(&mut polled, None) == Err(Errno::INTR) {}
}
