//! Many peers that fetch the same game at once, in virtual time: one scheduler each, links with a
//! rate, and news of what the others have that come with a delay. No sockets, no disk.

use lanspread_proto::PieceSet;

use super::*;

/// How long a piece takes over a whole link of 100 Mbit/s.
pub(super) const PIECE_TIME: Duration = Duration::from_millis(168);
const PIECE_BYTES: u64 = lanspread_proto::CHUNK_SIZE_BYTES;
const STEP: Duration = Duration::from_millis(4);
/// How often a peer tells the others what it has.
const NEWS_INTERVAL: Duration = Duration::from_millis(100);
/// How long it takes until they know.
const NEWS_DELAY: Duration = Duration::from_millis(4);

/// A piece on its way.
pub(super) struct Flow {
    pub(super) from: usize,
    to: usize,
    piece: PieceIndex,
    /// In parts of a piece.
    left: f64,
}

struct News {
    at: Duration,
    from: usize,
    has: Vec<PieceIndex>,
    fetching: Vec<PieceIndex>,
}

pub(super) struct Node {
    pub(super) scheduler: Scheduler,
    pub(super) written: BTreeSet<PieceIndex>,
    /// What it has not told yet.
    untold: Vec<PieceIndex>,
    told_fetching: Vec<PieceIndex>,
    told_at: Duration,
    finished_at: Option<Duration>,
    pub(super) is_dirty: bool,
    /// In pieces a second.
    pub(super) up: f64,
    pub(super) down: f64,
}

/// Seeds come first, then those that fetch.
pub(super) struct Party {
    pub(super) now: Duration,
    pieces: u32,
    seeds: usize,
    pub(super) nodes: Vec<Node>,
    pub(super) flows: Vec<Flow>,
    news: Vec<News>,
    /// How many pieces each has sent.
    pub(super) sent: Vec<f64>,
    arrivals: usize,
    unwanted: usize,
}

pub(super) fn id(n: usize) -> PeerId {
    PeerId::from_public_key(&n.to_le_bytes())
}

impl Party {
    pub(super) fn new(pieces: u32, seeds: usize, leechers: usize) -> Self {
        let rate = 1.0 / PIECE_TIME.as_secs_f64();
        let nodes = (0..seeds + leechers).map(|n| {
            let order = Order::Of(id(n));
            let mut scheduler = Scheduler::new(pieces, order);
            if n >= seeds {
                (0..seeds).for_each(|seed| scheduler.join(id(seed), ms(0)));
            }
            Node {
                scheduler,
                written: BTreeSet::new(),
                untold: Vec::new(),
                told_fetching: Vec::new(),
                told_at: ms(0),
                finished_at: None,
                is_dirty: true,
                up: rate,
                down: rate,
            }
        });
        let mut party = Self {
            now: ms(0),
            pieces,
            seeds,
            nodes: nodes.collect(),
            flows: Vec::new(),
            news: Vec::new(),
            sent: vec![0.0; seeds + leechers],
            arrivals: 0,
            unwanted: 0,
        };
        for a in party.leechers() {
            for b in party.leechers().filter(|b| *b != a) {
                party.nodes[a].scheduler.offer(id(b), &PieceSet::default(), &[], ms(0));
            }
        }
        party
    }

    fn leechers(&self) -> std::ops::Range<usize> {
        self.seeds..self.nodes.len()
    }

    /// Runs until everybody has everything; returns when the last one was.
    pub(super) fn run(&mut self) -> Duration {
        while self.leechers().any(|n| self.nodes[n].finished_at.is_none()) {
            assert!(self.now < PIECE_TIME * self.pieces * 8, "does not end");
            self.step();
        }
        self.now
    }

    pub(super) fn step(&mut self) {
        for n in self.leechers() {
            self.ask(n);
            self.tell(n);
        }
        self.now += STEP;
        self.deliver_news();
        self.send();
    }

