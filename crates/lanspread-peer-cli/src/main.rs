//! JSON lines around the Lanspread peer runtime, for programs that drive peers.
//!
//! `run` is the peer: `input` and `commands` read lines, `session` carries them out, `output` prints
//! records. `protocol` has the types of all lines, `convert` and `failures` make them of what the
//! runtime says, and `schema` reads from them what parameter checks and the documentation need.
//! `platform` is all that knows the operating system. `escape` keeps lines harmless for a terminal. `catalog`
//! works on catalogs without a peer, and `fixture` makes games for tests.

mod answers;
mod args;
mod catalog;
mod commands;
mod convert;
mod envelope;
mod errors;
mod escape;
#[cfg(test)]
mod examples;
mod failures;
mod fixture;
mod input;
mod output;
mod platform;
mod protocol;
mod run;
mod schema;
mod session;
mod ticket;
mod waits;

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use clap::Parser;
use lanspread_proto::text::escaped;
use tracing_appender::non_blocking::NonBlockingBuilder;
use tracing_subscriber::EnvFilter;

use crate::args::{Action, Cli, RunArgs};
use crate::escape::SafeLines;

/// Most threads for the network: each connection is the work of one at a time, and a few of them fill
/// any link of a LAN.
const NETWORK_THREADS_MAX: usize = 4;

/// Lines of the log that wait for standard error. More are dropped: together a few MiB at most.
const LOG_LINES_WAITING: usize = 8192;

fn main() -> ExitCode {
    let started = Instant::now();
    act(started).unwrap_or_else(|error| {
        // Not through `anyhow`'s own report, which adds a backtrace where one is asked for.
        let _ = writeln!(io::stderr(), "error: {}", escaped(&format!("{error:#}")));
        ExitCode::FAILURE
    })
}

fn act(started: Instant) -> anyhow::Result<ExitCode> {
    match Cli::parse().action {
        Action::Run(args) => run_peer(*args, started),
        Action::Schema(args) => print(&schema::printed(&args)?),
        Action::Fixture(args) => print(&format!("{}\n", fixture::make(&args)?)),
        Action::Catalog { action } => catalog::act(&action),
    }
}

fn run_peer(args: RunArgs, started: Instant) -> anyhow::Result<ExitCode> {
    // By a thread of its own: whoever does not read standard error must not stop the peer.
    let (log, _writing) = NonBlockingBuilder::default()
        .buffered_lines_limit(LOG_LINES_WAITING)
        .thread_name("log")
        .finish(SafeLines(io::stderr()));
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_new(&args.log)?)
        .with_writer(log)
        .with_ansi(false)
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(network_threads())
        .enable_all()
        .build()
        .context("cannot start the asynchronous runtime")?;
    let well = runtime.block_on(run::run(args, started));
    // Everything is printed; nothing that still blocks may keep the process.
    runtime.shutdown_background();
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Threads for the network and the command loop: half of the processors. The others have hashing and
/// writing to do, which blocks, and waking a task on another processor costs more than it brings
/// there: a seventh of the CPU time of a transfer on two processors.
fn network_threads() -> usize {
    let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    (processors / 2).clamp(1, NETWORK_THREADS_MAX)
}

fn print(text: &str) -> anyhow::Result<ExitCode> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        // Whoever reads has seen enough, such as `head`.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        written => written.map(|()| ExitCode::SUCCESS).context("cannot write standard output"),
    }
}
