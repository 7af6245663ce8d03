//! What happens at the points of this process, if anything. Only a victim of the crash tests arms it.
//!
//! Beside that, [`lacking`] makes a directory one on a file system that lacks a guarantee, for any test.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "only the crash tests reach this")]

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use super::guarantee::Guarantee;
use super::shadow::{Keep, Seen, Shadow};
use crate::platform::testing::{Errno, die};
use crate::{Point, points};

static ARMED: OnceLock<Armed> = OnceLock::new();
static LACKING: Mutex<Vec<(PathBuf, Guarantee, Errno)>> = Mutex::new(Vec::new());

/// What the tests tell points by that many kinds of files share: the name of the file.
const BY_FILE: [Point; 6] = [
    points::STATE_WRITE,
    points::STATE_SYNC,
    points::STATE_RENAME,
    points::STATE_RENAME_SYNC,
    points::FILE_REMOVE,
    points::FILE_REMOVE_SYNC,
];

/// When something is to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Moment {
    /// Never.
    Never,
    /// When a site is reached for the `hit`th time.
    Site {
        /// The name of the site.
        site: String,
        /// How often it is reached by then.
        hit: u32,
    },
    /// When any site is reached for the `hit`th time, all counted together.
    Any {
        /// How many sites are reached by then.
        hit: u32,
    },
}

/// What is to happen then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The process ends at once; what it has told the system stays.
    Kill,
    /// The process ends at once, and the power goes: what was not synced may be lost.
    Cut(Keep),
    /// The disk is full, this once.
    Fail,
    /// The thread panics.
    Panic,
}

/// What a victim is in for.
#[derive(Debug, Clone)]
pub struct Plan {
    /// When.
    pub moment: Moment,
    /// What.
    pub action: Action,
    /// Draws what a power cut leaves.
    pub seed: u64,
    /// The directory of which a power cut leaves only what is durable.
    pub disk: PathBuf,
    /// Where it puts what it leaves.
    pub cut: PathBuf,
}

struct Armed {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    plan: Plan,
    hits: BTreeMap<String, u32>,
    total: u32,
    happened: bool,
    /// Whoever reaches this point, but the first, waits there.
    held: Option<Hold>,
    shadow: Option<Shadow>,
}

/// Returns the name under which tests count a point: its own, and that of the file where many share
/// it.
pub fn site(point: Point, path: &Path) -> String {
    if !BY_FILE.contains(&point) {
        return point.name().to_owned();
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let is_temporary = matches!(point, points::STATE_WRITE | points::STATE_SYNC);
    let name = if is_temporary { name.trim_end_matches(".tmp") } else { &name };
    format!("{}:{name}", point.name())
}

/// Returns those of `points` that are sites of their own.
pub fn own_sites(points: &[Point]) -> impl Iterator<Item = &'static str> {
    points.iter().filter(|point| !BY_FILE.contains(point)).map(|point| point.name())
}

/// Lets `plan` happen in this process. Called once.
pub fn arm(plan: Plan) {
    let shadow = matches!(plan.action, Action::Cut(_)).then(|| Shadow::of(&plan.disk).unwrap());
    let (hits, held) = (BTreeMap::new(), None);
    let state = State { plan, hits, total: 0, happened: false, held, shadow };
    let armed = Armed { state: Mutex::new(state), changed: Condvar::new() };
    assert!(ARMED.set(armed).is_ok(), "a process is armed once");
}

/// Returns how often each site was reached so far.
pub fn hits() -> BTreeMap<String, u32> {
    armed().lock().hits.clone()
}

/// Who has to wait.
#[derive(Debug, Clone, Copy)]
struct Hold {
    point: Point,
    /// Only for this file; else for all but the first that comes.
    file: Option<&'static str>,
}

impl Hold {
    fn is_for(self, point: Point, path: &Path, is_first: bool) -> bool {
        self.point == point && self.file.map_or(!is_first, |name| path.ends_with(name))
    }
}

/// Returns whether what was planned has happened.
pub fn happened() -> bool {
    armed().lock().happened
}

