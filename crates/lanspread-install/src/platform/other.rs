//! Windows, and systems on which no script runs.

use std::fs::File;
use std::io;
use std::path::Path;
use std::process::Command;

/// What the setup script of a game is called; `None` where none is run.
pub(crate) const SETUP_SCRIPT: Option<&str> =
    if cfg!(windows) { Some("game_setup.cmd") } else { None };

/// Returns the command that runs the script at `script`.
pub(crate) fn setup_command(script: &Path, _opened: File) -> io::Result<Command> {
    let mut command = Command::new("cmd");
    command.arg("/C").arg(script);
    Ok(command)
}
