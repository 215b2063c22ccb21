//! One Apache ZooKeeper, the reference that everything of ours is measured by: Debian's package as a child
//! process.

use crate::four_letter::mode;
use crate::managed::{Managed, tail};
use crate::port::free_port;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const JARS: [&str; 3] = ["zookeeper.jar", "slf4j-log4j12.jar", "log4j-1.2.jar"];
const HINT: &str = "install Debian's packages: apt-get install zookeeper (or run `make peers`)";
/// Starting takes about a second; a machine that runs several tests at once takes longer.
const START: Duration = Duration::from_secs(60);
const STOP: Duration = Duration::from_secs(30);

/// A running (or killed, or paused) Apache ZooKeeper. Dropping it kills the process and, unless the caller
/// named a data directory, removes its data.
#[derive(Debug)]
pub struct Apache {
    settings: ApacheBuilder,
    addr: SocketAddr,
    data_dir: PathBuf,
    // Before `work`: the process must be gone when its directory goes.
    process: Option<Managed>,
    work: TempDir,
}

/// How an [`Apache`] is to run; made by [`Apache::builder`].
#[derive(Debug, Clone)]
pub struct ApacheBuilder {
    address: IpAddr,
    port: Option<u16>,
    data_dir: Option<PathBuf>,
    tick_ms: u32,
    super_digest: String,
    extra: Vec<String>,
    env: Vec<(OsString, OsString)>,
    jvm: Vec<String>,
    server_id: Option<u8>,
}

impl Apache {
    /// Starts a standalone server on a free loopback port, in a directory of its own, and returns when it
    /// serves. Fsync is on, the tick is two seconds, every four-letter word is answered.
    ///
    /// # Panics
    /// When it does not come up, with the end of its log.
    pub fn start() -> Apache {
        Apache::builder().start()
    }

    /// The settings, to be changed before the start.
    pub fn builder() -> ApacheBuilder {
        ApacheBuilder {
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: None,
            data_dir: None,
            tick_ms: 2_000,
            super_digest: "super:D/InIHSb7yEEbrWz8b9l71RjZJU=".to_string(),
            extra: Vec::new(),
            env: Vec::new(),
            jvm: ["-Xms32m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"]
                .map(String::from)
                .to_vec(),
            server_id: None,
        }
    }

    /// Where it takes clients.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The same as a client's connect string.
    pub fn hosts(&self) -> String {
        self.addr.to_string()
    }

    /// The directory that holds `version-2`.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// The number of the running process.
    ///
    /// # Panics
    /// When it is not running.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("this server is not running").pid()
    }

    /// All that it has written to its log so far, over all its starts.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Kills it at once (SIGKILL) and waits until it is gone. Killing one that does not run does nothing.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// Asks it to end (SIGTERM) and waits until it has.
    ///
    /// # Panics
    /// When it does not run, or has not ended after half a minute.
    pub fn stop(&mut self) -> ExitStatus {
        let mut process = self.process.take().expect("this server is not running");
        process.stop(STOP).unwrap_or_else(|| panic!("ZooKeeper ignores SIGTERM:\n{}", tail(&self.log())))
    }

    /// Kills it if it runs, starts it again on the same address and data, and waits until it serves.
    pub fn restart(&mut self) {
        self.launch();
        self.wait_until_it_serves();
    }

    /// Freezes it (SIGSTOP) until [`resume`](Apache::resume); returns once it stands still.
    pub fn pause(&mut self) {
        self.process.as_mut().expect("this server is not running").pause();
    }

    /// Lets a frozen server go on (SIGCONT).
    pub fn resume(&mut self) {
        self.process.as_mut().expect("this server is not running").resume();
    }

    /// Starts the process without waiting: a member of an ensemble serves only with the others.
    pub(crate) fn launch(&mut self) {
        self.kill();
        let log = OpenOptions::new().create(true).append(true).open(self.log_path()).expect("its log opens");
        let mut command = Command::new("java");
        command.args(&self.settings.jvm);
        command.args(["-Djava.net.preferIPv4Stack=true", "-Dzookeeper.extendedTypesEnabled=true"]);
        command.arg("-Dzookeeper.admin.enableServer=false");
        command
            .arg(property("zookeeper.DigestAuthenticationProvider.superDigest", &self.settings.super_digest));
        command.arg(property("log4j.configuration", &format!("file:{}", self.file("log4j.properties"))));
        command.args(["-cp", &class_path(), "org.apache.zookeeper.server.quorum.QuorumPeerMain"]);
        command.arg(self.file("zoo.cfg")).envs(self.settings.env.iter().cloned());
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a file is cloned")).stderr(log);
        self.process = Some(Managed::spawn(&mut command, HINT));
    }

    pub(crate) fn wait_until_it_serves(&mut self) {
        let addr = self.addr;
        let process = self.process.as_mut().expect("it was just launched");
        let ready = crate::eventually::within(START, || match process.ended() {
            Some(status) => Some(Err(status.to_string())),
            None => mode(addr).map(Ok),
        });
        match ready {
            Some(Ok(_)) => {}
            Some(Err(status)) => self.give_up(&format!("ended with {status}")),
            None => self.give_up(&format!("does not serve after {START:?}")),
        }
    }

    /// Whether it is there and not frozen.
    pub(crate) fn can_run(&self) -> bool {
        self.process.as_ref().is_some_and(Managed::can_run)
    }

    fn give_up(&self, why: &str) -> ! {
        panic!("Apache ZooKeeper at {} {why}; {HINT}\n{}", self.addr, tail(&self.log()));
    }

    fn file(&self, name: &str) -> String {
        self.work.path().join(name).display().to_string()
    }

    fn log_path(&self) -> PathBuf {
        self.work.path().join("server.log")
    }
}

