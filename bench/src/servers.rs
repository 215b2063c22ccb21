//! The servers that are measured: each a process of its own, with its data on the same disk.

use crate::failure::Failure;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use zooky_testkit::{Apache, ServerProcess, eventually, four_letter, free_port};

/// A server under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum ServerKind {
    /// Apache ZooKeeper, alone, with fsync, 1 GiB of heap.
    Apache,
    /// zooky's own.
    Ours,
    /// redis with `appendfsync always`.
    Redis,
    /// etcd, alone; it syncs its log before it answers.
    Etcd,
}

impl ServerKind {
    /// Its name in the tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            ServerKind::Apache => "Apache",
            ServerKind::Ours => "zooky server",
            ServerKind::Redis => "redis",
            ServerKind::Etcd => "etcd",
        }
    }
}

/// A running server. Dropping it ends its process.
pub(crate) enum Server {
    /// Apache ZooKeeper.
    Apache(Box<Apache>),
    /// Ours.
    Ours(Box<ServerProcess>),
    /// redis.
    Redis(RedisServer),
    /// etcd.
    Etcd(EtcdServer),
}

impl Server {
    /// Starts it with its data below `data`, and returns when it serves.
    pub(crate) fn start(kind: ServerKind, data: &Path) -> Result<Server, Failure> {
        let directory = Server::directory(kind, data);
        std::fs::create_dir_all(&directory).map_err(Failure::io("making a data directory"))?;
        Ok(match kind {
            ServerKind::Apache => {
                Server::Apache(Box::new(Apache::builder().for_benches().data_dir(&directory).start()))
            }
            ServerKind::Ours => {
                let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
                let program = std::env::current_exe().map_err(Failure::io("looking for this program"))?;
                let mut command = Command::new(program);
                command.args(["server", "--listen", &addr.to_string(), "--data-dir"]).arg(&directory);
                let server = ServerProcess::try_start(command, addr).map_err(Failure::Refused)?;
                Server::Ours(Box::new(server))
            }
            ServerKind::Redis => Server::Redis(RedisServer::start(&directory)?),
            ServerKind::Etcd => Server::Etcd(EtcdServer::start(&directory)?),
        })
    }

    /// Where it keeps its data when it is started below `data`.
    pub(crate) fn directory(kind: ServerKind, data: &Path) -> PathBuf {
        data.join(kind.name().replace(' ', "-"))
    }

    /// The number of its process.
    pub(crate) fn pid(&self) -> u32 {
        match self {
            Server::Apache(server) => server.pid(),
            Server::Ours(server) => server.pid(),
            Server::Redis(server) => server.child.id(),
            Server::Etcd(server) => server.child.id(),
        }
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn stop(&mut self) {
        match self {
            Server::Apache(server) => drop(server.stop()),
            Server::Ours(server) => drop(server.stop()),
            Server::Redis(server) => end(&mut server.child),
            Server::Etcd(server) => end(&mut server.child),
        }
    }

    /// Starts it again on the same address and data, and returns when it serves.
    pub(crate) fn restart(&mut self) {
        match self {
            Server::Apache(server) => server.restart(),
            Server::Ours(server) => server.restart(),
            // Nothing here asks for it.
            Server::Redis(_) | Server::Etcd(_) => {}
        }
    }

    /// What clients connect to.
    pub(crate) fn hosts(&self) -> String {
        match self {
            Server::Apache(server) => server.hosts(),
            Server::Ours(server) => server.hosts(),
            Server::Redis(server) => server.addr.to_string(),
            Server::Etcd(server) => server.addr.to_string(),
        }
    }

    /// The version it tells.
    pub(crate) fn version(&self) -> String {
        match self {
            Server::Apache(server) => {
                let answer = four_letter(server.addr(), "srvr").unwrap_or_default();
                let version = answer.split("version: ").nth(1).and_then(|rest| rest.split('-').next());
                version.unwrap_or("?").to_string()
            }
            Server::Ours(_) => env!("CARGO_PKG_VERSION").to_string(),
            Server::Redis(server) => {
                let answer = server.ask("INFO server\r\n").unwrap_or_default();
                let version = answer.split("redis_version:").nth(1).and_then(|rest| rest.lines().next());
                version.unwrap_or("?").trim().to_string()
            }
            Server::Etcd(server) => {
                let answer = get(server.addr, "/version").unwrap_or_default();
                let version =
                    answer.split("\"etcdserver\":\"").nth(1).and_then(|rest| rest.split('"').next());
                version.unwrap_or("?").to_string()
            }
        }
    }
}

/// A redis-server that syncs its log before it answers a write.
pub(crate) struct RedisServer {
    child: Child,
    addr: SocketAddr,
}

impl RedisServer {
    fn start(directory: &Path) -> Result<RedisServer, Failure> {
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let mut command = Command::new("redis-server");
        command.args(["--bind", &addr.ip().to_string(), "--port", &addr.port().to_string()]);
        command.args(["--appendonly", "yes", "--appendfsync", "always", "--save", "", "--dir"]);
        command.arg(directory).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn();
        let child = child.map_err(Failure::io("running redis-server (`make peers` installs it)"))?;
        let server = RedisServer { child, addr };
        eventually(Duration::from_secs(20), "redis-server to answer", || {
            server.ask("PING\r\n").ok().filter(|answer| answer.starts_with("+PONG"))
        });
        Ok(server)
    }

    fn ask(&self, question: &str) -> Result<String, Failure> {
        let mut stream = TcpStream::connect(self.addr)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(question.as_bytes())?;
        let mut answer = [0; 4096];
        let n = stream.read(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer[..n]).into_owned())
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// One etcd.
pub(crate) struct EtcdServer {
    child: Child,
    addr: SocketAddr,
}

impl EtcdServer {
    fn start(directory: &Path) -> Result<EtcdServer, Failure> {
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let (client, peer) = (format!("http://{addr}"), format!("http://127.0.0.1:{}", free_port()));
        let mut command = Command::new("etcd");
        command.args([
            "--name",
            "bench",
            "--listen-client-urls",
            &client,
            "--advertise-client-urls",
            &client,
        ]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.args(["--initial-cluster", &format!("bench={peer}"), "--data-dir"]).arg(directory);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().map_err(Failure::io("running etcd (`make peers` installs it)"))?;
        let server = EtcdServer { child, addr };
        eventually(Duration::from_secs(20), "etcd to answer", || {
            get(addr, "/health").ok().filter(|answer| answer.contains("\"true\""))
        });
        Ok(server)
    }
}

impl Drop for EtcdServer {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// What a server says over HTTP.
fn get(addr: SocketAddr, path: &str) -> Result<String, Failure> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: etcd\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Ends a process that was started here. Nothing can be done about one that has ended already.
fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// Runs our server in this process until it ends.
pub(crate) fn serve(listen: SocketAddr, data_dir: &Path) -> Result<(), Failure> {
    let config = zooky_server::Config::new(listen, data_dir);
    let server = zooky_server::Server::start(config).map_err(|error| Failure::Refused(error.to_string()))?;
    server.wait().map_err(|error| Failure::Refused(error.to_string()))
}
