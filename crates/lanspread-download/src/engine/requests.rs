//! The sources of a download and the requests to them, one entry for each source.
//!
//! A request runs in a task of its own, so that the transport's work is spread over all threads and
//! every request can be ended by itself. A source that is removed leaves nothing under way.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lanspread_net::address::CountedAddress;
use lanspread_net::source::{ArrivedBytes, Source};
use lanspread_proto::message::{GameHead, GetChunks, GetGame, GetPage, Part, RefusalCode};
use lanspread_proto::{GameId, PeerId, SourceError};
use lanspread_transfer::attributes::AttributesPart;
use lanspread_transfer::backoff::Backoff;
use lanspread_transfer::layout::{ChunkIndex, PieceIndex};
use lanspread_transfer::part_fetch::AskPart;
use lanspread_transfer::scheduler::{Ask, SourceGroup};
use lanspread_transfer::source_retry::SourceRetry;
use lanspread_transfer::votes::Voter;
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio::time::{Instant, sleep, timeout};

use super::Event;
use super::votes::voter_of;
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
    Part(Part),
    /// What it tells beside the content.
    Attributes,
    /// The chunks of a piece.
    Piece(PieceIndex),
}

/// A request under way.
struct UnderWay {
    task: AbortHandle,
    /// Of an answer with chunks: how many bytes have come, and how many it has.
    arrived: (ArrivedBytes, u64),
}

/// All sources of one download. Dropping it ends the requests to them.
#[derive(Default)]
pub(super) struct Sources {
    tasks: JoinSet<Event>,
    sources: BTreeMap<PeerId, SourceState>,
}

/// What the engine keeps of one source.
struct SourceState {
    handle: Arc<dyn Source>,
    requests: BTreeMap<Subject, UnderWay>,
    /// When it is tried again; `None` while it is not announced, and only fetches the same content.
    retry: Option<SourceRetry>,
}

impl Sources {
    /// Notes that a source is announced. One that is known is reached by the new handle from now on.
    pub(super) fn announce(&mut self, handle: Arc<dyn Source>) {
        let peer = handle.peer_id();
        let requests = self.sources.remove(&peer).map(|known| known.requests).unwrap_or_default();
        let retry = Some(SourceRetry::default());
        self.sources.insert(peer, SourceState { handle, requests, retry });
    }

    /// Makes a source of a peer that fetches the same content, unless it is one already.
    pub(super) fn introduce(&mut self, peer: PeerId, handle: impl FnOnce() -> Arc<dyn Source>) {
        self.sources.entry(peer).or_insert_with(|| SourceState {
            handle: handle(),
            requests: BTreeMap::new(),
            retry: None,
        });
    }

    /// Notes that a source is announced no more, and is not to be tried again.
    pub(super) fn withdraw(&mut self, peer: PeerId) {
        if let Some(source) = self.sources.get_mut(&peer) {
            source.retry = None;
        }
    }

    /// Removes a source and ends the requests to it.
    pub(super) fn remove(&mut self, peer: PeerId) {
        self.end_all_of(peer);
        self.sources.remove(&peer);
    }

    /// Removes a source that is of no use any more, unless it is announced.
    pub(super) fn remove_unannounced(&mut self, peer: PeerId) {
        if self.sources.get(&peer).is_some_and(|source| source.retry.is_none()) {
            self.remove(peer);
        }
    }

    /// Returns how to reach a source.
    pub(super) fn handle(&self, peer: PeerId) -> Option<Arc<dyn Source>> {
        self.sources.get(&peer).map(|source| Arc::clone(&source.handle))
    }

    /// Returns where a source listens.
    pub(super) fn addr(&self, peer: PeerId) -> Option<SocketAddr> {
        self.sources.get(&peer)?.handle.addr()
    }

    /// Returns the address of a source, if it has a vote.
    pub(super) fn voter(&self, peer: PeerId) -> Option<Voter> {
        voter_of(self.addr(peer)?.ip())
    }

    /// Notes that a source was given up, and not for what it sent.
    pub(super) fn given_up(&mut self, peer: PeerId, now: Duration) {
        let source = self.sources.get_mut(&peer);
        if let Some(retry) = source.and_then(|source| source.retry.as_mut()) {
            retry.given_up(now);
        }
    }

    /// Returns the sources to try again now, in peer id order.
    pub(super) fn take_due(&mut self, now: Duration) -> Vec<PeerId> {
        let retries = self.sources.iter_mut();
        let retries = retries.filter_map(|(peer, source)| Some((peer, source.retry.as_mut()?)));
        retries.filter_map(|(peer, retry)| retry.take_due(now).then_some(*peer)).collect()
    }

