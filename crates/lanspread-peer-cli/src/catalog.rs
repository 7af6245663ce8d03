//! The command line of `catalog`, which writes a catalog from the games on this disk, checks the games against
//! one, and adds content roots to one.
//!
//! A game is read with the functions by which a peer reads it, so that both find the same content root.

mod inspection;
mod progress;
mod records;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, Subcommand, ValueEnum};
use lanspread_catalog::{
    Catalog, CatalogFormat, CatalogGame, Existing, RootChange, add_content_roots,
    check_add_content_roots,
};
use lanspread_proto::GameId;

use inspection::{BadName, Finding, GameContent, candidates, inspect};
use records::{GameRecord, Report, State};

/// What to do with a catalog.
#[derive(Debug, Subcommand)]
pub(crate) enum CatalogAction {
    /// Write a catalog of the games in a games directory, with the content root of each.
    Write(WriteArgs),
    /// Read the games in a games directory and compare each with a catalog.
    Check(CheckArgs),
    /// Add the content roots of the games in a games directory to a catalog.
    AddRoots(AddRootsArgs),
}

/// Which games to read.
#[derive(Debug, Args)]
pub(crate) struct Games {
    /// Where the games are: one directory each.
    #[arg(long, value_name = "DIR")]
    games_dir: PathBuf,
    /// Look at this game alone. May be given again.
    #[arg(long = "game", value_name = "GAME")]
    only: Vec<GameId>,
}

#[derive(Debug, Args)]
pub(crate) struct WriteArgs {
    #[command(flatten)]
    games: Games,
    /// The file to write [default: `catalog.json` in the games directory].
    #[arg(long, value_name = "FILE")]
    catalog: Option<PathBuf>,
    /// What to write [default: what the name of the file says: `.json`, or `.db` or `.sqlite`].
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Take titles, publishers and the like from this catalog, for the games that it has.
    #[arg(long, value_name = "FILE")]
    titles_from: Option<PathBuf>,
    /// Replace a file that is there.
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    games: Games,
    /// The catalog [default: `game.db`, else `catalog.json`, in the games directory].
    #[arg(long, value_name = "FILE")]
    catalog: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct AddRootsArgs {
    #[command(flatten)]
    games: Games,
    /// The catalog [default: `game.db`, else `catalog.json`, in the games directory].
    #[arg(long, value_name = "FILE")]
    catalog: Option<PathBuf>,
    /// Replace a root that is not the one of the game in the games directory.
    #[arg(long)]
    replace: bool,
}

/// The formats of a catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Json,
    Sqlite,
}

impl From<Format> for CatalogFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Json => Self::Json,
            Format::Sqlite => Self::Sqlite,
        }
    }
}

/// The catalog that a peer takes when none is named; `None` where there is none.
pub(crate) fn usual_catalog(games_dir: &Path) -> Option<PathBuf> {
    let usual = ["game.db", "catalog.json"].map(|name| games_dir.join(name));
    usual.into_iter().find(|path| path.exists())
}

