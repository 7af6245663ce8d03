//! Runs crashes and judges what they leave.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{env, fs};

use lanspread_disk::durable::faults::{Action, Moment};
use lanspread_disk::durable::shadow::Dice;
use lanspread_proto::Manifest;
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::case::{Case, End};
use super::peer::{Peer, config};
use super::plan::{Hits, is_dependable, is_in_background};
use super::script::Script;
use super::verdict::{
    check_content, check_identity, check_journal, check_leftovers, check_library, check_state,
    end_is_reached,
};
use super::world::{CrashWorld, Download, Local, QUAKE};
use crate::PeerRuntimeHandle;

/// How many crashes are tried at a time. Much of each is waiting for a process.
const AT_A_TIME: usize = 6;
/// One in that many crashes is followed by another one in the recovery from it.
const ONE_IN_RECOVERY: u64 = 3;
/// A recovery comes to about that many points, so that some second crashes come too late.
const RECOVERY_POINTS: u64 = 20;

/// A source that all crashes share, and room for their disks.
pub(super) struct Lab {
    source: SocketAddr,
    /// What the source serves.
    manifest: Arc<Manifest>,
    dir: TempDir,
    /// Runs as long as this is held.
    _source: PeerRuntimeHandle,
}

/// What came of many cases.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) crashes: usize,
    /// Crashes of a recovery.
    pub(super) second_crashes: usize,
    pub(super) full_disks: usize,
    pub(super) panics: usize,
    /// Victims that came to their end before the hit that was drawn.
    pub(super) survivors: usize,
    pub(super) violations: usize,
}

/// What came of one.
struct Trial {
    end: End,
    is_second_crash: bool,
    wrong: Vec<String>,
}

