//! Bounds what the requests of others take of this peer.
//!
//! A request passes these controls in this order, from the arrival of its stream to its last byte. `n/c` counts by
//! connection (a peer has one at a time), `n/p` by peer, `n/a` by address, `n` all peers together. `→ code` is the refusal
//! beyond the bound; without one the request waits, or its stream is reset (`✗`).
//!
//! ```text
//!  stream        64/c by QUIC, 16 KiB of each before it is read
//!    │
//!  request       64/c answered at a time
//!    │           request bytes 8 MiB/a, 32 MiB ─ ✗ 10 s
//!    │
//!  header        8/c at a time, 64 KiB, ✗ 10 s
//!    │
//!    ├── delta, fetching ─── receive 1/c ─ request bytes ─ 256 KiB or a piece set ─ ✗ 10 s ─ pace/a ──┐
//!    │                       (fetching: answer bytes within 3 s → busy)                              │
//!    │                                                                                               │
//!    ├── have, end ───────── pace/a ─────────────────────────────────────────────────────────────────┤
//!    │                                                                                               │
//!    ├── goodbye, ping ──────────────────────────────────────────────────────────────────────────────┤
//!    │                                                                                               │
//!    ├── wrong chunk ─────── complaints 16/a in 60 s → busy ─ read one chunk ────────────────────────┤
//!    │                                                                                               │
//!    ├── game ────────────── look: one a game, 2 ─ new look 5 s ─ hashes, if awaited, 30 min ────────┤
//!    │                                                                                               │
//!    │                       header of the answer ✗ 30 s ◄───────────────────────────────────────────┘
//!    │
//!    ├── library page ────── within 5 s → busy ────────────┐
//!    │                       encodings 2                   │
//!    │                       answer bytes 16 MiB/a, 96 MiB ┴─ no pacing ─────────── whole page ✗ 30 s
//!    │
//!    ├── page of a game ──── answer bytes ─────────┐
//!    │                       within 20 s → busy ───┘
//!    │                       encodings 2 ─────────────────── pacing 32 KiB ────── stalled ✗ 30 s
//!    │
//!    ├── chunks ──────────── within 20 s → busy ───────────┐
//!    │                       on its way elsewhere → busy   │
//!    │                       first copies 2/a, 3           │
//!    │                       chunks 8/c                    │
//!    │                       answer bytes, and a turn ─────┴─ read the chunks
//!    │                       send 1/c, or 500 ms ─────────── pacing 32 KiB ────── stalled ✗ 30 s, step ✗ 60 s
//!    │                       (slow: first copy goes on without its permit; stalled: its turn goes to another)
//!    │
//!    └── streamed install ── look: one a game, 2 ─ new look 5 s
//!                            queue 16/p, 64/a, limit + 320 → busy
//!                            turns, the limit of streams, fewest held first; position told every 5 s
//!                            unpack, 12 MiB ahead ────────── pacing 16 KiB ────── every flush ✗ 30 s
//!                            (below the floor while others wait: ended, and asked again)
//!
//!  told to it    deltas, what is fetched: one at a time/c, answer bytes ─ ✗ 5 s
//! ```
//!
//! An address is what [`CountedAddress`](lanspread_net::address::CountedAddress) counts: an IPv4 address, or 64 bits of IPv6.
//!
//! | Control | Bound | Counts | Beyond it | Why |
//! | --- | --- | --- | --- | --- |
//! | Streams | `STREAMS_MAX` of `lanspread_net::quic`: 64 | a connection | the asker waits in `open` | requests in flight have an end |
//! | Unread bytes | `REQUEST_WINDOW_BYTES` of `lanspread_net::quic`: 16 KiB | a stream | the asker waits for the window | what is not read yet is in memory: 1 MiB a connection |
//! | Requests | [`REQUESTS_MAX`](crate::session::REQUESTS_MAX): 64 | a connection | its stream is not accepted yet | a transport that allows more streams changes nothing |
//! | Request bytes | [`REQUEST_BYTES_PER_ADDRESS_MAX`](requests::REQUEST_BYTES_PER_ADDRESS_MAX): 8 MiB, [`REQUEST_BYTES_MAX`](requests::REQUEST_BYTES_MAX): 32 MiB, and no more than is left free; [`REQUEST_BYTES`](requests::REQUEST_BYTES): 16 KiB for each, more for a long header and for the bytes behind it | an address; all peers | reset after [`READ_TIMEOUT`](requests::READ_TIMEOUT): 10 s | requests are in memory until their answers have arrived |
//! | Header | [`CONTROL_HEADER_MAX_BYTES`](lanspread_proto::codec::CONTROL_HEADER_MAX_BYTES): 64 KiB, in [`READ_TIMEOUT`](requests::READ_TIMEOUT): 10 s | a request | the request ends | it is decoded in memory; its asker gives up sooner |
//! | Headers | [`Requester::turn_to_read_header`](requester::Requester::turn_to_read_header): [`HEADERS_MAX`](requester::HEADERS_MAX): 8 at a time | a connection | waits without an end | headers that are held back take half a MiB |
//! | Bytes behind a request | [`Requester::turn_to_receive`](requester::Requester::turn_to_receive): one request, of [`PAGE_MAX_BYTES`](lanspread_proto::limits::PAGE_MAX_BYTES) or [`PIECE_SET_MAX_BYTES`](lanspread_proto::piece_set::PIECE_SET_MAX_BYTES), in [`READ_TIMEOUT`](requests::READ_TIMEOUT): 10 s | a connection | reset; the asker gives up after 5 s | a peer has one page of them in memory, until what it says is taken over |
//! | Library news | [`LIBRARY_NEWS`](crate::session::pace::LIBRARY_NEWS): 256 at once, 256 a second | an address | waits by arrival | each goes through the command loop |
//! | Fetch news | [`FETCH_NEWS`](crate::session::pace::FETCH_NEWS): 1,024 at once, 1,024 a second | an address | waits by arrival | each goes through a download |
//! | Complaints | [`COMPLAINTS_MAX`](complaints::COMPLAINTS_MAX): 16 in [`COMPLAINTS_TIME`](complaints::COMPLAINTS_TIME): 60 s; [`COMPLAINERS_MAX`](complaints::COMPLAINERS_MAX): 1,024 | an address; addresses | `busy` at once | each reads and hashes a chunk; identities cost nothing, addresses do |
//! | Looks | [`LOOKS_MAX`](looks::LOOKS_MAX): 2, one of them to an address while others wait; one a game, which then rests as long as the look took | all peers; a game | waits for its address's turn, or for the look of another asker; the new look at most [`LOOK_WAIT`](crate::server::LOOK_WAIT): 5 s | each asks the disk for every file |
//! | Hashes | [`HASHES_TIMEOUT`](crate::server::games::HASHES_TIMEOUT): 30 min, looked after every [`ASKER_CHECK`](crate::server::games::ASKER_CHECK): 5 s | a request | the answer has no hashes | a game that cannot be hashed holds no stream for ever |
//! | Encodings | [`ENCODINGS_MAX`]: 2, one of them to an address while others wait | all peers | waits for the turn of its address | each takes a thread and the memory of a whole layout or library |
//! | Answer bytes | [`ANSWER_BYTES_PER_ADDRESS_MAX`](answers::ANSWER_BYTES_PER_ADDRESS_MAX): 16 MiB, [`ANSWER_BYTES_MAX`](answers::ANSWER_BYTES_MAX): 96 MiB, the address that holds the least first | an address; all peers | `busy` after [`ROOM_WAIT`](answers::ROOM_WAIT): 20 s | chunks, pages, piece sets and deltas are in memory until they have arrived |
//! | Stalled receivers | less than [`STALL_BYTES`](answers::STALL_BYTES): 32 KiB in [`STALL_WAIT`](answers::STALL_WAIT): 1 s | a connection | loses its turn; reset when others need its bytes, or after [`STALL_MAX`](answers::STALL_MAX): 30 s; then one answer at a time, behind the others | a receiver that takes nothing does not hold up others |
//! | Library pages | [`LIBRARY_WAIT`](crate::server::library::LIBRARY_WAIT): 5 s, for encoding and answer bytes | a request | `busy`; the asker asks again | a third of the time in which a library has to come |
//! | Sets of pieces, complaints | [`SHORT_ROOM_WAIT`](answers::SHORT_ROOM_WAIT): 3 s, for answer bytes | a request | `busy`; it is told again | its asker gives up after 5 s |
//! | Reads | [`CHUNKS_AT_ONCE_MAX`](answers::CHUNKS_AT_ONCE_MAX): 48 | all peers | waits within [`ROOM_WAIT`](answers::ROOM_WAIT) or a little longer | a read that is given up still has its memory until it ends |
//! | First copies | [`AT_ONCE`](super_seeding::AT_ONCE): 3, 2 of them to an address while others wait; from [`SEVERAL`](super_seeding::SEVERAL): 3 peers of a game on; to peers that take what they are sent | all peers | waits within [`ROOM_WAIT`](answers::ROOM_WAIT) | pieces come one after another and are passed on meanwhile |
//! | Piece on its way | [`ON_ITS_WAY_MAX`](super_seeding::ON_ITS_WAY_MAX): 10 s to one peer, as long as it takes what it is sent | a piece | `busy` at once | the asker gets it from that peer, and asks for another one |
//! | Chunks of a peer | [`CHUNKS_PER_PEER_MAX`](requester::CHUNKS_PER_PEER_MAX): 8 | a connection | waits within [`ROOM_WAIT`](answers::ROOM_WAIT) | two full windows; only a peer that does not keep to them waits |
//! | Turns under a limit | what the upload limit sends in 2 s | all peers | waits within [`ROOM_WAIT`](answers::ROOM_WAIT) | each chunk arrives before its asker gives up |
//! | Turn to send | one chunk, for [`TURN_WAIT`](requester::TURN_WAIT): 500 ms | a connection | sent beside the others | one stream at a time is faster than several |
//! | Stream queue | [`TICKETS_PER_PEER_MAX`](stream_queue::TICKETS_PER_PEER_MAX): 16, [`TICKETS_PER_ADDRESS_MAX`](stream_queue::TICKETS_PER_ADDRESS_MAX): 64, [`WAITING_MAX`](stream_queue::WAITING_MAX): 320 and the limit | a peer; an address; all peers | `busy` at once | a peer that asks for all games does not keep out others |
//! | Streams at a time | the limit of [`StreamService::new`](crate::StreamService::new); an IPv4 address, or a peer of an IPv6 network, with one never gets the last | an address, a peer; all peers | waits without an end, told its position every [`HEARTBEAT`](crate::server::stream::HEARTBEAT): 5 s | a stream lasts minutes |
//! | Streams under a limit | no more than get [`STREAM_BYTES_PER_SECOND_MIN`](upload::STREAM_BYTES_PER_SECOND_MIN): 16 KiB/s | all peers | waits for its turn | below that a receiver would give up its source |
//! | Slow receivers of streams | less than [`FLOOR_BYTES_PER_SECOND`](receiver_pace::FLOOR_BYTES_PER_SECOND): 64 KiB/s of the time in which they are waited for, over [`JUDGED_AFTER`](receiver_pace::JUDGED_AFTER): 30 s | a stream | while another peer waits: `too-slow`; the receiver asks again | a slow receiver does not keep its turn for ever |
//! | Blocks ahead | [`BLOCKS_WAITING`](crate::server::stream::BLOCKS_WAITING): 192 (12 MiB) | a stream | the unpacking thread waits | solid archives come in bursts |
//! | Upload limit | [`Upload`], in pieces of [`PACED_BYTES`](upload::PACED_BYTES): 32 KiB | all peers | waits for the turn of its kind, its address, its peer | streams have half of it, chunks and pages the other half |
//! | Short answers, library pages | [`ANSWER_TIMEOUT`](crate::reply::ANSWER_TIMEOUT): 30 s | a request | reset | the asker is gone or does not read |
//! | Chunks, pages | [`STEP_TIMEOUT`](answers::STEP_TIMEOUT): 60 s a step | a request | reset | as long as an asker waits for a chunk |
//! | Streams | [`STALL_TIMEOUT`](crate::server::stream::STALL_TIMEOUT): 30 s a flush | a stream | reset | others wait for its turn |
//!
//! Request bytes and answer bytes are [`byte_budget`]s. First copies, looks, encodings and turns to be streamed to are
//! [`fair_semaphore`]s.