/// Carries out `action`. The exit status says whether all is well with every game that was asked about.
pub(crate) fn act(action: &CatalogAction) -> anyhow::Result<ExitCode> {
    let report = match action {
        CatalogAction::Write(args) => write(args)?,
        CatalogAction::Check(args) => check(args)?,
        CatalogAction::AddRoots(args) => add_roots(args)?,
    };
    Ok(if report.end()? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn write(args: &WriteArgs) -> anyhow::Result<Report> {
    let games_dir = &args.games.games_dir;
    let path = args.catalog.clone().unwrap_or_else(|| games_dir.join("catalog.json"));
    let Some(format) = args.format.map(Into::into).or_else(|| CatalogFormat::of_name(&path)) else {
        let path = path.display();
        bail!("the name of {path} does not say whether it is JSON or SQLite; --format says it");
    };
    let texts = args.titles_from.as_deref().map(Catalog::load).transpose()?;
    let existing = if args.force { Existing::Replace } else { Existing::Keep };
    // Before hours of reading.
    Catalog::check_save(&path, existing).map_err(|error| match error {
        error @ lanspread_catalog::CatalogError::Exists { .. } => {
            anyhow::anyhow!("{error}; --force replaces it, `catalog add-roots` adds roots to it")
        }
        error => error.into(),
    })?;
    let mut report = Report::new(&path);
    let mut games = Vec::new();
    for candidate in candidates(games_dir, &args.games.only)? {
        let record = match candidate {
            Err(BadName { name, problems }) => GameRecord::refused(&name, problems),
            Ok(id) => match inspect(games_dir, &id) {
                Finding::Absent(message) => GameRecord::missing(id.as_str(), message),
                Finding::Refused(problems) => GameRecord::refused(id.as_str(), problems),
                Finding::Whole(content) => {
                    let record = GameRecord::new(id.as_str(), State::Read).with_content(&content);
                    games.push(entry(id, &content, texts.as_ref()));
                    record
                }
            },
        };
        report.tell(&record)?;
    }
    if games.is_empty() {
        let games_dir = games_dir.display();
        report.end()?;
        bail!("no game in {games_dir} can be in a catalog, so nothing was written");
    }
    Catalog::from_games(games).context("no catalog was written")?.save(&path, format, existing)?;
    report.is_written();
    Ok(report)
}

fn entry(id: GameId, content: &GameContent, texts: Option<&Catalog>) -> CatalogGame {
    let title = id.as_str().to_owned();
    let known = texts.and_then(|texts| texts.get(&id)).cloned();
    let game = known.unwrap_or_else(|| CatalogGame::new(id, title, content.version.clone()));
    CatalogGame {
        version: content.version.clone(),
        content_root: Some(content.root),
        size: Some(content.bytes),
        ..game
    }
}

fn check(args: &CheckArgs) -> anyhow::Result<Report> {
    let (path, catalog) = load(args.catalog.as_deref(), &args.games.games_dir)?;
    let mut report = Report::new(&path);
    for id in chosen(&catalog, &args.games, &path)? {
        let Some(game) = catalog.get(&id) else { continue };
        let (record, _) = compare(&args.games.games_dir, game);
        report.tell(&record)?;
    }
    Ok(report)
}

fn add_roots(args: &AddRootsArgs) -> anyhow::Result<Report> {
    let games_dir = &args.games.games_dir;
    let (path, catalog) = load(args.catalog.as_deref(), games_dir)?;
    check_add_content_roots(&path)?;
    let mut report = Report::new(&path);
    let mut changes = BTreeMap::new();
    for id in chosen(&catalog, &args.games, &path)? {
        let Some(game) = catalog.get(&id) else { continue };
        let (record, found) = compare(games_dir, game);
        let state = match (record.state, &found) {
            (State::NoRoot, Some(_)) => Some(State::Added),
            (State::Differs, Some(content)) if args.replace && content.version == game.version => {
                Some(State::Replaced)
            }
            _ => None,
        };
        let (Some(state), Some(content)) = (state, found) else {
            report.tell(&record)?;
            continue;
        };
        report.tell(&GameRecord::new(id.as_str(), state).with_content(&content))?;
        let change = RootChange {
            version: content.version.clone(),
            old: game.content_root,
            new: content.root,
        };
        changes.insert(id, change);
    }
    if !changes.is_empty() {
        add_content_roots(&path, &changes)?;
        report.is_written();
    }
    Ok(report)
}

fn load(named: Option<&Path>, games_dir: &Path) -> anyhow::Result<(PathBuf, Catalog)> {
    let Some(path) = named.map(Path::to_owned).or_else(|| usual_catalog(games_dir)) else {
        bail!(
            "neither game.db nor catalog.json is in {}; name a catalog by --catalog, or make one \
             by `catalog write`",
            games_dir.display()
        );
    };
    let catalog = Catalog::load(&path)?;
    Ok((path, catalog))
}

/// The games of the catalog that are asked about.
fn chosen(catalog: &Catalog, games: &Games, path: &Path) -> anyhow::Result<BTreeSet<GameId>> {
    let games_dir = &games.games_dir;
    let unreadable = || format!("cannot read games directory {}", games_dir.display());
    std::fs::read_dir(games_dir).with_context(unreadable)?;
    if games.only.is_empty() {
        return Ok(catalog.iter().map(|game| game.id.clone()).collect());
    }
    match games.only.iter().find(|id| catalog.get(id).is_none()) {
        Some(id) => bail!("catalog {} has no game {:?}", path.display(), id.as_str()),
        None => Ok(games.only.iter().cloned().collect()),
    }
}

/// Compares a game on this disk with its entry in a catalog. The content is returned where it could be read.
fn compare(games_dir: &Path, game: &CatalogGame) -> (GameRecord, Option<Box<GameContent>>) {
    let id = game.id.as_str();
    let content = match inspect(games_dir, &game.id) {
        Finding::Whole(content) => content,
        Finding::Absent(message) => return (GameRecord::missing(id, message), None),
        Finding::Refused(problems) => return (GameRecord::refused(id, problems), None),
    };
    let record = |state| GameRecord::new(id, state).with_content(&content);
    let record = if content.version != game.version {
        record(State::Differs)
            .with_stated(game, "its version is not the one that the catalog states")
    } else if game.content_root.is_none() {
        record(State::NoRoot).with_hint("`catalog add-roots` adds the root")
    } else if content.has_root(game.content_root) {
        record(State::Matches)
    } else {
        record(State::Differs)
            .with_stated(game, "its content is not the one that the catalog states")
    };
    (record, Some(content))
}
