//! Plain TCP: eight bytes say how many are wanted, and that many come back.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::ensure;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::{BLOCK_BYTES, Load, announce, block, blocks, input_ended, share};

pub(crate) async fn serve(listen: SocketAddr) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen).await?;
    announce(listener.local_addr()?)?;
    let accept = async {
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(send(stream));
        }
    };
    tokio::select! {
        ended = accept => ended,
        ended = input_ended() => Ok(ended?),
    }
}

async fn send(mut stream: TcpStream) -> anyhow::Result<()> {
    let wanted = stream.read_u64().await?;
    let block = block();
    for len in blocks(wanted) {
        stream.write_all(block.get(..len).unwrap_or_default()).await?;
    }
    Ok(stream.shutdown().await?)
}

pub(crate) async fn fetch(addr: SocketAddr, load: Load) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let mut fetches = JoinSet::new();
    for connection in 0..load.connections {
        fetches.spawn(fetch_one(addr, share(load.bytes, load.connections, connection)));
    }
    while let Some(fetched) = fetches.join_next().await {
        fetched??;
    }
    Ok(began.elapsed())
}

async fn fetch_one(addr: SocketAddr, wanted: u64) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(addr).await?;
    stream.write_u64(wanted).await?;
    let mut buffer = vec![0; BLOCK_BYTES];
    let mut received = 0;
    loop {
        let count = stream.read(&mut buffer).await?;
        received += count as u64;
        if count == 0 {
            ensure!(received == wanted, "{received} bytes came in place of {wanted}");
            return Ok(());
        }
    }
}
