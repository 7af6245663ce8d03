//! The running service: the daemon, and the thread that reads its events.

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use mdns_sd::{IfKind, IfPredicate, Receiver, ServiceDaemon, ServiceEvent};

use crate::browser::Browser;
use crate::gate::Gate;
use crate::interface::{InterfaceError, MdnsInterface, Scope};
use crate::link::Links;
use crate::network::IpNetwork;
use crate::platform;
use crate::port::{self, PortError};
use crate::record::{Advertisement, SERVICE_TYPE};
use crate::tracker::BrowseEvent;

/// Longest time that a shutdown waits for the two threads, which usually end within a few
/// milliseconds. One that takes longer is stuck, and is left behind.
pub const SHUTDOWN_LIMIT: Duration = Duration::from_millis(250);

/// How often the daemon looks whether this host has other addresses, in seconds. Others cannot reach it
/// at a new one before they are told.
const ADDRESSES_INTERVAL_S: u32 = 2;
/// How long the browse thread waits for the daemon before it looks at the addresses of this host.
const TICK: Duration = Duration::from_secs(2);
/// How long a new daemon may take for its sockets.
const START_LIMIT: Duration = Duration::from_secs(5);

/// What to advertise, and where.
#[derive(Debug, Clone)]
pub struct MdnsConfig {
    /// The chosen interfaces.
    pub interface: MdnsInterface,
    /// The address on which the peer listens; it decides which addresses are advertised and which
    /// ones of others can be reached.
    pub listen: IpAddr,
    /// Networks beyond the link whose peers are dialled as well: a reflector passes their records on.
    pub networks: Vec<IpNetwork>,
    /// What this peer says of itself.
    pub advertisement: Advertisement,
}

impl MdnsConfig {
    /// Checks that the choice of interface can work here, without starting anything.
    ///
    /// # Errors
    /// [`MdnsError::Interface`] says what is wrong with it.
    pub fn check(&self) -> Result<(), MdnsError> {
        Scope::of_this_host(&self.interface, self.listen)?;
        Ok(())
    }

    /// Checks that mDNS can work at the moment: that the chosen interface is there, that one is up, and
    /// that no other program keeps the port for itself. A service that runs recovers by itself from the
    /// loss of an interface; one that was started without the port has to be started anew.
    ///
    /// # Errors
    /// [`MdnsError`] says what is in the way.
    pub fn probe(&self) -> Result<(), MdnsError> {
        let Some(scope) = Scope::of_this_host(&self.interface, self.listen)? else { return Ok(()) };
        port::check(&scope.families())?;
        Ok(scope.check_interfaces()?)
    }
}

