//! The requests under way, each in a task of its own, so that the transport's work is spread over
//! all threads and every request can be ended by itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lanspread_proto::PeerId;
use lanspread_proto::message::{GetChunks, GetGame, RefusalCode};
use tokio::task::{AbortHandle, JoinError, JoinSet};

use super::super::layout::{ChunkIndex, PieceIndex};
use super::super::scheduler::Ask;
use super::super::source::{GameAnswer, Source, SourceError};
use super::Event;

/// How long a source may take to answer with a manifest that it has at hand.
const MANIFEST_WAIT: Duration = Duration::from_secs(30);
/// How often a manifest is asked for. A connection that crosses another one, or a source that is
/// busy, fails the first time only.
const MANIFEST_ATTEMPTS: u32 = 3;
/// The pause between two attempts.
const ATTEMPT_PAUSE: Duration = Duration::from_millis(200);

/// What a source is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    /// Its manifest, as it is at hand.
    Manifest,
    /// Its manifest, with all hashes.
    Hashes,
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
    /// Asks for the manifest as it is at hand.
    pub(super) fn ask_manifest(&mut self, source: Arc<dyn Source>, request: GetGame) {
        let (peer, known) = (source.peer_id(), request.known_manifest);
        self.start(peer, Subject::Manifest, async move {
            let mut attempt = 1;
            let answer = loop {
                let answer = ask_manifest_once(&*source, request.clone()).await;
                if attempt == MANIFEST_ATTEMPTS || !answer.as_ref().is_err_and(may_pass) {
                    break answer;
                }
                attempt += 1;
                tokio::time::sleep(ATTEMPT_PAUSE).await;
            };
            Event::Manifest { peer, known, answer }
        });
    }

    /// Asks for the manifest with all hashes, for as long as the source takes to make them.
    pub(super) fn ask_hashes(&mut self, source: Arc<dyn Source>, request: GetGame) {
        let (peer, known) = (source.peer_id(), request.known_manifest);
        self.start(peer, Subject::Hashes, async move {
            let answer = source.get_game(request).await;
            Event::Hashes { peer, known, answer }
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

async fn ask_manifest_once(
    source: &dyn Source,
    request: GetGame,
) -> Result<GameAnswer, SourceError> {
    let answer = tokio::time::timeout(MANIFEST_WAIT, source.get_game(request)).await;
    answer.unwrap_or_else(|_| Err(SourceError::Protocol("no manifest in time".into())))
}

fn may_pass(error: &SourceError) -> bool {
    match error {
        SourceError::Gone(_) => true,
        SourceError::Refused(refusal) => {
            matches!(refusal.code, RefusalCode::Busy | RefusalCode::NotServed)
        }
        SourceError::Protocol(_) => false,
    }
}
