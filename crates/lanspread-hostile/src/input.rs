//! The standard input, which says when to begin and when to end.

use std::io::{self, BufRead};
use std::thread;

use tokio::sync::watch;

/// What the input has said.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    Nothing,
    /// A line.
    Begin,
    /// Its end.
    End,
}

/// Reads the input in a thread of its own: a read cannot be cancelled, and must not hold up the end.
pub(crate) fn read() -> watch::Receiver<Said> {
    let (tell, said) = watch::channel(Said::Nothing);
    thread::spawn(move || {
        for _ in io::stdin().lock().split(b'\n').map_while(Result::ok) {
            tell.send_replace(Said::Begin);
        }
        tell.send_replace(Said::End);
    });
    said
}

/// Returns when a line has come.
pub(crate) async fn begins(said: &mut watch::Receiver<Said>) {
    // It is dropped with the end of the input alone, which ends the program.
    let _ = said.wait_for(|said| *said == Said::Begin).await;
}

/// Returns when the input has ended.
pub(crate) async fn ended(said: &mut watch::Receiver<Said>) {
    let _ = said.wait_for(|said| *said == Said::End).await;
}
