//! A download with one honest source beside many that announce the game and give nothing of use. It takes
//! twice as long as alone at most, in virtual time.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::{BoxFuture, pending};
use lanspread_net::limit::{Limiter, RateLimit};
use lanspread_net::source::{ArrivedBytes, Source};
use lanspread_proto::message::{GetChunks, GetGame, GetPage, Refusal};

use super::lab::{FakeSource, Game, Lab};
use super::*;

/// What the honest source takes for a chunk: 160 MB/s.
const CHUNK_TIME: Duration = Duration::from_micros(12_500);
const CHUNKS: u64 = 40;

/// What a hostile source does not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    /// It never tells what it has.
    Heads,
    /// It gives no page.
    Pages,
    /// It gives no chunk.
    Chunks,
    /// It gives one chunk, and then none.
    AfterOne,
    /// It gives bytes that are wrong.
    Wrong,
    /// It gives 1 KiB of a chunk each second.
    Trickling,
    /// It is always busy.
    Busy,
}

/// One of many hostile sources.
struct Hostile {
    peer: PeerId,
    address: Ipv4Addr,
    flaw: Flaw,
    given: AtomicUsize,
    /// Answers what it answers.
    inner: FakeSource,
}

impl Source for Hostile {
    fn peer_id(&self) -> PeerId {
        self.peer
    }

    fn addr(&self) -> Option<SocketAddr> {
        Some((self.address, 1).into())
    }

    fn get_game(&self, request: GetGame) -> BoxFuture<'_, Result<GameHead, SourceError>> {
        if self.flaw == Flaw::Heads { pending().boxed() } else { self.inner.get_game(request) }
    }

    fn get_page(&self, request: GetPage) -> BoxFuture<'_, Result<Bytes, SourceError>> {
        if self.flaw == Flaw::Pages { pending().boxed() } else { self.inner.get_page(request) }
    }

    fn get_chunks(
        &self,
        request: GetChunks,
        lens: Vec<u32>,
        arrived: ArrivedBytes,
    ) -> BoxFuture<'_, Result<ReceivedChunks, SourceError>> {
        async move {
            match self.flaw {
                Flaw::Heads | Flaw::Pages | Flaw::Chunks => pending().await,
                Flaw::AfterOne if self.given.fetch_add(1, Ordering::SeqCst) > 0 => pending().await,
                Flaw::AfterOne | Flaw::Wrong => {
                    tokio::time::sleep(CHUNK_TIME).await;
                    self.inner.get_chunks(request, lens, arrived).await
                }
                Flaw::Trickling => loop {
                    arrived.set(arrived.get() + 512);
                    tokio::time::sleep(ms(500)).await;
                },
                Flaw::Busy => {
                    let (code, message) = (RefusalCode::Busy, "others come first".into());
                    Err(SourceError::Refused(Refusal { code, message }))
                }
            }
        }
        .boxed()
    }
}

/// How long a download takes beside so many of these, at so many addresses.
async fn took(game: &Game, flaw: Flaw, count: u32, addresses: u8) -> Duration {
    took_at(game, flaw, count, addresses, Limiter::new(None)).await
}

/// The same, with a limit for what comes.
async fn took_at(game: &Game, flaw: Flaw, count: u32, addresses: u8, limiter: Limiter) -> Duration {
    let honest = FakeSource::new(1, game).delayed(CHUNK_TIME);
    let inner = match flaw {
        Flaw::Wrong => {
            let wrong: Vec<_> = game.file("a.eti").iter().map(|byte| byte ^ 1).collect();
            FakeSource::new(2, game).serving(&game.with_file("a.eti", &wrong))
        }
        _ => FakeSource::new(2, game),
    };
    let hostile = (0..count).map(|n| {
        Arc::new(Hostile {
            peer: PeerId::from_public_key(&n.to_le_bytes()),
            address: Ipv4Addr::new(10, 9, 9, u8::try_from(n % u32::from(addresses)).unwrap()),
            flaw,
            given: AtomicUsize::new(0),
            inner: inner.clone(),
        }) as Arc<dyn Source>
    });
    let mut sources: Vec<_> = hostile.collect();
    sources.push(Arc::new(honest));
    let mut lab = Lab::prepare();
    lab.limiter = limiter;
    lab.run_with(sources, game.manifest().content_root().map(Stated::Catalog));
    let run = lab.finish().await;
    run.assert_complete(game);
    run.took
}

#[tokio::test(start_paused = true)]
async fn a_download_hangs_on_the_honest_source_alone() {
    let game = game_of_chunks(CHUNKS);
    let alone = took(&game, Flaw::Chunks, 0, 1).await;
    assert!(alone >= CHUNK_TIME * 40, "{alone:?}");
    let flaws = [
        Flaw::Heads,
        Flaw::Pages,
        Flaw::Chunks,
        Flaw::AfterOne,
        Flaw::Trickling,
        Flaw::Busy,
        Flaw::Wrong,
    ];
    for flaw in flaws {
        for (count, addresses) in [(70, 1), (350, 4)] {
            let beside = took(&game, flaw, count, addresses).await;
            println!("{flaw:?} x{count} at {addresses}: {beside:?}, alone {alone:?}");
            assert!(beside <= alone * 2, "{flaw:?} x{count}: {beside:?}, alone {alone:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn requests_that_nobody_answers_take_nothing_of_a_limit() {
    let game = game_of_chunks(10);
    let limiter = || Limiter::new(RateLimit::new(4 * CHUNK_SIZE_BYTES));
    let alone = took_at(&game, Flaw::Chunks, 0, 1, limiter()).await;
    assert!(alone >= ms(2_400), "{alone:?}");
    for flaw in [Flaw::Chunks, Flaw::Trickling, Flaw::Busy] {
        let beside = took_at(&game, flaw, 70, 1, limiter()).await;
        println!("{flaw:?}: {beside:?}, alone {alone:?}");
        assert!(beside <= alone * 2, "{flaw:?}: {beside:?}, alone {alone:?}");
        assert!(beside >= alone, "{flaw:?}: {beside:?}, alone {alone:?}");
    }
}
