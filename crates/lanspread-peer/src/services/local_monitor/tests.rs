use std::collections::BTreeSet;
use std::fs;

use lanspread_catalog::CatalogGame;
use lanspread_proto::GameId;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::*;

/// Longest wait for anything; a test that gets there has failed.
const PATIENCE: Duration = Duration::from_secs(20);

struct Monitored {
    games: tempfile::TempDir,
    games_dirs: watch::Sender<PathBuf>,
    messages: mpsc::Receiver<InboxMessage>,
}

impl Monitored {
    fn start() -> Self {
        let game = |id: &str| CatalogGame::new(id.parse().unwrap(), id, "1".parse().unwrap());
        let catalog = Arc::new(Catalog::from_games(["doom", "quake"].map(game)).unwrap());
        let games = tempfile::tempdir().unwrap();
        fs::create_dir(games.path().join("doom")).unwrap();
        let (games_dirs, receiver) = watch::channel(games.path().to_path_buf());
        let (inbox_sender, messages) = mpsc::channel(8);
        tokio::spawn(run(catalog, receiver, inbox_sender, CancellationToken::new()));
        Self { games, games_dirs, messages }
    }

    async fn change(&mut self) -> DiskChange {
        match timeout(PATIENCE, self.messages.recv()).await {
            Ok(Some(InboxMessage::DiskChanged(change))) => change,
            _ => panic!("no change is told"),
        }
    }
}

fn only(id: &str) -> DiskChange {
    DiskChange::Games(BTreeSet::from([id.parse::<GameId>().unwrap()]))
}

#[tokio::test]
async fn changes_in_old_and_new_roots_are_told() {
    let mut monitored = Monitored::start();
    assert_eq!(monitored.change().await, DiskChange::Anything);
    fs::write(monitored.games.path().join("doom/doom.eti"), b"1").unwrap();
    assert_eq!(monitored.change().await, only("doom"));

    let root = monitored.games.path().join("quake");
    fs::create_dir(&root).unwrap();
    assert_eq!(monitored.change().await, only("quake"));
    fs::write(root.join("version.ini"), b"1").unwrap();
    assert_eq!(monitored.change().await, only("quake"));
    // A root of the same name is another directory, and watched as well.
    fs::rename(&root, monitored.games.path().join("elsewhere")).unwrap();
    fs::create_dir(&root).unwrap();
    assert_eq!(monitored.change().await, only("quake"));
    fs::write(root.join("version.ini"), b"2").unwrap();
    assert_eq!(monitored.change().await, only("quake"));
}

#[tokio::test]
async fn another_games_directory_is_watched_in_place_of_the_old_one() {
    let mut monitored = Monitored::start();
    assert_eq!(monitored.change().await, DiskChange::Anything);
    let other = tempfile::tempdir().unwrap();
    monitored.games_dirs.send_replace(other.path().to_path_buf());
    assert_eq!(monitored.change().await, DiskChange::Anything);
    fs::create_dir(monitored.games.path().join("quake")).unwrap();
    fs::create_dir(other.path().join("doom")).unwrap();
    assert_eq!(monitored.change().await, only("doom"));
}

#[tokio::test]
async fn a_games_directory_that_vanishes_is_told() {
    let mut monitored = Monitored::start();
    assert_eq!(monitored.change().await, DiskChange::Anything);
    let games_dir = monitored.games.path().to_path_buf();
    fs::rename(&games_dir, games_dir.with_extension("aside")).unwrap();
    assert_eq!(monitored.change().await, DiskChange::Anything);
    fs::rename(games_dir.with_extension("aside"), &games_dir).unwrap();
    // The loop looks for it, and names it again when it is back.
    monitored.games_dirs.send_replace(games_dir.clone());
    assert_eq!(monitored.change().await, DiskChange::Anything);
    fs::write(games_dir.join("doom/version.ini"), b"1").unwrap();
    assert_eq!(monitored.change().await, only("doom"));
}
