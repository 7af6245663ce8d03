//! Connections that do not say hello.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use lanspread_proto::codec::{CONTROL_HEADER_MAX_BYTES, encode_header};
use lanspread_proto::message::Request;
use quinn::Connection;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::arguments::{Say, Silent};
use crate::guest;
use crate::identity::Identity;
use crate::line::{Line, READING_WINDOW_BYTES};
use crate::pace::Pace;
use crate::tally::Tally;

/// How long a handshake is left half open: as long as a peer waits for its end.
const HALF_OPEN: Duration = Duration::from_secs(5);
/// What is sent at a time where windows are filled. All sends share it.
static NOTHING: [u8; 64 * 1024] = [0; 64 * 1024];

pub(crate) async fn run(options: Silent, tally: Arc<Tally>) -> Result<()> {
    let line = Arc::new(match options.say {
        Say::Deaf => Line::bind_deaf(&options.aim.bind)?,
        _ => Line::bind(&options.aim.bind, READING_WINDOW_BYTES)?,
    });
    let places = Arc::new(Semaphore::new(options.hold));
    let pace = Pace::new(options.aim.rate);
    tally.ready(None).await?;
    for target in options.aim.target.iter().copied().cycle() {
        pace.turn().await;
        let place = Arc::clone(&places).acquire_owned().await?;
        let (line, tally) = (Arc::clone(&line), Arc::clone(&tally));
        tokio::spawn(async move {
            if let Err(error) = hold(&line, target, options.say, &tally).await {
                tally.failed(error);
            }
            drop(place);
        });
    }
    Ok(())
}

/// Opens a connection, and keeps it until the other side closes it.
async fn hold(line: &Line, target: SocketAddr, say: Say, tally: &Arc<Tally>) -> Result<()> {
    tally.opened.one();
    let identity = Identity::new()?;
    let begun = line.begin(&identity, target)?;
    if matches!(say, Say::Deaf) {
        let _ = timeout(HALF_OPEN, begun).await;
        return Ok(());
    }
    let connection = begun.await.inspect_err(|_| tally.refused.one())?;
    tally.accepted.one();
    let saying = async {
        match say {
            Say::Nothing | Say::Deaf => {}
            Say::Windows => fill_windows(&connection, tally).await,
            Say::Slowly => {
                let _ = slow_hello(&connection, &identity, tally).await;
            }
        }
    };
    tokio::select! {
        reason = connection.closed() => tally.failed(reason),
        () = async { saying.await; std::future::pending().await } => {}
    }
    tally.closed.one();
    Ok(())
}

/// Sends on every stream as much as the other side takes. The first stream announces a header that never
/// ends, as anything else would be refused at once.
async fn fill_windows(connection: &Connection, tally: &Arc<Tally>) {
    let mut opening =
        u32::try_from(CONTROL_HEADER_MAX_BYTES).unwrap_or(u32::MAX).to_be_bytes().to_vec();
    opening.push(b'{');
    let mut first = Some(Bytes::from(opening));
    while let Ok((mut sender, _receiver)) = connection.open_bi().await {
        let (first, tally) = (first.take(), Arc::clone(tally));
        tokio::spawn(async move {
            if let Some(first) = first {
                tally.bytes_sent.add(first.len());
                let _ = sender.write_chunk(first).await;
                let _ = sender.stopped().await;
                return;
            }
            while sender.write_chunk(Bytes::from_static(&NOTHING)).await.is_ok() {
                tally.bytes_sent.add(NOTHING.len());
            }
        });
    }
}

/// Says hello, one byte a second.
async fn slow_hello(connection: &Connection, identity: &Identity, tally: &Tally) -> Result<()> {
    let network = "slow".parse().context("the name of a network")?;
    let hello = Request::Hello(guest::hello(identity.peer_id, &network, "slow", 0)?);
    let (mut sender, _receiver) = connection.open_bi().await?;
    for byte in encode_header(&hello, CONTROL_HEADER_MAX_BYTES)? {
        sender.write_all(&[byte]).await?;
        tally.bytes_sent.one();
        sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}
