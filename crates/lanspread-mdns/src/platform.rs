//! What differs from system to system.

use socket2::Socket;

/// Whether IPv6 multicast works on loopback interfaces.
pub(crate) const HAS_IPV6_LOOPBACK_MULTICAST: bool = !cfg!(target_os = "linux");

/// Lets the port of the socket be bound by others too, beyond what the reuse of addresses allows.
/// Windows shares a port by the reuse of addresses alone.
pub(crate) fn share_port(socket: &Socket) {
    #[cfg(unix)]
    // A system may lack the option, and then the bind tells whether the port is free.
    let _ = socket.set_reuse_port(true);
    #[cfg(not(unix))]
    let _ = socket;
}
