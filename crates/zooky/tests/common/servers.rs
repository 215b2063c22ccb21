//! The servers that scenarios run on.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tempfile::TempDir;
use zooky_server::{Config, Server};
use zooky_testkit::{Apache, free_port};

use super::{LONG, run};

/// Half a second: session timeouts lie between one second and ten.
pub const TICK: Duration = Duration::from_millis(500);

/// Our server in this process, which can be stopped and started again on the same port and directory.
pub struct Ours {
    data: TempDir,
    addr: SocketAddr,
    tick: Duration,
    server: Option<Server>,
}

impl Ours {
    pub fn start(tick: Duration) -> Ours {
        // A port that no client takes while the server is down.
        let addr = ([127, 0, 0, 1], free_port()).into();
        let mut ours = Ours { data: tempfile::tempdir().unwrap(), addr, tick, server: None };
        ours.up();
        ours
    }
}

/// A single server that a test stops and starts.
pub trait Single: Send {
    fn hosts(&self) -> String;
    /// Ends it.
    fn down(&mut self);
    /// Starts it again where it was.
    fn up(&mut self);
}

impl Single for Ours {
    fn hosts(&self) -> String {
        self.addr.to_string()
    }

    fn down(&mut self) {
        self.server.take().expect("it runs").stop().unwrap();
    }

    fn up(&mut self) {
        let mut config = Config::new(self.addr, self.data.path());
        config.four_letter_words = zooky_server::FourLetterWords::All;
        config.tick = self.tick;
        self.server = Some(Server::start(config).unwrap());
    }
}

impl Single for Apache {
    fn hosts(&self) -> String {
        Apache::hosts(self)
    }

    fn down(&mut self) {
        self.kill();
    }

    fn up(&mut self) {
        self.restart();
    }
}

/// One Apache ZooKeeper for all scenarios of this process that run at the same time. It ends with the last of them:
/// what a static keeps is never dropped, and the process would stay behind.
fn shared_apache() -> Arc<Apache> {
    static SHARED: Mutex<Weak<Apache>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(apache) = shared.upgrade() {
        return apache;
    }
    let apache = Arc::new(apache(TICK));
    *shared = Arc::downgrade(&apache);
    apache
}

/// An Apache ZooKeeper for one scenario alone.
pub fn apache(tick: Duration) -> Apache {
    Apache::builder().tick_ms(u32::try_from(tick.as_millis()).unwrap()).start()
}

pub fn on_ours<F: Future<Output = ()>>(scenario: impl FnOnce(String) -> F) {
    let server = Ours::start(TICK);
    run(LONG, scenario(server.hosts()));
}

pub fn on_apache<F: Future<Output = ()>>(scenario: impl FnOnce(String) -> F) {
    let server = shared_apache();
    run(LONG, scenario(server.hosts()));
}
