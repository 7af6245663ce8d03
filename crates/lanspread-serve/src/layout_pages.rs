//! The layouts of served games, in pages.
//!
//! Nothing is encoded twice: a layout is encoded by whoever asks for it first, and all answers share
//! its pages. Hashes and attributes are slices of what the library has in memory anyway.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use lanspread_proto::layout::encode_layout;
use lanspread_proto::{ContentHash, Manifest};
use tokio::sync::OnceCell;

use crate::admission::fair_semaphore::{Asker, FairSemaphore};

/// How much of encoded layouts is kept, of all games together: one of the largest, or a dozen of usual
/// ones. A layout may exceed it alone.
const LAYOUT_CACHE_BYTES: usize = 32 * 1024 * 1024;

/// Encodes layouts, and keeps their pages. Clones share everything.
#[derive(Clone)]
pub(super) struct LayoutCache {
    layouts: Arc<Mutex<Layouts>>,
    encodings: FairSemaphore,
}

/// Encoded layouts by their identity, the least recently used to go first.
#[derive(Default)]
struct Layouts {
    encoded: BTreeMap<ContentHash, Encoded>,
    uses: u64,
}

struct Encoded {
    pages: Arc<OnceCell<Arc<[Bytes]>>>,
    used: u64,
}

impl Encoded {
    fn bytes(&self) -> usize {
        self.pages.get().map_or(0, |pages| pages.iter().map(Bytes::len).sum())
    }
}

impl LayoutCache {
    /// Makes an empty cache. Whatever is encoded waits for `encodings`.
    pub(crate) fn new(encodings: FairSemaphore) -> Self {
        Self { layouts: Arc::default(), encodings }
    }

    /// Returns the pages of the layout of `manifest`: as they were encoded before, or by this call. `None` when
    /// the encoding was abandoned.
    pub(super) async fn layout(
        &self,
        asker: Asker,
        manifest: &Arc<Manifest>,
    ) -> Option<Arc<[Bytes]>> {
        let pages = self.layouts().entry(manifest.manifest_hash());
        let encode = || async {
            let turn = self.encodings.acquire(asker).await;
            let manifest = Arc::clone(manifest);
            // Its turn ends with the work, also where the asker does not wait for that.
            let encode = move || {
                let _turn = turn;
                let files = manifest.files().iter();
                encode_layout(files.map(|file| (&file.path, file.size))).into()
            };
            tokio::task::spawn_blocking(encode).await.ok()
        };
        let encoded = pages.get_or_try_init(|| async { encode().await.ok_or(()) }).await;
        let encoded = encoded.ok().map(Arc::clone);
        self.layouts().evict(manifest.manifest_hash());
        encoded
    }

    // Whoever panicked while it held the lock left nothing half done.
    fn layouts(&self) -> MutexGuard<'_, Layouts> {
        self.layouts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Layouts {
    fn entry(&mut self, identity: ContentHash) -> Arc<OnceCell<Arc<[Bytes]>>> {
        self.uses += 1;
        let used = self.uses;
        let entry = self.encoded.entry(identity);
        let entry = entry.or_insert_with(|| Encoded { pages: Arc::default(), used });
        entry.used = used;
        Arc::clone(&entry.pages)
    }

    /// Lets go of what was used longest ago, but for `kept`, until the rest fits.
    fn evict(&mut self, kept: ContentHash) {
        let mut bytes: usize = self.encoded.values().map(Encoded::bytes).sum();
        while bytes > LAYOUT_CACHE_BYTES {
            let others = self
                .encoded
                .iter()
                .filter(|(identity, entry)| **identity != kept && entry.pages.initialized());
            let Some(oldest) = others.min_by_key(|(_, entry)| entry.used).map(|(it, _)| *it) else {
                return;
            };
            bytes -= self.encoded.remove(&oldest).map_or(0, |entry| entry.bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use lanspread_proto::ManifestFile;

    use super::*;
    use crate::admission::fair_semaphore::Order;

    fn asker() -> Asker {
        let peer = lanspread_proto::PeerId::from_public_key(b"asker");
        Asker { addr: std::net::IpAddr::from([10, 0, 0, 1]).into(), peer }
    }

    /// A game whose layout takes about `pages` pages.
    fn game(name: &str, pages: usize) -> Arc<Manifest> {
        let file = |n: usize| {
            let path = format!("{n:06}-{name}-{}", "x".repeat(230)).parse().unwrap();
            ManifestFile { path, size: 1, hashes: None }
        };
        let files = (0..pages * 1_070).map(file).collect();
        Arc::new(Manifest::new("1".parse().unwrap(), files).unwrap())
    }

    #[tokio::test]
    async fn a_layout_is_encoded_once_and_shared_by_all_answers() {
        let pages = LayoutCache::new(FairSemaphore::new(1, Order::TurnsWhileOthersWait(1)));
        let manifest = game("a", 1);
        let (one, two) =
            tokio::join!(pages.layout(asker(), &manifest), pages.layout(asker(), &manifest));
        let (one, two) = (one.unwrap(), two.unwrap());
        assert!(Arc::ptr_eq(&one, &two));
        assert_eq!(one.len(), manifest.layout_pages() as usize);
        // Another manifest with the same layout has the same pages.
        let again = pages.layout(asker(), &game("a", 1)).await.unwrap();
        assert!(Arc::ptr_eq(&one, &again));
    }

    #[tokio::test]
    async fn the_layouts_that_were_used_longest_ago_go_first() {
        let pages = LayoutCache::new(FairSemaphore::new(1, Order::TurnsWhileOthersWait(1)));
        let games = ["a", "b", "c"].map(|name| game(name, 60));
        let first = pages.layout(asker(), &games[0]).await.unwrap();
        pages.layout(asker(), &games[1]).await.unwrap();
        assert!(Arc::ptr_eq(&first, &pages.layout(asker(), &games[0]).await.unwrap()));
        pages.layout(asker(), &games[2]).await.unwrap();
        let kept = |game: &Manifest| pages.layouts().encoded.contains_key(&game.manifest_hash());
        assert_eq!([0, 1, 2].map(|n| kept(&games[n])), [true, false, true]);
    }
}
