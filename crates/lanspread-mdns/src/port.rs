//! Whether the port of mDNS can be used here. The daemon binds it in its own thread and tells nobody when
//! that fails, so the same is tried beside it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use mdns_sd::MDNS_PORT;
use socket2::{Domain, Protocol, Socket, Type};

use crate::platform;

/// Why the port cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "UDP port {port}, which mDNS needs, cannot be shared: {reason}; if another program holds it for itself, \
     `ss -ulpn sport = :{port}` names the program"
)]
pub struct PortError {
    port: u16,
    reason: io::Error,
}

/// Binds the port as the daemon does, for a moment.
///
/// # Errors
/// [`PortError`] when another program holds it, or when it can be bound for none of the families of
/// addresses. A family that this system does not have is none of them.
pub(crate) fn check(families: &[IpAddr]) -> Result<(), PortError> {
    check_port(families, MDNS_PORT)
}

fn check_port(families: &[IpAddr], port: u16) -> Result<(), PortError> {
    let (mut refusal, mut is_usable) = (None, false);
    for family in families {
        match bind(*family, port) {
            Ok(()) => is_usable = true,
            Err(reason) if reason.kind() == io::ErrorKind::AddrInUse => {
                return Err(PortError { port, reason });
            }
            Err(reason) => refusal = Some(reason),
        }
    }
    match refusal {
        Some(reason) if !is_usable => Err(PortError { port, reason }),
        _ => Ok(()),
    }
}

fn bind(family: IpAddr, port: u16) -> io::Result<()> {
    let (domain, any): (_, IpAddr) = match family {
        IpAddr::V4(_) => (Domain::IPV4, Ipv4Addr::UNSPECIFIED.into()),
        IpAddr::V6(_) => (Domain::IPV6, Ipv6Addr::UNSPECIFIED.into()),
    };
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    if family.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    platform::share_port(&socket);
    socket.bind(&SocketAddr::new(any, port).into())
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    const V4: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

    #[test]
    fn a_port_that_another_program_keeps_for_itself_is_told_until_it_is_free() {
        let holder = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        let port = holder.local_addr().unwrap().port();
        let message = check_port(&[V4], port).unwrap_err().to_string();
        assert!(message.contains(&port.to_string()), "{message}");
        drop(holder);
        check_port(&[V4], port).unwrap();
    }

    #[test]
    fn a_port_that_is_shared_can_be_used() {
        let sharer = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
        sharer.set_reuse_address(true).unwrap();
        sharer.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)).into()).unwrap();
        let port = sharer.local_addr().unwrap().as_socket().unwrap().port();
        check_port(&[V4], port).unwrap();
    }
}
