//! Sources that announce a game, and do not give it.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;

use crate::arguments::{Give, Source};
use crate::content::{Content, learn};
use crate::guest::{self, random};
use crate::host::{Library, Offer, Shelf, serve};
use crate::identity::Identity;
use crate::line::{Line, READING_WINDOW_BYTES};
use crate::pace::Pace;
use crate::tally::Tally;

struct Sources {
    options: Source,
    line: Line,
    pace: Pace,
    shelf: Arc<Shelf>,
    tally: Arc<Tally>,
}

pub(crate) async fn run(options: Source, tally: Arc<Tally>) -> Result<()> {
    let content = learn(&options.subject, &options.aim, &options.crowd, &tally).await;
    let line = Line::bind(&options.aim.bind, READING_WINDOW_BYTES)?;
    let pace = Pace::new(options.aim.rate);
    let shelf = Arc::new(shelf(content, &options)?);
    tally.ready(None).await?;
    let sources = Arc::new(Sources { options, line, pace, shelf, tally });
    let targets = sources.options.aim.target.clone();
    let members = (0..sources.options.crowd.identities).flat_map(|number| {
        let sources = &sources;
        // Each is a source of every target.
        targets.iter().map(move |target| {
            let (sources, target) = (Arc::clone(sources), *target);
            tokio::spawn(async move { sources.member(number, target).await })
        })
    });
    for member in members.collect::<Vec<_>>() {
        member.await?;
    }
    Ok(())
}

fn shelf(truth: Content, options: &Source) -> Result<Shelf> {
    let content = match options.give {
        Give::False => truth.falsified()?,
        _ => truth,
    };
    let library = Library::new(random(), &[content.summary()]);
    let (give, bytes_per_s) = (options.give, options.bytes_per_s);
    Ok(Shelf { library, offer: Some(Offer { content, give, bytes_per_s }) })
}

impl Sources {
    /// Is a source, and another one when it is let go.
    async fn member(&self, number: usize, target: SocketAddr) {
        loop {
            self.pace.turn().await;
            if let Err(error) = self.visit(number, target).await {
                self.tally.failed(error);
            }
        }
    }

    async fn visit(&self, number: usize, target: SocketAddr) -> Result<()> {
        let identity = Identity::new()?;
        let network = &self.options.crowd.network;
        let name = format!("source {number}");
        let hello = guest::hello(identity.peer_id, network, &name, self.shelf.library.rev)?;
        let connection = guest::join(&self.line, &identity, target, hello, &self.tally).await?;
        serve(&connection, &self.shelf, &self.tally).await;
        self.tally.closed.one();
        Ok(())
    }
}
