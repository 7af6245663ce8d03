use std::future::poll_fn;

use tokio::time::timeout;

use super::*;
use crate::transport::RECEIVE_BATCH;

/// Far beyond what anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

fn endpoints() -> Endpoints {
    let dir = tempfile::tempdir().unwrap();
    let identity = Identity::load_or_create(dir.path()).unwrap();
    bind(&identity, SocketAddr::from(([127, 0, 0, 1], 0)), IDLE_TIMEOUT_MIN).unwrap()
}

async fn send(sender: &mut dyn StreamSender) -> Result<(), TransportError> {
    let mut bytes = Bytes::from_static(b"x");
    poll_fn(|cx| sender.poll_send(&mut bytes, cx)).await
}

/// Both ends of a stream with a request on it, and what it takes to keep them alive.
struct Asked {
    asked: Stream,
    answer: Stream,
    _alive: (Endpoints, Endpoints, NewConnection, NewConnection),
}

async fn ask() -> Asked {
    let (alpha, mut bravo) = (endpoints(), endpoints());
    let addr = bravo.listener.local_addr();
    let meeting = async {
        let (dialled, accepted) = tokio::join!(alpha.dialer.dial(addr), bravo.listener.accept());
        (dialled.unwrap(), accepted.unwrap())
    };
    let (dialled, mut accepted) = timeout(PATIENCE, meeting).await.unwrap();
    let mut asked = dialled.connection.open().await.unwrap();
    send(&mut *asked.sender).await.unwrap();
    let answer = timeout(PATIENCE, accepted.streams.accept()).await.unwrap().unwrap();
    Asked { asked, answer, _alive: (alpha, bravo, dialled, accepted) }
}

/// Who reads an answer is done with it before its end has come. On a busy machine that was faster
/// than the end, and the one that answered took it for a failure of the whole handshake.
#[tokio::test]
async fn to_finish_towards_somebody_who_has_read_enough_is_no_failure() {
    let Asked { asked, mut answer, _alive } = ask().await;
    send(&mut *answer.sender).await.unwrap();
    drop(asked.receiver);
    let until_stopped = async {
        while send(&mut *answer.sender).await.is_ok() {
            // The endpoints run on this very thread.
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, until_stopped).await.unwrap();
    answer.sender.finish().unwrap();
}

#[tokio::test]
async fn somebody_who_stops_reading_before_anything_is_sent_is_noticed() {
    let Asked { asked, mut answer, _alive } = ask().await;
    assert!(!answer.sender.is_unwanted());
    drop(asked.receiver);
    let until_noticed = async {
        while !answer.sender.is_unwanted() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, until_noticed).await.unwrap();
}

/// The end of a stream is confirmed behind its bytes, so that who is told of its delivery has to hear of
/// both, in whatever order they come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_waits_for_the_delivery_of_a_stream_hears_of_it() {
    const STREAMS: u32 = 1000;
    let Asked { asked, answer, _alive: (alpha, bravo, dialled, mut accepted) } = ask().await;
    drop((asked, answer));
    let answering = tokio::spawn(async move {
        let mut count = 0;
        while let Ok(mut stream) = accepted.streams.accept().await {
            send(&mut *stream.sender).await.unwrap();
            stream.sender.finish().unwrap();
            let delivered = poll_fn(|cx| stream.sender.poll_delivered(cx));
            // The last one may be read and the connection closed before that is confirmed.
            count += u32::from(timeout(PATIENCE, delivered).await.unwrap().is_ok());
        }
        count
    });
    for _ in 0..STREAMS {
        let mut asked = dialled.connection.open().await.unwrap();
        send(&mut *asked.sender).await.unwrap();
        let mut has_ended = false;
        while !has_ended {
            let mut pieces = std::array::from_fn::<_, RECEIVE_BATCH, _>(|_| Bytes::new());
            let received = poll_fn(|cx| asked.receiver.poll_receive(&mut pieces, cx));
            has_ended = timeout(PATIENCE, received).await.unwrap().unwrap().1;
        }
    }
    dialled.connection.close(CloseCode::Goodbye);
    let delivered = timeout(PATIENCE, answering).await.unwrap().unwrap();
    assert!(delivered >= STREAMS - 1, "{delivered}");
    drop((alpha, bravo));
}
