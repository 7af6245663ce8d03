//! Everything that can fail before a peer runs.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io, thread};

use lanspread_catalog::Catalog;
use lanspread_disk::free_space::FreeSpace;
use lanspread_disk::platform::may_be_changed_by_others;
use lanspread_disk::reserve;
use lanspread_disk::state_file::ensure_dir;
use lanspread_library::{Index, IndexWarning};
use lanspread_mdns::{Advertisement, IpNetwork, MdnsConfig, MdnsInterface};
use lanspread_net::echoes::Echoes;
use lanspread_net::handshake::LocalPeer;
use lanspread_net::identity::Identity;
use lanspread_net::limit::Limiter;
use lanspread_net::links::LinkTable;
use lanspread_net::quic::{self, Endpoints};
use lanspread_net::transport::Listener;
use lanspread_proto::{PROTOCOL_VERSION, PeerId};
use lanspread_serve::outbound::{OutboundCount, OutboundTransfers};
use lanspread_serve::published_library::{AnnouncedLibrary, PublishedLibrary};
use lanspread_serve::swarm::Swarm;
use lanspread_serve::{Contradiction, Server, StreamService};
use rustls::crypto::aws_lc_rs;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::event_log::EventLog;
use super::event_loop::EventLoop;
use super::handles::Handles;
use super::local_library::LocalLibrary;
use super::manifest_cache::ManifestCache;
use super::membership::Membership;
use super::operations::Operations;
use super::recovery::{check_games_dir, empty_trash, recover};
use super::shutdown::Shutdown;
use super::state_keeper::{StateDir, StateKeeper};
use super::supervisor::Supervisor;
use super::tasks::Tasks;
use crate::command::PeerCommand;
use crate::config::PeerConfig;
use crate::error::StartError;
use crate::event_channel::EventSender;
use crate::info::MdnsStatus;
use crate::messages::{InboxMessage, InboxSender};
use crate::migration::migrate;
use crate::peers::liveness::Limits;
use crate::services::discovery::Discovery;
use crate::services::{discovery, liveness, local_monitor, server};
use crate::state_format;

/// Most messages that wait for the command loop; their senders wait beyond that.
const INBOX_MAX: usize = 1024;
/// Most contradictions that wait for the command loop. One that is lost is found again by the next
/// read.
const CONTRADICTIONS_MAX: usize = 64;

/// What is read from the disk before a peer runs.
struct Disk {
    games_dir: PathBuf,
    state_dir: PathBuf,
    state_dir_lock: StateDir,
    identity: Arc<Identity>,
    index: Index,
}

