//! Starts the setup script that some games bring along, and remembers that it was started.
//!
//! The script is the game's own program and runs with the rights of the peer, because a user asked
//! for it. It is a process group of its own in `local/`, without input, and what it prints goes to a
//! file; the peer neither waits for it nor ends it. It must lie in the root itself: no link is
//! followed on the way to it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use lanspread_disk::game_file::open_game_file;
use lanspread_disk::state_file::{ensure_dir, game_state_dir, remove_file, write_atomic};
use lanspread_proto::GameId;
use lanspread_proto::reserved::LOCAL_DIR;
use lanspread_proto::text::without_byte_order_mark;

use crate::error::SetupFailure;

/// The answer to `run-setup`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetupStarted {
    /// The script.
    pub script: PathBuf,
    /// Where its output goes.
    pub log: PathBuf,
    /// Its process, which leads a group of its own.
    pub pid: u32,
    /// Whether it was started before since the game was installed.
    pub was_done: bool,
}

/// Says that the setup script of a game was started since the game was installed.
pub const SETUP_DONE: &str = "setup_done";
/// What the script printed when it ran last.
const SETUP_LOG: &str = "setup.log";

/// What the script is called on this system.
const SCRIPT: Option<&str> = if cfg!(unix) {
    Some("game_setup.sh")
} else if cfg!(windows) {
    Some("game_setup.cmd")
} else {
    None
};

/// Starts the setup script of the game that is installed in `root`. Blocks.
///
/// # Errors
/// [`SetupFailure`]. Only where the marker could not be written does the script run nevertheless.
pub fn start(
    root: &Path,
    state_dir: &Path,
    game_id: &GameId,
) -> Result<SetupStarted, SetupFailure> {
    let name = SCRIPT.ok_or(SetupFailure::Unsupported)?;
    let local = root.join(LOCAL_DIR);
    let script = local.join(name);
    let file = open_script(root, name, &script)?;
    let state = game_state_dir(state_dir, game_id);
    ensure_dir(&state).map_err(failed("make", &state))?;
    let log = state.join(SETUP_LOG);
    let output = File::create(&log).map_err(failed("write", &log))?;
    let child = output
        .try_clone()
        .and_then(|errors| {
            let mut command = interpreted(&script, file)?;
            command.current_dir(&local);
            command.stdin(Stdio::null()).stdout(output).stderr(errors);
            let spawned = detached(&mut command).spawn();
            // What is missing is mostly the interpreter, not the script.
            let program = command.get_program().display();
            spawned.map_err(|error| io::Error::new(error.kind(), format!("{program}: {error}")))
        })
        .map_err(failed("start", &script))?;
    let pid = child.id();
    reap(child, game_id);
    let was_done = is_done(state_dir, game_id);
    if !was_done {
        let marker = state.join(SETUP_DONE);
        write_atomic(&marker, b"started\n").map_err(failed("note in", &marker))?;
    }
    Ok(SetupStarted { script, log, pid, was_done })
}

/// Whether the script was started since the game was installed.
pub fn is_done(state_dir: &Path, game_id: &GameId) -> bool {
    game_state_dir(state_dir, game_id).join(SETUP_DONE).is_file()
}

/// Another installation is about to be there, or none: its setup is still to be done.
pub fn forget(state_dir: &Path, game_id: &GameId) -> io::Result<()> {
    remove_file(&game_state_dir(state_dir, game_id).join(SETUP_DONE))
}

fn open_script(root: &Path, name: &str, script: &Path) -> Result<File, SetupFailure> {
    let inside = format!("{LOCAL_DIR}/{name}").parse().map_err(io::Error::other);
    let opened = inside.and_then(|inside| open_game_file(root, &inside));
    opened.map_err(|error| match fs::symlink_metadata(script) {
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => {
            SetupFailure::NoScript { path: script.to_path_buf() }
        }
        _ => failed("start", script)(error),
    })
}