impl Lab {
    pub(super) async fn new() -> Self {
        // A disk in memory, where there is one: what a power cut loses is computed, not waited for.
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_path_buf() } else { env::temp_dir() };
        let dir = tempfile::Builder::new().prefix("lanspread-crash-").tempdir_in(parent).unwrap();
        let world = CrashWorld { dir: dir.path().join("source") };
        world.prepare(Download::New, Local::Absent);
        let mut source = Peer::start(config(world.games(), world.state())).await.unwrap();
        let manifest = source.hashed_game(QUAKE).await.manifest.unwrap();
        Self { source: source.addr(), manifest, dir, _source: source.leave_running() }
    }

    /// Keeps what the crashes left, and tells where.
    pub(super) fn keep(self) -> PathBuf {
        self.dir.keep()
    }

    /// Lets every script run to its end and counts what it comes to.
    pub(super) async fn count_hits(self: &Arc<Self>) -> Hits {
        let mut hits = Hits::new();
        let cases = Script::ALL.map(|script| {
            let (moment, action) = (Moment::Never, Action::Kill);
            Case { script, moment, action, seed: 0 }
        });
        let counted = async |lab: Arc<Self>, case: Case, world: CrashWorld| {
            let run = lab.crash(&case, &world).await;
            assert_eq!(run, Ok(End::Lived), "{case}");
            let hits = fs::read_to_string(world.hits()).unwrap();
            fs::remove_dir_all(&world.dir).unwrap();
            hits
        };
        for (case, lines) in self.for_each(cases.into(), counted).await {
            for line in lines.lines() {
                let (site, count) = line.split_once(' ').unwrap();
                if is_dependable(case.script, site) {
                    hits.insert((case.script, site.to_owned()), count.parse().unwrap());
                }
            }
        }
        hits
    }

    /// Tries all cases and prints what is wrong with them.
    pub(super) async fn try_all(self: &Arc<Self>, cases: Vec<Case>) -> Tally {
        let mut tally = Tally::default();
        let trial = async |lab: Arc<Self>, case: Case, world: CrashWorld| {
            let trial = lab.try_one(&case, &world).await;
            if trial.wrong.is_empty() {
                fs::remove_dir_all(&world.dir).unwrap();
            } else {
                let (wrong, dir) = (trial.wrong.join("\n  "), world.dir.display());
                println!("VIOLATION in {dir}\n  {wrong}\n  once more: {}", again(&case));
            }
            trial
        };
        for (case, trial) in self.for_each(cases, trial).await {
            match (case.action, trial.end) {
                (Action::Fail, _) => tally.full_disks += 1,
                (Action::Panic, _) => tally.panics += 1,
                (_, End::Killed) => tally.crashes += 1,
                (_, End::Lived) => tally.survivors += 1,
            }
            tally.second_crashes += usize::from(trial.is_second_crash);
            tally.violations += usize::from(!trial.wrong.is_empty());
        }
        tally
    }

    async fn for_each<T: Send + 'static, F: Future<Output = T> + Send>(
        self: &Arc<Self>,
        cases: Vec<Case>,
        work: impl Fn(Arc<Self>, Case, CrashWorld) -> F + Copy + Send + 'static,
    ) -> Vec<(Case, T)> {
        let mut waiting = cases.into_iter().enumerate();
        let (mut running, mut done) = (JoinSet::new(), Vec::new());
        loop {
            while running.len() < AT_A_TIME
                && let Some((number, case)) = waiting.next()
            {
                let lab = Arc::clone(self);
                let world = CrashWorld { dir: self.dir.path().join(format!("case-{number}")) };
                running.spawn(async move { (case.clone(), work(lab, case, world).await) });
            }
            match running.join_next().await {
                Some(ended) => done.push(ended.unwrap()),
                None => return done,
            }
        }
    }

    /// Lays out the disk and lets the victim have its way with it.
    async fn crash(&self, case: &Case, world: &CrashWorld) -> Result<End, String> {
        match case.script.prelude() {
            None => case.script.prepare(world),
            Some((script, point)) => {
                script.prepare(world);
                let moment = Moment::Site { site: point.name().to_owned(), hit: 1 };
                let prelude = Case { script, moment, action: Action::Kill, seed: 0 };
                let end = self.run(&prelude, world).await?;
                assert_eq!(end, End::Killed, "{prelude}");
            }
        }
        self.run(case, world).await
    }

    async fn run(&self, case: &Case, world: &CrashWorld) -> Result<End, String> {
        let (case, world, source) = (case.clone(), world.clone(), self.source);
        tokio::task::spawn_blocking(move || case.run(&world, source)).await.unwrap()
    }

    async fn try_one(&self, case: &Case, world: &CrashWorld) -> Trial {
        let mut trial = Trial { end: End::Lived, is_second_crash: false, wrong: Vec::new() };
        match self.crash(case, world).await {
            Ok(end) => trial.end = end,
            Err(error) => {
                trial.wrong.push(error);
                return trial;
            }
        }
        if trial.end == End::Lived && !case.is_survived() && is_certain(&case.moment) {
            trial.wrong.push("the site was not reached".to_owned());
        }
        let is_done = world.outcome().exists() && case.script.reaches_end() && !case.is_survived();
        trial.wrong.extend(check_journal(world, &self.manifest));
        let mut dice = Dice::new(case.seed);
        if trial.end == End::Killed && dice.below(ONE_IN_RECOVERY) == 0 {
            let hit = 1 + u32::try_from(dice.below(RECOVERY_POINTS)).unwrap();
            let (script, moment) = (Script::FirstStart, Moment::Any { hit });
            let recovery = Case { script, moment, ..case.clone() };
            match self.run(&recovery, world).await {
                Ok(end) => trial.is_second_crash = end == End::Killed,
                Err(error) => trial.wrong.push(format!("crash in {recovery}: {error}")),
            }
            trial.wrong.extend(check_journal(world, &self.manifest));
        }
        if trial.wrong.is_empty() {
            trial.wrong = self.judge(case, world, is_done).await;
        }
        trial
    }

    /// Starts a peer on what a crash left, looks at it, and lets the peer go on.
    async fn judge(&self, case: &Case, world: &CrashWorld, is_done: bool) -> Vec<String> {
        let script = case.script;
        let mut peer = match Peer::start(config(world.games(), world.state())).await {
            Ok(peer) => peer,
            Err(error) => return vec![format!("it does not start again: {error}")],
        };
        peer.wait_until_trash_is_gone(|| false).await;
        let mut wrong = match case.is_survived() {
            // It has gone on already.
            true => Vec::new(),
            false => check_content(script, world, is_done, false),
        };
        wrong.extend(check_identity(world, &peer).await);
        wrong.extend(check_leftovers(world));
        wrong.extend(check_state(world));
        wrong.extend(check_library(world, &mut peer).await);
        peer.connect(self.source).await;
        if let Err(error) = script.go_on(&peer).await {
            wrong.push(format!("it cannot go on: {error:?}"));
        }
        wrong.extend(check_library(world, &mut peer).await);
        peer.stop().await;
        wrong.extend(check_leftovers(world));
        wrong.extend(end_is_reached(script, world));
        wrong
    }
}

/// Whether a victim that has come to its end must have been there.
fn is_certain(moment: &Moment) -> bool {
    matches!(moment, Moment::Site { hit: 1, site } if !is_in_background(site))
}

/// The command that tries a case again.
fn again(case: &Case) -> String {
    format!("LANSPREAD_CRASH_CASE={case} cargo test -p lanspread-peer --lib crash -- --nocapture")
}
