//! Start, command loop and shutdown of a peer.
//!
//! [`start_peer`] prepares everything that can fail, then hands it to one task: the command loop
//! ([`event_loop`]). The loop owns all state that is not a file. Services and operations run beside it and
//! send it [`crate::messages::InboxMessage`]s; it never waits for them: none of its handlers is `async`.

mod event_log;
mod event_loop;
mod handles;
mod local_library;
mod manifest_cache;
mod membership;
mod operations;
mod recovery;
mod shutdown;
mod startup;
mod state_keeper;
mod supervisor;
mod tasks;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::config::PeerConfig;
use crate::error::StartError;
use crate::event_channel::EventSender;
use crate::handle::PeerRuntimeHandle;

/// Most commands that wait for the loop. It takes microseconds for each, so this is a burst.
const COMMANDS_MAX: usize = 256;

/// Starts a peer that reports to `events`, one end of an [`crate::event_channel`].
///
/// Returns once it listens and is being advertised; its games are looked at, announced and hashed in
/// the background. A command about a game waits until that was looked at. The peer never waits for a consumer that
/// stops receiving `events`: [`crate::EventClass`] says which events it then finds. Only commands wait, once 1,024
/// beginnings and ends of operations are unread.
///
/// # Errors
/// [`StartError`] says what is not usable. Nothing is left running then.
pub async fn start_peer(
    config: PeerConfig,
    events: EventSender,
) -> Result<PeerRuntimeHandle, StartError> {
    let shutdown = CancellationToken::new();
    let (commands, command_receiver) = mpsc::channel(COMMANDS_MAX);
    let event_loop = startup::prepare(config, events, command_receiver, shutdown.clone()).await?;
    let (peer_id, listen_addr) = (event_loop.peer_id(), event_loop.listen_addr());
    let task = tokio::spawn(event_loop.run());
    Ok(PeerRuntimeHandle::new(peer_id, listen_addr, commands, shutdown, task))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::{Ipv6Addr, SocketAddr};
    use std::path::Path;
    use std::sync::Arc;
    use std::time::Duration;

    use lanspread_archive::AutoUnpacker;
    use lanspread_catalog::{Catalog, CatalogGame};
    use lanspread_download::DownloadNotice;
    use lanspread_mdns::MdnsInterface;
    use lanspread_net::handshake::{Glimpse, HandshakeError, RejectReason};
    use lanspread_net::transport::CloseCode;
    use lanspread_proto::{GameId, PeerId};
    use tokio::sync::oneshot;

    use super::event_loop::EventLoop;
    use super::*;
    use crate::command::{GameScope, PeerCommand};
    use crate::error::RuntimeFailure;
    use crate::event::PeerEvent;
    use crate::event_channel::{EventReceiver, event_channel};
    use crate::messages::{Encounter, InboxMessage, InboxSender};
    use crate::operation::Operation;

    fn doom() -> GameId {
        GameId::new("doom").unwrap()
    }

    /// A peer in `dir` that does not run yet, and where its commands go and its events come from.
    async fn prepared(dir: &Path) -> (EventLoop, mpsc::Sender<PeerCommand>, EventReceiver) {
        let games_dir = dir.join("games");
        std::fs::create_dir_all(&games_dir).unwrap();
        let game = CatalogGame::new(doom(), "Doom", "1".parse().unwrap());
        let config = PeerConfig {
            name: "alpha".parse().unwrap(),
            games_dir,
            state_dir: dir.join("state"),
            catalog: Catalog::from_games([game]).unwrap(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            network: "test".parse().unwrap(),
            network_key: None,
            mdns: MdnsInterface::Off,
            mdns_networks: Vec::new(),
            unpacker: Arc::new(AutoUnpacker::new(None)),
            stream_provider: Arc::new(AutoUnpacker::new(None)),
            max_streams: std::num::NonZeroUsize::MIN,
            auto_install: false,
            upload_limit: None,
            download_limit: None,
            ping_after: Duration::from_secs(60),
            peer_timeout: Duration::from_secs(120),
        };
        let (sender, events) = event_channel();
        let (commands, receiver) = mpsc::channel(1);
        let event_loop = startup::prepare(config, sender, receiver, CancellationToken::new());
        (event_loop.await.unwrap(), commands, events)
    }

    #[tokio::test]
    async fn details_of_a_game_are_of_the_moment_at_which_they_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let (mut event_loop, _commands, mut events) = prepared(dir.path()).await;
        // Nobody looks at the disk yet: the loop does not run.
        event_loop.library.first_look = None;
        while events.try_recv().is_ok() {}
        let before = event_loop.handles.as_of(()).events;
        let (reply, mut answer) = oneshot::channel();
        event_loop.get_game(doom(), reply);
        // While a source is asked, an operation begins.
        event_loop.operations.begin(&doom(), Operation::Downloading).unwrap();
        event_loop.handles.emit(PeerEvent::PeerCountUpdated { peer_count: 0 });
        let told = loop {
            let message = event_loop.inbox.recv().await.unwrap();
            event_loop.handle_message(message);
            if let Ok(told) = answer.try_recv() {
                break told.unwrap();
            }
        };
        assert_eq!(told.value.game.operation, Some(Operation::Downloading));
        assert_eq!(told.events, before + 1);
    }

    #[tokio::test]
    async fn the_death_of_a_required_service_is_told_and_ends_the_peer() {
        let dir = tempfile::tempdir().unwrap();
        let (event_loop, _commands, mut events) = prepared(dir.path()).await;
        let shutdown = event_loop.shutdown.requested();
        let failure = RuntimeFailure { service: "QUIC server", message: "it panicked".to_owned() };
        event_loop.handles.inbox_sender.send(InboxMessage::ServiceDied(failure)).await.unwrap();
        assert_eq!(event_loop.run().await.unwrap_err().service, "QUIC server");
        // Whoever else works for the peer hears of it too.
        assert!(shutdown.is_cancelled());
        let mut told = Vec::new();
        while let Some(event) = events.recv().await {
            told.push(event);
        }
        let [.., PeerEvent::RuntimeFailed { service, message }, PeerEvent::Stopped] = &told[..]
        else {
            panic!("{told:?}");
        };
        assert_eq!((*service, message.as_str()), ("QUIC server", "it panicked"));
    }

    /// Waits until the loop has handled what was sent to it.
    async fn handled(inbox: &InboxSender) -> u64 {
        let (reply, answer) = oneshot::channel();
        let (scope, unfinished) = (GameScope::Remote, BTreeMap::new());
        inbox.send(InboxMessage::GamesLookedUp { scope, unfinished, reply }).await.unwrap();
        answer.await.unwrap().unwrap().events
    }

    #[tokio::test]
    async fn commands_wait_while_too_many_ends_are_unread_and_nothing_else_does() {
        let dir = tempfile::tempdir().unwrap();
        let (event_loop, commands, mut events) = prepared(dir.path()).await;
        let (inbox, ends) =
            (event_loop.handles.inbox_sender.clone(), event_loop.shutdown.requested());
        while event_loop.handles.events.has_room() {
            event_loop.handles.emit(PeerEvent::InstallBegin { game_id: doom() });
        }
        let peer = tokio::spawn(event_loop.run());
        let (reply, mut answer) = oneshot::channel();
        commands.send(PeerCommand::Status { reply }).await.unwrap();
        for _ in 0..100 {
            handled(&inbox).await;
        }
        assert!(answer.try_recv().is_err());
        events.recv().await.unwrap();
        answer.await.unwrap().unwrap();
        ends.cancel();
        peer.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_flood_that_nobody_takes_hides_no_end_and_is_counted_once() {
        const FLOOD: u64 = 3_000;
        let dir = tempfile::tempdir().unwrap();
        let (event_loop, _commands, mut events) = prepared(dir.path()).await;
        let (inbox, ends) =
            (event_loop.handles.inbox_sender.clone(), event_loop.shutdown.requested());
        let peer = tokio::spawn(event_loop.run());
        for n in 0..FLOOD {
            let peer_id = PeerId::from_public_key(&n.to_be_bytes());
            let notice = DownloadNotice::SourceDropped { peer_id, reason: "it lied".to_owned() };
            let flood = InboxMessage::DownloadNotice { game_id: doom(), notice };
            inbox.send(flood).await.unwrap();
            let host = Ipv6Addr::from(u128::from(n)).into();
            let refused = HandshakeError::Rejected {
                peer_id,
                reason: RejectReason::Network,
                glimpse: Glimpse::default(),
                message: "another network".to_owned(),
            };
            let addr = SocketAddr::new(host, 1);
            let encounter = Encounter { addr, dial: None, outcome: Err(refused) };
            inbox.send(InboxMessage::HandshakeEnded(encounter)).await.unwrap();
        }
        let as_of = handled(&inbox).await;
        let mut told = Vec::new();
        while let Some(event) = events.take_until(as_of) {
            told.push(event);
        }
        let (mut sources, mut refused, mut dropped) = (0, 0, Vec::new());
        for event in &told {
            match event {
                PeerEvent::SourceDropped { .. } => sources += 1,
                PeerEvent::PeerRejected { .. } => refused += 1,
                PeerEvent::EventsDropped { count } => dropped.push(*count),
                _ => {}
            }
        }
        // Of the refusals, all but the first sixty are one sum, which comes a minute later.
        assert_eq!((refused, dropped), (60, vec![FLOOD - sources]));
        ends.cancel();
        peer.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_connection_that_is_lost_is_made_anew_as_soon_as_it_is_needed() {
        let (there, here) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let root = there.path().join("games/doom");
        std::fs::create_dir_all(&root).unwrap();
        std::fs::write(root.join("doom.eti"), b"archive").unwrap();
        std::fs::write(root.join("version.ini"), b"1\n").unwrap();
        let (source, _source_commands, _source_events) = prepared(there.path()).await;
        let (addr, source_ends) = (source.listen_addr(), source.shutdown.requested());
        let source = tokio::spawn(source.run());
        let (peer, commands, _events) = prepared(here.path()).await;
        let (links, ends) = (peer.membership.links.clone(), peer.shutdown.requested());
        let peer = tokio::spawn(peer.run());

        let (reply, answer) = oneshot::channel();
        commands.send(PeerCommand::Connect { addr, reply }).await.unwrap();
        let peer_id = answer.await.unwrap().unwrap();
        links.get(peer_id).unwrap().close(CloseCode::Unknown(99));
        links.lost(peer_id).await;

        // No discovery, and no ping within a minute.
        let (reply, answer) = oneshot::channel();
        let (game_id, install, wait) = (doom(), None, true);
        commands
            .send(PeerCommand::Download { game_id, content_root: None, install, wait, reply })
            .await
            .unwrap();
        answer.await.unwrap().unwrap();
        ends.cancel();
        source_ends.cancel();
        peer.await.unwrap().unwrap();
        source.await.unwrap().unwrap();
    }
}
