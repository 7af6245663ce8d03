//! The memory of requests that are read or answered.
//!
//! A request holds a place from before its header is read until its answer has arrived. While it waits for one, it is not
//! read, and the transport lets its sender send no more than a window.

use std::time::Duration;

use lanspread_net::exchange::ExchangeError;
use tokio::time::timeout;

use super::byte_budget::{Bounds, ByteBudget, ByteTicket, Need};
use super::requester::Requester;

/// Most bytes of requests in memory: four times the share of an address.
pub(crate) const REQUEST_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Most bytes of requests of one address: 512 short ones, or the deltas of a dozen peers at once.
pub(crate) const REQUEST_BYTES_PER_ADDRESS_MAX: usize = 8 * 1024 * 1024;
/// What a request takes: its task, its stream, and a short answer.
pub(crate) const REQUEST_BYTES: usize = 16 * 1024;
/// How long a request may take to be read, and how long the bytes behind it: its asker gives up no later.
pub(crate) const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// The budget of one peer. Clones share it.
#[derive(Clone)]
pub(crate) struct Requests(ByteBudget);

/// Memory for a request, or for a part of one.
pub(crate) struct RequestRoom(#[expect(dead_code, reason = "dropping it gives back")] ByteTicket);

impl Requests {
    pub(crate) fn new() -> Self {
        Self(ByteBudget::new(Bounds {
            total: REQUEST_BYTES_MAX,
            per_address: REQUEST_BYTES_PER_ADDRESS_MAX,
            leaves_room: true,
            turns: None,
        }))
    }

    /// Waits until so many bytes of a request may be in memory. Cancel safe.
    ///
    /// # Errors
    /// [`ExchangeError::Silent`] after [`READ_TIMEOUT`].
    pub(crate) async fn room(
        &self,
        requester: &Requester,
        bytes: usize,
    ) -> Result<RequestRoom, ExchangeError> {
        let need = Need { bytes, is_turn: false, standing: None };
        let granted = timeout(READ_TIMEOUT, self.0.acquire(requester.asker(), need)).await;
        granted.map(RequestRoom).map_err(|_| ExchangeError::Silent)
    }
}
