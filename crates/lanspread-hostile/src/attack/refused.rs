//! Hellos that are refused, each from another peer.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use lanspread_proto::message::Request;
use quinn::VarInt;
use tokio::sync::Semaphore;

use crate::arguments::{Refused, Wrong};
use crate::exchange::answer_to;
use crate::guest;
use crate::identity::Identity;
use crate::line::{Line, READING_WINDOW_BYTES};
use crate::pace::Pace;
use crate::tally::Tally;

/// Handshakes that go on at a time: one that hangs must not end the flood.
const AT_A_TIME: usize = 4_096;

pub(crate) async fn run(options: Refused, tally: Arc<Tally>) -> Result<()> {
    let line = Line::bind(&options.aim.bind, READING_WINDOW_BYTES)?;
    let options = Arc::new(options);
    let (line, places) = (Arc::new(line), Arc::new(Semaphore::new(AT_A_TIME)));
    let pace = Pace::new(options.aim.rate);
    tally.ready(None).await?;
    for target in options.aim.target.iter().copied().cycle() {
        pace.turn().await;
        let place = Arc::clone(&places).acquire_owned().await?;
        let (line, tally, options) = (Arc::clone(&line), Arc::clone(&tally), Arc::clone(&options));
        tokio::spawn(async move {
            tally.opened.one();
            if let Err(error) = refuse(&line, target, &options, &tally).await {
                tally.failed(error);
            }
            tally.closed.one();
            drop(place);
        });
    }
    Ok(())
}

/// Says a hello and waits for its refusal.
async fn refuse(line: &Line, target: SocketAddr, options: &Refused, tally: &Tally) -> Result<()> {
    let identity = Identity::new()?;
    let connection = line.dial(&identity, target).await?;
    tally.accepted.one();
    let answered = answer_to(&connection, &wrong_hello(&identity, options)?).await;
    tally.refused.one();
    connection.close(VarInt::from_u32(3), b"");
    answered.map(drop)
}

fn wrong_hello(identity: &Identity, options: &Refused) -> Result<Request> {
    let mut hello = guest::hello(identity.peer_id, &options.crowd.network, "refused", 1)?;
    match options.wrong {
        Wrong::Network => hello.network = "another party".parse()?,
        Wrong::Version => hello.proto_ver += 1,
        Wrong::Identity => hello.peer_id = Identity::new()?.peer_id,
        Wrong::Order => return Ok(Request::Ping {}),
    }
    Ok(Request::Hello(hello))
}
