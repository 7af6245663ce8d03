//! Frames on a stream: many headers, some with raw bytes behind them.

use std::collections::VecDeque;
use std::future::poll_fn;

use bytes::{BufMut, Bytes, BytesMut};
use lanspread_proto::codec::{
    CONTROL_HEADER_MAX_BYTES, HeaderReader, decode_header, encode_header,
};
use lanspread_proto::message::Response;
use lanspread_proto::stream::{FRAME_HEADER_MAX_BYTES, StreamFrame};

use super::incoming::{ExchangeError, Incoming, no_pieces};
use crate::transport::StreamSender;

/// What says how long a header is, in front of it.
const HEADER_LENGTH_BYTES: usize = size_of::<u32>();
/// From this size on, frames that were gathered are sent. Small ones share a send; content that is
/// read in blocks of this size goes at once.
const FLUSH_BYTES: usize = 256 * 1024;

impl Incoming {
    /// Receives frames after the header; `on_bytes` hears of progress.
    pub fn into_frames(mut self, on_bytes: impl Fn() + Send + Sync + 'static) -> FrameReader {
        let arrived = VecDeque::from([std::mem::take(&mut self.rest)]);
        FrameReader { incoming: self, arrived, taken_bytes: 0, on_bytes: Box::new(on_bytes) }
    }
}

/// Receives frames, one after another.
pub struct FrameReader {
    incoming: Incoming,
    /// What came and is not taken yet.
    arrived: VecDeque<Bytes>,
    taken_bytes: u64,
    on_bytes: Box<dyn Fn() + Send + Sync>,
}

impl FrameReader {
    /// Returns how many bytes of frames and of what is behind them were taken.
    pub fn taken_bytes(&self) -> u64 {
        self.taken_bytes
    }

    /// Receives the next frame; `None` where the stream ends between two.
    ///
    /// Not cancel safe: a frame of which a part is taken is lost.
    pub async fn frame(&mut self) -> Result<Option<StreamFrame>, ExchangeError> {
        let mut reader = HeaderReader::new(FRAME_HEADER_MAX_BYTES);
        loop {
            let Some(piece) = self.piece().await? else {
                let is_between = reader.is_empty();
                return if is_between { Ok(None) } else { Err(ExchangeError::EndedEarly) };
            };
            if let Some(complete) = reader.push(&piece)? {
                self.taken_bytes += (HEADER_LENGTH_BYTES + complete.header.len()) as u64;
                self.arrived.push_front(complete.rest);
                return Ok(Some(decode_header(&complete.header)?));
            }
        }
    }

    /// Receives the `len` raw bytes behind a frame. The caller has bounded `len`. Not cancel safe.
    pub async fn data(&mut self, len: usize) -> Result<Bytes, ExchangeError> {
        let mut data = BytesMut::with_capacity(len);
        while data.len() < len {
            let Some(mut piece) = self.piece().await? else {
                return Err(ExchangeError::EndedEarly);
            };
            let taken = piece.split_to(piece.len().min(len - data.len()));
            self.taken_bytes += taken.len() as u64;
            data.put(taken);
            self.arrived.push_front(piece);
        }
        Ok(data.freeze())
    }

    /// Returns the next bytes, never none; `None` at the end of the stream.
    async fn piece(&mut self) -> Result<Option<Bytes>, ExchangeError> {
        loop {
            match self.arrived.pop_front() {
                Some(piece) if piece.is_empty() => {}
                Some(piece) => return Ok(Some(piece)),
                None if self.incoming.has_ended => return Ok(None),
                None => {
                    let mut pieces = no_pieces();
                    let count = match self.incoming.receive(&mut pieces).await {
                        Err(ExchangeError::EndedEarly) => return Ok(None),
                        other => other?,
                    };
                    (self.on_bytes)();
                    self.arrived.extend(pieces.iter_mut().take(count).map(std::mem::take));
                }
            }
        }
    }
}

/// Sends frames. What a cancelled [`Self::flush`] left goes with the next one.
pub struct FrameWriter<'a> {
    sender: &'a mut dyn StreamSender,
    gathered: BytesMut,
    sending: Bytes,
}

impl<'a> FrameWriter<'a> {
    /// Begins with the header that frames follow. It is gathered, not sent.
    pub fn new(sender: &'a mut dyn StreamSender) -> Result<Self, ExchangeError> {
        let header = encode_header(&Response::Stream {}, CONTROL_HEADER_MAX_BYTES)?;
        Ok(Self { sender, gathered: BytesMut::from(&*header), sending: Bytes::new() })
    }

    /// Gathers a frame to be sent.
    pub fn push(&mut self, frame: &StreamFrame) -> Result<(), ExchangeError> {
        self.gathered.extend_from_slice(&encode_header(frame, FRAME_HEADER_MAX_BYTES)?);
        Ok(())
    }

    /// Gathers content to be sent, with its frame.
    pub fn push_data(&mut self, data: &[u8]) -> Result<(), ExchangeError> {
        // Blocks of content are far below 4 GiB.
        let len = u32::try_from(data.len()).unwrap_or(u32::MAX);
        self.push(&StreamFrame::Data { len })?;
        self.gathered.extend_from_slice(data);
        Ok(())
    }

    /// Returns how many bytes are gathered.
    pub fn gathered_bytes(&self) -> usize {
        self.gathered.len()
    }

    /// Returns whether so much is gathered that it should be sent.
    pub fn is_full(&self) -> bool {
        self.gathered.len() >= FLUSH_BYTES
    }

