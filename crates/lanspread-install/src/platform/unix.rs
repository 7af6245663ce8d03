//! Unix.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use lanspread_proto::text::without_byte_order_mark;

/// What the setup script of a game is called; `None` where none is run.
pub(crate) const SETUP_SCRIPT: Option<&str> = Some("game_setup.sh");

/// Longest first line that names an interpreter, as Linux has it.
const FIRST_LINE_MAX_BYTES: usize = 255;

/// Returns the command that runs the script at `script`, of which `opened` is the file, away from what ends
/// the peer: an interrupt at its terminal is not meant for the game.
///
/// The interpreter that the script names runs it, whatever its mode: archives lose the executable bit
/// easily, and some disks run nothing. A script that names none is run by the shell.
pub(crate) fn setup_command(script: &Path, opened: File) -> io::Result<Command> {
    const SHELL: &str = "/bin/sh";
    let mut beginning = Vec::new();
    opened.take(FIRST_LINE_MAX_BYTES as u64 + 1).read_to_end(&mut beginning)?;
    let beginning = without_byte_order_mark(&beginning);
    let mut command = match beginning.strip_prefix(b"#!") {
        None => Command::new(SHELL),
        Some(_) => named_interpreter(beginning)?,
    };
    command.arg(script).process_group(0);
    Ok(command)
}

/// Reads `#!/path/of/interpreter argument`: all behind the path is one argument, as for the system.
fn named_interpreter(beginning: &[u8]) -> io::Result<Command> {
    let refused = |reason: &str| io::Error::new(io::ErrorKind::InvalidData, reason.to_owned());
    let line = beginning.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if line.len() > FIRST_LINE_MAX_BYTES {
        return Err(refused("its first line is too long to name an interpreter"));
    }
    let named = line.get(2..).unwrap_or_default().trim_ascii();
    let end = named.iter().position(u8::is_ascii_whitespace).unwrap_or(named.len());
    let (interpreter, argument) = named.split_at(end);
    if !interpreter.starts_with(b"/") {
        return Err(refused("its first line names no interpreter by an absolute path"));
    }
    let mut command = Command::new(OsStr::from_bytes(interpreter));
    let argument = argument.trim_ascii();
    if !argument.is_empty() {
        command.arg(OsStr::from_bytes(argument));
    }
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_line_is_read_up_to_its_longest() {
        let longest = format!("#!/bin/sh {}", "x".repeat(FIRST_LINE_MAX_BYTES - 10));
        assert!(named_interpreter(longest.as_bytes()).is_ok());
        assert!(named_interpreter(format!("{longest}x").as_bytes()).is_err());
    }
}
