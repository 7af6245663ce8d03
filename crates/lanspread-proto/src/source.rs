//! Why a source did not give what it was asked for.

use crate::message::Refusal;
use crate::piece_set::PieceSetError;

/// Why a source did not give what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// The connection is lost, or the peer fell silent.
    #[error("the connection is lost: {0}")]
    Gone(String),
    /// The peer refuses.
    #[error("refused ({code}): {message}", code = .0.code, message = .0.message)]
    Refused(Refusal),
    /// The peer broke the protocol; nothing it sends is of use.
    #[error("broke the protocol: {0}")]
    Protocol(String),
}

impl From<PieceSetError> for SourceError {
    fn from(error: PieceSetError) -> Self {
        Self::Protocol(error.to_string())
    }
}
