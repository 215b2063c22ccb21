//! What a server costs before it is asked anything: its start, with data and without, and its memory.

use super::order::{Order, Rate};
use super::{Key, Load, Plan, Results, say};
use crate::failure::Failure;
use crate::peers::wire::{Connection, refused};
use crate::servers::{Server, ServerKind};
use socket2::{Domain, Socket, Type};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use zooky_wire::Request;

/// What a restarted server has on its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stock {
    /// The plan's smaller number of znodes.
    Znodes,
    /// The same, and idle sessions.
    ZnodesAndSessions,
    /// The larger number of znodes.
    ManyZnodes,
}

/// What a server holds when its memory is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// Nothing.
    Empty,
    /// The plan's smaller number of znodes, all made since its start.
    Znodes,
    /// Idle sessions besides.
    ZnodesAndSessions,
    /// The larger number of znodes, read from the disk.
    ManyZnodes,
}

const SERVERS: [ServerKind; 2] = [ServerKind::Apache, ServerKind::Ours];
/// No start takes so long.
const PATIENCE: Duration = Duration::from_secs(120);
/// Apache ZooKeeper may forget a connection that comes while it reads its data: then the next one is tried.
const ANSWER: Duration = Duration::from_millis(200);

pub(super) fn measure(plan: &Plan, data: &Path, results: &mut Results) -> Result<(), Failure> {
    let mut load = Load::start()?;
    let stocks = Stocks::make(plan, &data.join("stocks"), &mut load)?;
    for round in 0..plan.starts {
        say(&format!("servers: starts and memory, round {} of {}", round + 1, plan.starts));
        for kind in SERVERS {
            let here = data.join(format!("fresh-{round}"));
            fresh(plan, kind, &here, &mut load, results)?;
            remove(&here)?;
        }
        for stock in [Stock::Znodes, Stock::ZnodesAndSessions, Stock::ManyZnodes] {
            for kind in SERVERS {
                let here = data.join(format!("restart-{round}"));
                restart(stock, &stocks, kind, &here, results)?;
                remove(&here)?;
            }
        }
    }
    Ok(())
}

/// A start on an empty directory, and then memory while it is filled.
fn fresh(
    plan: &Plan,
    kind: ServerKind,
    here: &Path,
    load: &mut Load,
    results: &mut Results,
) -> Result<(), Failure> {
    // Once for the port and the files of the operating system; then with nothing again.
    let mut server = Server::start(kind, here)?;
    server.stop();
    remove(&Server::directory(kind, here))?;
    fs::create_dir_all(Server::directory(kind, here)).map_err(Failure::io("making a data directory"))?;
    let took = started(&mut server)?;
    results.note(Key::Start, kind, Some(took.as_secs_f64() * 1e3));
    let mut look = |stage, server: &Server| {
        results.note(Key::Memory(stage), kind, Some(resident_mib(server.pid())?));
        Ok::<_, Failure>(())
    };
    look(Stage::Empty, &server)?;
    let hosts = server.hosts();
    let _: Rate = load.obey(&Order::Fill { hosts: hosts.clone(), znodes: plan.znodes })?;
    look(Stage::Znodes, &server)?;
    let _: Rate = load.obey(&Order::Idle { hosts, sessions: plan.idle_sessions })?;
    look(Stage::ZnodesAndSessions, &server)?;
    let _: Rate = load.obey(&Order::Leave)?;
    Ok(())
}

/// A start on a copy of a stock.
fn restart(
    stock: Stock,
    stocks: &Stocks,
    kind: ServerKind,
    here: &Path,
    results: &mut Results,
) -> Result<(), Failure> {
    let mut server = Server::start(kind, here)?;
    server.stop();
    stocks.put(stock, &Server::directory(kind, here).join("version-2"))?;
    let took = started(&mut server)?;
    results.note(Key::Restart(stock), kind, Some(took.as_secs_f64() * 1e3));
    if stock == Stock::ManyZnodes {
        results.note(Key::Memory(Stage::ManyZnodes), kind, Some(resident_mib(server.pid())?));
    }
    Ok(())
}

/// Starts a stopped server's process; how long until a new session's first request was answered.
fn started(server: &mut Server) -> Result<Duration, Failure> {
    let hosts = server.hosts();
    let begin = Instant::now();
    std::thread::scope(|scope| {
        let asked = scope.spawn(move || first_answer(&hosts, begin));
        server.restart();
        asked.join().unwrap_or_else(|_| Err(Failure::Refused("the asking thread died".to_string())))
    })
}

