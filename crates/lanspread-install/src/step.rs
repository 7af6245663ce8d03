//! The steps of a transaction, between which tests let it crash.

use std::io;

/// The steps before which a transaction can be interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    WriteIntent,
    CreateInstalling,
    MarkInstalling,
    Unpack,
    Sync,
    MarkLocal,
    PutLocalAside,
    SyncAside,
    Promote,
    /// One action of the recovery that ends every transaction.
    Settle,
}

/// Called before every step; what it returns is what the step ends with. Tests crash in here.
pub(super) type Hook<'a> = dyn FnMut(Step) -> io::Result<()> + 'a;
