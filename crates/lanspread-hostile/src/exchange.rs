//! Requests and answers on streams.

use anyhow::{Result, ensure};
use bytes::Bytes;
use lanspread_proto::codec::{CONTROL_HEADER_MAX_BYTES, decode_header, encode_header};
use lanspread_proto::message::{Request, Response};
use quinn::{Connection, RecvStream, SendStream};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Sends a request with the bytes behind it, and returns where the answer comes.
pub(crate) async fn ask(
    connection: &Connection,
    request: &Request,
    body: Bytes,
) -> Result<RecvStream> {
    let (mut sender, receiver) = connection.open_bi().await?;
    send(&mut sender, request, body).await?;
    Ok(receiver)
}

/// Sends a request, and reads the header of the answer.
pub(crate) async fn answer_to(
    connection: &Connection,
    request: &Request,
) -> Result<(Response, RecvStream)> {
    let mut receiver = ask(connection, request, Bytes::new()).await?;
    Ok((header(&mut receiver).await?, receiver))
}

/// Sends a header with the bytes behind it, and nothing more.
pub(crate) async fn send<T: Serialize>(
    sender: &mut SendStream,
    message: &T,
    body: Bytes,
) -> Result<()> {
    sender.write_chunk(encode_header(message, CONTROL_HEADER_MAX_BYTES)?).await?;
    sender.write_chunk(body).await?;
    Ok(sender.finish()?)
}

/// Reads a header.
pub(crate) async fn header<T: DeserializeOwned>(receiver: &mut RecvStream) -> Result<T> {
    let mut len = [0; 4];
    receiver.read_exact(&mut len).await?;
    let len = u32::from_be_bytes(len) as usize;
    ensure!(len <= CONTROL_HEADER_MAX_BYTES, "a header has {len} bytes");
    let header = bytes(receiver, len).await?;
    Ok(decode_header(&header)?)
}

/// Reads so many bytes.
pub(crate) async fn bytes(receiver: &mut RecvStream, len: usize) -> Result<Bytes> {
    let mut bytes = vec![0; len];
    receiver.read_exact(&mut bytes).await?;
    Ok(bytes.into())
}
