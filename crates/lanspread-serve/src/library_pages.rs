//! The library of this peer in pages, made once for each revision and given to all that ask.
//!
//! A library that changes while a peer reads its pages stays for that peer, so that all its pages are of
//! one revision. How many stay is bounded; whoever asks for one that is gone begins anew.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use lanspread_proto::PeerId;
use lanspread_proto::library::{LibrarySnapshot, encode_library};
use lanspread_proto::message::{GetLibrary, LibraryPageHeader, Refusal, RefusalCode};
use tokio::sync::OnceCell;
use tokio::time::Instant;

use crate::admission::fair_semaphore::{Asker, FairSemaphore};
use crate::reply::refused;

/// Most revisions in pages, the newest one included: 36 pages of 256 KiB each for a library of 100,000
/// games. A party that changes its games asks for two.
const REVISIONS_MAX: usize = 4;
/// How long a peer may be silent between two pages: it needs milliseconds.
const PAGING_MAX: Duration = Duration::from_secs(10);

/// The pages of one revision, encoded by the first peer that asks.
type SharedPages = Arc<OnceCell<Vec<Bytes>>>;

/// What is made and who reads it. Clones share everything.
#[derive(Clone)]
pub(super) struct LibraryPages {
    revisions: Arc<Mutex<BTreeMap<u64, Revision>>>,
    /// Bounds what is being encoded.
    encodings: FairSemaphore,
}

/// One revision in pages.
struct Revision {
    library: Arc<LibrarySnapshot>,
    pages: SharedPages,
    /// Who reads it, and when each asked last.
    readers: BTreeMap<PeerId, Instant>,
}

impl LibraryPages {
    /// Makes an empty cache. Whatever is encoded waits for `encodings`.
    pub(super) fn new(encodings: FairSemaphore) -> Self {
        Self { revisions: Arc::default(), encodings }
    }

    /// Returns the page that a peer wants; `newest` is the library at this moment. With the last page comes the
    /// library that the peer has read then.
    ///
    /// # Errors
    /// A [`Refusal`]: `changed` where the revision is not there any more, `no-such-page` beyond the last
    /// page.
    pub(super) async fn page(
        &self,
        wanted: GetLibrary,
        asker: Asker,
        newest: Arc<LibrarySnapshot>,
    ) -> Result<(LibraryPageHeader, Bytes, Option<Arc<LibrarySnapshot>>), Refusal> {
        let rev = wanted.rev.unwrap_or(newest.rev);
        let (library, pages) = self.begin(rev, asker.peer, newest)?;
        let pages = pages.get_or_try_init(|| self.encode(asker, Arc::clone(&library))).await?;
        let count = u32::try_from(pages.len()).unwrap_or(u32::MAX);
        let at = usize::try_from(wanted.page).unwrap_or(usize::MAX);
        let Some(page) = pages.get(at).cloned() else {
            let message = format!("the library has {count} pages");
            return Err(refused(RefusalCode::NoSuchPage, &message));
        };
        let is_last = at + 1 == pages.len();
        if is_last {
            self.has_read_all(rev, asker.peer);
        }
        // As many as the catalog has at most, and as long as a page is at most.
        let [games, len] = [library.games.len(), page.len()].map(|n| u32::try_from(n).unwrap_or(0));
        let header = LibraryPageHeader { rev, games, pages: count, len };
        Ok((header, page, is_last.then_some(library)))
    }

    /// Notes that a peer reads a revision, and lets go of those that nobody reads.
    fn begin(
        &self,
        rev: u64,
        peer: PeerId,
        newest: Arc<LibrarySnapshot>,
    ) -> Result<(Arc<LibrarySnapshot>, SharedPages), Refusal> {
        let now = Instant::now();
        let mut revisions = self.lock();
        revisions.retain(|known, revision| {
            revision.readers.retain(|_, asked_at| *asked_at + PAGING_MAX > now);
            *known == newest.rev || !revision.readers.is_empty()
        });
        if rev == newest.rev && !revisions.contains_key(&rev) {
            if revisions.len() >= REVISIONS_MAX {
                revisions.pop_first();
            }
            let (pages, readers) = Default::default();
            revisions.insert(rev, Revision { library: newest, pages, readers });
        }
        let Some(revision) = revisions.get_mut(&rev) else {
            return Err(refused(RefusalCode::Changed, "the library has changed"));
        };
        revision.readers.insert(peer, now);
        Ok((Arc::clone(&revision.library), Arc::clone(&revision.pages)))
    }

    async fn encode(
        &self,
        asker: Asker,
        library: Arc<LibrarySnapshot>,
    ) -> Result<Vec<Bytes>, Refusal> {
        let turn = self.encodings.acquire(asker).await;
        // Its turn ends with the work, also where the asker does not wait for that.
        let encode = move || {
            let _turn = turn;
            encode_library(&library.games)
        };
        let encoded = tokio::task::spawn_blocking(encode).await;
        encoded.map_err(|_| refused(RefusalCode::Busy, "the library was not encoded"))
    }

