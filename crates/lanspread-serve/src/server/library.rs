//! Sends the pages of this peer's library.

use std::time::Duration;

use lanspread_net::exchange::ExchangeError;
use lanspread_net::transport::StreamSender;
use lanspread_proto::codec::CONTROL_HEADER_MAX_BYTES;
use lanspread_proto::message::{GetLibrary, RefusalCode, Response};
use tokio::time::timeout;

use super::Server;
use crate::admission::requester::Requester;
use crate::reply::{refused, reply, send_at_once};

/// How long a request for a page of a library waits: a third of the time in which its asker, which asks again
/// then, wants the whole library.
pub(crate) const LIBRARY_WAIT: Duration = Duration::from_secs(5);

impl Server {
    pub(crate) async fn handle_get_library(
        &self,
        requester: &Requester,
        wanted: GetLibrary,
        sender: &mut dyn StreamSender,
    ) -> Result<(), ExchangeError> {
        let busy = || refused(RefusalCode::Busy, "too many peers ask for pages");
        let prepare = async {
            let newest = self.library.borrow().snapshot();
            let page = self.library_pages.page(wanted, requester.asker(), newest).await?;
            Ok((self.admission.answers.bytes(requester, page.1.len()).await, page))
        };
        match timeout(LIBRARY_WAIT, prepare).await.unwrap_or_else(|_| Err(busy())) {
            Ok((room, (header, page, read))) => {
                let response = Response::LibraryPage(header);
                room.hold_for(send_at_once(&mut *sender, &response, page)).await.inspect_err(
                    |_| {
                        sender.reset();
                    },
                )?;
                room.arrived();
                if let Some(read) = read {
                    requester.link.known_library.send_replace(read);
                }
                Ok(())
            }
            Err(refusal) => {
                reply(sender, &Response::Refused(refusal), CONTROL_HEADER_MAX_BYTES).await
            }
        }
    }
}
