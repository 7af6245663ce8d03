//! Attacks a Lanspread peer, so that tests can see what honest peers lose by it.
//!
//! One subcommand is one attack. It shares no code with what it attacks but the messages of the wire: QUIC is that of
//! another library, and nothing here keeps to a bound. Identities are made as they are needed, since they cost nothing.
//!
//! It prints JSON objects, one a line: `ready`, then a `tally` four times a second, then `end`. Counts are totals since the
//! start. It ends when its input does, by SIGTERM, or after `--seconds`.
//!
//! Everything runs on one thread, and `--cpu` is the share of a core that this thread takes: a slow machine is held to be a
//! fair attacker.

mod arguments;
mod attack;
mod content;
mod exchange;
mod governor;
mod guest;
mod host;
mod identity;
mod line;
mod pace;
mod platform;
mod tally;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use tokio::sync::oneshot;
use tokio::time::sleep;

use arguments::{Attack, Cli};
use tally::Tally;

fn main() -> Result<()> {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(run(cli));
    runtime.shutdown_background();
    ended
}

async fn run(cli: Cli) -> Result<()> {
    let tally = Arc::new(Tally::new(cli.attack.name()));
    let ended = tokio::select! {
        ended = attack(cli.attack, Arc::clone(&tally)) => ended,
        ended = asked_to_end(cli.seconds) => ended,
        failed = tally.tell_regularly() => failed.map(|never| match never {}),
        never = governor::hold_to(cli.cpu) => match never {},
    };
    tally.tell_end()?;
    ended
}

async fn attack(attack: Attack, tally: Arc<Tally>) -> Result<()> {
    match attack {
        Attack::Silent(options) => attack::silent::run(options, tally).await,
        Attack::Refused(options) => attack::refused::run(options, tally).await,
        Attack::Join(options) => attack::join::run(options, tally).await,
        Attack::Source(options) => attack::source::run(options, tally).await,
        Attack::Unread(options) => attack::unread::run(options, tally).await,
        Attack::Flood(options) => attack::flood::run(options, tally).await,
        Attack::Mdns(options) => attack::mdns::run(options, tally).await,
        Attack::Sink(options) => attack::sink::run(options, tally).await,
    }
}

/// Returns when the input ends, a signal comes, or the time is over.
async fn asked_to_end(seconds: Option<f64>) -> Result<()> {
    let (tell, told) = oneshot::channel();
    // A thread of its own: a read of the input cannot be cancelled, and must not hold up the end.
    std::thread::spawn(move || {
        let end = io::copy(&mut io::stdin(), &mut io::sink());
        tell.send(end)
    });
    let over = async {
        match seconds {
            Some(seconds) => sleep(Duration::from_secs_f64(seconds)).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = told => {}
        () = over => {}
        signal = platform::terminated() => signal?,
    }
    Ok(())
}
