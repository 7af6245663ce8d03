//! Gives [`Arrivals`] its say in the QUIC endpoint that listens.
//!
//! QUIC asks three times: about the first packet of an attempt ([`endpoint_limits`]), about the token that proves an address
//! ([`address_token`]), and when a handshake begins and ends (`HalfOpen`, which the connection holds meanwhile).

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use s2n_quic::provider::address_token::{self, Context, Format};
use s2n_quic::provider::endpoint_limits::{self, ConnectionAttempt, Outcome};
use s2n_quic_core::connection::{InitialId, LocalId};
use tokio::time::Instant;

use crate::address::CountedAddress;
use crate::arrivals::{Arrivals, Verdict};

/// The arrivals of one endpoint. Clones are the same.
#[derive(Clone, Default)]
pub(super) struct Door(Arc<Mutex<Arrivals>>);

impl Door {
    /// Counts a handshake of `addr` until the result is dropped.
    pub(super) fn half_open(&self, addr: SocketAddr) -> HalfOpen {
        let addr = addr.ip().into();
        self.lock().begin(addr);
        HalfOpen { door: self.clone(), addr }
    }

    fn lock(&self) -> MutexGuard<'_, Arrivals> {
        // The counts are whole after every statement, so a panic elsewhere does not spoil them.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl endpoint_limits::Limiter for Door {
    fn on_connection_attempt(&mut self, _attempt: &ConnectionAttempt<'_>) -> Outcome {
        match self.lock().judge(Instant::now()) {
            Verdict::Begin => Outcome::allow(),
            Verdict::ProveAddress => Outcome::retry(),
        }
    }
}

/// A handshake that is under way.
pub(super) struct HalfOpen {
    door: Door,
    addr: CountedAddress,
}

impl Drop for HalfOpen {
    fn drop(&mut self) {
        self.door.lock().end(self.addr);
    }
}

/// Tokens as s2n-quic makes them. A valid one proves an address, of which the door then decides.
pub(super) struct Tokens {
    door: Door,
    format: address_token::default::Format,
}

/// Makes [`Tokens`].
pub(super) struct TokenProvider(pub(super) Door);

impl address_token::Provider for TokenProvider {
    type Format = Tokens;
    type Error = Infallible;

    fn start(self) -> Result<Tokens, Infallible> {
        let format = address_token::Default::default().start()?;
        Ok(Tokens { door: self.0, format })
    }
}

impl Format for Tokens {
    const TOKEN_LEN: usize = <address_token::default::Format as Format>::TOKEN_LEN;

    fn generate_new_token(
        &mut self,
        context: &mut Context<'_>,
        source: &LocalId,
        output: &mut [u8],
    ) -> Option<()> {
        self.format.generate_new_token(context, source, output)
    }

    fn generate_retry_token(
        &mut self,
        context: &mut Context<'_>,
        original_destination: &InitialId,
        output: &mut [u8],
    ) -> Option<()> {
        self.format.generate_retry_token(context, original_destination, output)
    }

    fn validate_token(&mut self, context: &mut Context<'_>, token: &[u8]) -> Option<InitialId> {
        let original_destination = self.format.validate_token(context, token)?;
        let addr = SocketAddr::from(&context.remote_address).ip().into();
        let is_let_in = self.door.lock().judge_proven(addr, Instant::now());
        if !is_let_in {
            tracing::debug!(%addr, "too many handshakes: one is not begun");
        }
        is_let_in.then_some(original_destination)
    }
}
