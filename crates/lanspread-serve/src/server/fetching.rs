//! Answers what another peer fetches with what this one fetches of it.

use bytes::Bytes;
use lanspread_net::exchange::ExchangeError;
use lanspread_net::transport::StreamSender;
use lanspread_proto::message::{RefusalCode, Response};
use lanspread_proto::opening::Opening;
use tokio::sync::SemaphorePermit;
use tokio::time::timeout;

use super::Server;
use crate::admission::answers::SHORT_ROOM_WAIT;
use crate::admission::requester::Requester;
use crate::reply::{refused, reply_briefly, reply_with};
use crate::swarm::OPENING_BYTES;

impl Server {
    /// Notes what a peer fetches; `None` where that is nothing that can be. Answers with what this peer has of it.
    /// `turn` is over when that is noted.
    pub(crate) async fn handle_fetching(
        &self,
        requester: &Requester,
        theirs: Option<Opening>,
        turn: Option<SemaphorePermit<'_>>,
        sender: Box<dyn StreamSender>,
    ) -> Result<(), ExchangeError> {
        let room = timeout(SHORT_ROOM_WAIT, self.admission.answers.bytes(requester, OPENING_BYTES));
        let Ok(room) = room.await else {
            let refusal = refused(RefusalCode::Busy, "too many answers are on their way");
            return reply_briefly(sender, &Response::Refused(refusal)).await;
        };
        let link = &requester.link;
        let own = match theirs {
            Some(theirs) => self.swarm.on_opening(link.peer_id(), link.id, &theirs).await,
            None => None,
        };
        drop(turn);
        let (response, have) = match own.map(|own| own.encode()) {
            Some((own, have)) => (Response::Fetching(own), have),
            None => (Response::Done {}, Bytes::new()),
        };
        room.hold_for(reply_with(sender, &response, have)).await?;
        room.arrived();
        Ok(())
    }
}