/// Longest first line that names an interpreter, as Linux has it.
#[cfg(unix)]
const FIRST_LINE_MAX_BYTES: usize = 255;

/// The interpreter that the script names runs it, whatever its mode: archives lose the executable bit
/// easily, and some disks run nothing. A script that names none is run by the shell.
#[cfg(unix)]
fn interpreted(script: &Path, file: File) -> io::Result<Command> {
    const SHELL: &str = "/bin/sh";
    let mut beginning = Vec::new();
    file.take(FIRST_LINE_MAX_BYTES as u64 + 1).read_to_end(&mut beginning)?;
    let beginning = without_byte_order_mark(&beginning);
    let mut command = match beginning.strip_prefix(b"#!") {
        None => Command::new(SHELL),
        Some(_) => named_interpreter(beginning)?,
    };
    command.arg(script);
    Ok(command)
}

/// Reads `#!/path/of/interpreter argument`: all behind the path is one argument, as for the system.
#[cfg(unix)]
fn named_interpreter(beginning: &[u8]) -> io::Result<Command> {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
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

#[cfg(not(unix))]
fn interpreted(script: &Path, _: File) -> io::Result<Command> {
    let mut command = Command::new("cmd");
    command.arg("/C").arg(script);
    Ok(command)
}

/// Away from what ends the peer: an interrupt at its terminal is not meant for the game.
fn detached(command: &mut Command) -> &mut Command {
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    command
}

/// Waits for a script in a thread, so that it leaves no zombie. The thread does not keep the peer
/// from ending.
fn reap(mut child: Child, game_id: &GameId) {
    let id = game_id.clone();
    let waiting =
        thread::Builder::new().name("setup".to_owned()).spawn(move || match child.wait() {
            Ok(status) => tracing::info!(game_id = %id, %status, "setup script ended"),
            Err(error) => tracing::warn!(game_id = %id, %error, "setup script is lost sight of"),
        });
    if let Err(error) = waiting {
        tracing::warn!(%game_id, %error, "nobody waits for the end of the setup script");
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SetupFailure {
    let path: PathBuf = path.to_path_buf();
    move |source| SetupFailure::Io { action, path, reason: source.to_string() }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::time::{Duration, Instant};

    use tempfile::TempDir;

    use super::*;

    /// Far beyond what a script of one line takes.
    const PATIENCE: Duration = Duration::from_secs(20);

    struct Disk(TempDir);

    impl Disk {
        fn new() -> Self {
            let disk = Self(tempfile::tempdir().unwrap());
            fs::create_dir_all(disk.local()).unwrap();
            disk
        }

        fn root(&self) -> PathBuf {
            self.0.path().join("quake")
        }

        fn local(&self) -> PathBuf {
            self.root().join("local")
        }

        fn start(&self) -> Result<SetupStarted, SetupFailure> {
            start(&self.root(), &self.0.path().join("state"), &id())
        }

        fn is_done(&self) -> bool {
            is_done(&self.0.path().join("state"), &id())
        }

        fn write(&self, text: &str, mode: u32) {
            let path = self.local().join("game_setup.sh");
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }

        /// What the script writes, once it is there.
        fn answer(&self) -> String {
            let began = Instant::now();
            loop {
                match fs::read_to_string(self.local().join("answer")) {
                    Ok(text) if text.ends_with('\n') => return text,
                    _ => assert!(began.elapsed() < PATIENCE, "the script says nothing"),
                }
                thread::sleep(Duration::from_millis(5));
            }
        }
    }

    fn id() -> GameId {
        "quake".parse().unwrap()
    }

    #[test]
    fn a_script_runs_in_its_installation_in_a_group_of_its_own_whatever_its_mode() {
        for mode in [0o755, 0o644] {
            let disk = Disk::new();
            let text = "#!/bin/sh\necho loud; echo louder >&2\n\
                        read -r a || a=none\necho \"$a $$ $(cut -d' ' -f5 /proc/$$/stat) $(pwd)\" > answer\n";
            disk.write(text, mode);
            assert!(!disk.is_done());
            let started = disk.start().unwrap();
            assert!(!started.was_done && disk.is_done());
            let answer = disk.answer();
            let local = fs::canonicalize(disk.local()).unwrap();
            let pid = started.pid;
            assert_eq!(answer.trim(), format!("none {pid} {pid} {}", local.display()), "{mode:o}");
            assert_eq!(fs::read_to_string(started.log).unwrap(), "loud\nlouder\n");
            assert!(disk.start().unwrap().was_done);
        }
    }

    #[test]
    fn only_a_regular_file_that_lies_there_itself_is_run() {
        let disk = Disk::new();
        assert!(matches!(disk.start(), Err(SetupFailure::NoScript { .. })));
        let script = disk.local().join("game_setup.sh");
        fs::create_dir(&script).unwrap();
        assert!(matches!(disk.start(), Err(SetupFailure::Io { .. })));
        fs::remove_dir(&script).unwrap();
        let outside = disk.0.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("game_setup.sh"), "touch ran").unwrap();
        symlink(outside.join("game_setup.sh"), &script).unwrap();
        assert!(matches!(disk.start(), Err(SetupFailure::Io { .. })));
        fs::remove_dir_all(disk.local()).unwrap();
        symlink(&outside, disk.local()).unwrap();
        assert!(matches!(disk.start(), Err(SetupFailure::Io { .. })));
        assert!(!disk.is_done());
        assert!(!outside.join("ran").exists());
    }

    #[test]
    fn a_script_is_run_by_the_interpreter_that_it_names_whatever_its_mode() {
        let bash = "words=(one two); echo \"${#words[@]} $-\" > answer\n";
        for (first_line, options) in
            [("#!/bin/bash", ""), ("#! /bin/bash \t -u \r", "u"), ("#!/usr/bin/env bash", "")]
        {
            for mode in [0o755, 0o644] {
                let disk = Disk::new();
                disk.write(&format!("{first_line}\n{bash}"), mode);
                disk.start().unwrap();
                let answer = disk.answer();
                assert!(answer.starts_with("2 "), "{first_line} {mode:o}: {answer}");
                assert!(answer.contains(options), "{first_line} {mode:o}: {answer}");
            }
        }
        let disk = Disk::new();
        disk.write("echo by $0 > answer\n", 0o755);
        disk.start().unwrap();
        assert!(disk.answer().ends_with("local/game_setup.sh\n"));
    }

    #[test]
    fn a_first_line_without_a_usable_interpreter_is_an_error() {
        let long = format!("#!/bin/sh {}\ntrue\n", "x".repeat(FIRST_LINE_MAX_BYTES - 9));
        for text in [&long, "#!\ntrue\n", "#!bin/sh\ntrue\n", "#!  \n", "#!../sh\n"] {
            let disk = Disk::new();
            disk.write(text, 0o755);
            assert!(
                matches!(disk.start(), Err(SetupFailure::Io { action: "start", .. })),
                "{text}"
            );
            assert!(!disk.is_done());
        }
        let longest = format!("#!/bin/sh {}", "x".repeat(FIRST_LINE_MAX_BYTES - 10));
        assert!(named_interpreter(longest.as_bytes()).is_ok());
    }

    #[test]
    fn a_script_whose_interpreter_is_missing_is_an_error_and_not_done() {
        let disk = Disk::new();
        disk.write("#!/no/such/interpreter\n", 0o755);
        let Err(SetupFailure::Io { action: "start", path, .. }) = disk.start() else { panic!() };
        assert!(path.ends_with("local/game_setup.sh"));
        assert!(!disk.is_done());
    }

    #[test]
    fn another_installation_has_its_setup_to_be_done() {
        let disk = Disk::new();
        disk.write("true", 0o644);
        disk.start().unwrap();
        let state = disk.0.path().join("state");
        forget(&state, &id()).unwrap();
        forget(&state, &id()).unwrap();
        assert!(!disk.is_done());
    }
}
