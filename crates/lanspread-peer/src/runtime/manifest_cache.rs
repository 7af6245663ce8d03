//! What a game is that is not here, as a source told it, for whoever asks for it in pieces.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use lanspread_download::pages::fetch_manifest;
use lanspread_net::source::Source;
use lanspread_proto::message::{GameHead, GetGame, GetPage, Part};
use lanspread_proto::{Attributes, GameId, GameVersion, Manifest};
use tokio::time::Instant;

use crate::info::SourceInfo;
use crate::messages::ManifestClaim;

/// How long it is kept after a source was asked: whoever asks for the pieces is done by then, or has it
/// fetched once more.
const KEPT_FOR: Duration = Duration::from_secs(60);

/// One manifest at a time: it may take 39 MB. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct ManifestCache(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    kept: Option<Kept>,
    /// The games that are being asked for, each by one at a time.
    turns: BTreeMap<GameId, Weak<Turn>>,
}

/// Who holds it asks the sources of a game.
type Turn = tokio::sync::Mutex<()>;

#[derive(Debug)]
struct Kept {
    game_id: GameId,
    told: ManifestClaim,
    asked_at: Instant,
}

impl Kept {
    fn is_of(&self, game_id: &GameId, head: &GameHead) -> bool {
        self.game_id == *game_id
            && self.told.manifest.manifest_hash() == head.manifest_hash
            && self.told.manifest.content_root() == head.content_root
    }

    /// Whether it is what a source announces, once that has hashed its game.
    fn is_announced(&self, game_id: &GameId, source: &SourceInfo) -> bool {
        self.game_id == *game_id
            && source.content_root.is_some()
            && self.told.manifest.content_root() == source.content_root
    }
}

impl ManifestCache {
    /// What a source has, if it is of this version. The source is asked only if what is kept is not what
    /// it announces. Whoever asks for the same game meanwhile waits.
    pub(super) async fn manifest(
        &self,
        info: &SourceInfo,
        source: &dyn Source,
        game_id: &GameId,
        version: &GameVersion,
    ) -> Option<ManifestClaim> {
        let turn = self.turn(game_id);
        let _turn = turn.lock().await;
        if let Some(told) = self.kept(|kept| kept.is_announced(game_id, info)) {
            return Some(told);
        }
        let request = GetGame { game_id: game_id.clone(), await_hashes: false };
        let head = source.get_game(request).await.ok()?;
        if head.version != *version {
            return None;
        }
        let manifest = match self.kept(|kept| kept.is_of(game_id, &head)) {
            Some(told) => told.manifest,
            None => Arc::new(fetch_manifest(source, game_id, &head).await.ok()?),
        };
        let attributes = fetch_attributes(source, game_id, &head, &manifest).await.map(Arc::new);
        let told = ManifestClaim { manifest, attributes };
        let (game_id, asked_at) = (game_id.clone(), Instant::now());
        self.state().kept = Some(Kept { game_id, told: told.clone(), asked_at });
        tokio::spawn(self.clone().forget_after(asked_at));
        Some(told)
    }

    /// The right to ask the sources of a game.
    fn turn(&self, game_id: &GameId) -> Arc<Turn> {
        let turns = &mut self.state().turns;
        turns.retain(|_, turn| turn.strong_count() > 0);
        if let Some(turn) = turns.get(game_id).and_then(Weak::upgrade) {
            return turn;
        }
        let turn = Arc::default();
        turns.insert(game_id.clone(), Arc::downgrade(&turn));
        turn
    }

    fn kept(&self, is_wanted: impl Fn(&Kept) -> bool) -> Option<ManifestClaim> {
        let state = self.state();
        state.kept.as_ref().filter(|kept| is_wanted(kept)).map(|kept| kept.told.clone())
    }

    /// Lets go of it, unless a source has been asked since.
    async fn forget_after(self, asked_at: Instant) {
        tokio::time::sleep_until(asked_at + KEPT_FOR).await;
        self.state().kept.take_if(|kept| kept.asked_at == asked_at);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is a whole one, so a panic elsewhere does not spoil it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn fetch_attributes(
    source: &dyn Source,
    game_id: &GameId,
    head: &GameHead,
    manifest: &Manifest,
) -> Option<Attributes> {
    let of = head.attributes;
    let request = GetPage { game_id: game_id.clone(), part: Part::Attributes, of, page: 0 };
    let page = source.get_page(request).await.ok()?;
    let is_of = Attributes::identity(&page) == of;
    is_of.then(|| Attributes::decode(&page, manifest.files().len()).ok()).flatten()
}
