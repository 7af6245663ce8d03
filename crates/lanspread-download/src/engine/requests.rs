//! The requests under way, each in a task of its own, so that the transport's work is spread over
//! all threads and every request can be ended by itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lanspread_net::source::Source;
use lanspread_proto::message::{GameHead, GetChunks, GetGame, GetPage, Part, RefusalCode};
use lanspread_proto::{GameId, PeerId, SourceError};
use lanspread_transfer::attributes::AttributesPart;
use lanspread_transfer::backoff::Backoff;
use lanspread_transfer::layout::{ChunkIndex, PieceIndex};
use lanspread_transfer::part_fetch::AskPart;
use lanspread_transfer::scheduler::Ask;
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio::time::{Instant, sleep, timeout};

use super::Event;
use crate::pages::fetch_pages;

/// How long a source may take to tell what it has.
const HEAD_WAIT: Duration = Duration::from_secs(30);
/// How often a source may refuse to tell what it has. One that is only busy refuses the first time only.
const REFUSALS_MAX: u32 = 3;
/// How long a source is asked again that is not to be reached and still counts as one: as long as a
/// peer is usually silent before it is lost. One that is lost leaves, which ends the request.
const REACH_PATIENCE: Duration = Duration::from_secs(30);
/// How much of that one attempt may take: what a request waits for its connection and its answer at most. More
/// passed while this peer stood still.
const ATTEMPT_MAX: Duration = Duration::from_secs(20);
/// The first pause between two attempts, which a connection that crosses another one needs. It
/// doubles with each attempt.
const ATTEMPT_PAUSE_MIN: Duration = Duration::from_millis(200);
/// The longest pause: what a source that is to be reached again is kept waiting.
const ATTEMPT_PAUSE_MAX: Duration = Duration::from_secs(2);

/// What a source is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    /// What it has, as far as it knows.
    Head,
    /// What it has, once it has hashed it.
    Hashes,
    /// The pages of a part.
    Part,
    /// What it tells beside the content.
    Attributes,
    /// The chunks of a piece.
    Piece(PieceIndex),
}

/// All requests of one download. Dropping it ends them.
#[derive(Default)]
pub(super) struct Requests {
    tasks: JoinSet<Event>,
    under_way: BTreeMap<PeerId, BTreeMap<Subject, AbortHandle>>,
}

impl Requests {
    /// Asks what a source has, as far as it knows.
    pub(super) fn ask_head(&mut self, source: Arc<dyn Source>, request: GetGame) {
        let peer = source.peer_id();
        self.start(peer, Subject::Head, async move {
            let answer = persist(|| ask_head_once(&*source, request.clone())).await;
            Event::Head { peer, answer }
        });
    }

    /// Asks what a source has, for as long as it takes to hash that.
    pub(super) fn ask_hashes(&mut self, source: Arc<dyn Source>, request: GetGame) {
        let peer = source.peer_id();
        self.start(peer, Subject::Hashes, async move {
            let answer = persist(|| source.get_game(request.clone())).await;
            Event::Hashes { peer, answer }
        });
    }

    /// Asks for the pages of a part that are missing.
    pub(super) fn ask_part(&mut self, source: Arc<dyn Source>, game_id: GameId, ask: AskPart) {
        let AskPart { peer, job, pause } = ask;
        self.start(peer, Subject::Part, async move {
            sleep(pause).await;
            let result = fetch_pages(&*source, &game_id, &job).await;
            Event::Part { peer, result }
        });
    }

    /// Asks for what a source tells beside the content, which is one page.
    pub(super) fn ask_attributes(
        &mut self,
        source: Arc<dyn Source>,
        game_id: GameId,
        part: AttributesPart,
    ) {
        self.start(part.peer, Subject::Attributes, async move {
            let request = GetPage { game_id, part: Part::Attributes, of: part.of, page: 0 };
            let answer = persist(|| source.get_page(request.clone())).await;
            Event::Attributes { part, answer }
        });
    }

