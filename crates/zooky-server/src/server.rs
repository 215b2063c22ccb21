//! Starting, stopping and waiting for a server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};

use mio::{Poll, Waker};

use crate::config::Config;
use crate::core::{CoreConfig, PasswordRule, first_session_id};
use crate::data_dir::DataDir;
use crate::error::{ServerError, StartError};
use crate::log::{FileStorage, Recovered, Snapshotter, Storage, Syncer, recover};
use crate::net::{Listener, Tls, Trade, bind, local_addr};
use crate::run::{Asked, Door, Run, WAKER, now};
use crate::secret;

/// The number that stands in the highest byte of session ids, as in a standalone Apache ZooKeeper.
const SERVER_NUMBER: u8 = 1;
/// See [`CoreConfig::expiry_step_ms`].
const EXPIRY_STEP_MS: u64 = 50;

/// A running server. Dropping it stops it.
#[derive(Debug)]
pub struct Server {
    addr: SocketAddr,
    tls_addr: Option<SocketAddr>,
    metrics_addr: Option<SocketAddr>,
    stopper: Stopper,
    thread: Option<JoinHandle<Result<(), ServerError>>>,
}

/// Stops a server from elsewhere, a signal handler's thread for instance, or has it take a snapshot.
#[derive(Debug, Clone)]
pub struct Stopper {
    asked: Arc<Asked>,
    waker: Arc<Waker>,
}

impl Stopper {
    /// Asks the server to stop; [`Server::wait`] returns when it has. May be called more than once.
    pub fn stop(&self) {
        self.asked.stop.store(true, Ordering::Release);
        self.wake();
    }

    /// Asks the server to take a snapshot now, or after the one that is under way. It is there when its file has its name; the server
    /// serves meanwhile. One that cannot be written is given up with a warning; the logs have everything.
    ///
    /// Each snapshot counts among [`Config::snapshots_kept`]; one of a state that has not changed takes the place of the last.
    pub fn take_snapshot(&self) {
        self.asked.snapshot.store(true, Ordering::Release);
        self.wake();
    }

    fn wake(&self) {
        if let Err(error) = self.waker.wake() {
            tracing::warn!(%error, "cannot wake the server; it looks by itself soon");
        }
    }
}

