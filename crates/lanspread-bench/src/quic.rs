//! QUIC: each stream says in eight bytes how many are wanted, and that many come back on it.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bytes::Bytes;
use s2n_quic::client::Connect;
use s2n_quic::provider::{io, limits::Limits};
use s2n_quic::stream::BidirectionalStream;
use s2n_quic::{Client, Connection, Server};
use tokio::task::JoinSet;

use crate::{Load, Tuning, announce, block, blocks, input_ended, share};

const SERVER_NAME: &str = "lanspread";
/// Most streams at once: more than any measurement opens.
const STREAMS_MAX: u64 = 256;

pub(crate) async fn serve(
    listen: SocketAddr,
    certificate: &Path,
    tuning: Tuning,
) -> anyhow::Result<()> {
    let made = rcgen::generate_simple_self_signed([SERVER_NAME.to_owned()])?;
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    std::fs::write(certificate, &chain).context("cannot write the certificate")?;
    let mut server = Server::builder()
        .with_tls((chain.as_str(), key.as_str()))?
        .with_io(udp(listen, tuning)?)?
        .with_limits(limits(tuning)?)?
        .start()
        .context("cannot start")?;
    announce(server.local_addr()?)?;
    let accept = async {
        while let Some(connection) = server.accept().await {
            tokio::spawn(answer(connection));
        }
    };
    tokio::select! {
        () = accept => anyhow::bail!("the endpoint ended"),
        ended = input_ended() => Ok(ended?),
    }
}

async fn answer(mut connection: Connection) {
    while let Ok(Some(stream)) = connection.accept_bidirectional_stream().await {
        tokio::spawn(send(stream));
    }
}

async fn send(mut stream: BidirectionalStream) -> anyhow::Result<()> {
    let mut wanted = Vec::new();
    while let Some(piece) = stream.receive().await? {
        wanted.extend_from_slice(&piece);
    }
    let wanted = wanted.first_chunk().context("no number came")?;
    let block = block();
    for len in blocks(u64::from_be_bytes(*wanted)) {
        stream.send(block.slice(..len)).await?;
    }
    Ok(stream.close().await?)
}

pub(crate) async fn fetch(
    addr: SocketAddr,
    certificate: &Path,
    load: Load,
    tuning: Tuning,
) -> anyhow::Result<Duration> {
    let client = Client::builder()
        .with_tls(certificate)?
        .with_io(udp(SocketAddr::new(unspecified(addr), 0), tuning)?)?
        .with_limits(limits(tuning)?)?
        .start()
        .context("cannot start")?;
    let began = Instant::now();
    let mut fetches = JoinSet::new();
    for number in 0..load.connections {
        let connect = Connect::new(addr).with_server_name(SERVER_NAME);
        let connection = client.connect(connect).await?;
        let of_connection = share(load.bytes, load.connections, number);
        let (mut handle, _acceptor) = connection.split();
        for number in 0..load.streams {
            let stream = handle.open_bidirectional_stream().await?;
            fetches.spawn(receive(stream, share(of_connection, load.streams, number)));
        }
    }
    while let Some(fetched) = fetches.join_next().await {
        fetched??;
    }
    Ok(began.elapsed())
}

async fn receive(mut stream: BidirectionalStream, wanted: u64) -> anyhow::Result<()> {
    stream.send(Bytes::copy_from_slice(&wanted.to_be_bytes())).await?;
    stream.finish()?;
    let mut pieces: [Bytes; 64] = std::array::from_fn(|_| Bytes::new());
    let mut received = 0;
    loop {
        let (count, is_open) = stream.receive_vectored(&mut pieces).await?;
        let arrived = pieces.iter_mut().take(count).map(std::mem::take);
        received += arrived.map(|piece| piece.len() as u64).sum::<u64>();
        if !is_open {
            ensure!(received == wanted, "{received} bytes came in place of {wanted}");
            return Ok(());
        }
    }
}

fn unspecified(addr: SocketAddr) -> std::net::IpAddr {
    match addr {
        SocketAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    }
}

fn udp(addr: SocketAddr, tuning: Tuning) -> anyhow::Result<io::tokio::Provider> {
    let mut builder =
        io::tokio::Provider::builder().with_receive_address(addr)?.with_max_mtu(tuning.mtu_max)?;
    if tuning.socket_buffer_kib > 0 {
        let bytes = tuning.socket_buffer_kib * 1024;
        builder = builder.with_recv_buffer_size(bytes)?.with_send_buffer_size(bytes)?;
    }
    if tuning.send_queue_kib > 0 {
        builder = builder.with_internal_send_buffer_size(tuning.send_queue_kib * 1024)?;
    }
    Ok(builder.build()?)
}

fn limits(tuning: Tuning) -> anyhow::Result<Limits> {
    let stream_window = tuning.stream_window_kib * 1024;
    Ok(Limits::new()
        .with_data_window(tuning.connection_window_kib * 1024)?
        .with_bidirectional_local_data_window(stream_window)?
        .with_bidirectional_remote_data_window(stream_window)?
        .with_max_send_buffer_size(tuning.send_buffer_kib * 1024)?
        .with_max_open_local_bidirectional_streams(STREAMS_MAX)?
        .with_max_open_remote_bidirectional_streams(STREAMS_MAX)?)
}
