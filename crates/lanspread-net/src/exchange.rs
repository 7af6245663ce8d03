//! One request and its answer on one stream.

pub mod frames;
mod incoming;

use std::future::poll_fn;

use bytes::Bytes;
use lanspread_proto::codec::{CONTROL_HEADER_MAX_BYTES, encode_header};
use serde::Serialize;

use super::transport::{Connection, Stream, StreamSender, TransportError};

pub use frames::{FrameReader, FrameWriter};
pub use incoming::{ExchangeError, Incoming};

/// What is handed to the transport at once. It takes over whole pieces: with larger ones, a chunk would
/// be buffered beside the one that is being sent.
const SEND_PIECE_BYTES: usize = 256 * 1024;

/// Sends a header of at most `max` bytes.
pub async fn send_header<T: Serialize>(
    sender: &mut dyn StreamSender,
    message: &T,
    max: usize,
) -> Result<(), ExchangeError> {
    Ok(send_bytes(sender, encode_header(message, max)?).await?)
}

/// Sends raw bytes.
pub async fn send_bytes(
    sender: &mut dyn StreamSender,
    mut bytes: Bytes,
) -> Result<(), TransportError> {
    while !bytes.is_empty() {
        let mut piece = bytes.split_to(bytes.len().min(SEND_PIECE_BYTES));
        poll_fn(|cx| sender.poll_send(&mut piece, cx)).await?;
    }
    Ok(())
}

/// Opens a stream, sends `request`, `body` and nothing more on it, and returns what comes back.
pub async fn ask<T: Serialize>(
    connection: &dyn Connection,
    request: &T,
    body: Bytes,
) -> Result<Incoming, ExchangeError> {
    let Stream { mut sender, receiver } = connection.open().await?;
    send_header(&mut *sender, request, CONTROL_HEADER_MAX_BYTES).await?;
    send_bytes(&mut *sender, body).await?;
    sender.finish()?;
    Ok(Incoming::new(receiver))
}
