//! Sends short answers: a header, a header with a few bytes behind it, or a refusal.

use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use lanspread_net::exchange::{ExchangeError, send_bytes, send_header};
use lanspread_net::transport::StreamSender;
use lanspread_proto::GameId;
use lanspread_proto::codec::CONTROL_HEADER_MAX_BYTES;
use lanspread_proto::message::{Refusal, RefusalCode, Response};
use tokio::time::timeout;

/// Longest time that a short answer may take to arrive. Beyond it the asker is gone or does not read.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Confirms what a peer told.
///
/// # Errors
/// [`ExchangeError`] when the answer cannot be sent.
pub(crate) async fn confirm(sender: Box<dyn StreamSender>) -> Result<(), ExchangeError> {
    reply_briefly(sender, &Response::Done {}).await
}

/// Answers with no more than a header.
///
/// # Errors
/// [`ExchangeError`] when the answer cannot be sent.
pub(crate) async fn reply_briefly(
    mut sender: Box<dyn StreamSender>,
    response: &Response,
) -> Result<(), ExchangeError> {
    reply(&mut *sender, response, CONTROL_HEADER_MAX_BYTES).await
}

/// Answers with a header and a few raw bytes behind it.
///
/// # Errors
/// [`ExchangeError`] when the answer cannot be sent.
pub(crate) async fn reply_with(
    mut sender: Box<dyn StreamSender>,
    response: &Response,
    body: Bytes,
) -> Result<(), ExchangeError> {
    let send = async {
        send_header(&mut *sender, response, CONTROL_HEADER_MAX_BYTES).await?;
        send_bytes(&mut *sender, body).await?;
        finish(&mut *sender).await
    };
    in_time(send).await.inspect_err(|_| sender.reset())
}

/// Answers with a header of at most `max` bytes, and waits until it has arrived: until then it is in memory.
///
/// # Errors
/// [`ExchangeError`] when the answer cannot be sent.
pub(crate) async fn reply(
    sender: &mut dyn StreamSender,
    response: &Response,
    max: usize,
) -> Result<(), ExchangeError> {
    let send = async {
        send_header(&mut *sender, response, max).await?;
        finish(&mut *sender).await
    };
    in_time(send).await.inspect_err(|_| sender.reset())
}

/// Ends an answer, and waits until it has arrived.
async fn finish(sender: &mut dyn StreamSender) -> Result<(), ExchangeError> {
    sender.finish()?;
    // Whoever has read all that it wants may drop its end, or close the connection, before it hears of ours.
    let _ = poll_fn(|cx| sender.poll_delivered(cx)).await;
    Ok(())
}

async fn in_time(
    send: impl Future<Output = Result<(), ExchangeError>>,
) -> Result<(), ExchangeError> {
    timeout(ANSWER_TIMEOUT, send).await.unwrap_or(Err(ExchangeError::Silent))
}

/// Sends a page of a library, and waits until it has arrived. Whoever calls this resets a stream that fails. No limit holds it up: it is short, and a peer
/// that waits for it does not appear meanwhile.
pub(crate) async fn send_at_once(
    sender: &mut dyn StreamSender,
    response: &Response,
    page: Bytes,
) -> Result<(), ExchangeError> {
    let send = async {
        send_header(&mut *sender, response, CONTROL_HEADER_MAX_BYTES).await?;
        send_bytes(&mut *sender, page).await?;
        sender.finish()?;
        Ok(poll_fn(|cx| sender.poll_delivered(cx)).await?)
    };
    in_time(send).await
}

pub(crate) fn refused(code: RefusalCode, message: &str) -> Refusal {
    Refusal { code, message: message.to_owned() }
}

/// Returns the refusal of a game that is not served.
pub(crate) fn not_served(game_id: &GameId) -> Refusal {
    refused(RefusalCode::NotServed, &format!("game {game_id} is not served here"))
}
