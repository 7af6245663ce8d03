//! Bounds what the requests of others take of this peer.
//!
//! A request passes these controls in this order, from the arrival of its stream to its last byte. `n/c` counts by
//! connection (a peer has one at a time), `n/p` by peer, `n/a` by address, `n` all peers together. `→ code` is the refusal
//! beyond the bound; without one the request waits, or its stream is reset (`✗`).
//!
//! ```text
//!  stream        64/c by QUIC
//!    │
//!  request       64/c answered at a time
//!    │
//!  header        64 KiB, ✗ 10 s without a byte
//!    │
//!    ├── delta, fetching ─── receive 1/c ─ 256 KiB or a piece set ─ ✗ 10 s without a byte ─ pace/a ──┐
//!    │                                                                                               │
//!    ├── have, end ───────── pace/a ─────────────────────────────────────────────────────────────────┤
//!    │                                                                                               │
//!    ├── goodbye, ping ──────────────────────────────────────────────────────────────────────────────┤
//!    │                                                                                               │
//!    ├── wrong chunk ─────── complaints 16/a in 60 s → busy ─ read one chunk ────────────────────────┤
//!    │                                                                                               │
//!    ├── game ────────────── looks 2 ─ new look 5 s ─ hashes, if awaited, 30 min ────────────────────┤
//!    │                                                                                               │
//!    │                       header of the answer ✗ 30 s ◄───────────────────────────────────────────┘
//!    │
//!    ├── library page ────── within 5 s → busy ────────────┐
//!    │                       encodings 2                   │
//!    │                       page slots 64/a, 256 ─────────┴─ no pacing ───────── whole page ✗ 30 s
//!    │
//!    ├── page of a game ──── page slots 64/a, 256 ─┐
//!    │                       within 20 s → busy ───┘
//!    │                       encodings 2 ─────────────────── pacing 32 KiB ────── every step ✗ 30 s
//!    │
//!    ├── chunks ──────────── within 20 s → busy ───────────┐
//!    │                       on its way elsewhere → busy   │
//!    │                       first copies 2/a, 3           │
//!    │                       chunks 8/c                    │
//!    │                       send slots half/a, 64 or less ┴─ read the chunks
//!    │                       send 1/c, or 500 ms ─────────── pacing 32 KiB ────── every step ✗ 60 s
//!    │                       (slow: first copy goes on without its permit; 1 s stalled: slot goes to another)
//!    │
//!    └── streamed install ── looks 2 ─ new look 5 s
//!                            queue 16/p, limit + 64 → busy
//!                            turns, the limit of streams, fewest held first; position told every 5 s
//!                            unpack, 12 MiB ahead ────────── pacing ───────────── every flush ✗ 30 s
//! ```
//!
//! | Control | Bound | Counts | Beyond it | Why |
//! | --- | --- | --- | --- | --- |
//! | Streams | `STREAMS_MAX` of `lanspread_net::quic`: 64 | a connection | the asker waits in `open` | requests in flight have an end |
//! | Requests | [`REQUESTS_MAX`](crate::session::REQUESTS_MAX): 64 | a connection | its stream is not accepted yet | a transport that allows more streams changes nothing |
//! | Header | [`CONTROL_HEADER_MAX_BYTES`](lanspread_proto::codec::CONTROL_HEADER_MAX_BYTES): 64 KiB | a request | the request ends | it is decoded in memory |
//! | Bytes behind a request | [`Requester::turn_to_receive`](requester::Requester::turn_to_receive): one request, of [`PAGE_MAX_BYTES`](lanspread_proto::limits::PAGE_MAX_BYTES) or [`PIECE_SET_MAX_BYTES`](lanspread_proto::piece_set::PIECE_SET_MAX_BYTES) | a connection | waits without an end; the asker gives up after 5 s | a peer has one page of them in memory, until what it says is taken over |
//! | Library news | [`LIBRARY_NEWS`](crate::session::pace::LIBRARY_NEWS): 256 at once, 256 a second | an address | waits by arrival | each goes through the command loop |
//! | Fetch news | [`FETCH_NEWS`](crate::session::pace::FETCH_NEWS): 1,024 at once, 1,024 a second | an address | waits by arrival | each goes through a download |
//! | Complaints | [`COMPLAINTS_MAX`](complaints::COMPLAINTS_MAX): 16 in [`COMPLAINTS_TIME`](complaints::COMPLAINTS_TIME): 60 s; [`COMPLAINERS_MAX`](complaints::COMPLAINERS_MAX): 1,024 | an address; addresses | `busy` at once | each reads and hashes a chunk; identities cost nothing, addresses do |
//! | Looks | [`LOOKS_MAX`]: 2 | all peers | waits by arrival; the new look at most [`LOOK_WAIT`](crate::server::LOOK_WAIT): 5 s | each asks the disk for every file |
//! | Hashes | [`HASHES_TIMEOUT`](crate::server::games::HASHES_TIMEOUT): 30 min, looked after every [`ASKER_CHECK`](crate::server::games::ASKER_CHECK): 5 s | a request | the answer has no hashes | a game that cannot be hashed holds no stream for ever |
//! | Encodings | [`ENCODINGS_MAX`]: 2 | all peers | waits by arrival | each takes a thread and the memory of a whole layout or library |
//! | Page slots | [`PAGES_PER_ADDRESS_MAX`](page_slots::PAGES_PER_ADDRESS_MAX): 64 (16 MiB), [`PAGES_MAX`](page_slots::PAGES_MAX): 256 (64 MiB) | an address; all peers | `busy` after [`SLOT_WAIT`](send_slots::SLOT_WAIT): 20 s | pages are in memory until they have arrived |
//! | Library pages | [`LIBRARY_WAIT`](crate::server::library::LIBRARY_WAIT): 5 s, for encoding and page slot | a request | `busy`; the asker asks again | a third of the time in which a library has to come |
//! | First copies | [`AT_ONCE`](super_seeding::AT_ONCE): 3, 2 of them to an address while others wait; from [`SEVERAL`](super_seeding::SEVERAL): 3 peers of a game on | all peers | waits within [`SLOT_WAIT`](send_slots::SLOT_WAIT) | pieces come one after another and are passed on meanwhile |
//! | Piece on its way | [`ON_ITS_WAY_MAX`](super_seeding::ON_ITS_WAY_MAX): 10 s to one peer | a piece | `busy` at once | the asker gets it from that peer, and asks for another one |
//! | Chunks of a peer | [`CHUNKS_PER_PEER_MAX`](requester::CHUNKS_PER_PEER_MAX): 8 | a connection | waits within [`SLOT_WAIT`](send_slots::SLOT_WAIT) | two full windows; only a peer that does not keep to them waits |
//! | Send slots | [`CHUNKS_MAX`](send_slots::CHUNKS_MAX): 64 (128 MiB), or what the upload limit sends in 2 s; half to an address while others wait | an address; all peers | `busy` after [`SLOT_WAIT`](send_slots::SLOT_WAIT): 20 s | chunks are in memory until they have arrived, and each arrives before its asker gives up |
//! | Stalled receivers | the rest up to [`CHUNKS_MAX`](send_slots::CHUNKS_MAX), after [`STALL_WAIT`](send_slots::STALL_WAIT): 1 s | all peers | the slot is kept | a receiver that takes nothing does not hold up others |
//! | Turn to send | one chunk, for [`TURN_WAIT`](requester::TURN_WAIT): 500 ms | a connection | sent beside the others | one stream at a time is faster than several |
//! | Stream queue | [`TICKETS_PER_PEER_MAX`](stream_queue::TICKETS_PER_PEER_MAX): 16, [`WAITING_MAX`](stream_queue::WAITING_MAX): 64 and the limit | a peer; all peers | `busy` at once | a peer that asks for all games does not keep out others |
//! | Streams at a time | the limit of [`StreamService::new`](crate::StreamService::new); a peer with one never gets the last | a peer; all peers | waits without an end, told its position every [`HEARTBEAT`](crate::server::stream::HEARTBEAT): 5 s | a stream lasts minutes |
//! | Blocks ahead | [`BLOCKS_WAITING`](crate::server::stream::BLOCKS_WAITING): 192 (12 MiB) | a stream | the unpacking thread waits | solid archives come in bursts |
//! | Upload limit | [`Limiter`], in pieces of [`PACED_BYTES`]: 32 KiB | all peers | waits by arrival | chunks, pages and streams share it evenly |
//! | Short answers, pages | [`ANSWER_TIMEOUT`](crate::reply::ANSWER_TIMEOUT): 30 s a step | a request | reset | the asker is gone or does not read |
//! | Chunks | [`STEP_TIMEOUT`](send_slots::STEP_TIMEOUT): 60 s a step | a request | reset | as long as an asker waits for a chunk |
//! | Streams | [`STALL_TIMEOUT`](crate::server::stream::STALL_TIMEOUT): 30 s a flush | a stream | reset | others wait for its turn |
//!
//! First copies, send slots, page slots and turns to be streamed to are [`fair_semaphore`]s.

