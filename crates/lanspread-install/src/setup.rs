//! Starts the setup script that some games bring along, and remembers that it was started.
//!
//! The script is the game's own program and runs with the rights of the peer, because a user asked
//! for it. It is a process group of its own in `local/`, without input, and what it prints goes to a
//! file; the peer neither waits for it nor ends it. It must lie in the root itself: no link is
//! followed on the way to it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;

use lanspread_disk::IoFailure;
use lanspread_disk::game_file::open_game_file;
use lanspread_disk::state_file::{
    ensure_dir, game_state_dir, private_options, remove_file, write_atomic,
};
use lanspread_proto::GameId;
use lanspread_proto::reserved::LOCAL_DIR;

use crate::error::SetupFailure;
use crate::platform;

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

/// Starts the setup script of the game that is installed in `root`. Blocks.
///
/// # Errors
/// [`SetupFailure`]. Only where the marker could not be written does the script run nevertheless.
pub fn start(
    root: &Path,
    state_dir: &Path,
    game_id: &GameId,
) -> Result<SetupStarted, SetupFailure> {
    let name = platform::SETUP_SCRIPT.ok_or(SetupFailure::Unsupported)?;
    let local = root.join(LOCAL_DIR);
    let script = local.join(name);
    let file = open_script(root, name, &script)?;
    let state = game_state_dir(state_dir, game_id);
    ensure_dir(&state).map_err(IoFailure::at("make", &state))?;
    let log = state.join(SETUP_LOG);
    let mut options = private_options();
    let output =
        options.create(true).truncate(true).open(&log).map_err(IoFailure::at("write", &log))?;
    let child = output
        .try_clone()
        .and_then(|errors| {
            let mut command = platform::setup_command(&script, file)?;
            command.current_dir(&local);
            command.stdin(Stdio::null()).stdout(output).stderr(errors);
            let spawned = command.spawn();
            // What is missing is mostly the interpreter, not the script.
            let program = command.get_program().display();
            spawned.map_err(|error| io::Error::new(error.kind(), format!("{program}: {error}")))
        })
        .map_err(IoFailure::at("start", &script))?;
    let pid = child.id();
    reap(child, game_id);
    let was_done = is_done(state_dir, game_id);
    if !was_done {
        let marker = state.join(SETUP_DONE);
        write_atomic(&marker, b"started\n").map_err(IoFailure::at("note in", &marker))?;
    }
    Ok(SetupStarted { script, log, pid, was_done })
}

/// Returns whether the script was started since the game was installed.
pub fn is_done(state_dir: &Path, game_id: &GameId) -> bool {
    game_state_dir(state_dir, game_id).join(SETUP_DONE).is_file()
}

/// Forgets that the script was started, since another installation is about to be there, or none.
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
        _ => IoFailure::new("start", script, error).into(),
    })
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

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use lanspread_disk::testing::{make_link, set_mode};
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
            set_mode(&path, mode);
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
        make_link(outside.join("game_setup.sh"), &script);
        assert!(matches!(disk.start(), Err(SetupFailure::Io { .. })));
        fs::remove_dir_all(disk.local()).unwrap();
        make_link(&outside, disk.local());
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
        let long = format!("#!/bin/sh {}\ntrue\n", "x".repeat(246));
        for text in [&long, "#!\ntrue\n", "#!bin/sh\ntrue\n", "#!  \n", "#!../sh\n"] {
            let disk = Disk::new();
            disk.write(text, 0o755);
            assert!(
                matches!(disk.start(), Err(SetupFailure::Io(IoFailure { action: "start", .. }))),
                "{text}"
            );
            assert!(!disk.is_done());
        }
    }

    #[test]
    fn a_script_whose_interpreter_is_missing_is_an_error_and_not_done() {
        let disk = Disk::new();
        disk.write("#!/no/such/interpreter\n", 0o755);
        let Err(SetupFailure::Io(IoFailure { action: "start", path, .. })) = disk.start() else {
            panic!()
        };
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
