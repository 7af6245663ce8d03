//! A peer that takes everything and keeps nothing: beside an attack on it, honest peers lose only what the attacker
//! takes of the machine.

use std::sync::Arc;

use anyhow::Result;
use bytes::Bytes;
use lanspread_proto::message::{Refusal, RefusalCode, Request, Response};
use quinn::{Incoming, RecvStream};

use crate::arguments::Sink;
use crate::exchange::{header, send};
use crate::guest;
use crate::identity::Identity;
use crate::line::listen;
use crate::tally::Tally;

/// What is read at a time.
const READ_BYTES: usize = 256 * 1024;

struct Host {
    options: Sink,
    identity: Identity,
    tally: Arc<Tally>,
}

pub(crate) async fn run(options: Sink, tally: Arc<Tally>) -> Result<()> {
    let identity = Identity::new()?;
    let endpoint = listen(&identity, options.listen)?;
    tally.ready(Some(endpoint.local_addr()?)).await?;
    let host = Arc::new(Host { options, identity, tally });
    while let Some(incoming) = endpoint.accept().await {
        host.tally.opened.one();
        let host = Arc::clone(&host);
        tokio::spawn(async move {
            if let Err(error) = host.take(incoming).await {
                host.tally.failed(error);
            }
        });
    }
    Ok(())
}

impl Host {
    async fn take(self: &Arc<Self>, incoming: Incoming) -> Result<()> {
        let connection = incoming.await?;
        self.tally.accepted.one();
        while let Ok((mut sender, mut receiver)) = connection.accept_bi().await {
            let host = Arc::clone(self);
            tokio::spawn(async move {
                if let Ok(request) = header::<Request>(&mut receiver).await {
                    host.tally.requests.one();
                    if let Ok(answer) = host.answer(&request) {
                        let _ = send(&mut sender, &answer, Bytes::new()).await;
                    }
                }
                host.discard(&mut receiver).await;
            });
        }
        self.tally.closed.one();
        Ok(())
    }

    fn answer(&self, request: &Request) -> Result<Response> {
        Ok(match request {
            Request::Hello(_) => {
                let (id, network) = (self.identity.peer_id, &self.options.network);
                Response::HelloAck(guest::hello(id, network, "sink", 0)?)
            }
            Request::Ping {} | Request::Goodbye {} => Response::Done {},
            _ => {
                let message = "a sink has nothing".to_owned();
                Response::Refused(Refusal { code: RefusalCode::NotServed, message })
            }
        })
    }

    async fn discard(&self, receiver: &mut RecvStream) {
        while let Ok(Some(chunk)) = receiver.read_chunk(READ_BYTES, false).await {
            self.tally.bytes_received.add(chunk.bytes.len());
        }
    }
}
