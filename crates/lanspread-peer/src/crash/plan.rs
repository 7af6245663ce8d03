//! Which crashes are tried.

use std::collections::{BTreeMap, BTreeSet};

use lanspread_disk::Point;
use lanspread_disk::durable::faults::{Action, Moment, own_sites};
use lanspread_disk::durable::shadow::{Dice, Keep};

use super::case::Case;
use super::script::Script;
use crate::points;

/// Beyond that many of one site, another hit of it tells nothing new.
const HITS_MAX: u32 = 40;
/// At one site in that many a sample tries a panic as well: they all take the same way out.
const SAMPLE_ONE_PANIC_IN: usize = 4;
/// Random crashes of a sample, beside one at every site.
const SAMPLE_RANDOM: usize = 20;

/// Files that are written or removed by what many use, by the points that they come to.
const STATE_FILES: [&str; 10] = [
    "cert.pem",
    "download.journal",
    "install_intent.json",
    "key.pem",
    "legacy.json",
    "legacy_index.json",
    "library_index.bin",
    "library_rev",
    "setup_done",
    "state_format.json",
];
const REMOVED_FILES: [&str; 6] = [
    ".lanspread_owned",
    ".version.ini.discarded",
    ".version.ini.tmp",
    "download.journal",
    "install_intent.json",
    "setup_done",
];

/// How often each script comes to each site.
pub(super) type Hits = BTreeMap<(Script, String), u32>;

/// What to try: every site once, and once more as a full disk; then others as drawn.
pub(super) fn plan(hits: &Hits, amount: Option<usize>, seed: u64) -> Vec<Case> {
    const CRASHES: [Action; 3] =
        [Action::Kill, Action::Cut(Keep::Nothing), Action::Cut(Keep::Some)];
    let mut dice = Dice::new(seed);
    let mut by_site: BTreeMap<&str, Vec<Script>> = BTreeMap::new();
    for (script, site) in hits.keys() {
        by_site.entry(site).or_default().push(*script);
    }
    let mut cases = Vec::new();
    for (number, (site, scripts)) in by_site.iter().enumerate() {
        let mut case = |action| {
            let script = scripts[dice.below(scripts.len() as u64) as usize];
            let moment = Moment::Site { site: (*site).to_owned(), hit: 1 };
            cases.push(Case { script, moment, action, seed: dice.draw() });
        };
        case(CRASHES[(number + seed as usize) % CRASHES.len()]);
        if *site != lanspread_install::points::UNPACK_BLOCK.name() {
            case(Action::Fail);
        }
        if amount.is_some() || number % SAMPLE_ONE_PANIC_IN == seed as usize % SAMPLE_ONE_PANIC_IN {
            case(Action::Panic);
        }
    }
    let of_every_script = hits.keys().filter(|_| amount.is_some());
    for (number, (script, site)) in of_every_script.enumerate() {
        let moment = Moment::Site { site: site.clone(), hit: 1 };
        let action = CRASHES[number % CRASHES.len()];
        cases.push(Case { script: *script, moment, action, seed: dice.draw() });
    }
    let crashes = cases.iter().filter(|case| !case.is_survived()).count();
    let rest = amount.map_or(SAMPLE_RANDOM, |amount| amount.saturating_sub(crashes));
    let known: Vec<_> = hits.iter().collect();
    for _ in 0..rest {
        let ((script, site), hits) = known[dice.below(known.len() as u64) as usize];
        let hit = 1 + dice.below(u64::from((*hits).min(HITS_MAX))) as u32;
        let moment = Moment::Site { site: site.clone(), hit };
        let action = CRASHES[dice.below(CRASHES.len() as u64) as usize];
        cases.push(Case { script: *script, moment, action, seed: dice.draw() });
    }
    cases
}

pub(super) fn assert_every_site_is_reached(hits: &Hits) {
    let reached: BTreeSet<_> = hits.keys().map(|(_, site)| site.clone()).collect();
    let by_file = |points: &[Point], files: &[&str]| -> Vec<String> {
        let sites = points
            .iter()
            .flat_map(|point| files.iter().map(move |file| format!("{}:{file}", point.name())));
        sites.collect()
    };
    let writes = [
        lanspread_disk::points::STATE_WRITE,
        lanspread_disk::points::STATE_SYNC,
        lanspread_disk::points::STATE_RENAME,
        lanspread_disk::points::STATE_RENAME_SYNC,
    ];
    let removals = [lanspread_disk::points::FILE_REMOVE, lanspread_disk::points::FILE_REMOVE_SYNC];
    let mut known: BTreeSet<String> = own_sites(lanspread_disk::points::ALL)
        .chain(own_sites(lanspread_library::points::ALL))
        .chain(own_sites(lanspread_download::points::ALL))
        .chain(own_sites(lanspread_install::points::ALL))
        .chain(own_sites(points::ALL))
        .map(str::to_owned)
        .collect();
    known.extend(by_file(&writes, &STATE_FILES));
    known.extend(by_file(&removals, &REMOVED_FILES));
    let missed: Vec<_> = known.difference(&reached).collect();
    assert!(missed.is_empty(), "no script comes to {missed:?}");
    let unknown: Vec<_> = reached.difference(&known).collect();
    assert!(unknown.is_empty(), "files that the crash tests do not know: {unknown:?}");
}

/// Whether a site belongs to the index, which is saved in the background when there is time, or to what is
/// deleted in the background: a victim may come to its end before that.
pub(super) fn is_in_background(site: &str) -> bool {
    let files = [":library_index.bin", ":library_rev"];
    ["index.", "revision.", "trash.remove"].iter().any(|prefix| site.starts_with(prefix))
        || files.iter().any(|file| site.ends_with(file))
}

/// Whether a script comes to a site whenever it runs, and not only when the machine is slow.
pub(super) fn is_dependable(script: Script, site: &str) -> bool {
    let slow = [
        lanspread_download::points::CHUNK_SYNC,
        lanspread_download::points::JOURNAL_APPEND,
        lanspread_download::points::JOURNAL_SYNC,
    ];
    script == Script::Checkpoint || slow.iter().all(|point| point.name() != site)
}
