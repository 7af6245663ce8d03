//! What `catalog` prints: a JSON line for each game and one at the end, and a sentence on standard error for each
//! game with which something is wrong.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use lanspread_catalog::CatalogGame;
use lanspread_library::{GameProblems, ProblemReason};
use lanspread_proto::text::escaped;
use serde::Serialize;

use super::inspection::GameContent;
use crate::escape::escape_json;
use crate::protocol::data::ProblemData;

/// How it is with a game.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum State {
    /// It is whole, and goes into the catalog that is written.
    Read,
    /// It is what the catalog states.
    Matches,
    /// The catalog stated no root, and states the one of this game from now on.
    Added,
    /// The catalog stated another root.
    Replaced,
    /// It is not what the catalog states.
    Differs,
    /// The catalog states no root to compare it with.
    NoRoot,
    /// It is not there.
    Missing,
    /// It is there, and is not a game that can be shared.
    Refused,
}

impl State {
    fn is_well(self) -> bool {
        matches!(self, Self::Read | Self::Matches | Self::Added | Self::Replaced)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Matches => "matches",
            Self::Added => "added",
            Self::Replaced => "replaced",
            Self::Differs => "differs",
            Self::NoRoot => "no root",
            Self::Missing => "missing",
            Self::Refused => "refused",
        }
    }
}

fn hint(reason: ProblemReason) -> &'static str {
    match reason {
        ProblemReason::Name | ProblemReason::NotUtf8 => "rename it",
        ProblemReason::TooDeep => "shorten its path",
        ProblemReason::Special => "put files and directories in place of it, or remove it",
        ProblemReason::Unreadable => "let this user read it",
        ProblemReason::TooManyFiles
        | ProblemReason::PathsTooLong
        | ProblemReason::TooManyDirectories
        | ProblemReason::TooLarge => "put its files into archives, or split the game",
        ProblemReason::BadVersion => "write the version into the first line of version.ini",
        ProblemReason::Missing
        | ProblemReason::Size
        | ProblemReason::Content
        | ProblemReason::Extra => "end what changes it, and run the command again",
    }
}

/// One game.
#[derive(Debug, Serialize)]
pub(super) struct GameRecord {
    r#type: &'static str,
    game_id: String,
    pub(super) state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_root: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stated_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stated_content_root: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<ProblemData>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem_count: Option<usize>,
    #[serde(skip_serializing_if = "String::is_empty")]
    message: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    hint: &'static str,
}

impl GameRecord {
    pub(super) fn new(game_id: &str, state: State) -> Self {
        Self {
            r#type: "game",
            game_id: game_id.to_owned(),
            state,
            version: None,
            content_root: None,
            files: None,
            size: None,
            stated_version: None,
            stated_content_root: None,
            problems: Vec::new(),
            problem_count: None,
            message: String::new(),
            hint: "",
        }
    }

    pub(super) fn missing(game_id: &str, message: String) -> Self {
        let hint = "fetch it, finish it, or take it out of what is asked about";
        Self { message, hint, ..Self::new(game_id, State::Missing) }
    }

    pub(super) fn refused(game_id: &str, problems: GameProblems) -> Self {
        let first = problems.told.first();
        let message = match (first, problems.count) {
            (Some(first), 1) => first.to_string(),
            (Some(first), count) => format!("{first} (and {} more)", count - 1),
            (None, _) => String::new(),
        };
        Self {
            hint: first.map_or("", |problem| hint(problem.reason)),
            problem_count: Some(problems.count),
            problems: problems.told.into_iter().map(ProblemData::from).collect(),
            message,
            ..Self::new(game_id, State::Refused)
        }
    }

    pub(super) fn with_content(self, content: &GameContent) -> Self {
        Self {
            version: Some(content.version.to_string()),
            content_root: Some(content.root.to_string()),
            files: Some(content.files),
            size: Some(content.bytes),
            ..self
        }
    }

    pub(super) fn with_stated(self, game: &CatalogGame, message: &str) -> Self {
        Self {
            stated_version: Some(game.version.to_string()),
            stated_content_root: game.content_root.map(|root| root.to_string()),
            message: message.to_owned(),
            hint: "take the game or the catalog that is right",
            ..self
        }
    }

    pub(super) fn with_hint(self, hint: &'static str) -> Self {
        Self { message: "the catalog states no content root".to_owned(), hint, ..self }
    }
}

/// The last line.
#[derive(Debug, Serialize)]
struct Summary {
    r#type: &'static str,
    catalog: String,
    /// Whether the catalog was written.
    written: bool,
    /// With which all is well.
    good: usize,
    bad: usize,
}

/// All that is printed.
#[derive(Debug)]
pub(super) struct Report {
    catalog: PathBuf,
    is_written: bool,
    good: usize,
    bad: usize,
    /// Whether somebody still reads standard output.
    is_read: bool,
}

impl Report {
    pub(super) fn new(catalog: &Path) -> Self {
        let catalog = catalog.to_path_buf();
        Self { catalog, is_written: false, good: 0, bad: 0, is_read: true }
    }

    /// Tells of one game.
    pub(super) fn tell(&mut self, record: &GameRecord) -> anyhow::Result<()> {
        if record.state.is_well() {
            self.good += 1;
        } else {
            self.bad += 1;
            let GameRecord { game_id, state, message, hint, .. } = record;
            let line = format!("{game_id}: {}: {message}; {hint}", state.name());
            let _ = writeln!(io::stderr(), "{}", escaped(&line));
        }
        self.print(record)
    }

    pub(super) fn is_written(&mut self) {
        self.is_written = true;
    }

    /// Ends the report. Returns whether all is well with every game.
    pub(super) fn end(mut self) -> anyhow::Result<bool> {
        let Self { is_written, good, bad, .. } = self;
        let catalog = self.catalog.to_string_lossy().into_owned();
        self.print(&Summary { r#type: "summary", catalog, written: is_written, good, bad })?;
        Ok(bad == 0)
    }

    /// Prints one line, unless whoever reads has seen enough, such as `head`. The work goes on then.
    fn print(&mut self, record: &impl Serialize) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(record).context("cannot describe the game")?;
        escape_json(&mut line, 0);
        line.push(b'\n');
        let mut stdout = io::stdout().lock();
        if self.is_read {
            match stdout.write_all(&line).and_then(|()| stdout.flush()) {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.is_read = false,
                written => written.context("cannot write standard output")?,
            }
        }
        Ok(())
    }
}
