use std::net::SocketAddr;
use std::time::Duration;

use lanspread_net::echoes::Echoes;
use lanspread_net::identity::Identity;
use lanspread_net::quic::{self, Endpoints};
use lanspread_net::transport::Dialer;
use lanspread_proto::library::LibrarySnapshot;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::*;

/// Far beyond what anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long an honest peer may take to be let in.
const MESH: Duration = Duration::from_secs(5);

/// Endpoints bound to an address of loopback, and who uses them.
fn start(name: &str, ip: &str) -> (Endpoints, LocalPeer) {
    let dir = tempfile::tempdir().unwrap();
    let identity = Identity::load_or_create(dir.path()).unwrap();
    let listen = SocketAddr::new(ip.parse().unwrap(), 0);
    let endpoints = quic::bind(&identity, listen, Duration::from_secs(30)).unwrap();
    let me = LocalPeer {
        peer_id: identity.peer_id,
        name: name.parse().unwrap(),
        network: "party".parse().unwrap(),
        network_key: None,
        session: 1,
        listen_port: endpoints.listener.local_addr().port(),
        announcer: Arc::new(Arc::new(LibrarySnapshot::default())),
        echoes: Echoes::default(),
    };
    (endpoints, me)
}

/// Runs a server; returns where it listens, and what it tells the command loop.
fn serve() -> (SocketAddr, mpsc::Receiver<InboxMessage>, CancellationToken) {
    let (endpoints, me) = start("server", "127.0.0.1");
    let addr = endpoints.listener.local_addr();
    let (sender, inbox) = mpsc::channel(16);
    let cancel = CancellationToken::new();
    tokio::spawn(run(endpoints.listener, me, sender, cancel.clone()));
    (addr, inbox, cancel)
}

/// Opens connections that say nothing, `count` in all, as fast as they come about.
async fn dial_in_silence(
    dialer: Arc<dyn Dialer>,
    addr: SocketAddr,
    count: usize,
    silent: Arc<Mutex<Vec<NewConnection>>>,
) {
    for _ in 0..count {
        // One that is not let in is as good for this.
        if let Ok(Ok(connection)) = timeout(Duration::from_secs(1), dialer.dial(addr)).await {
            silent.lock().unwrap().push(connection);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_honest_peer_is_let_in_while_strangers_open_silent_connections() {
    let (addr, mut inbox, cancel) = serve();
    let silent = Arc::new(Mutex::new(Vec::new()));
    let strangers: Vec<_> =
        ["127.0.0.9", "127.0.0.10", "127.0.0.11"].map(|ip| start("stranger", ip).0).into();
    let floods: Vec<_> = strangers
        .iter()
        .map(|ends| {
            let dialer = Arc::clone(&ends.dialer);
            tokio::spawn(dial_in_silence(dialer, addr, 100, Arc::clone(&silent)))
        })
        .collect();
    // Three times as many as there are places.
    let full = async {
        while silent.lock().unwrap().len() < 3 * UNPROVEN_MAX.in_all {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, full).await.unwrap();

    let (honest, me) = start("honest", "127.0.0.2");
    let (began, addrs) = (Instant::now(), [addr]);
    let dial = handshake::dial_first(&*honest.dialer, &addrs, None, &me, || true);
    let (_, dialled) = timeout(PATIENCE, dial).await.unwrap();
    assert!(dialled.is_ok() && began.elapsed() < MESH, "{:?}", began.elapsed());
    let told = timeout(PATIENCE, inbox.recv()).await.unwrap();
    let Some(InboxMessage::HandshakeEnded(Encounter { outcome, .. })) = told else { panic!() };
    assert_eq!(outcome.ok().map(|admitted| admitted.link.peer_id()), Some(me.peer_id));

    for flood in floods {
        flood.abort();
    }
    cancel.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_silent_connection_is_closed_for_a_newer_one() {
    let (addr, _inbox, cancel) = serve();
    let stranger = start("stranger", "127.0.0.9").0;
    let mut silent = Vec::new();
    for _ in 0..=UNPROVEN_MAX.per_address {
        silent.push(timeout(PATIENCE, stranger.dialer.dial(addr)).await.unwrap().unwrap());
    }
    let mut oldest = silent.remove(0);
    let closed = timeout(PATIENCE, oldest.streams.accept()).await.unwrap();
    assert!(closed.is_err());
    cancel.cancel();
}