impl ApacheBuilder {
    /// Uses this directory for the data (`version-2` is made in it) and leaves it behind.
    pub fn data_dir(mut self, directory: &Path) -> Self {
        self.data_dir = Some(directory.to_path_buf());
        self
    }

    /// The server's tick; session timeouts lie between 2 and 20 of them. Default 2,000 ms.
    pub fn tick_ms(mut self, tick_ms: u32) -> Self {
        self.tick_ms = tick_ms;
        self
    }

    /// The superuser as `super:BASE64SHA1`. Default: the password `test`.
    pub fn super_digest(mut self, digest: &str) -> Self {
        self.super_digest = digest.to_string();
        self
    }

    /// One more line for `zoo.cfg`.
    pub fn extra(mut self, line: &str) -> Self {
        self.extra.push(line.to_string());
        self
    }

    /// One more variable for the server's environment.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// A virtual machine for measuring: 1 GiB of heap and the optimising compiler. It starts more slowly.
    pub fn for_benches(mut self) -> Self {
        self.jvm = ["-Xms1g", "-Xmx1g", "-Xshare:auto"].map(String::from).to_vec();
        self
    }

    /// Starts the server and returns when it serves.
    ///
    /// # Panics
    /// When it does not come up, with the end of its log.
    pub fn start(self) -> Apache {
        let mut apache = self.prepare();
        apache.launch();
        apache.wait_until_it_serves();
        apache
    }

    pub(crate) fn address(mut self, address: Ipv4Addr) -> Self {
        self.address = IpAddr::V4(address);
        self
    }

    pub(crate) fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    pub(crate) fn server_id(mut self, id: u8) -> Self {
        self.server_id = Some(id);
        self
    }

    /// Chooses the port and writes the configuration.
    pub(crate) fn prepare(self) -> Apache {
        let work = tempfile::Builder::new().prefix("zooky-apache-").tempdir().expect("a temporary directory");
        let data_dir = self.data_dir.clone().unwrap_or_else(|| work.path().join("data"));
        fs::create_dir_all(&data_dir)
            .unwrap_or_else(|error| panic!("cannot make {}: {error}", data_dir.display()));
        if let Some(id) = self.server_id {
            fs::write(data_dir.join("myid"), id.to_string()).expect("myid is written");
        }
        let addr = SocketAddr::new(self.address, self.port.unwrap_or_else(free_port));
        fs::write(work.path().join("zoo.cfg"), self.config(addr, &data_dir)).expect("zoo.cfg is written");
        fs::write(work.path().join("log4j.properties"), LOG4J).expect("log4j.properties is written");
        File::create(work.path().join("server.log")).expect("its log is made");
        Apache { settings: self, addr, data_dir, process: None, work }
    }

    fn config(&self, addr: SocketAddr, data_dir: &Path) -> String {
        let mut lines = vec![
            format!("tickTime={}", self.tick_ms),
            format!("dataDir={}", data_dir.display()),
            format!("clientPortAddress={}", addr.ip()),
            format!("clientPort={}", addr.port()),
            "maxClientCnxns=0".to_string(),
            "admin.enableServer=false".to_string(),
            "4lw.commands.whitelist=*".to_string(),
        ];
        lines.extend(self.extra.iter().cloned());
        lines.join("\n") + "\n"
    }
}

const LOG4J: &str = "log4j.rootLogger=INFO, OUT
log4j.appender.OUT=org.apache.log4j.ConsoleAppender
log4j.appender.OUT.layout=org.apache.log4j.PatternLayout
log4j.appender.OUT.layout.ConversionPattern=%d{ISO8601} %p %c{1} - %m%n
";

fn property(name: &str, value: &str) -> String {
    format!("-D{name}={value}")
}

fn class_path() -> String {
    let jars = JARS.map(|jar| format!("/usr/share/java/{jar}"));
    for jar in &jars {
        assert!(Path::new(jar).exists(), "{jar} is missing; {HINT}");
    }
    jars.join(":")
}
