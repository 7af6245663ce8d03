//! Connections out of the addresses that an attacker has.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use quinn::{
    ClientConfig, Connection, Endpoint, EndpointConfig, Runtime as _, ServerConfig, TokioRuntime,
    TransportConfig, VarInt,
};

use crate::deaf::Deaf;
use crate::identity::Identity;

/// How long a connection on which nothing happens is kept: longer than any peer keeps one.
const IDLE_TIMEOUT: Duration = Duration::from_secs(300);
/// A sign of life in between: silence is never the reason for which a peer lets go.
const KEEP_ALIVE: Duration = Duration::from_secs(8);
/// Streams that the other side may open, far more than a peer opens.
const STREAMS_MAX: u32 = 1024;
/// Bytes on their way to the other side, more than it has windows for.
const SEND_WINDOW_BYTES: u64 = 64 * 1024 * 1024;
/// The window of a stream where answers are read.
pub(crate) const READING_WINDOW_BYTES: u32 = 4 * 1024 * 1024;

/// Endpoints at the addresses of an attacker.
pub(crate) struct Line {
    endpoints: Vec<Endpoint>,
    next: AtomicUsize,
    transport: Arc<TransportConfig>,
}

impl Line {
    /// Binds a port at each address. A stream of the other side may send `window` bytes before any are read.
    pub(crate) fn bind(addrs: &[IpAddr], window: u32) -> Result<Self> {
        let endpoints = addrs.iter().map(|addr| endpoint(SocketAddr::new(*addr, 0), None));
        let endpoints = endpoints.collect::<Result<_>>()?;
        Ok(Self { endpoints, next: AtomicUsize::new(0), transport: Arc::new(transport(window)?) })
    }

    /// Binds a port at each address, on which nothing is heard.
    pub(crate) fn bind_deaf(addrs: &[IpAddr]) -> Result<Self> {
        let endpoints = addrs.iter().map(|addr| {
            let socket = socket(SocketAddr::new(*addr, 0))?;
            let socket = Arc::new(Deaf(TokioRuntime.wrap_udp_socket(socket)?));
            let (config, runtime) = (EndpointConfig::default(), Arc::new(TokioRuntime));
            Ok(Endpoint::new_with_abstract_socket(config, None, socket, runtime)?)
        });
        let endpoints = endpoints.collect::<Result<_>>()?;
        let transport = Arc::new(transport(READING_WINDOW_BYTES)?);
        Ok(Self { endpoints, next: AtomicUsize::new(0), transport })
    }

    /// Dials from the next address and waits for the end of the TLS handshake.
    pub(crate) async fn dial(&self, identity: &Identity, target: SocketAddr) -> Result<Connection> {
        Ok(self.begin(identity, target)?.await?)
    }

    /// Begins to dial from the next address.
    pub(crate) fn begin(
        &self,
        identity: &Identity,
        target: SocketAddr,
    ) -> Result<quinn::Connecting> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let endpoint = self.endpoints.iter().cycle().nth(turn % self.endpoints.len().max(1));
        let endpoint = endpoint.context("an attack needs an address to come from")?;
        let mut config = ClientConfig::new(Arc::new(identity.client()?));
        config.transport_config(Arc::clone(&self.transport));
        Ok(endpoint.connect_with(config, target, "lanspread")?)
    }
}

/// Binds an endpoint that accepts connections.
pub(crate) fn listen(identity: &Identity, addr: SocketAddr) -> Result<Endpoint> {
    let mut config = ServerConfig::with_crypto(Arc::new(identity.server()?));
    config.transport_config(Arc::new(transport(READING_WINDOW_BYTES)?));
    endpoint(addr, Some(config))
}

fn endpoint(addr: SocketAddr, server: Option<ServerConfig>) -> Result<Endpoint> {
    let (config, runtime) = (EndpointConfig::default(), Arc::new(TokioRuntime));
    Ok(Endpoint::new(config, server, socket(addr)?, runtime)?)
}

fn socket(addr: SocketAddr) -> Result<UdpSocket> {
    UdpSocket::bind(addr).with_context(|| format!("failed to bind {addr}"))
}

fn transport(window: u32) -> Result<TransportConfig> {
    let mut transport = TransportConfig::default();
    transport
        .max_idle_timeout(Some(IDLE_TIMEOUT.try_into()?))
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS_MAX))
        .stream_receive_window(VarInt::from_u32(window))
        .send_window(SEND_WINDOW_BYTES);
    Ok(transport)
}