impl Server {
    /// Recovers what the data directory holds and starts to serve. Returns when clients can connect.
    ///
    /// # Errors
    /// See [`StartError`]; nothing is left running, and corrupt files are left as they are.
    pub fn start(config: Config) -> Result<Server, StartError> {
        let (min_ms, max_ms) = (config.min_timeout_ms(), config.max_timeout_ms());
        if min_ms > max_ms {
            return Err(StartError::Timeouts { min_ms, max_ms });
        }
        let exposed = |addr: &SocketAddr| !config.insecure && !addr.ip().to_canonical().is_loopback();
        if exposed(&config.listen) {
            return Err(StartError::Exposed { addr: config.listen });
        }
        if let Some(addr) = config.metrics.filter(exposed) {
            return Err(StartError::ExposedMetrics { addr });
        }
        let socket = bind(config.listen)?;
        let tls = match &config.tls {
            Some(settings) => Some((Tls::load(settings)?, bind(settings.listen)?, settings.listen)),
            None => None,
        };
        let metrics = config.metrics.map(|addr| Ok::<_, StartError>((bind(addr)?, addr))).transpose()?;
        let dir = DataDir::open(&config.data_dir)?;
        let password = if config.original_passwords {
            PasswordRule::Original
        } else {
            PasswordRule::Keyed(secret::load_or_make(&dir)?)
        };
        let storage: Arc<dyn Storage> = Arc::new(FileStorage::new(dir.version_2()));
        let mut core = core_config(&config, password);
        core.client_addr = local_addr(&socket, config.listen)?.to_string();
        let Recovered { core, mut log, replayed, torn, invalid } = recover(&storage, core)?;
        log.set_roll_bytes(config.log_roll_bytes);
        if let Some(torn) = torn {
            tracing::warn!(
                path = %torn.path.display(), offset = torn.offset,
                "cut off what was being written when the server died; none of it was acknowledged"
            );
        }
        for (_, error) in &invalid {
            tracing::warn!(%error, "this snapshot is passed over; an older one and the logs have everything");
        }
        let poll = Poll::new().map_err(|source| StartError::System { what: "make a poll", source })?;
        let waker = Waker::new(poll.registry(), WAKER)
            .map_err(|source| StartError::System { what: "make a waker", source })?;
        let waker = Arc::new(waker);
        let syncer = Syncer::start(log, Arc::clone(&waker))?;
        let rule = config.snapshot_rule(invalid.iter().map(|(zxid, _)| *zxid).collect());
        let snapshotter = Snapshotter::start(storage, rule, replayed, Arc::clone(&waker))?;
        let (listener, addr) = Listener::listen(socket, config.listen)?;
        let mut doors = vec![Door::new(listener, Trade::Client)];
        let mut metrics_addr = None;
        let (mut tls_addr, mut loaded) = (None, None);
        if let Some((tls, socket, addr)) = tls {
            let (listener, addr) = Listener::listen(socket, addr)?;
            doors.push(Door::new(listener, Trade::Tls));
            (tls_addr, loaded) = (Some(addr), Some(tls));
        }
        if let Some((socket, addr)) = metrics {
            let (listener, addr) = Listener::listen(socket, addr)?;
            doors.push(Door::new(listener, Trade::Metrics));
            metrics_addr = Some(addr);
        }
        tracing::info!(%addr, dir = %dir.path().display(), replayed, "serving");
        let stopper = Stopper { asked: Arc::default(), waker };
        let durable = (core, syncer, snapshotter);
        let run = Run::new(config, poll, (doors, loaded), durable, Arc::clone(&stopper.asked))?;
        let thread = thread::Builder::new()
            .name("zooky-server".into())
            .spawn(move || {
                let result = run.serve();
                // Only now may another server have the directory.
                drop(dir);
                result
            })
            .map_err(|source| StartError::System { what: "start the server's thread", source })?;
        Ok(Server { addr, tls_addr, metrics_addr, stopper, thread: Some(thread) })
    }

    /// Where it listens, the port filled in.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where it listens with TLS, the port filled in; `None`: nowhere.
    pub fn tls_addr(&self) -> Option<SocketAddr> {
        self.tls_addr
    }

    /// Where the metrics are, the port filled in; `None`: nowhere.
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.metrics_addr
    }

    /// Something that stops it, to be kept elsewhere.
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Stops it: what it has taken in becomes durable and is answered, then all connections are closed.
    ///
    /// # Errors
    /// It had failed, or fails at the last sync.
    pub fn stop(self) -> Result<(), ServerError> {
        self.stopper.stop();
        self.wait()
    }

    /// Waits until it is stopped or fails.
    ///
    /// # Errors
    /// Why it stopped by itself.
    ///
    /// # Panics
    /// If the server's thread panicked, with its panic.
    pub fn wait(mut self) -> Result<(), ServerError> {
        self.join()
    }

    fn join(&mut self) -> Result<(), ServerError> {
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(panic)) if !thread::panicking() => std::panic::resume_unwind(panic),
            Some(Err(_)) | None => Ok(()),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopper.stop();
        // The loop has logged its failure, if it failed.
        let _ = self.join();
    }
}

fn core_config(config: &Config, password: PasswordRule) -> CoreConfig {
    let mut core = CoreConfig::new(first_session_id(SERVER_NUMBER, now().wall_ms), password);
    core.expiry_step_ms = EXPIRY_STEP_MS;
    core.min_session_timeout_ms = config.min_timeout_ms();
    core.max_session_timeout_ms = config.max_timeout_ms();
    core.limits = config.limits.core;
    core.super_digest.clone_from(&config.super_digest);
    core.enforce_quota = config.enforce_quota;
    // Clients must not know which paths share a place in the tables.
    core.hash_seed = getrandom::u64().unwrap_or_else(|_| now().mono_ms ^ u64::from(std::process::id()));
    core
}