/// Why the service cannot start or change what it says.
#[derive(Debug, thiserror::Error)]
pub enum MdnsError {
    /// The interface cannot be used.
    #[error(transparent)]
    Interface(#[from] InterfaceError),
    /// The port cannot be used.
    #[error(transparent)]
    Port(#[from] PortError),
    /// The daemon refused a command.
    #[error("mDNS daemon could not {action}: {reason}")]
    Daemon {
        /// What it was to do.
        action: &'static str,
        /// What it says.
        reason: String,
    },
    /// The browse thread could not be made.
    #[error("cannot start the mDNS browse thread: {0}")]
    Thread(io::Error),
}

/// Advertises this peer and browses for others until it is shut down or dropped.
#[derive(Debug)]
pub struct MdnsService {
    running: Running,
    scope: Scope,
    networks: Vec<IpNetwork>,
    gate: Arc<Gate>,
    advertisement: Advertisement,
}

impl MdnsService {
    /// Starts advertising and browsing; `None` where the interface is [`MdnsInterface::Off`].
    ///
    /// `on_event` runs on the browse thread, one call after the other. While it blocks, events pile
    /// up, and at a thousand of them the daemon ends the search. `on_event` is dropped when the
    /// search ends, which is how a caller learns of an end that nobody asked for: the remedy is to
    /// drop this service and to start another one, which reports every peer as appeared again.
    ///
    /// # Errors
    /// [`MdnsError::Interface`] when the choice of interface cannot work here; [`MdnsError::Port`] when
    /// another program keeps the port for itself; the other ones when the system refuses a thread.
    pub fn start(
        config: MdnsConfig,
        on_event: impl FnMut(BrowseEvent) + Send + 'static,
    ) -> Result<Option<Self>, MdnsError> {
        let MdnsConfig { interface, listen, networks, advertisement } = config;
        let Some(scope) = Scope::of_this_host(&interface, listen)? else { return Ok(None) };
        // The daemon goes on without its sockets, and tells nobody.
        port::check(&scope.families())?;
        if !platform::HAS_IPV6_LOOPBACK_MULTICAST
            && scope.is_loopback()
            && listen.is_ipv6()
            && !listen.is_unspecified()
        {
            tracing::warn!(
                "this system has no IPv6 multicast on loopback; listen on 127.0.0.1 to be found"
            );
        }
        let gate = Arc::new(Gate::new(!networks.is_empty()));
        let daemon = socket_pktinfo::gated(Arc::<Gate>::clone(&gate), start_daemon)?;
        let running = Running { daemon, browser_ended: None, is_ending: Arc::default() };
        let mut service = Self { running, scope, networks, gate, advertisement };
        service.leave_other_interfaces()?;
        service.announce()?;
        service.browse(on_event)?;
        Ok(Some(service))
    }

    /// Tells the link that the library of this peer has another revision.
    ///
    /// # Errors
    /// [`MdnsError::Daemon`] when the daemon has ended; the service is then to be started anew.
    pub fn set_library_rev(&mut self, library_rev: u64) -> Result<(), MdnsError> {
        if self.advertisement.library_rev == library_rev {
            return Ok(());
        }
        self.advertisement.library_rev = library_rev;
        self.announce()
    }

    /// Returns whether the daemon was told of so many peers that it is to be replaced: it keeps them as long as
    /// their records say, and at twice as many it is told of no further ones. Only a flood gets there.
    pub fn is_worn(&self) -> bool {
        self.gate.is_worn()
    }

    /// Says goodbye to the link and ends both threads; dropping the service does the same.
    ///
    /// Blocks for at most [`SHUTDOWN_LIMIT`]. Afterwards `on_event` is not called again, unless a
    /// call blocks for longer than that.
    pub fn shutdown(self) {
        drop(self);
    }

    /// Must be the first command: the daemon begins by joining the mDNS group on every interface,
    /// which only the system's own membership reports show, and sends nothing of its own until it
    /// has something to announce or to ask.
    fn leave_other_interfaces(&self) -> Result<(), MdnsError> {
        let daemon = &self.running.daemon;
        let scope = self.scope.clone();
        let others = IfPredicate::new(move |interface| !scope.selects(interface));
        daemon
            .disable_interface(IfKind::Predicate(others))
            .map_err(|error| daemon_error("select interfaces", &error))?;
        // Loopback addresses do not come and go, so nothing need wake up to look at them.
        let interval_s = if self.scope.is_loopback() { 0 } else { ADDRESSES_INTERVAL_S };
        daemon
            .set_ip_check_interval(interval_s)
            .map_err(|error| daemon_error("watch addresses", &error))
    }

    fn announce(&self) -> Result<(), MdnsError> {
        let service = self.advertisement.to_service(&self.scope);
        service
            .and_then(|service| self.running.daemon.register(service))
            .map_err(|error| daemon_error("announce this peer", &error))
    }

    fn browse(
        &mut self,
        on_event: impl FnMut(BrowseEvent) + Send + 'static,
    ) -> Result<(), MdnsError> {
        let events = self.running.daemon.browse(SERVICE_TYPE);
        let events = events.map_err(|error| daemon_error("browse", &error))?;
        let links = Links::read(self.scope.clone(), self.networks.clone());
        let browser = Browser::new(self.advertisement.clone(), links, Arc::clone(&self.gate));
        let is_ending = Arc::clone(&self.running.is_ending);
        let (alive, ended) = mpsc::channel();
        thread::Builder::new()
            .name("mdns-browse".to_owned())
            .spawn(move || {
                run_browser(&events, browser, &is_ending, on_event);
                drop(alive);
            })
            .map_err(MdnsError::Thread)?;
        self.running.browser_ended = Some(ended);
        Ok(())
    }
}

/// Starts the daemon and waits until it has made its sockets.
fn start_daemon() -> Result<ServiceDaemon, MdnsError> {
    let daemon = ServiceDaemon::new().map_err(|error| daemon_error("start", &error))?;
    let status = daemon.status().map_err(|error| daemon_error("start", &error))?;
    match status.recv_timeout(START_LIMIT) {
        Ok(_) => Ok(daemon),
        Err(error) => Err(MdnsError::Daemon { action: "start", reason: error.to_string() }),
    }
}

fn daemon_error(action: &'static str, error: &mdns_sd::Error) -> MdnsError {
    MdnsError::Daemon { action, reason: error.to_string() }
}

/// The two threads, ended by its drop.
struct Running {
    daemon: ServiceDaemon,
    /// Disconnects when the browse thread ends, in whatever way.
    browser_ended: Option<mpsc::Receiver<Infallible>>,
    /// Has the browse thread leave events that still wait for it.
    is_ending: Arc<AtomicBool>,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").finish_non_exhaustive()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let deadline = Instant::now() + SHUTDOWN_LIMIT;
        self.is_ending.store(true, Ordering::Relaxed);
        // The daemon says goodbye, ends the search and answers. One that has ended already has
        // dropped its side of the event channel, which ends the browse thread too.
        let daemon_has_ended = match self.daemon.shutdown() {
            Ok(answer) => answer.recv_deadline(deadline).is_ok(),
            Err(mdns_sd::Error::DaemonShutdown) => true,
            Err(_) => false,
        };
        let browser_has_ended = self.browser_ended.as_ref().is_none_or(|ended| {
            let left = deadline.saturating_duration_since(Instant::now());
            ended.recv_timeout(left) == Err(RecvTimeoutError::Disconnected)
        });
        if !daemon_has_ended || !browser_has_ended {
            tracing::warn!(daemon_has_ended, browser_has_ended, "mDNS thread is left behind");
        }
    }
}

fn run_browser(
    events: &Receiver<ServiceEvent>,
    mut browser: Browser,
    is_ending: &AtomicBool,
    mut on_event: impl FnMut(BrowseEvent),
) {
    while !is_ending.load(Ordering::Relaxed) {
        let mut changes = match events.recv_timeout(TICK) {
            Ok(ServiceEvent::SearchStopped(_)) | Err(mdns_sd::RecvTimeoutError::Disconnected) => {
                break;
            }
            Ok(event) => browser.on_event(event),
            Err(mdns_sd::RecvTimeoutError::Timeout) => Vec::new(),
        };
        changes.extend(browser.on_tick(Instant::now()));
        changes.into_iter().for_each(&mut on_event);
    }
}