fn first_answer(hosts: &str, begin: Instant) -> Result<Duration, Failure> {
    let addr: SocketAddr = hosts.parse().map_err(|_| Failure::Unreadable(format!("no address: {hosts}")))?;
    loop {
        let asked = connect(addr).map_err(Failure::from).and_then(|stream| {
            let mut connection = Connection::open_on(stream)?;
            connection.ask(&Request::Exists { path: "/".to_string(), watch: false })?.map_err(refused)
        });
        if asked.is_ok() {
            return Ok(begin.elapsed());
        }
        if begin.elapsed() > PATIENCE {
            return Err(Failure::Refused(format!("{hosts} does not serve after {PATIENCE:?}")));
        }
        // Asking again and again costs the server time, too.
        std::thread::sleep(Duration::from_micros(500).max(begin.elapsed() / 50));
    }
}

/// From another loopback address: a connection from the server's own could meet itself on a port that nobody listens
/// on yet, and keep the server from it.
fn connect(addr: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), 0)).into())?;
    socket.set_read_timeout(Some(ANSWER))?;
    socket.connect(&addr.into())?;
    Ok(socket.into())
}

/// Data directories to be copied. They are made by our server; both servers start from the same files.
struct Stocks {
    at: PathBuf,
}

impl Stocks {
    fn make(plan: &Plan, at: &Path, load: &mut Load) -> Result<Stocks, Failure> {
        say("servers: filling directories for restarts");
        let stocks = Stocks { at: at.to_path_buf() };
        for (stock, znodes, sessions) in [
            (Stock::Znodes, plan.znodes, 0),
            (Stock::ZnodesAndSessions, plan.znodes, plan.idle_sessions),
            (Stock::ManyZnodes, plan.many_znodes, 0),
        ] {
            let here = at.join("making");
            let mut server = Server::start(ServerKind::Ours, &here)?;
            let hosts = server.hosts();
            let _: Rate = load.obey(&Order::Fill { hosts: hosts.clone(), znodes })?;
            let _: Rate = load.obey(&Order::Idle { hosts, sessions })?;
            server.stop();
            let _: Rate = load.obey(&Order::Leave)?;
            let made = Server::directory(ServerKind::Ours, &here).join("version-2");
            fs::rename(made, stocks.of(stock)).map_err(Failure::io("keeping a data directory"))?;
            remove(&here)?;
        }
        Ok(stocks)
    }

    fn of(&self, stock: Stock) -> PathBuf {
        self.at.join(format!("{stock:?}"))
    }

    /// Puts the newest snapshot and what the logs have behind it in place of what is in `version_2`.
    fn put(&self, stock: Stock, version_2: &Path) -> Result<(), Failure> {
        let wrong = || Failure::io("copying a data directory");
        remove(version_2)?;
        fs::create_dir_all(version_2).map_err(wrong())?;
        let from = self.of(stock);
        let mut names = Vec::new();
        for entry in fs::read_dir(&from).map_err(wrong())? {
            names.extend(entry.map_err(wrong())?.file_name().into_string().ok());
        }
        let zxid = |name: &str, kind: &str| i64::from_str_radix(name.strip_prefix(kind)?, 16).ok();
        let newest = names.iter().filter_map(|name| zxid(name, "snapshot.")).max().unwrap_or_default();
        let needed = |name: &&String| {
            zxid(name, "snapshot.") == Some(newest) || zxid(name, "log.").is_some_and(|first| first > newest)
        };
        for name in names.iter().filter(needed) {
            fs::copy(from.join(name), version_2.join(name)).map_err(wrong())?;
        }
        // What is written here must not be on its way to the disk while the start is timed.
        rustix::fs::sync();
        Ok(())
    }
}

fn remove(directory: &Path) -> Result<(), Failure> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::io("removing a data directory")(error))
        }
        _ => Ok(()),
    }
}

/// What the process holds in memory.
fn resident_mib(pid: u32) -> Result<f64, Failure> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))
        .map_err(Failure::io("looking at a server's memory"))?;
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
    kib.map(|kib| kib / 1_024.0).ok_or_else(|| Failure::Unreadable("no VmRSS of a server".to_string()))
}