pub(crate) mod complaints;
pub(crate) mod fair_semaphore;
pub(crate) mod page_slots;
pub(crate) mod requester;
pub(crate) mod send_slots;
pub(crate) mod stream_queue;
pub(crate) mod super_seeding;

use std::sync::Arc;

use complaints::ComplaintBudget;
use lanspread_net::limit::Limiter;
use page_slots::PageSlots;
use send_slots::SendSlots;
use super_seeding::SuperSeeding;
use tokio::sync::Semaphore;

/// What is sent at once under a limit: it goes out evenly, and who is sent something at the same time
/// gets as much of it.
pub(crate) const PACED_BYTES: usize = 32 * 1024;
/// Most layouts and libraries that are being encoded at a time: each takes one blocking thread, and as much
/// memory as it will have.
pub(crate) const ENCODINGS_MAX: usize = 2;

/// Most looks at whole games at a time: each asks the disk for every file, and anybody may ask for one.
pub(crate) const LOOKS_MAX: usize = 2;

/// The bounds of one peer, for all connections together. Clones share everything.
#[derive(Clone)]
pub(crate) struct Admission {
    pub(crate) super_seeding: SuperSeeding,
    pub(crate) send_slots: SendSlots,
    pub(crate) page_slots: PageSlots,
    pub(crate) complaints: ComplaintBudget,
    /// [`ENCODINGS_MAX`] permits.
    pub(crate) encodings: Arc<Semaphore>,
    /// [`LOOKS_MAX`] permits.
    pub(crate) looks: Arc<Semaphore>,
    /// Paces chunks, pages of games and streams.
    pub(crate) upload: Limiter,
}

impl Admission {
    pub(crate) fn new(upload: Limiter) -> Self {
        Self {
            super_seeding: SuperSeeding::new(),
            send_slots: SendSlots::new(upload.limit()),
            page_slots: PageSlots::new(),
            complaints: ComplaintBudget::default(),
            encodings: Arc::new(Semaphore::new(ENCODINGS_MAX)),
            looks: Arc::new(Semaphore::new(LOOKS_MAX)),
            upload,
        }
    }
}
