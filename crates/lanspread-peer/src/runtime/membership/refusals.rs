//! The command loop's part about refusals: what is told of them, and when.

use tokio::time::Instant;

use super::Membership;
use crate::event::PeerEvent;
use crate::peers::refusals::{RefusalSum, Refused};
use crate::runtime::handles::Handles;

impl Membership {
    /// Tells of a refusal: at once if a command asked for the connection, else as [`crate::peers::refusals`] says.
    pub(in crate::runtime) fn tell_refused(
        &mut self,
        refused: Refused,
        is_asked: bool,
        handles: &Handles,
    ) {
        let told = match is_asked {
            true => Some(RefusalSum { newest: refused, count: 1 }),
            false => self.refusals.add(refused, Instant::now()),
        };
        if let Some(sum) = told {
            tell(sum, handles);
        }
    }

    /// Tells the sums whose time has come.
    pub(in crate::runtime) fn tell_refusals(&mut self, handles: &Handles) {
        for sum in self.refusals.take_due(Instant::now()) {
            tell(sum, handles);
        }
    }
}

fn tell(RefusalSum { newest, count }: RefusalSum, handles: &Handles) {
    let Refused { peer_id, addr, reason, message } = newest;
    handles.emit(PeerEvent::PeerRejected { peer_id, addr, reason, message, count });
}
