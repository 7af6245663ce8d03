//! How often the peers behind one address may tell this one something.
//!
//! What a peer tells costs more than it takes to say it: a changed library goes through the command loop, and what a peer fetches
//! goes through the downloads of the same game. Whoever tells more waits, and with it its next request.

use std::sync::{Arc, Mutex, PoisonError};

use lanspread_net::address::CountedAddress;
use lanspread_net::rate::{AddressRates, Rate};
use tokio::time::{Instant, sleep};

/// How many changes of libraries, and wishes for hashes, an address may tell. A peer tells ten a second while it looks at its
/// games for the first time, so 25 peers on one machine keep to it without a pause.
pub(crate) const LIBRARY_NEWS: Rate = Rate { at_once: 256, per_second: 256 };
/// How often an address may tell what its peers fetch. A peer tells it ten times a second for each game, so that a hundred
/// downloads behind one address keep to it.
pub(crate) const FETCH_NEWS: Rate = Rate { at_once: 1_024, per_second: 1_024 };

/// The pace of what is told, for all connections together. Clones share everything.
#[derive(Debug, Clone)]
pub struct Pace {
    library: SharedRates,
    fetches: SharedRates,
}

type SharedRates = Arc<Mutex<AddressRates>>;

impl Default for Pace {
    fn default() -> Self {
        let [library, fetches] =
            [LIBRARY_NEWS, FETCH_NEWS].map(|rate| Arc::new(Mutex::new(AddressRates::new(rate))));
        Self { library, fetches }
    }
}

impl Pace {
    /// Waits until the library of a peer at `addr` may be told of. Not cancel safe: a dropped wait counts.
    pub(crate) async fn library_news(&self, addr: CountedAddress) {
        pass(&self.library, addr).await;
    }

    /// Waits until a peer at `addr` may tell what it fetches. Not cancel safe: a dropped wait counts.
    pub(crate) async fn fetch_news(&self, addr: CountedAddress) {
        pass(&self.fetches, addr).await;
    }
}

async fn pass(rates: &SharedRates, addr: CountedAddress) {
    // The table is whole after every statement, so a panic elsewhere does not spoil it.
    let wait = rates.lock().unwrap_or_else(PoisonError::into_inner).reserve(addr, Instant::now());
    if !wait.is_zero() {
        sleep(wait).await;
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::Duration;

    use super::*;

    fn addr(host: u8) -> CountedAddress {
        IpAddr::from([10, 0, 0, host]).into()
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_tells_too_much_waits_and_holds_up_nobody_else() {
        let (pace, began) = (Pace::default(), Instant::now());
        for _ in 0..3 * LIBRARY_NEWS.at_once {
            pace.library_news(addr(1)).await;
        }
        let waited = began.elapsed();
        assert!((Duration::from_millis(1_900)..Duration::from_millis(2_100)).contains(&waited));
        pace.library_news(addr(2)).await;
        pace.fetch_news(addr(1)).await;
        assert_eq!(began.elapsed(), waited);
    }
}
