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
mod deaf;
mod exchange;
mod governor;
mod guest;
mod host;
mod identity;
mod input;
mod line;
mod pace;
mod platform;
mod tally;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
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
    let mut input = input::read();
    let gate = if cli.wait { Some(input.clone()) } else { None };
    let tally = Arc::new(Tally::new(cli.attack.name(), gate));
    let ended = tokio::select! {
        ended = attack(cli.attack, Arc::clone(&tally)) => ended,
        () = input::ended(&mut input) => Ok(()),
        () = over(cli.seconds) => Ok(()),
        ended = platform::terminated() => ended.map_err(Into::into),
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

/// Returns when the time is over, where it has an end.
async fn over(seconds: Option<f64>) {
    match seconds {
        Some(seconds) => sleep(Duration::from_secs_f64(seconds)).await,
        None => std::future::pending().await,
    }
}
