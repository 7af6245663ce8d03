//! Many identities that join a party, stay, leave, or come again.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use lanspread_proto::library::GameSummary;
use lanspread_proto::message::Request;
use lanspread_proto::{ContentHash, GameId, GameVersion};
use quinn::Connection;
use serde::Deserialize;
use tokio::time::timeout;

use crate::arguments::{Join, Then};
use crate::exchange::answer_to;
use crate::guest::{self, random};
use crate::host::{Library, Shelf, serve};
use crate::identity::Identity;
use crate::line::{Line, READING_WINDOW_BYTES};
use crate::pace::Pace;
use crate::tally::Tally;

/// How long a peer that leaves again answers before it does: its library is read by then.
const STAYS: Duration = Duration::from_millis(500);

#[derive(Deserialize)]
struct Catalog {
    games: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    id: GameId,
    version: GameVersion,
}

struct Crowd {
    options: Join,
    line: Line,
    pace: Pace,
    catalog: Vec<Entry>,
    tally: Arc<Tally>,
}

pub(crate) async fn run(options: Join, tally: Arc<Tally>) -> Result<()> {
    let catalog = options.catalog.as_deref().map(read_catalog).transpose()?.unwrap_or_default();
    let line = Line::bind(&options.aim.bind, READING_WINDOW_BYTES)?;
    let pace = Pace::new(options.aim.rate);
    tally.ready(None).await?;
    let crowd = Arc::new(Crowd { options, line, pace, catalog, tally });
    let members = (0..crowd.options.crowd.identities).map(|number| {
        let crowd = Arc::clone(&crowd);
        tokio::spawn(async move { crowd.member(number).await })
    });
    for member in members.collect::<Vec<_>>() {
        member.await?;
    }
    Ok(())
}

fn read_catalog(path: &Path) -> Result<Vec<Entry>> {
    let text = std::fs::read(path).with_context(|| format!("failed to read {}", path.display()))?;
    let catalog: Catalog = serde_json::from_slice(&text)?;
    let mut games = catalog.games;
    games.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(games)
}

impl Crowd {
    /// Is one peer after another, or the same again and again.
    async fn member(&self, number: usize) {
        let mut known = None;
        loop {
            self.pace.turn().await;
            let identity = match known.take() {
                Some(identity) => Ok(identity),
                None => Identity::new(),
            };
            let Ok(identity) = identity.inspect_err(|error| self.tally.failed(error)) else {
                continue;
            };
            if let Err(error) = self.visit(number, &identity).await {
                self.tally.failed(error);
            }
            if self.options.then == Then::Rename {
                known = Some(identity);
            }
        }
    }

    async fn visit(&self, number: usize, identity: &Identity) -> Result<()> {
        let target = self.options.aim.target(number)?;
        let library = Library::new(random(), &self.games());
        let name = format!("guest {:016x}", random());
        let network = &self.options.crowd.network;
        let hello = guest::hello(identity.peer_id, network, &name, library.rev)?;
        let shelf = Arc::new(Shelf { library, offer: None });
        let connection = guest::join(&self.line, identity, target, hello, &self.tally).await?;
        let serving = serve(&connection, &shelf, &self.tally);
        match self.options.then {
            Then::Stay => serving.await,
            Then::Goodbye => {
                let _ = timeout(STAYS, serving).await;
                self.say_goodbye(&connection).await;
            }
            Then::Vanish | Then::Rename => {
                let _ = timeout(STAYS, serving).await;
            }
        }
        self.tally.closed.one();
        Ok(())
    }

    async fn say_goodbye(&self, connection: &Connection) {
        self.tally.asked.one();
        let _ = timeout(STAYS, answer_to(connection, &Request::Goodbye {})).await;
        self.tally.ended.one();
    }

    /// All games of the catalog, with contents that nobody else tells.
    fn games(&self) -> Vec<GameSummary> {
        let mark = random().to_be_bytes();
        let games = self.catalog.iter().map(|entry| GameSummary {
            id: entry.id.clone(),
            version: entry.version.clone(),
            size: random() >> 24,
            manifest_hash: ContentHash::of(&[&mark, entry.id.as_str().as_bytes()].concat()),
            content_root: Some(ContentHash::of(&[entry.id.as_str().as_bytes(), &mark].concat())),
        });
        games.collect()
    }
}
