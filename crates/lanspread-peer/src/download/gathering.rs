//! The first step of a download: asking all sources what the game is.
//!
//! Pure. Decides as soon as no answer that is still awaited could change the choice, or a short
//! time after the first answer; a source that answers later joins the transfer if it fits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use lanspread_catalog::VERSION_INI_MAX_BYTES;
use lanspread_proto::manifest::VERSION_FILE;
use lanspread_proto::{ContentHash, GameVersion, Manifest, PeerId};

use super::consensus::{Claim, Consensus};
use super::layout::Layout;
use super::scheduler::Order;
use super::transfer::Transfer;
use crate::library::is_reserved_root_name;

/// How long the other sources have once a first one has answered.
const OTHERS_WAIT: Duration = Duration::from_secs(1);

/// The manifests that have come so far.
#[derive(Debug)]
pub(crate) struct Gathering {
    version: GameVersion,
    order: Order,
    consensus: Consensus,
    manifests: BTreeMap<Claim, Arc<Manifest>>,
    awaited: BTreeSet<PeerId>,
    first_offer_at: Option<Duration>,
    /// Why the last source that spoke could not be used.
    refusal: Option<String>,
}

/// How the first step ends.
#[derive(Debug)]
pub(crate) enum Gathered {
    /// The game is known and can be fetched.
    Chosen(Box<Transfer>),
    /// Every source that spoke gave a reason against it; this is the last one.
    NoManifest(String),
    /// Every source is gone.
    AllGone,
}

impl Gathering {
    /// Gathers manifests of `version`; `catalog` is the content root of the catalog, if it has one,
    /// and `order` the one in which chunks are to be fetched.
    pub(crate) fn new(version: GameVersion, catalog: Option<ContentHash>, order: Order) -> Self {
        Self {
            version,
            order,
            consensus: Consensus::new(catalog),
            manifests: BTreeMap::new(),
            awaited: BTreeSet::new(),
            first_offer_at: None,
            refusal: None,
        }
    }

    /// A source has been asked.
    pub(crate) fn asked(&mut self, peer: PeerId) {
        self.awaited.insert(peer);
    }

    /// A source answered with its manifest.
    ///
    /// # Errors
    /// Why the manifest cannot be used, in words.
    pub(crate) fn offered(
        &mut self,
        peer: PeerId,
        manifest: Manifest,
        now: Duration,
    ) -> Result<(), String> {
        self.awaited.remove(&peer);
        if let Err(reason) = check_manifest(&manifest, &self.version) {
            self.refusal = Some(reason.clone());
            return Err(reason);
        }
        let claim = Claim::of(&manifest);
        self.consensus.claim(peer, claim);
        self.manifests.entry(claim).or_insert_with(|| Arc::new(manifest));
        self.first_offer_at.get_or_insert(now);
        Ok(())
    }

    /// A source answered with something else.
    pub(crate) fn refused(&mut self, peer: PeerId, reason: String) {
        self.awaited.remove(&peer);
        self.refusal = Some(reason);
    }

    /// A source is gone.
    pub(crate) fn left(&mut self, peer: PeerId) {
        self.awaited.remove(&peer);
        self.consensus.withdraw(peer);
    }

    /// When to call [`Self::conclude`] again, should no answer come before.
    pub(crate) fn wake_at(&self, now: Duration) -> Option<Duration> {
        self.first_offer_at.map(|at| at + OTHERS_WAIT).filter(|at| *at > now)
    }

    /// Decides, unless more answers are needed. After a decision nothing is left in here.
    pub(crate) fn conclude(&mut self, now: Duration) -> Option<Gathered> {
        if self.awaited.is_empty() && self.consensus.claims().is_empty() {
            return Some(self.refusal.take().map_or(Gathered::AllGone, Gathered::NoManifest));
        }
        let patience_ended = self.first_offer_at.is_some_and(|at| at + OTHERS_WAIT <= now);
        let awaited = if patience_ended { 0 } else { self.awaited.len() };
        if let Some(layout) = self.consensus.decide_layout(awaited) {
            return Some(self.choose(layout, now));
        }
        if !self.awaited.is_empty() {
            return None;
        }
        let reason = self.consensus.outvoted().pop().map_or("", |(_, reason)| reason);
        Some(Gathered::NoManifest(reason.to_owned()))
    }

    fn choose(&mut self, layout: ContentHash, now: Duration) -> Gathered {
        let mut manifests = std::mem::take(&mut self.manifests);
        manifests.retain(|claim, _| claim.layout == layout);
        let consensus = std::mem::replace(&mut self.consensus, Consensus::new(None));
        let awaited = std::mem::take(&mut self.awaited);
        match manifests.values().next().cloned().and_then(Layout::new) {
            Some(layout) => {
                let transfer =
                    Transfer::new(layout, consensus, &manifests, awaited, self.order, now);
                Gathered::Chosen(Box::new(transfer))
            }
            // `check_manifest` let only manifests pass that have a layout.
            None => Gathered::AllGone,
        }
    }
}