    fn has_read_all(&self, rev: u64, peer: PeerId) {
        if let Some(revision) = self.lock().get_mut(&rev) {
            revision.readers.remove(&peer);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Revision>> {
        // Every change is a whole one, so a panic elsewhere does not spoil it.
        self.revisions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use lanspread_proto::ContentHash;
    use lanspread_proto::library::{GameSummary, LibraryPage};
    use lanspread_proto::limits::LIBRARY_MAX_GAMES;

    use super::*;
    use crate::admission::fair_semaphore::Order;

    fn library(rev: u64, games: u32) -> Arc<LibrarySnapshot> {
        let hash = ContentHash::of(&rev.to_le_bytes());
        let game = |n: u32| GameSummary {
            id: format!("game {n:06}").parse().unwrap(),
            version: "20240131".parse().unwrap(),
            size: 1,
            manifest_hash: hash,
            content_root: Some(hash),
        };
        Arc::new(LibrarySnapshot { rev, games: (0..games).map(game).collect() })
    }

    fn peer(n: u8) -> Asker {
        let addr = std::net::IpAddr::from([10, 0, 0, n]).into();
        Asker { addr, peer: PeerId::from_public_key(&[n]) }
    }

    fn libraries() -> LibraryPages {
        LibraryPages::new(FairSemaphore::new(1, Order::TurnsWhileOthersWait(1)))
    }

    fn wanted(rev: Option<u64>, page: u32) -> GetLibrary {
        GetLibrary { rev, page }
    }

    #[tokio::test]
    async fn a_library_of_100_000_games_is_encoded_once_and_shared() {
        let (libraries, newest) = (libraries(), library(1, LIBRARY_MAX_GAMES));
        let (mut page, mut games) = (0, 0);
        loop {
            let ask = |n| libraries.page(wanted(None, page), peer(n), Arc::clone(&newest));
            let (header, bytes, read) = ask(1).await.unwrap();
            let (other_header, other, _) = ask(2).await.unwrap();
            assert_eq!(read.is_some(), page + 1 == header.pages);
            assert_eq!(header, other_header);
            assert_eq!(bytes.as_ptr(), other.as_ptr(), "it is the same memory");
            assert_eq!((header.games, header.rev), (LIBRARY_MAX_GAMES, 1));
            games += LibraryPage::new(&bytes).unwrap().games_left();
            page += 1;
            if page == header.pages {
                break;
            }
        }
        assert_eq!((games, page), (LIBRARY_MAX_GAMES, 27));
        let beyond = libraries.page(wanted(None, page), peer(1), newest).await;
        assert_eq!(beyond.unwrap_err().code, RefusalCode::NoSuchPage);
    }

    #[tokio::test(start_paused = true)]
    async fn a_library_that_changes_stays_for_whoever_reads_it() {
        let libraries = libraries();
        let ask = async |rev, page, n, newest: &Arc<LibrarySnapshot>| {
            let asked = libraries.page(wanted(rev, page), peer(n), Arc::clone(newest)).await;
            asked.map(|(header, ..)| (header.rev, header.games)).map_err(|refusal| refusal.code)
        };
        let (old, new) = (library(1, 4_000), library(2, 4_001));
        assert_eq!(ask(None, 0, 1, &old).await, Ok((1, 4_000)));
        assert_eq!(ask(None, 0, 2, &new).await, Ok((2, 4_001)));
        assert_eq!(ask(Some(1), 1, 1, &new).await, Ok((1, 4_000)), "it goes on with the old one");
        let gone = Err(RefusalCode::Changed);
        assert_eq!(ask(Some(1), 0, 1, &new).await, gone, "the last page was read");
        assert_eq!(ask(Some(2), 1, 2, &new).await, Ok((2, 4_001)));

        assert_eq!(ask(None, 0, 1, &new).await, Ok((2, 4_001)));
        let newer = library(3, 1);
        tokio::time::advance(PAGING_MAX / 2).await;
        assert_eq!(ask(Some(2), 0, 1, &newer).await, Ok((2, 4_001)));
        tokio::time::advance(PAGING_MAX).await;
        assert_eq!(ask(Some(2), 0, 1, &newer).await, gone, "it was silent for too long");
    }

    #[tokio::test]
    async fn so_many_revisions_stay_and_no_more() {
        let libraries = libraries();
        for rev in 1..=10 {
            let reader = peer(u8::try_from(rev).unwrap());
            libraries.page(wanted(None, 0), reader, library(rev, 4_000)).await.unwrap();
        }
        assert_eq!(libraries.lock().len(), REVISIONS_MAX);
        let newest = library(10, 4_000);
        for (rev, is_there) in [(6, false), (7, true), (9, true), (10, true)] {
            let asked = libraries.page(wanted(Some(rev), 0), peer(99), Arc::clone(&newest)).await;
            assert_eq!(asked.is_ok(), is_there, "{rev}");
        }
    }
}
