use std::future::poll_fn;

use tokio::time::timeout;

use crate::net::transport::RECEIVE_BATCH;

use super::*;

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

#[tokio::test]
async fn what_was_sent_is_delivered_once_it_is_there_and_never_to_somebody_who_is_gone() {
    let Asked { mut asked, mut answer, _alive } = ask().await;
    send(&mut *answer.sender).await.unwrap();
    let mut pieces = std::array::from_fn::<_, RECEIVE_BATCH, _>(|_| Bytes::new());
    let received = poll_fn(|cx| asked.receiver.poll_receive(&mut pieces, cx));
    timeout(PATIENCE, received).await.unwrap().unwrap();
    let delivered = poll_fn(|cx| answer.sender.poll_delivered(cx));
    timeout(PATIENCE, delivered).await.unwrap().unwrap();

    send(&mut *answer.sender).await.unwrap();
    drop((asked, _alive));
    let delivered = poll_fn(|cx| answer.sender.poll_delivered(cx));
    // Whether it came there before the connection was closed is not known.
    let _ = timeout(PATIENCE, delivered).await.unwrap();
    let mut last = Ok(());
    while last.is_ok() {
        last = timeout(PATIENCE, send(&mut *answer.sender)).await.unwrap();
        tokio::task::yield_now().await;
    }
    timeout(PATIENCE, poll_fn(|cx| answer.sender.poll_delivered(cx))).await.unwrap().unwrap_err();
}
