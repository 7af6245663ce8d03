//! The sources of a streamed installation: they are asked what they have before one of them sends it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use lanspread_download::voter_of;
use lanspread_install::error::StreamFailure;
use lanspread_net::dispute::{Candidate, CandidateSource, ContentDispute};
use lanspread_net::links::LinkedSource;
use lanspread_net::source::Source;
use lanspread_proto::message::{GameHead, GetGame};
use lanspread_proto::{GameId, GameVersion, PeerId};
use lanspread_transfer::consensus::{self, Stated, VoteCount};
use lanspread_transfer::source_choice::{ChoiceStep, SourceChoice};
use lanspread_transfer::votes::Voter;
use tokio::time::{Instant, timeout, timeout_at};

/// How long a source may take to tell what it has: as long as a request waits for its connection.
const HEAD_WAIT: Duration = Duration::from_secs(5);
/// How long one may take that is hashing: longer than such sources are waited for.
const HASHES_WAIT: Duration = Duration::from_secs(30);

/// All sources of a streamed installation.
pub(super) struct StreamSources {
    pub(super) game_id: GameId,
    pub(super) version: GameVersion,
    pub(super) stated: Option<Stated>,
    pub(super) sources: BTreeMap<PeerId, Arc<LinkedSource>>,
}

/// Those that may be asked for the stream.
pub(super) struct ChosenSources {
    pub(super) sources: Vec<Arc<LinkedSource>>,
    /// How the addresses voted; `None` where the content is stated.
    pub(super) count: Option<VoteCount>,
}

impl StreamSources {
    /// Asks all sources what they have, and chooses.
    pub(super) async fn choose(&self) -> Result<ChosenSources, StreamFailure> {
        let began = Instant::now();
        let mut choice = SourceChoice::new(self.version.clone(), self.stated);
        let mut answers = FuturesUnordered::new();
        for (peer, source) in &self.sources {
            choice.await_head(*peer, voter(source));
            answers.push(self.ask(*peer, source, false));
        }
        loop {
            let until = match choice.step(began.elapsed()) {
                ChoiceStep::Wait(until) => until,
                ChoiceStep::AskHashes(peers) => {
                    for peer in peers {
                        if let Some(source) = self.sources.get(&peer) {
                            choice.await_head(peer, voter(source));
                            answers.push(self.ask(peer, source, true));
                        }
                    }
                    continue;
                }
                ChoiceStep::Chosen { sources, count } => {
                    let chosen = sources.iter().filter_map(|peer| self.sources.get(peer).cloned());
                    return Ok(ChosenSources { sources: chosen.collect(), count });
                }
                ChoiceStep::Disputed(candidates) => return Err(self.disputed(candidates)),
                ChoiceStep::NoneFits(peer_id, reason) => {
                    return Err(StreamFailure::BadSource { peer_id, reason });
                }
                // Whether one of them sends the game all the same shows when it is asked to.
                ChoiceStep::Nobody => return Ok(self.all()),
            };
            let answer = match until {
                Some(until) => timeout_at(began + until, answers.next()).await.ok().flatten(),
                None => answers.next().await,
            };
            match answer {
                Some((peer, Ok(head))) => {
                    choice.on_head(peer, self.sources.get(&peer).and_then(|it| voter(it)), head);
                }
                Some((peer, Err(reason))) => choice.on_refusal(peer, reason),
                // It is time to step again.
                None => {}
            }
        }
    }

    async fn ask(
        &self,
        peer: PeerId,
        source: &LinkedSource,
        await_hashes: bool,
    ) -> (PeerId, Result<GameHead, String>) {
        let request = GetGame { game_id: self.game_id.clone(), await_hashes };
        let wait = if await_hashes { HASHES_WAIT } else { HEAD_WAIT };
        let answer = timeout(wait, source.get_game(request)).await;
        let answer = answer.map(|answer| answer.map_err(|error| error.to_string()));
        (peer, answer.unwrap_or_else(|_| Err("no answer in time".to_owned())))
    }

    fn all(&self) -> ChosenSources {
        let sources: Vec<_> = self.sources.values().cloned().collect();
        let count = self.stated.is_none().then(|| {
            let mut others: Vec<_> = sources.iter().filter_map(|source| voter(source)).collect();
            others.sort();
            others.dedup();
            VoteCount { content: None, voters: Vec::new(), others }
        });
        ChosenSources { sources, count }
    }

    fn disputed(&self, candidates: Vec<consensus::Candidate>) -> StreamFailure {
        let source = |peer_id| {
            let addr = self.sources.get(&peer_id).and_then(|source| Source::addr(&**source));
            CandidateSource { peer_id, addr }
        };
        let candidate = |it: consensus::Candidate| Candidate {
            content_root: it.content,
            bytes: None,
            sources: it.sources.into_iter().map(source).collect(),
        };
        StreamFailure::ContentDisputed(ContentDispute {
            game_id: self.game_id.clone(),
            candidates: candidates.into_iter().map(candidate).collect(),
        })
    }
}

fn voter(source: &LinkedSource) -> Option<Voter> {
    voter_of(Source::addr(source)?.ip())
}