/// What a manifest must keep to beyond what its type promises.
fn check_manifest(manifest: &Manifest, version: &GameVersion) -> Result<(), String> {
    if manifest.version() != version {
        return Err(format!("it has version {} and not {version}", manifest.version()));
    }
    let sentinel = manifest.files().iter().find(|file| file.path.as_str() == VERSION_FILE);
    let Some(sentinel) = sentinel else {
        return Err(format!("its manifest has no {VERSION_FILE}"));
    };
    if !(1..=VERSION_INI_MAX_BYTES).contains(&sentinel.size) {
        return Err(format!("its {VERSION_FILE} has {} bytes", sentinel.size));
    }
    let reserved = manifest.files().iter().find(|file| is_reserved_root_name(file.path.first()));
    if let Some(file) = reserved {
        return Err(format!("its manifest lists {}, which is reserved", file.path));
    }
    if !Layout::is_bounded(manifest) {
        return Err(format!("its manifest lists {} bytes, too many", manifest.total_size()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use lanspread_proto::{ManifestFile, RelPath};

    use super::*;

    const START: Duration = Duration::ZERO;

    fn peer(n: u8) -> PeerId {
        PeerId::from_public_key(&[n])
    }

    fn version() -> GameVersion {
        GameVersion::new("20240131").unwrap()
    }

    fn manifest(files: &[(&str, u64)]) -> Manifest {
        let files = files.iter().map(|(path, size)| ManifestFile {
            path: RelPath::new(*path).unwrap(),
            size: *size,
            hashes: None,
        });
        Manifest::new(version(), files.collect()).unwrap()
    }

    fn game(archive_size: u64) -> Manifest {
        manifest(&[("a.eti", archive_size), ("version.ini", 9)])
    }

    fn gathering(sources: u8) -> Gathering {
        let mut gathering = Gathering::new(version(), None, Order::File);
        (0..sources).for_each(|n| gathering.asked(peer(n)));
        gathering
    }

    fn chosen_size(mut gathering: Gathering, now: Duration) -> u64 {
        match gathering.conclude(now).unwrap() {
            Gathered::Chosen(transfer) => transfer.layout().manifest().total_size() - 9,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_source_is_enough_when_it_is_the_only_one() {
        let mut gathering = gathering(1);
        gathering.offered(peer(0), game(5), START).unwrap();
        assert_eq!(chosen_size(gathering, START), 5);
    }

    #[test]
    fn the_choice_waits_for_a_majority_but_not_for_a_slow_source() {
        let mut gathering = gathering(3);
        gathering.offered(peer(0), game(5), START).unwrap();
        assert!(gathering.conclude(START).is_none());
        gathering.offered(peer(1), game(6), START).unwrap();
        assert!(gathering.conclude(START).is_none());
        gathering.offered(peer(2), game(6), START).unwrap();
        assert_eq!(chosen_size(gathering, START), 6);
    }

    #[test]
    fn after_a_short_while_what_came_is_enough() {
        let mut gathering = gathering(3);
        gathering.offered(peer(0), game(5), START).unwrap();
        assert!(gathering.conclude(START).is_none());
        let wake_at = gathering.wake_at(START).unwrap();
        assert_eq!(chosen_size(gathering, wake_at), 5);
    }

    #[test]
    fn manifests_that_break_a_rule_are_refused() {
        let other_version = Manifest::new(GameVersion::new("1").unwrap(), vec![]).unwrap();
        let without_sentinel = manifest(&[("a.eti", 1), ("sub/version.ini", 9)]);
        let empty_sentinel = manifest(&[("version.ini", 0)]);
        let huge_sentinel = manifest(&[("version.ini", 4097)]);
        let local = manifest(&[("local/save", 1), ("version.ini", 9)]);
        let journal = manifest(&[(".version.ini.tmp", 1), ("version.ini", 9)]);
        let absurd = game(u64::from(u32::MAX) * 1024 * 1024);
        for bad in
            [other_version, without_sentinel, empty_sentinel, huge_sentinel, local, journal, absurd]
        {
            let mut gathering = gathering(1);
            let reason = gathering.offered(peer(0), bad, START).unwrap_err();
            match gathering.conclude(START).unwrap() {
                Gathered::NoManifest(last) => assert_eq!(last, reason),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn sources_that_leave_are_not_waited_for() {
        let mut gathering = gathering(2);
        gathering.left(peer(0));
        assert!(gathering.conclude(START).is_none());
        gathering.left(peer(1));
        assert!(matches!(gathering.conclude(START), Some(Gathered::AllGone)));
    }
}
