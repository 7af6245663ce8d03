//! What the machine and its network can do, for `scripts/bench.py`: bytes from memory to memory, by
//! QUIC as the peers use it and by plain TCP. Nothing is read from or written to a disk, and nothing
//! is verified beyond what the transport does, so no transfer of a game can be faster.
//!
//! `… serve` prints the address it is bound to and sends until its input ends; `… fetch` prints one
//! JSON object when all bytes have arrived.

mod quic;
mod tcp;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use clap::{Args, Parser, Subcommand};
use tokio::io::AsyncReadExt;

/// What is sent at a time, out of one buffer that is shared by all: large enough to cost nothing.
const BLOCK_BYTES: usize = 1024 * 1024;

#[derive(Parser)]
#[command(about)]
struct Cli {
    #[command(subcommand)]
    transport: Transport,
}

#[derive(Subcommand)]
enum Transport {
    /// QUIC with TLS
    #[command(subcommand)]
    Quic(Quic),
    /// TCP without TLS
    #[command(subcommand)]
    Tcp(Tcp),
}

#[derive(Subcommand)]
enum Quic {
    /// Send to whoever asks
    Serve {
        #[arg(long)]
        listen: SocketAddr,
        /// Where to write the certificate that `fetch` trusts
        #[arg(long)]
        certificate: PathBuf,
        #[command(flatten)]
        tuning: Tuning,
    },
    /// Receive
    Fetch {
        #[arg(long)]
        addr: SocketAddr,
        #[arg(long)]
        certificate: PathBuf,
        #[command(flatten)]
        load: Load,
        #[command(flatten)]
        tuning: Tuning,
    },
}

#[derive(Subcommand)]
enum Tcp {
    /// Send to whoever asks
    Serve {
        #[arg(long)]
        listen: SocketAddr,
    },
    /// Receive
    Fetch {
        #[arg(long)]
        addr: SocketAddr,
        #[command(flatten)]
        load: Load,
    },
}

/// How much is fetched and over what.
#[derive(Args, Clone, Copy)]
struct Load {
    /// Bytes in all
    #[arg(long)]
    bytes: u64,
    #[arg(long, default_value_t = 1)]
    connections: u64,
    /// Streams of each connection, all at once; QUIC only
    #[arg(long, default_value_t = 1)]
    streams: u64,
}

/// What can be set at both ends. Each default is what was fastest.
#[derive(Args, Clone, Copy)]
struct Tuning {
    /// Flow control of one stream, in KiB
    #[arg(long, default_value_t = 8192)]
    stream_window_kib: u64,
    /// Flow control of one connection, in KiB
    #[arg(long, default_value_t = 16384)]
    connection_window_kib: u64,
    /// Bytes that a stream takes over before they are acknowledged, in KiB
    #[arg(long, default_value_t = 4096)]
    send_buffer_kib: u32,
    /// Receive and send buffer of the socket, in KiB; 0 leaves that of the system
    #[arg(long, default_value_t = 0)]
    socket_buffer_kib: usize,
    /// Buffer between the transport and its socket, in KiB; 0 leaves that of the transport
    #[arg(long, default_value_t = 0)]
    send_queue_kib: usize,
    /// Largest packet that is probed for
    #[arg(long, default_value_t = 9000)]
    mtu_max: u16,
}

fn main() -> anyhow::Result<()> {
    let transport = Cli::parse().transport;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match transport {
            Transport::Quic(Quic::Serve { listen, certificate, tuning }) => {
                quic::serve(listen, &certificate, tuning).await
            }
            Transport::Quic(Quic::Fetch { addr, certificate, load, tuning }) => {
                report(load, quic::fetch(addr, &certificate, load, tuning).await?)
            }
            Transport::Tcp(Tcp::Serve { listen }) => tcp::serve(listen).await,
            Transport::Tcp(Tcp::Fetch { addr, load }) => {
                report(load, tcp::fetch(addr, load).await?)
            }
        }
    })
}

fn announce(addr: SocketAddr) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{addr}")?;
    stdout.flush()
}

fn report(load: Load, took: Duration) -> anyhow::Result<()> {
    let line = format!("{{\"bytes\":{},\"seconds\":{:.6}}}\n", load.bytes, took.as_secs_f64());
    Ok(io::stdout().lock().write_all(line.as_bytes())?)
}

/// Resolves when whoever started this closes its input.
async fn input_ended() -> io::Result<()> {
    tokio::io::stdin().read_to_end(&mut Vec::new()).await.map(drop)
}

/// How much each of `parts` has to fetch.
fn share(bytes: u64, parts: u64, part: u64) -> u64 {
    let parts = parts.max(1);
    bytes / parts + u64::from(part < bytes % parts)
}

fn block() -> Bytes {
    Bytes::from(vec![0xA5; BLOCK_BYTES])
}

/// The lengths of the blocks that `bytes` are sent in.
fn blocks(bytes: u64) -> impl Iterator<Item = usize> {
    let whole = bytes / BLOCK_BYTES as u64;
    let rest = usize::try_from(bytes % BLOCK_BYTES as u64).unwrap_or(0);
    (0..whole).map(|_| BLOCK_BYTES).chain((rest > 0).then_some(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_blocks_add_up() {
        for bytes in [0, 1, 5, 3 * BLOCK_BYTES as u64 + 1] {
            assert_eq!((0..3).map(|part| share(bytes, 3, part)).sum::<u64>(), bytes);
            assert_eq!(blocks(bytes).map(|len| len as u64).sum::<u64>(), bytes);
        }
    }
}