    /// Sends what is gathered. Cancel safe.
    pub async fn flush(&mut self) -> Result<(), ExchangeError> {
        while !self.sending.is_empty() || !self.gathered.is_empty() {
            if self.sending.is_empty() {
                self.sending = self.gathered.split().freeze();
            }
            let (sender, sending) = (&mut self.sender, &mut self.sending);
            poll_fn(|cx| sender.poll_send(sending, cx)).await?;
        }
        Ok(())
    }

    /// Says that nothing more will be sent.
    pub fn finish(self) -> Result<(), ExchangeError> {
        Ok(self.sender.finish()?)
    }

    /// Gives up: the other side sees a reset.
    pub fn reset(self) {
        self.sender.reset();
    }
}

#[cfg(any(test, feature = "testing"))]
pub mod testing {
    //! Frames without a network.

    #![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "only tests reach this")]

    use std::pin::Pin;
    use std::task::{Context, Poll, ready};
    use std::time::Duration;

    use tokio::time::{Instant, Sleep, sleep};

    use super::*;
    use crate::transport::{StreamReceiver, TransportError};

    /// Gives out pieces one by one, and then comes to its end.
    struct Scripted {
        pieces: VecDeque<Bytes>,
        end: End,
    }

    /// What follows the last piece.
    enum End {
        Closed,
        Reset,
        /// Nothing, and nobody is gone.
        Silence,
        /// The same again and again.
        Chatter {
            frame: Bytes,
            pause: Duration,
            next: Pin<Box<Sleep>>,
        },
    }

    impl StreamReceiver for Scripted {
        fn poll_receive(
            &mut self,
            pieces: &mut [Bytes],
            cx: &mut Context<'_>,
        ) -> Poll<Result<(usize, bool), TransportError>> {
            let Some(piece) = self.pieces.pop_front() else {
                return match &mut self.end {
                    End::Closed => Poll::Ready(Ok((0, true))),
                    End::Reset => Poll::Ready(Err(TransportError::Reset)),
                    End::Silence => Poll::Pending,
                    End::Chatter { frame, pause, next } => {
                        ready!(next.as_mut().poll(cx));
                        next.as_mut().reset(Instant::now() + *pause);
                        pieces[0] = frame.clone();
                        Poll::Ready(Ok((1, false)))
                    }
                };
            };
            pieces[0] = piece;
            Poll::Ready(Ok((1, false)))
        }
    }

    /// Returns what a receiver gets of `bytes` that arrive in pieces of `piece_bytes`.
    pub fn arriving(bytes: &[u8], piece_bytes: usize, is_reset: bool) -> FrameReader {
        ending(bytes, piece_bytes, if is_reset { End::Reset } else { End::Closed })
    }

    /// Returns what a receiver gets of a sender that sends `bytes` and then neither more nor that it is done.
    pub fn falling_silent(bytes: &[u8]) -> FrameReader {
        ending(bytes, 1000, End::Silence)
    }

    /// Returns what a receiver gets of a sender that sends `bytes` and then `frame` after every `pause`.
    pub fn chattering(bytes: &[u8], frame: &StreamFrame, pause: Duration) -> FrameReader {
        let frame = bytes_of(std::slice::from_ref(frame)).into();
        ending(bytes, 1000, End::Chatter { frame, pause, next: Box::pin(sleep(pause)) })
    }

    fn ending(bytes: &[u8], piece_bytes: usize, end: End) -> FrameReader {
        let pieces = bytes.chunks(piece_bytes).map(Bytes::copy_from_slice).collect();
        Incoming::new(Box::new(Scripted { pieces, end })).into_frames(|| {})
    }

    /// Frames as they travel, `Data` with as many bytes behind it as it says.
    pub fn bytes_of(frames: &[StreamFrame]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for frame in frames {
            bytes.extend_from_slice(&encode_header(frame, FRAME_HEADER_MAX_BYTES).unwrap());
            if let StreamFrame::Data { len } = frame {
                bytes.extend(vec![b'x'; *len as usize]);
            }
        }
        bytes
    }

    #[tokio::test]
    async fn frames_come_out_whole_in_whatever_pieces_they_arrive() {
        let frames = [
            StreamFrame::Waiting { position: 3 },
            StreamFrame::Data { len: 300 },
            StreamFrame::Data { len: 1 },
            StreamFrame::FileEnd { crc32: 7 },
        ];
        let bytes = bytes_of(&frames);
        for piece_bytes in 1..bytes.len() {
            let mut reader = arriving(&bytes, piece_bytes, false);
            for frame in &frames {
                assert_eq!(reader.frame().await.unwrap().as_ref(), Some(frame), "{piece_bytes}");
                if let StreamFrame::Data { len } = frame {
                    let data = reader.data(*len as usize).await.unwrap();
                    assert_eq!(data, vec![b'x'; *len as usize]);
                }
            }
            assert_eq!(reader.frame().await.unwrap(), None);
        }
    }

    #[tokio::test]
    async fn a_stream_cut_inside_a_frame_is_an_error() {
        let bytes = bytes_of(&[StreamFrame::Data { len: 5 }]);
        for length in 1..bytes.len() {
            let mut reader = arriving(&bytes[..length], 3, false);
            let result = match reader.frame().await {
                Ok(Some(_)) => reader.data(5).await.map(drop),
                other => other.map(drop),
            };
            assert!(matches!(result, Err(ExchangeError::EndedEarly)), "{length}: {result:?}");
        }
        let mut reader = arriving(&bytes[..3], 3, true);
        assert!(matches!(reader.frame().await, Err(ExchangeError::Transport(_))));
        let mut reader = arriving(&[0xff; 8], 8, false);
        assert!(matches!(reader.frame().await, Err(ExchangeError::Codec(_))));
    }
}