/// Lets the first to reach `point` pass, and all others wait until [`release`].
pub fn hold(point: Point) {
    armed().lock().held = Some(Hold { point, file: None });
}

/// Lets all wait that reach `point` with the file of this name, until [`release`].
pub fn hold_file(point: Point, name: &'static str) {
    armed().lock().held = Some(Hold { point, file: Some(name) });
}

/// Lets all that wait go on.
pub fn release() {
    armed().lock().held = None;
    armed().changed.notify_all();
}

/// Blocks until a site was reached, or what was planned has happened.
pub fn wait_until_reached(point: Point) {
    let armed = armed();
    let mut state = armed.lock();
    while !state.happened && !state.hits.contains_key(point.name()) {
        state = armed.wait(state);
    }
}

pub(super) fn reach(point: Point, path: &Path) -> io::Result<()> {
    match ARMED.get() {
        Some(armed) => armed.reach(point, path),
        None => Ok(()),
    }
}

/// Returns what a sync that is about to begin makes durable, where that matters.
pub(super) fn see(path: &Path) -> Option<Seen> {
    let has_shadow = ARMED.get().is_some_and(|armed| armed.lock().shadow.is_some());
    has_shadow.then(|| Seen::at(path)).and_then(Result::ok)
}

pub(super) fn made_durable(seen: Option<Seen>) {
    if let (Some(seen), Some(armed)) = (seen, ARMED.get())
        && let Some(shadow) = &mut armed.lock().shadow
    {
        shadow.made_durable(seen);
    }
}

/// Lets everything in `directory` be refused with `errno` that needs the guarantee, until this is
/// dropped.
pub fn lacking(directory: &Path, guarantee: Guarantee, errno: Errno) -> Lacking {
    let directory = directory.to_path_buf();
    all_lacking().push((directory.clone(), guarantee, errno));
    Lacking(directory)
}

/// A directory that lacks something.
#[derive(Debug)]
pub struct Lacking(PathBuf);

impl Drop for Lacking {
    fn drop(&mut self) {
        all_lacking().retain(|(directory, ..)| *directory != self.0);
    }
}

/// Returns what the system says where a guarantee is lacking.
pub(super) fn refusal(guarantee: Guarantee, path: &Path) -> Option<io::Error> {
    let lacking = all_lacking();
    let found = lacking.iter().find(|(at, what, _)| *what == guarantee && path.starts_with(at));
    found.map(|(_, _, errno)| (*errno).into())
}

fn all_lacking() -> MutexGuard<'static, Vec<(PathBuf, Guarantee, Errno)>> {
    LACKING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn armed() -> &'static Armed {
    ARMED.get().expect("only victims ask")
}

impl Armed {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    fn reach(&self, point: Point, path: &Path) -> io::Result<()> {
        let mut state = self.lock();
        let site = site(point, path);
        state.total += 1;
        let hit = state.hits.entry(site.clone()).and_modify(|hits| *hits += 1).or_insert(1);
        let is_first = *hit == 1;
        let is_now = match &state.plan.moment {
            Moment::Never => false,
            Moment::Site { site: wanted, hit } => {
                *wanted == site && state.hits.get(&site) == Some(hit)
            }
            Moment::Any { hit } => *hit == state.total,
        };
        self.changed.notify_all();
        if is_now {
            state.happened = true;
            // The others stay behind the lock until the end, so that nothing becomes durable.
            match state.plan.action {
                Action::Kill => die(),
                Action::Cut(keep) => {
                    let (seed, cut) = (state.plan.seed, state.plan.cut.clone());
                    let shadow = state.shadow.as_mut().expect("a power cut has a shadow");
                    shadow.write_to(&cut, keep, seed).unwrap();
                    die()
                }
                Action::Fail => return Err(io::ErrorKind::StorageFull.into()),
                Action::Panic => {
                    drop(state);
                    panic!("a panic at {site}, as planned");
                }
            }
        }
        while state.held.is_some_and(|held| held.is_for(point, path, is_first)) {
            state = self.wait(state);
        }
        Ok(())
    }
}