    /// Returns when the next source is to be tried again.
    pub(super) fn wake_at(&self) -> Option<Duration> {
        let retries = self.sources.values().filter_map(|source| source.retry.as_ref());
        retries.filter_map(SourceRetry::due_at).min()
    }

    /// Asks what a source has, as far as it knows.
    pub(super) fn ask_head(&mut self, peer: PeerId, request: GetGame) {
        self.start(peer, Subject::Head, |source| async move {
            let answer = persist(|| ask_head_once(&*source, request.clone())).await;
            Event::Head { peer, answer }
        });
    }

    /// Asks what a source has, for as long as it takes to hash that.
    pub(super) fn ask_hashes(&mut self, peer: PeerId, request: GetGame) {
        self.start(peer, Subject::Hashes, |source| async move {
            let answer = persist(|| source.get_game(request.clone())).await;
            Event::Hashes { peer, answer }
        });
    }

    /// Asks for the pages of a part that are missing.
    pub(super) fn ask_part(&mut self, game_id: GameId, ask: AskPart) {
        let AskPart { peer, job, pause } = ask;
        let part = job.part;
        self.start(peer, Subject::Part(part), move |source| async move {
            sleep(pause).await;
            let result = fetch_pages(&*source, &game_id, &job).await;
            Event::Part { peer, part, result }
        });
    }

    /// Asks for what a source tells beside the content, which is one page.
    pub(super) fn ask_attributes(&mut self, game_id: GameId, part: AttributesPart) {
        self.start(part.peer, Subject::Attributes, move |source| async move {
            let request = GetPage { game_id, part: Part::Attributes, of: part.of, page: 0 };
            let answer = persist(|| source.get_page(request.clone())).await;
            Event::Attributes { part, answer }
        });
    }

    /// Asks for `chunks` of a piece, which have `lens` bytes.
    pub(super) fn ask_chunks(
        &mut self,
        ask: Ask,
        chunks: Vec<ChunkIndex>,
        request: GetChunks,
        lens: Vec<u32>,
    ) {
        let len: u64 = lens.iter().copied().map(u64::from).sum();
        let arrived = ArrivedBytes::default();
        let count = (arrived.clone(), len);
        self.start_counted(ask.peer, Subject::Piece(ask.piece), count, move |source| async move {
            let answer = source.get_chunks(request, lens, arrived).await;
            let answer = answer.and_then(|received| {
                match received.bytes.len() as u64 == len && received.hashes.len() == chunks.len() {
                    true => Ok(received),
                    false => Err(SourceError::Protocol("chunks of another length".into())),
                }
            });
            Event::Piece { ask, chunks, answer }
        });
    }

    /// The requests for pieces, how many bytes of each have come, and how many it has.
    pub(super) fn progress(&self) -> impl Iterator<Item = (Ask, u64, u64)> {
        self.sources.iter().flat_map(|(peer, source)| {
            source.requests.iter().filter_map(|(subject, under_way)| match subject {
                Subject::Piece(piece) => {
                    let (arrived, of) = &under_way.arrived;
                    Some((Ask { peer: *peer, piece: *piece }, arrived.get(), *of))
                }
                _ => None,
            })
        })
    }

    /// Which sources share their address with this one.
    pub(super) fn group(&self, peer: PeerId) -> Option<SourceGroup> {
        let address = CountedAddress::from(self.sources.get(&peer)?.handle.addr()?.ip());
        // Two addresses with one hash take turns as one does; no more depends on it.
        let mut hasher = DefaultHasher::new();
        address.hash(&mut hasher);
        Some(SourceGroup(hasher.finish()))
    }

    /// A request has been answered; returns whether it was still of interest.
    pub(super) fn finish(&mut self, peer: PeerId, subject: Subject) -> bool {
        let source = self.sources.get_mut(&peer);
        source.is_some_and(|source| source.requests.remove(&subject).is_some())
    }

    /// Ends one request.
    pub(super) fn end(&mut self, peer: PeerId, subject: Subject) {
        let source = self.sources.get_mut(&peer);
        if let Some(handle) = source.and_then(|source| source.requests.remove(&subject)) {
            handle.task.abort();
        }
    }