/// Prepares a peer and starts its services.
pub(super) async fn prepare(
    config: PeerConfig,
    events: EventSender,
    commands: mpsc::Receiver<PeerCommand>,
    shutdown: CancellationToken,
) -> Result<EventLoop, StartError> {
    if config.peer_timeout <= config.ping_after {
        return Err(StartError::Timeouts);
    }
    let catalog = Arc::new(config.catalog);
    let disk = {
        let (games_dir, state_dir) = (config.games_dir.clone(), config.state_dir.clone());
        let catalog = Arc::clone(&catalog);
        let read = tokio::task::spawn_blocking(move || read_disk(&games_dir, &state_dir, &catalog));
        read.await.unwrap_or_else(|e| {
            let (path, source) = (config.state_dir.clone(), io::Error::other(e));
            Err(StartError::StateDir { path, source })
        })?
    };
    let Endpoints { dialer, listener } =
        quic::bind(&disk.identity, config.listen, config.peer_timeout)?;
    let listen_addr = listener.local_addr();
    let (publisher, published) = watch::channel(Arc::new(PublishedLibrary::default()));
    let me = LocalPeer {
        peer_id: disk.identity.peer_id,
        name: config.name,
        network: config.network,
        network_key: config.network_key,
        session: draw_session(config.listen)?,
        listen_port: listen_addr.port(),
        announcer: Arc::new(AnnouncedLibrary(published.clone())),
        echoes: Echoes::default(),
    };
    let (inbox_sender, inbox) = mpsc::channel(INBOX_MAX);
    let (counts, count_receiver) = mpsc::unbounded_channel();
    let outbound = OutboundTransfers::new(counts);
    let (contradictions, contradicted) = mpsc::channel(CONTRADICTIONS_MAX);
    let (index_changed, index_changes) = watch::channel(());
    let keeper = StateKeeper::new(
        disk.state_dir_lock.clone(),
        Arc::clone(&disk.identity),
        disk.index.clone(),
    );
    let (watched, games_dirs) = watch::channel(disk.games_dir.clone());
    let (links, called) = LinkTable::new();
    let streams = StreamService::new(config.stream_provider, config.max_streams);
    let handles = Handles {
        listen_addr,
        state_dir: disk.state_dir,
        catalog,
        unpacker: config.unpacker,
        auto_install: config.auto_install,
        download_limiter: Limiter::new(config.download_limit),
        free_space: FreeSpace::of_this_machine(),
        dialer,
        server: Server::new(
            published,
            outbound.clone(),
            Swarm::new(outbound),
            Limiter::new(config.upload_limit),
            streams,
            contradictions,
        ),
        manifest_cache: ManifestCache::default(),
        inbox_sender,
        sightings: Arc::default(),
        events,
        log: EventLog::default(),
        tasks: Tasks::new(shutdown),
        me,
    };
    let event_loop = EventLoop {
        library: LocalLibrary::new(disk.games_dir, disk.index, index_changed, watched, publisher),
        membership: Membership::new(
            handles.me.peer_id,
            links,
            match &config.mdns {
                MdnsInterface::Off => MdnsStatus::Off,
                MdnsInterface::All | MdnsInterface::Name(_) => MdnsStatus::Starting,
            },
            Limits { ping_after: config.ping_after, lost_after: config.peer_timeout },
        ),
        operations: Operations::default(),
        inbox,
        commands,
        shutdown: Shutdown::new(handles.tasks.clone(), disk.state_dir_lock),
        handles,
    };
    let mdns = mdns_config(config.mdns, config.mdns_networks, &event_loop);
    start_services(&event_loop, listener, games_dirs, mdns)?;
    event_loop
        .handles
        .spawn(pass_on_counts(count_receiver, event_loop.handles.inbox_sender.clone()));
    event_loop.handles.spawn(pass_on_calls(called, event_loop.handles.inbox_sender.clone()));
    event_loop
        .handles
        .spawn(pass_on_contradictions(contradicted, event_loop.handles.inbox_sender.clone()));
    // Not cut off at shutdown: what was learned last is still saved.
    event_loop
        .handles
        .tasks
        .spawn_to_end(keeper.run(index_changes, event_loop.handles.tasks.cancel.clone()));
    empty_trash(&event_loop.library.games_dir, &event_loop.handles);
    Ok(event_loop)
}

/// Says what mDNS is to do; `None` where it is off.
fn mdns_config(
    interface: MdnsInterface,
    networks: Vec<IpNetwork>,
    event_loop: &EventLoop,
) -> Option<MdnsConfig> {
    let Handles { me, listen_addr, .. } = &event_loop.handles;
    (interface != MdnsInterface::Off).then(|| MdnsConfig {
        interface,
        listen: listen_addr.ip(),
        networks,
        advertisement: Advertisement {
            peer_id: me.peer_id,
            proto_ver: PROTOCOL_VERSION,
            library_rev: event_loop.library.library_rev(),
            network: me.network.clone(),
            hostname: me.name.clone(),
            port: listen_addr.port(),
        },
    })
}

fn start_services(
    event_loop: &EventLoop,
    listener: Box<dyn Listener>,
    games_dirs: watch::Receiver<PathBuf>,
    discovery: Option<MdnsConfig>,
) -> Result<(), StartError> {
    // Before the first task, so that a refusal leaves nothing running.
    discovery.as_ref().map(MdnsConfig::check).transpose()?;

    let supervisor = Supervisor {
        tasks: event_loop.handles.tasks.tracker(),
        cancel: event_loop.handles.tasks.cancel.clone(),
        inbox_sender: event_loop.handles.inbox_sender.clone(),
    };
    let (me, sender, cancel) = (
        event_loop.handles.me.clone(),
        event_loop.handles.inbox_sender.clone(),
        event_loop.handles.tasks.cancel.clone(),
    );
    supervisor.required("QUIC server", server::run(listener, me, sender, cancel));

    let (pause, sender, cancel) = (
        event_loop.membership.liveness.limits().interval(),
        event_loop.handles.inbox_sender.clone(),
        event_loop.handles.tasks.cancel.clone(),
    );
    supervisor.restarting("liveness", move || liveness::run(pause, sender.clone(), cancel.clone()));

    if let Some(config) = discovery {
        let discovery = Discovery {
            config,
            published: event_loop.handles.server.library.clone(),
            inbox_sender: event_loop.handles.inbox_sender.clone(),
            sightings: Arc::clone(&event_loop.handles.sightings),
            cancel: event_loop.handles.tasks.cancel.clone(),
        };
        supervisor.restarting("discovery", move || discovery::run(discovery.clone()));
    }

    let (catalog, sender, cancel) = (
        Arc::clone(&event_loop.handles.catalog),
        event_loop.handles.inbox_sender.clone(),
        event_loop.handles.tasks.cancel.clone(),
    );
    let run = local_monitor::run(catalog, games_dirs, sender, cancel);
    supervisor.best_effort("local monitor", run);
    Ok(())
}

