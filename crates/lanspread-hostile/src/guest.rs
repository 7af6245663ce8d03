//! Joining a party: a connection, and a hello that is answered.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail};
use lanspread_proto::message::{Hello, Request, Response};
use lanspread_proto::{NetworkName, PROTOCOL_VERSION, PeerId};
use quinn::Connection;

use crate::exchange::answer_to;
use crate::identity::Identity;
use crate::line::Line;
use crate::tally::Tally;

/// Where guests say that they listen: a port on which nobody does.
const LISTEN_PORT: u16 = 9;

/// Dials a peer and is let in.
pub(crate) async fn join(
    line: &Line,
    identity: &Identity,
    target: SocketAddr,
    hello: Hello,
    tally: &Tally,
) -> Result<Connection> {
    tally.opened.one();
    let connection = line.dial(identity, target).await.inspect_err(|_| tally.refused.one())?;
    tally.accepted.one();
    match answer_to(&connection, &Request::Hello(hello)).await {
        Ok((Response::HelloAck(_), _)) => {
            tally.joined.one();
            Ok(connection)
        }
        Ok((other, _)) => {
            tally.refused.one();
            bail!("hello was answered with {other:?}")
        }
        Err(error) => {
            tally.refused.one();
            Err(error)
        }
    }
}

/// Says who a guest is; `name` tells one from another in what the attacked peer prints.
pub(crate) fn hello(
    peer_id: PeerId,
    network: &NetworkName,
    name: &str,
    library_rev: u64,
) -> Result<Hello> {
    Ok(Hello {
        proto_ver: PROTOCOL_VERSION,
        peer_id,
        session: random(),
        name: name.parse().context("the name of a guest")?,
        network: network.clone(),
        network_proof: None,
        listen_port: LISTEN_PORT,
        features: Vec::new(),
        library_rev,
    })
}

/// Returns a number that no other call returns, as far as chance goes.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