    /// Ends the requests to one source for pieces, and no others.
    pub(super) fn end_pieces_of(&mut self, peer: PeerId) {
        let Some(source) = self.sources.get_mut(&peer) else { return };
        source.requests.retain(|subject, handle| {
            let is_piece = matches!(subject, Subject::Piece(_));
            if is_piece {
                handle.task.abort();
            }
            !is_piece
        });
    }

    /// Ends all requests to one source.
    pub(super) fn end_all_of(&mut self, peer: PeerId) {
        let Some(source) = self.sources.get_mut(&peer) else { return };
        for handle in std::mem::take(&mut source.requests).into_values() {
            handle.task.abort();
        }
    }

    /// Ends all requests.
    pub(super) async fn end_all(&mut self) {
        self.sources.values_mut().for_each(|source| source.requests.clear());
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

    fn start<F>(
        &mut self,
        peer: PeerId,
        subject: Subject,
        request: impl FnOnce(Arc<dyn Source>) -> F,
    ) where
        F: Future<Output = Event> + Send + 'static,
    {
        self.start_counted(peer, subject, (ArrivedBytes::default(), 0), request);
    }

    fn start_counted<F>(
        &mut self,
        peer: PeerId,
        subject: Subject,
        arrived: (ArrivedBytes, u64),
        request: impl FnOnce(Arc<dyn Source>) -> F,
    ) where
        F: Future<Output = Event> + Send + 'static,
    {
        let Some(source) = self.sources.get_mut(&peer) else { return };
        let task = self.tasks.spawn(request(Arc::clone(&source.handle)));
        if let Some(before) = source.requests.insert(subject, UnderWay { task, arrived }) {
            before.task.abort();
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

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use futures_util::future::{BoxFuture, pending};
    use lanspread_net::source::ReceivedChunks;

    use super::*;

    /// Answers nothing.
    struct Silent(PeerId);

    impl Source for Silent {
        fn peer_id(&self) -> PeerId {
            self.0
        }

        fn addr(&self) -> Option<SocketAddr> {
            None
        }

        fn get_game(&self, _: GetGame) -> BoxFuture<'_, Result<GameHead, SourceError>> {
            pending().boxed()
        }

        fn get_page(&self, _: GetPage) -> BoxFuture<'_, Result<bytes::Bytes, SourceError>> {
            pending().boxed()
        }

        fn get_chunks(
            &self,
            _: GetChunks,
            _: Vec<u32>,
            _: ArrivedBytes,
        ) -> BoxFuture<'_, Result<ReceivedChunks, SourceError>> {
            pending().boxed()
        }
    }

    fn silent(peer: PeerId) -> Arc<dyn Source> {
        Arc::new(Silent(peer))
    }

    fn head_request() -> GetGame {
        GetGame { game_id: "game".parse().unwrap(), await_hashes: false }
    }

    #[tokio::test]
    async fn a_source_that_is_removed_leaves_nothing_behind() {
        let peer = PeerId::from_public_key(b"source");
        let mut sources = Sources::default();
        sources.announce(silent(peer));
        sources.ask_head(peer, head_request());
        sources.given_up(peer, Duration::ZERO);
        sources.remove(peer);
        assert!(sources.sources.is_empty() && sources.handle(peer).is_none());
        assert_eq!((sources.wake_at(), sources.take_due(Duration::MAX)), (None, Vec::new()));
        // Its request has ended, and no answer comes.
        assert!(sources.next().await.is_none());
        assert!(!sources.finish(peer, Subject::Head));
        sources.ask_head(peer, head_request());
        assert!(sources.next().await.is_none());
    }

    #[tokio::test]
    async fn only_what_is_announced_is_tried_again() {
        let (peer, start) = (PeerId::from_public_key(b"source"), Duration::ZERO);
        let mut sources = Sources::default();
        sources.introduce(peer, || silent(peer));
        sources.given_up(peer, start);
        assert_eq!(sources.wake_at(), None);
        sources.announce(silent(peer));
        sources.given_up(peer, start);
        let at = sources.wake_at().unwrap();
        assert_eq!(sources.take_due(at), [peer]);
        sources.given_up(peer, start);
        assert!(sources.wake_at().unwrap() > at);
        // One that is announced anew begins anew.
        sources.announce(silent(peer));
        sources.given_up(peer, start);
        assert_eq!(sources.wake_at(), Some(at));
        sources.remove_unannounced(peer);
        assert!(sources.handle(peer).is_some());
        sources.withdraw(peer);
        assert_eq!(sources.wake_at(), None);
        sources.remove_unannounced(peer);
        assert!(sources.handle(peer).is_none());
    }
}