fn read_disk(games_dir: &Path, state_dir: &Path, catalog: &Catalog) -> Result<Disk, StartError> {
    let unusable = |source| StartError::StateDir { path: state_dir.to_path_buf(), source };
    // Asked before it is made, so that a refusal leaves nothing in the games directory.
    let intended = resolve(state_dir).map_err(unusable)?;
    if let Ok(games_dir) = fs::canonicalize(games_dir)
        && intended.starts_with(&games_dir)
    {
        return Err(StartError::StateInsideGames { state_dir: intended, games_dir });
    }
    let games_dir = check_games_dir(games_dir, &intended)?;
    // Before anything is made or locked: a refusal leaves the directory as it is.
    state_format::check(&intended)?;
    ensure_dir(state_dir).map_err(unusable)?;
    let state_dir = fs::canonicalize(state_dir).map_err(unusable)?;
    warn_of_writers(&state_dir);
    let state_dir_lock = StateDir::lock(&state_dir)?;
    state_format::claim(&state_dir)?;
    let identity = Arc::new(Identity::load_or_create(&state_dir)?);
    reserve::keep(&state_dir);
    let (index, warning) = thread::scope(|scope| {
        // Beside what settles the games directory: both take their time with a large library.
        let loading = scope.spawn(|| load_index(&state_dir));
        move_legacy_files(&games_dir, &state_dir, catalog);
        recover(&games_dir, &state_dir);
        loading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
    .map_err(unusable)?;
    if let Some(warning) = warning {
        tracing::warn!("{warning}");
    }
    Ok(Disk { games_dir, state_dir, state_dir_lock, identity, index })
}

/// A directory that a user made stays as it is, since it may hold more than the state. What is in it cannot be
/// read by others; but they could put another identity in its place.
fn warn_of_writers(state_dir: &Path) {
    if fs::metadata(state_dir).is_ok_and(|found| may_be_changed_by_others(&found)) {
        let path = state_dir.display();
        tracing::warn!(
            "other users may change the state directory {path}; `chmod 700 {path}` keeps them out"
        );
    }
}

fn load_index(state_dir: &Path) -> io::Result<(Index, Option<IndexWarning>)> {
    let (index, warning) = Index::load(state_dir).map_err(io::Error::other)?;
    index.reserve_revs()?;
    Ok((index, warning))
}

/// Moves what old versions kept beside the games. What cannot be moved stays for the next start.
fn move_legacy_files(games_dir: &Path, state_dir: &Path, catalog: &Catalog) {
    let report = migrate(games_dir, state_dir, catalog);
    for path in report.moved {
        tracing::info!(path = %path.display(), "moved an old file into the state directory");
    }
    for error in report.failed {
        tracing::warn!("an old file was not moved into the state directory: {error}");
    }
}

/// The canonical form of a path of which the last components may not exist yet.
fn resolve(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    for ancestor in path.ancestors() {
        if let (Ok(real), Ok(rest)) = (fs::canonicalize(ancestor), path.strip_prefix(ancestor)) {
            return Ok(real.join(rest));
        }
    }
    Ok(path)
}

/// Draws what tells this start of the peer from every other: the one random number of the runtime.
fn draw_session(listen: SocketAddr) -> Result<u64, StartError> {
    let mut bytes = [0; 8];
    aws_lc_rs::default_provider().secure_random.fill(&mut bytes).map_err(|_| {
        StartError::Listen { addr: listen, reason: "the system gives no random numbers".to_owned() }
    })?;
    Ok(u64::from_le_bytes(bytes))
}

async fn pass_on_counts(
    mut counts: mpsc::UnboundedReceiver<OutboundCount>,
    inbox_sender: InboxSender,
) {
    while let Some(count) = counts.recv().await {
        if inbox_sender.send(InboxMessage::Outbound(count)).await.is_err() {
            return;
        }
    }
}

async fn pass_on_calls(mut called: mpsc::Receiver<PeerId>, inbox_sender: InboxSender) {
    while let Some(peer_id) = called.recv().await {
        if inbox_sender.send(InboxMessage::LinkNeeded { peer_id }).await.is_err() {
            return;
        }
    }
}

async fn pass_on_contradictions(
    mut found: mpsc::Receiver<Contradiction>,
    inbox_sender: InboxSender,
) {
    while let Some(contradiction) = found.recv().await {
        if inbox_sender.send(InboxMessage::Contradicted(contradiction)).await.is_err() {
            return;
        }
    }
}
