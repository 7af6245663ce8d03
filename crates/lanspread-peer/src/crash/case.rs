//! One crash: what is being done, where it ends, and what the disk keeps.

use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};
use std::str::FromStr;
use std::{fmt, fs};

use lanspread_disk::durable::faults::{Action, Moment};
use lanspread_disk::durable::shadow::Keep;

use super::script::Script;
use super::world::CrashWorld;
use crate::platform::testing::was_killed;

/// In which a victim is told what it is in for.
pub(super) const VICTIM: &str = "LANSPREAD_CRASH_VICTIM";
/// In which it is told where its directory is.
pub(super) const VICTIM_DIR: &str = "LANSPREAD_CRASH_VICTIM_DIR";
/// In which it is told where the source listens.
pub(super) const VICTIM_SOURCE: &str = "LANSPREAD_CRASH_VICTIM_SOURCE";

/// Written and read as `script/site#hit/action/seed`, such as
/// `install/install.promote#1/kill/7`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Case {
    pub(super) script: Script,
    pub(super) moment: Moment,
    pub(super) action: Action,
    pub(super) seed: u64,
}

/// What became of a victim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It was killed where it should be.
    Killed,
    /// It came to its end.
    Lived,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/", self.script.name())?;
        match &self.moment {
            Moment::Never => write!(f, "never")?,
            Moment::Site { site, hit } => write!(f, "{site}#{hit}")?,
            Moment::Any { hit } => write!(f, "any#{hit}")?,
        }
        let action = match self.action {
            Action::Kill => "kill",
            Action::Cut(Keep::Nothing) => "cut",
            Action::Cut(Keep::Some) => "cut-some",
            Action::Fail => "fail",
            Action::Panic => "panic",
        };
        write!(f, "/{action}/{}", self.seed)
    }
}

impl FromStr for Case {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text} is not of the form script/site#hit/action/seed");
        let parts: Vec<_> = text.split('/').collect();
        let [script, moment, action, seed] = parts[..] else { return Err(wrong()) };
        let script = Script::ALL.into_iter().find(|known| known.name() == script);
        let moment = match moment.split_once('#') {
            None => Moment::Never,
            Some((site, hit)) => {
                let hit = hit.parse().map_err(|_| wrong())?;
                match site {
                    "any" => Moment::Any { hit },
                    _ => Moment::Site { site: site.to_owned(), hit },
                }
            }
        };
        let action = match action {
            "kill" => Action::Kill,
            "cut" => Action::Cut(Keep::Nothing),
            "cut-some" => Action::Cut(Keep::Some),
            "fail" => Action::Fail,
            "panic" => Action::Panic,
            _ => return Err(wrong()),
        };
        let seed = seed.parse().map_err(|_| wrong())?;
        Ok(Self { script: script.ok_or_else(wrong)?, moment, action, seed })
    }
}

impl Case {
    /// Whether the victim is to live and to go on.
    pub(super) fn is_survived(&self) -> bool {
        matches!(self.action, Action::Fail | Action::Panic)
    }

    /// Runs it in a process of its own until that ends. After a power cut the disk is what that
    /// left. Blocks.
    pub(super) fn run(&self, world: &CrashWorld, source: SocketAddr) -> Result<End, String> {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["crash::victim::victim", "--exact", "--ignored", "--nocapture"])
            .env(VICTIM, self.to_string())
            .env(VICTIM_DIR, &world.dir)
            .env(VICTIM_SOURCE, source.to_string())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let end = if was_killed(output.status) {
            End::Killed
        } else if output.status.success() {
            End::Lived
        } else {
            return Err(format!("the victim ended with {}:\n{}", output.status, tail(&output)));
        };
        if end == End::Killed && matches!(self.action, Action::Cut(_)) {
            fs::remove_dir_all(world.disk()).unwrap();
            fs::rename(world.cut(), world.disk()).map_err(|e| format!("no cut was made: {e}"))?;
        }
        Ok(end)
    }
}

fn tail(output: &Output) -> String {
    const LINES: usize = 30;
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}
