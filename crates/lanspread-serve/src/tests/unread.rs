//! What receivers take of a peer that do not read what they asked for.

use lanspread_net::identity::Identity;
use lanspread_net::quic;
use lanspread_net::transport::Connection;
use lanspread_proto::codec::{CONTROL_HEADER_MAX_BYTES, encode_header};
use lanspread_proto::message::Request;

use super::*;
use crate::admission::answers::{ANSWER_BYTES_PER_ADDRESS_MAX, ROOM_WAIT, STALL_MAX, STALL_WAIT};
use crate::session::run_session;

/// A chunk of full size.
fn chunk_len() -> u32 {
    u32::try_from(CHUNK_SIZE_BYTES).unwrap()
}

/// Asks for chunks again and again, and takes none.
async fn ask_and_take_nothing(server: Server, name: String) {
    let (_near, far) = linked(&name).await;
    let requester = Requester::new(far.link);
    let ask = async || {
        loop {
            let wanted = chunk("quake.eti", 0);
            let _ = server.handle_get_chunks(&requester, wanted, &mut Stopped).await;
        }
    };
    futures_util::future::join_all((0..8).map(|_| ask())).await;
}

#[tokio::test(start_paused = true)]
async fn receivers_that_take_nothing_hold_up_nobody_at_their_address() {
    for limit in [None, RateLimit::new(64 * 1024 * 1024)] {
        for stopped in [9, 45] {
            let (games, manifest) = game_of_a_chunk();
            let (server, _view) = server(&games, manifest, Limiter::new(limit));
            let mut hostile = JoinSet::new();
            for n in 0..stopped {
                hostile.spawn(ask_and_take_nothing(server.clone(), format!("stopped-{n}")));
            }
            // Until each of them had its chance.
            sleep(Duration::from_secs(10)).await;
            assert!(server.admission.answers.held() <= ANSWER_BYTES_PER_ADDRESS_MAX);
            let (link, began) = (asker_of(&server, "honest").await, Instant::now());
            let fetch = async || {
                for _ in 0..10 {
                    link.get_chunks(chunk("quake.eti", 0), &[chunk_len()]).await.unwrap();
                }
            };
            futures_util::future::join_all((0..4).map(|_| fetch())).await;
            // 80 MiB: at the limit, or at once.
            let alone = Duration::from_secs_f64(limit.map_or(0.0, |_| 1.25));
            let took = began.elapsed();
            let most = alone + Duration::from_millis(500);
            assert!(took < most, "{took:?} beside {stopped}, {limit:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_takes_nothing_is_reset_after_half_a_minute() {
    let (games, manifest) = game_of_a_chunk();
    let (server, _view) = server(&games, manifest, Limiter::new(None));
    let (_near, stopped) = linked("stopped").await;
    let (requester, began) = (Requester::new(stopped.link), Instant::now());
    let sent = server.handle_get_chunks(&requester, chunk("quake.eti", 0), &mut Stopped).await;
    assert!(matches!(sent, Err(ExchangeError::Silent)), "{sent:?}");
    assert!(began.elapsed().abs_diff(STALL_MAX) <= STALL_WAIT, "{:?}", began.elapsed());
    assert_eq!(server.admission.answers.held(), 0);
}

#[tokio::test(start_paused = true)]
async fn requests_that_come_byte_by_byte_end_and_leave_room_for_others() {
    let (games, manifest) = game_of_a_chunk();
    let (server, _view) = server(&games, manifest, Limiter::new(None));
    let (near_peer, far_peer) = (peer("slow"), peer("server"));
    let (near, far) = pair(near_peer.peer_id, far_peer.peer_id);
    let (connection, dialer) = (Arc::clone(&near.connection), OneDial::new(near));
    let addr = ([127, 0, 0, 1], 1).into();
    let dial = handshake::dial(&dialer, addr, None, &near_peer);
    let (_near, far) = tokio::join!(dial, handshake::accept(far, &far_peer, || {}));
    let far = far.unwrap();
    tokio::spawn(run_session(far.link, far.streams, context(&server)));
    let header = encode_header(&Request::Ping {}, CONTROL_HEADER_MAX_BYTES).unwrap();
    let began = Instant::now();
    let mut stream = connection.open().await.unwrap();
    for byte in header.chunks(1) {
        let mut byte = Bytes::copy_from_slice(byte);
        let sent = std::future::poll_fn(|cx| stream.sender.poll_send(&mut byte, cx)).await;
        if sent.is_err() {
            assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
            return;
        }
        sleep(Duration::from_secs(3)).await;
    }
    panic!("the request was read to its end");
}

/// A server over QUIC, and where it listens.
async fn quic_server(server: &Server, state: &TempDir) -> std::net::SocketAddr {
    let (mut endpoints, me) = quic_peer("server", state);
    let (addr, context) = (endpoints.listener.local_addr(), context(server));
    tokio::spawn(async move {
        while let Some(opened) = endpoints.listener.accept().await {
            let (me, context) = (me.clone(), context.clone());
            tokio::spawn(async move {
                let admitted = handshake::accept(opened, &me, || {}).await.unwrap();
                run_session(admitted.link, admitted.streams, context).await;
            });
        }
    });
    addr
}

fn quic_peer(name: &str, state: &TempDir) -> (quic::Endpoints, LocalPeer) {
    let identity = Identity::load_or_create(state.path()).unwrap();
    let addr = ([127, 0, 0, 1], 0).into();
    let endpoints = quic::bind(&identity, addr, Duration::from_secs(30)).unwrap();
    (endpoints, LocalPeer { peer_id: identity.peer_id, ..peer(name) })
}

/// Opens as many streams as it may, asks for a chunk on each, and reads none of them.
async fn ask_and_read_nothing(
    connection: &dyn Connection,
    held: &mut Vec<lanspread_net::transport::Stream>,
) {
    for _ in 0..60 {
        let mut stream = connection.open().await.unwrap();
        let request = Request::GetChunks(chunk("quake.eti", 0));
        let mut header = encode_header(&request, CONTROL_HEADER_MAX_BYTES).unwrap();
        std::future::poll_fn(|cx| stream.sender.poll_send(&mut header, cx)).await.unwrap();
        stream.sender.finish().unwrap();
        held.push(stream);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_quic_receivers_that_read_nothing_hold_no_more_than_the_share_of_their_address() {
    let (games, manifest) = game_of_a_chunk();
    let (server, _view) = server(&games, manifest, Limiter::new(None));
    let states: Vec<_> = (0..5).map(|_| tempfile::tempdir().unwrap()).collect();
    let addr = quic_server(&server, &states[0]).await;
    let mut unread = Vec::new();
    for (n, state) in states[1..4].iter().enumerate() {
        let (endpoints, me) = quic_peer(&format!("unread-{n}"), state);
        let opened = endpoints.dialer.dial(addr).await.unwrap();
        let connection = Arc::clone(&opened.connection);
        let link = handshake::dial(&OneDial::new(opened), addr, None, &me).await.unwrap();
        let mut held = Vec::new();
        ask_and_read_nothing(&*connection, &mut held).await;
        unread.push((endpoints, link, held));
    }
    // Their windows are full then, and the rest is in memory here.
    let is_full = async {
        while server.admission.answers.held() < ANSWER_BYTES_PER_ADDRESS_MAX {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(ROOM_WAIT, is_full).await.expect("they hold less than they may");
    let (endpoints, me) = quic_peer("honest", &states[4]);
    let honest = handshake::dial(&*endpoints.dialer, addr, None, &me).await.unwrap();
    for _ in 0..20 {
        let fetch = async {
            honest.link.get_chunks(chunk("quake.eti", 0), &[chunk_len()]).await.unwrap();
        };
        timeout(Duration::from_secs(10), fetch).await.expect("it waits for them");
        assert!(server.admission.answers.held() <= ANSWER_BYTES_PER_ADDRESS_MAX);
    }
}