    fn ask(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        // A scheduler whose time has come is asked again, as the engine does on its tick.
        let is_due =
            node.scheduler.wake_at(self.now.saturating_sub(STEP)).is_some_and(|at| at <= self.now);
        if !std::mem::take(&mut node.is_dirty) && !is_due {
            return;
        }
        for flow in self.flows.iter().filter(|flow| flow.to == n) {
            let ask = Ask { peer: id(flow.from), piece: flow.piece };
            let bytes = ((1.0 - flow.left) * PIECE_BYTES as f64) as u64;
            node.scheduler.on_progress(ask, bytes, PIECE_BYTES, self.now);
        }
        for ask in ask_all(&mut node.scheduler, self.now) {
            let from = (0..self.nodes.len()).find(|n| id(*n) == ask.peer).unwrap();
            assert!(from < self.seeds || self.nodes[from].written.contains(&ask.piece));
            self.flows.push(Flow { from, to: n, piece: ask.piece, left: 1.0 });
        }
    }

    fn tell(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        let fetching = node.scheduler.fetching(self.now);
        let is_news = !node.untold.is_empty() || fetching != node.told_fetching;
        if !is_news || (node.told_at + NEWS_INTERVAL > self.now && node.told_at > ms(0)) {
            return;
        }
        node.told_at = self.now;
        node.told_fetching.clone_from(&fetching);
        let has = std::mem::take(&mut node.untold);
        self.news.push(News { at: self.now + NEWS_DELAY, from: n, has, fetching });
    }

    fn deliver_news(&mut self) {
        let now = self.now;
        let (due, later) = std::mem::take(&mut self.news).into_iter().partition(|n| n.at <= now);
        self.news = later;
        let due: Vec<News> = due;
        for News { from, has, fetching, .. } in due {
            for n in self.leechers().filter(|n| *n != from) {
                self.nodes[n].scheduler.offer_more(id(from), &has, &fetching, now);
                self.nodes[n].is_dirty = true;
            }
        }
    }

    /// Lets every sender and every receiver share its link evenly among what is under way.
    fn send(&mut self) {
        let count = |side: fn(&Flow) -> usize| {
            let mut counts = vec![0.0; self.nodes.len()];
            self.flows.iter().for_each(|flow| counts[side(flow)] += 1.0);
            counts
        };
        let (ups, downs) = (count(|flow| flow.from), count(|flow| flow.to));
        let step = STEP.as_secs_f64();
        for flow in &mut self.flows {
            let up = self.nodes[flow.from].up / ups[flow.from];
            let down = self.nodes[flow.to].down / downs[flow.to];
            let moved = (up.min(down) * step).min(flow.left.max(0.0));
            self.sent[flow.from] += moved;
            flow.left -= moved;
        }
        while let Some(at) = self.flows.iter().position(|flow| flow.left <= 1e-9) {
            let flow = self.flows.remove(at);
            self.arrive(&flow);
        }
    }

    fn arrive(&mut self, flow: &Flow) {
        let node = &mut self.nodes[flow.to];
        node.is_dirty = true;
        self.arrivals += 1;
        match node.scheduler.on_arrival(id(flow.from), flow.piece, self.now) {
            Arrival::Wanted { abandon } => {
                node.scheduler.on_written(flow.piece);
                assert!(node.written.insert(flow.piece), "{:?} came twice", flow.piece);
                node.untold.push(flow.piece);
                if node.scheduler.is_complete() {
                    node.finished_at = Some(self.now);
                }
                self.flows.retain(|other| {
                    other.to != flow.to
                        || other.piece != flow.piece
                        || !abandon.contains(&id(other.from))
                });
            }
            Arrival::Unwanted => self.unwanted += 1,
        }
    }

    /// How many copies the seeds have sent together.
    fn copies(&self) -> f64 {
        self.sent[..self.seeds].iter().sum::<f64>() / f64::from(self.pieces)
    }
}

fn one_seed_serves(leechers: usize) {
    let mut party = Party::new(256, 1, leechers);
    let took = party.run();
    let one_copy = PIECE_TIME * 256;
    let factor = took.as_secs_f64() / one_copy.as_secs_f64();
    let copies = party.copies();
    println!("{leechers} leechers: {copies:.3} copies, {factor:.3} of one copy's time");
    assert!(copies <= 1.25, "the seed sent {copies:.3} copies");
    assert!(factor <= 1.5, "the last one took {factor:.3} times as long as one copy");
    assert!(party.leechers().all(|n| party.nodes[n].written.len() == 256));
}

#[test]
fn a_seed_sends_little_more_than_one_copy_to_eight() {
    one_seed_serves(8);
}

#[test]
fn a_seed_sends_little_more_than_one_copy_to_sixteen() {
    one_seed_serves(16);
}