    /// Asks for `chunks` of a piece, which have `lens` bytes.
    pub(super) fn ask_chunks(
        &mut self,
        source: Arc<dyn Source>,
        ask: Ask,
        chunks: Vec<ChunkIndex>,
        request: GetChunks,
        lens: Vec<u32>,
    ) {
        self.start(ask.peer, Subject::Piece(ask.piece), async move {
            let len: u64 = lens.iter().copied().map(u64::from).sum();
            let answer = source.get_chunks(request, lens).await;
            let answer = answer.and_then(|received| {
                match received.bytes.len() as u64 == len && received.hashes.len() == chunks.len() {
                    true => Ok(received),
                    false => Err(SourceError::Protocol("chunks of another length".into())),
                }
            });
            Event::Piece { ask, chunks, answer }
        });
    }

    /// A request has been answered; returns whether it was still of interest.
    pub(super) fn finish(&mut self, peer: PeerId, subject: Subject) -> bool {
        self.under_way.get_mut(&peer).is_some_and(|subjects| subjects.remove(&subject).is_some())
    }

    /// Ends one request.
    pub(super) fn end(&mut self, peer: PeerId, subject: Subject) {
        let subjects = self.under_way.get_mut(&peer);
        if let Some(handle) = subjects.and_then(|subjects| subjects.remove(&subject)) {
            handle.abort();
        }
    }

    /// Ends the requests to one source for pieces, and no others.
    pub(super) fn end_pieces_of(&mut self, peer: PeerId) {
        let Some(subjects) = self.under_way.get_mut(&peer) else { return };
        subjects.retain(|subject, handle| {
            let is_piece = matches!(subject, Subject::Piece(_));
            if is_piece {
                handle.abort();
            }
            !is_piece
        });
    }

    /// Ends all requests to one source.
    pub(super) fn end_all_of(&mut self, peer: PeerId) {
        for handle in self.under_way.remove(&peer).unwrap_or_default().into_values() {
            handle.abort();
        }
    }

    /// Ends all requests.
    pub(super) async fn end_all(&mut self) {
        self.under_way.clear();
        self.tasks.shutdown().await;
    }

    /// The next answer; `None` when no request is under way.
    pub(super) async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = finished(self.tasks.join_next().await?) {
                return Some(event);
            }
        }
    }

    fn start(
        &mut self,
        peer: PeerId,
        subject: Subject,
        request: impl Future<Output = Event> + Send + 'static,
    ) {
        let handle = self.tasks.spawn(request);
        if let Some(before) = self.under_way.entry(peer).or_default().insert(subject, handle) {
            before.abort();
        }
    }
}

/// The event that a task ended with; `None` when it was aborted.
pub(super) fn finished(task: Result<Event, JoinError>) -> Option<Event> {
    match task {
        Ok(event) => Some(event),
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => None,
    }
}

async fn ask_head_once(source: &dyn Source, request: GetGame) -> Result<GameHead, SourceError> {
    let answer = timeout(HEAD_WAIT, source.get_game(request)).await;
    answer.unwrap_or_else(|_| Err(SourceError::Protocol("no answer in time".into())))
}

/// Asks until there is an answer, or no more hope of one.
async fn persist<T, F>(mut ask: impl FnMut() -> F) -> Result<T, SourceError>
where
    F: Future<Output = Result<T, SourceError>>,
{
    let (mut refusals, mut lost_for) = (0, Duration::ZERO);
    let mut backoff = Backoff::doubling(ATTEMPT_PAUSE_MIN, ATTEMPT_PAUSE_MAX);
    loop {
        let asked_at = Instant::now();
        let answer = ask().await;
        let took = asked_at.elapsed();
        if took >= REACH_PATIENCE {
            // It was reached all the time, or nothing ran: it is lost only now.
            lost_for = Duration::ZERO;
            backoff.reset();
        } else {
            lost_for += took.min(ATTEMPT_MAX);
        }
        let may_pass = match &answer {
            Ok(_) | Err(SourceError::Protocol(_)) => false,
            Err(SourceError::Gone(_)) => lost_for < REACH_PATIENCE,
            Err(SourceError::Refused(refusal)) => {
                refusals += 1;
                refusals < REFUSALS_MAX
                    && matches!(refusal.code, RefusalCode::Busy | RefusalCode::NotServed)
            }
        };
        if !may_pass {
            return answer;
        }
        let pause = backoff.fail();
        sleep(pause).await;
        lost_for += pause;
    }
}
