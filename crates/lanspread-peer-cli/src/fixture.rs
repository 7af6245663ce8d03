//! The command line of `fixture`, which makes games for tests.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, anyhow};
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};
use lanspread_fixture::{FixtureError, GameArchive, GameFixture, MadeGame, SizedFile};
use lanspread_proto::{GameId, GameVersion, RelPath};
use serde::Serialize;

/// What to put into a game root.
#[derive(Debug, Args)]
pub(crate) struct FixtureArgs {
    /// The games directory. Made if missing.
    #[arg(long, value_name = "DIR")]
    games_dir: PathBuf,
    /// Which game to make: the name of its root directory.
    #[arg(long, value_name = "GAME")]
    id: GameId,
    /// Its title [default: its id].
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    title: Option<String>,
    /// Its version.
    #[arg(long, default_value = "20240131")]
    version: GameVersion,
    /// The JSON catalog to add it to [default: `catalog.json` in the games directory].
    #[arg(long, value_name = "FILE")]
    catalog: Option<PathBuf>,
    /// Add it to no catalog.
    #[arg(long, conflicts_with = "catalog")]
    no_catalog: bool,
    /// Write no `version.ini`, so that the game is not downloaded.
    #[arg(long)]
    no_sentinel: bool,
    /// What the bytes follow from: the same seed gives the same game.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Replace a game root that is there.
    #[arg(long)]
    force: bool,
    /// One file `data.bin` of this size, such as 64KiB, 10MB or 1GiB.
    #[arg(long, value_name = "SIZE", help_heading = "Content")]
    sized: Option<Size>,
    /// One sparse file of this size, named like an archive: a page of data in every chunk.
    #[arg(long, value_name = "SIZE", help_heading = "Content")]
    sparse: Option<Size>,
    /// This many files below `files/`.
    #[arg(long, value_name = "N", help_heading = "Content")]
    files: Option<u64>,
    /// The size of each of them.
    #[arg(long, value_name = "SIZE", default_value = "1KiB", help_heading = "Content")]
    file_size: Size,
    /// A file of this path and size. May be given again.
    #[arg(long, value_name = "PATH=SIZE", value_parser = sized_file, help_heading = "Content")]
    file: Vec<SizedFile>,
    /// An empty directory, in the archive as well where there is one. May be given again.
    #[arg(long, value_name = "PATH", help_heading = "Content")]
    directory: Vec<RelPath>,
    /// The path of a file, or of an entry of the archive, that may be run. May be given again.
    #[arg(long, value_name = "PATH", help_heading = "Content")]
    executable: Vec<RelPath>,
    /// A real archive, named after the game, with stored entries.
    #[arg(long, value_enum, conflicts_with = "sparse", help_heading = "Content")]
    archive: Option<ArchiveFormat>,
    /// An entry of the archive. May be given again.
    #[arg(long, value_name = "PATH=SIZE", value_parser = sized_file, requires = "archive", help_heading = "Content")]
    entry: Vec<SizedFile>,
    /// This many more entries, below `game/`.
    #[arg(long, value_name = "N", requires = "archive", help_heading = "Content")]
    entries: Option<u64>,
    /// The size of each of them.
    #[arg(long, value_name = "SIZE", default_value = "1KiB", help_heading = "Content")]
    entry_size: Size,
}

/// What was made.
#[derive(Debug, Serialize)]
struct Made<'a> {
    id: &'a str,
    version: &'a str,
    root: &'a Path,
    /// With the sentinel.
    files: u64,
    bytes: u64,
    catalog: Option<&'a Path>,
}

/// Makes the game root that `args` describe, and returns what was made as JSON.
pub(crate) fn make(args: &FixtureArgs) -> anyhow::Result<String> {
    let game = args.game()?;
    let MadeGame { root, files, bytes } = game.make().map_err(|error| match error {
        FixtureError::RootExists { .. } => anyhow!("{error}; --force replaces it"),
        FixtureError::Sentinel => anyhow!("version.ini is the sentinel; its content is --version"),
        error => error.into(),
    })?;
    let made = Made {
        id: game.id.as_str(),
        version: game.version.as_str(),
        root: &root,
        files,
        bytes,
        catalog: game.catalog.as_deref(),
    };
    serde_json::to_string(&made).context("cannot describe the game")
}

impl FixtureArgs {
    fn game(&self) -> Result<GameFixture, FixtureError> {
        let mut files = Vec::new();
        if let Some(Size(size_bytes)) = self.sized {
            files.push(SizedFile { path: RelPath::new("data.bin")?, size_bytes });
        }
        files.extend(self.file.iter().cloned());
        files.extend(SizedFile::numbered("files", self.files.unwrap_or(0), self.file_size.0)?);
        let mut entries = self.entry.clone();
        entries.extend(SizedFile::numbered("game", self.entries.unwrap_or(0), self.entry_size.0)?);
        let archive = self.archive.map(|format| GameArchive { format: format.into(), entries });
        let usual_catalog = || self.games_dir.join("catalog.json");
        let catalog = self.catalog.clone().unwrap_or_else(usual_catalog);
        Ok(GameFixture {
            title: self.title.clone(),
            catalog: (!self.no_catalog).then_some(catalog),
            has_sentinel: !self.no_sentinel,
            seed: self.seed,
            replaces: self.force,
            files,
            sparse_bytes: self.sparse.map(|size| size.0),
            archive,
            directories: self.directory.clone(),
            executables: self.executable.clone(),
            ..GameFixture::new(&self.games_dir, self.id.clone(), self.version.clone())
        })
    }
}

/// Which archive to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ArchiveFormat {
    /// RAR 5.
    Rar,
    /// The format of Lanspread's own tests.
    Fixture,
}

impl From<ArchiveFormat> for lanspread_fixture::ArchiveFormat {
    fn from(format: ArchiveFormat) -> Self {
        match format {
            ArchiveFormat::Rar => Self::Rar,
            ArchiveFormat::Fixture => Self::Fixture,
        }
    }
}

/// A number of bytes, written as `512`, `64KiB` or `10MB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Size(u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let bytes_per_unit: u64 = match unit {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "TiB" => 1 << 40,
            "kB" | "KB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            "TB" => 1_000_000_000_000,
            _ => return Err(format!("{unit:?} is no unit; take KiB, MiB, GiB, kB, MB or GB")),
        };
        let number: u64 =
            number.parse().map_err(|_| "the number is missing or too large".to_owned())?;
        number
            .checked_mul(bytes_per_unit)
            .map(Self)
            .ok_or_else(|| "the size is too large".to_owned())
    }
}

/// Reads `PATH=SIZE`.
fn sized_file(text: &str) -> Result<SizedFile, String> {
    let (path, size) = text.rsplit_once('=').ok_or("write PATH=SIZE")?;
    let path = RelPath::new(path).map_err(|error| error.to_string())?;
    let Size(size_bytes) = size.parse()?;
    Ok(SizedFile { path, size_bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in
            [("0", 0), ("7B", 7), ("64KiB", 65_536), ("10MB", 10_000_000), ("2GiB", 2 << 30)]
        {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
        for bad in ["", "KiB", "1 KiB", "1kib", "-1", "1.5MiB", "99999999999TiB"] {
            assert!(bad.parse::<Size>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_sized_file_is_a_safe_path_and_a_size() {
        let file = sized_file("a=b/c d.txt=1KiB").unwrap();
        assert_eq!((file.path.as_str(), file.size_bytes), ("a=b/c d.txt", 1024));
        for bad in ["a", "=1", "../a=1", "/a=1", "a=x"] {
            assert!(sized_file(bad).is_err(), "{bad:?}");
        }
    }
}