pub(crate) mod answers;
pub(crate) mod byte_budget;
pub(crate) mod complaints;
pub(crate) mod fair_semaphore;
pub(crate) mod looks;
pub(crate) mod receiver_pace;
pub(crate) mod requester;
pub(crate) mod requests;
pub(crate) mod standing;
pub(crate) mod stream_queue;
pub(crate) mod super_seeding;
pub(crate) mod upload;

use std::sync::Arc;

use answers::{Answers, CHUNKS_AT_ONCE_MAX};
use complaints::ComplaintBudget;
use fair_semaphore::{FairSemaphore, Order};
use lanspread_net::limit::Limiter;
use looks::Looks;
use requests::Requests;
use super_seeding::SuperSeeding;
use tokio::sync::Semaphore;
use upload::Upload;

/// Most layouts and libraries that are being encoded at a time: each takes one blocking thread, and as much
/// memory as it will have.
pub(crate) const ENCODINGS_MAX: usize = 2;
/// One of them to an address while others wait.
const ENCODING_ORDER: Order = Order::TurnsWhileOthersWait(ENCODINGS_MAX.div_ceil(2));

/// The bounds of one peer, for all connections together. Clones share everything.
#[derive(Clone)]
pub(crate) struct Admission {
    pub(crate) super_seeding: SuperSeeding,
    pub(crate) requests: Requests,
    pub(crate) answers: Answers,
    pub(crate) complaints: ComplaintBudget,
    /// [`CHUNKS_AT_ONCE_MAX`] permits. A read that nobody waits for any more still has its memory.
    pub(crate) reads: Arc<Semaphore>,
    /// [`ENCODINGS_MAX`] permits.
    pub(crate) encodings: FairSemaphore,
    pub(crate) looks: Looks,
    /// Paces chunks, pages of games and streams.
    pub(crate) upload: Arc<Upload>,
}

impl Admission {
    pub(crate) fn new(upload: Limiter) -> Self {
        Self {
            super_seeding: SuperSeeding::new(),
            requests: Requests::new(),
            answers: Answers::new(upload.limit()),
            complaints: ComplaintBudget::default(),
            reads: Arc::new(Semaphore::new(CHUNKS_AT_ONCE_MAX)),
            encodings: FairSemaphore::new(ENCODINGS_MAX, ENCODING_ORDER),
            looks: Looks::new(),
            upload: Arc::new(Upload::new(upload)),
        }
    }
}
