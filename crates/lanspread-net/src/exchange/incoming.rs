//! What arrives on a stream, in the pieces in which it arrives.

use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use lanspread_disk::chunk_buffer::ChunkBuffer;
use lanspread_proto::codec::{CodecError, HeaderBytes, HeaderReader, decode_header};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::transport::{RECEIVE_BATCH, StreamReceiver, TransportError};

/// Longest wait for the next byte of an answer. Far above any LAN hiccup; below the silence after
/// which a peer is lost.
const RECEIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a request got no usable answer, or no usable request came.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// The transport failed.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The bytes are not a message.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The stream ended too early.
    #[error("the stream ended before the message did")]
    EndedEarly,
    /// More bytes came than were announced.
    #[error("the stream went on after the message")]
    TooLong,
    /// Nothing came for 10 s.
    #[error("nothing arrived for {} s", RECEIVE_TIMEOUT.as_secs())]
    Silent,
}

/// What arrives on a stream: a header, then raw bytes.
pub struct Incoming {
    receiver: Box<dyn StreamReceiver>,
    pub(super) rest: Bytes,
    pub(super) has_ended: bool,
    patience: Duration,
}

impl Incoming {
    /// Reads from `receiver`, of which nothing has been read yet.
    pub fn new(receiver: Box<dyn StreamReceiver>) -> Self {
        Self { receiver, rest: Bytes::new(), has_ended: false, patience: RECEIVE_TIMEOUT }
    }

    /// Waits for the next byte as long as the connection lives.
    pub fn patient(self) -> Self {
        Self { patience: Duration::MAX, ..self }
    }

    /// Waits for the next byte no longer than usual.
    pub fn impatient(self) -> Self {
        Self { patience: RECEIVE_TIMEOUT, ..self }
    }

    /// Receives a header of at most `max` bytes.
    pub async fn header<T: DeserializeOwned>(&mut self, max: usize) -> Result<T, ExchangeError> {
        Ok(decode_header(&self.raw_header(max).await?)?)
    }

    /// Receives the bytes of a header of at most `max` bytes.
    pub async fn raw_header(&mut self, max: usize) -> Result<Bytes, ExchangeError> {
        Ok(self.read_header(HeaderReader::new(max)).await?.header)
    }

    /// Receives what `reader` takes in of a header.
    pub async fn read_header(
        &mut self,
        mut reader: HeaderReader,
    ) -> Result<HeaderBytes, ExchangeError> {
        let mut pieces = no_pieces();
        loop {
            let count = self.receive(&mut pieces).await?;
            let mut received = pieces.iter_mut().take(count).map(std::mem::take);
            while let Some(piece) = received.next() {
                if let Some(mut complete) = reader.push(&piece)? {
                    self.rest = std::mem::take(&mut complete.rest);
                    let tail: Vec<Bytes> = received.collect();
                    if !tail.is_empty() {
                        self.rest = [self.rest.as_ref(), &tail.concat()].concat().into();
                    }
                    return Ok(complete);
                }
            }
        }
    }

    /// Reads the next `len` bytes and throws them away.
    pub async fn skip(&mut self, len: usize) -> Result<(), ExchangeError> {
        let mut left = len.saturating_sub(self.rest.len());
        self.rest = self.rest.slice(len.min(self.rest.len())..);
        let mut pieces = no_pieces();
        while left > 0 {
            let count = self.receive(&mut pieces).await?;
            let mut behind = Vec::new();
            for mut piece in pieces.iter_mut().take(count).map(std::mem::take) {
                let skipped = piece.split_to(left.min(piece.len()));
                left -= skipped.len();
                behind.push(piece);
            }
            self.rest = behind.concat().into();
        }
        Ok(())
    }

    /// Receives exactly `len` raw bytes and the end of the stream; `on_bytes` hears how many have come.
    pub async fn body(
        &mut self,
        len: usize,
        on_bytes: impl FnMut(usize),
    ) -> Result<Bytes, ExchangeError> {
        let mut body = Body::of_len(len)?;
        self.until_end(|piece| body.append(piece), on_bytes).await?;
        body.finish()
    }

    /// Receives exactly `len` raw bytes, at most `max`, and the end of the stream; `on_bytes` hears of
    /// progress. Takes no more memory than has arrived, where [`Self::body`] takes a whole chunk.
    pub async fn page(
        &mut self,
        len: u32,
        max: usize,
        mut on_bytes: impl FnMut(),
    ) -> Result<Bytes, ExchangeError> {
        let len = usize::try_from(len).ok().filter(|len| *len <= max);
        let (len, mut page) = (len.ok_or(ExchangeError::TooLong)?, Vec::new());
        let append = |piece: &[u8]| {
            if page.len() + piece.len() > len {
                return Err(ExchangeError::TooLong);
            }
            page.extend_from_slice(piece);
            Ok(())
        };
        self.until_end(append, |_| on_bytes()).await?;
        if page.len() < len {
            return Err(ExchangeError::EndedEarly);
        }
        Ok(page.into())
    }

    /// Gives every piece until the end of the stream to `append`; `on_bytes` hears how many bytes have come.
    async fn until_end(
        &mut self,
        mut append: impl FnMut(&[u8]) -> Result<(), ExchangeError>,
        mut on_bytes: impl FnMut(usize),
    ) -> Result<(), ExchangeError> {
        let mut came = self.rest.len();
        append(&std::mem::take(&mut self.rest))?;
        let mut pieces = no_pieces();
        while !self.has_ended {
            let count = match self.receive(&mut pieces).await {
                Err(ExchangeError::EndedEarly) => break,
                other => other?,
            };
            for piece in pieces.iter_mut().take(count).map(std::mem::take) {
                append(&piece)?;
                came += piece.len();
            }
            on_bytes(came);
        }
        Ok(())
    }

    pub(super) async fn receive(&mut self, pieces: &mut [Bytes]) -> Result<usize, ExchangeError> {
        if self.has_ended {
            return Err(ExchangeError::EndedEarly);
        }
        let receive = poll_fn(|cx| self.receiver.poll_receive(pieces, cx));
        let (count, has_ended) =
            timeout(self.patience, receive).await.map_err(|_| ExchangeError::Silent)??;
        self.has_ended = has_ended;
        if count == 0 && has_ended { Err(ExchangeError::EndedEarly) } else { Ok(count) }
    }
}

/// Raw bytes of which some have arrived.
struct Body {
    buffer: ChunkBuffer,
    filled: usize,
}

impl Body {
    fn of_len(len: usize) -> Result<Self, ExchangeError> {
        let buffer = ChunkBuffer::of_len(len).ok_or(ExchangeError::TooLong)?;
        Ok(Self { buffer, filled: 0 })
    }

    fn append(&mut self, piece: &[u8]) -> Result<(), ExchangeError> {
        let end = self.filled + piece.len();
        let place = self.buffer.get_mut(self.filled..end).ok_or(ExchangeError::TooLong)?;
        place.copy_from_slice(piece);
        self.filled = end;
        Ok(())
    }

    fn finish(self) -> Result<Bytes, ExchangeError> {
        match self.filled == self.buffer.len() {
            true => Ok(self.buffer.freeze()),
            false => Err(ExchangeError::EndedEarly),
        }
    }
}

pub(super) fn no_pieces() -> [Bytes; RECEIVE_BATCH] {
    std::array::from_fn(|_| Bytes::new())
}
