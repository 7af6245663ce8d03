//! A gate in front of a socket: packets that it refuses are not seen by whoever reads.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::PktInfo;

/// Most packets that are refused before a reader hears that there is nothing to read at the moment. It
/// comes back after its other work.
pub const READS_MAX: usize = 1024;

/// Decides which packets are read.
pub trait Gate: Send + Sync {
    /// Returns whether `packet`, which came from `from` on the interface of this index, is to be read.
    fn admits(&self, packet: &[u8], from: SocketAddr, if_index: u64) -> bool;
}

static NEXT: Mutex<Option<Arc<dyn Gate>>> = Mutex::new(None);
static TURN: Mutex<()> = Mutex::new(());

/// Puts `gate` in front of all sockets that are made, by any thread, while `make` runs. One call at a time.
pub fn gated<T>(gate: Arc<dyn Gate>, make: impl FnOnce() -> T) -> T {
    struct Clear;
    impl Drop for Clear {
        fn drop(&mut self) {
            *lock(&NEXT) = None;
        }
    }
    let _turn = lock(&TURN);
    *lock(&NEXT) = Some(gate);
    let _clear = Clear;
    make()
}

pub(crate) fn next() -> Option<Arc<dyn Gate>> {
    lock(&NEXT).clone()
}

pub(crate) fn first_admitted(
    gate: &Option<Arc<dyn Gate>>,
    buf: &mut [u8],
    mut receive: impl FnMut(&mut [u8]) -> io::Result<(usize, PktInfo)>,
) -> io::Result<(usize, PktInfo)> {
    let Some(gate) = gate else { return receive(buf) };
    for _ in 0..READS_MAX {
        let (len, info) = receive(buf)?;
        let packet = buf.get(..len).unwrap_or_default();
        if gate.admits(packet, info.addr_src, info.if_index) {
            return Ok((len, info));
        }
    }
    Err(ErrorKind::WouldBlock.into())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
