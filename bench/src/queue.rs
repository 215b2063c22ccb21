//! Long queues: contenders that only stand there, in the layout of the client under test; and how long it takes to
//! join them, as seen on the wire.

use crate::child::Child;
use crate::failure::Failure;
use crate::peers::PeerKind;
use crate::peers::wire::{Connection, create, refused};
use crate::protocol::{Handoffs, Hello, Order, Standing, Waited};
use crate::proxy::{Frame, Kind, Protocol, Proxy};
use bytes::Bytes;
use std::net::SocketAddr;
use std::time::Duration;
use zooky_testkit::four_letter;
use zooky_wire::CreateMode;

/// How many creates are under way at once while a queue is filled.
const IN_FLIGHT: usize = 256;

/// Contenders that hold their places until this is closed.
pub(crate) struct Fillers(Connection);

impl Fillers {
    /// Puts `count` contenders behind whoever is in the queue of the lock that `peer` waits for.
    pub(crate) fn stand(hosts: &str, peer: PeerKind, count: usize) -> Result<Fillers, Failure> {
        let mut connection = Connection::open(hosts)?;
        let directory = format!("/bench/{}/queue", peer.name());
        connection.make_path(&directory)?;
        for begin in (0..count).step_by(IN_FLIGHT) {
            let mut last = None;
            for number in begin..count.min(begin + IN_FLIGHT) {
                let path = format!("{directory}/{}", prefix(peer, number as u128));
                let request = create(&path, CreateMode::EPHEMERAL_SEQUENTIAL, Bytes::from_static(b"filler"));
                last = Some(connection.queue(&request));
            }
            connection.flush()?;
            if let Some(xid) = last {
                connection.reply(xid)?.map_err(refused)?;
            }
        }
        Ok(Fillers(connection))
    }

    /// Ends their session, and them with it.
    pub(crate) fn leave(self) -> Result<(), Failure> {
        self.0.close()
    }
}

/// A contender's name, up to its number, as this client writes it.
fn prefix(peer: PeerKind, number: u128) -> String {
    // A UUID of version 4, as random as it looks.
    let id = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    let hex = format!("{:032x}", id & !(0xf << 76) & !(0b11 << 62) | 4 << 76 | 0b10 << 62);
    match peer {
        PeerKind::Curator | PeerKind::ZookeeperClient => {
            format!("_c_{}-{}-{}-{}-{}-lock-", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
        }
        _ => format!("{hex}__lock__"),
    }
}

/// Passes a lock along `waiters` from `sessions` sessions, with `behind` more in the queue behind them.
pub(crate) fn pass(
    child: &mut Child,
    hosts: &str,
    (waiters, sessions): (usize, usize),
    behind: usize,
) -> Result<(Handoffs, Option<u64>), Failure> {
    let _: Standing = child.obey(&Order::Line { waiters, sessions })?;
    let fillers = Fillers::stand(hosts, child.kind(), behind)?;
    let before = packets(hosts);
    let handoffs = child.obey(&Order::Pass)?;
    let packets = packets(hosts).zip(before).map(|(after, before)| after.saturating_sub(before));
    fillers.leave()?;
    Ok((handoffs, packets))
}

/// How many packets the server has received and sent so far.
fn packets(hosts: &str) -> Option<u64> {
    let answer = four_letter(hosts.parse::<SocketAddr>().ok()?, "mntr").ok()?;
    let count = |name: &str| {
        let line = answer.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().parse::<u64>().ok()
    };
    Some(count("zk_packets_received")? + count("zk_packets_sent")?)
}

/// How long it takes to join a queue of each of these lengths, in microseconds, `times` each.
pub(crate) fn joins(
    child: &mut Child,
    hosts: &str,
    lengths: &[usize],
    times: usize,
    limit: Duration,
) -> Result<Vec<(usize, Vec<f64>)>, Failure> {
    let proxy = Proxy::start(hosts, Protocol::ZooKeeper)?;
    let _: Hello = child.obey(&Order::Setup { hosts: proxy.hosts() })?;
    let _: Waited = child.obey(&Order::Wait { limit: Duration::from_millis(1) })?;
    let mut all = Vec::new();
    for &length in lengths {
        let fillers = Fillers::stand(hosts, child.kind(), length)?;
        let mut joins = Vec::new();
        for _ in 0..times {
            proxy.record(Duration::ZERO);
            let waited: Waited = child.obey(&Order::Wait { limit })?;
            joins.extend(waited.acquired_us.or_else(|| joined_us(&proxy.recorded())));
        }
        fillers.leave()?;
        all.push((length, joins));
    }
    let _: Hello = child.obey(&Order::Setup { hosts: hosts.to_string() })?;
    Ok(all)
}

/// From the first request to the last answer before the long quiet in which it waits.
fn joined_us(frames: &[Frame]) -> Option<f64> {
    let frames: Vec<&Frame> = frames.iter().filter(|frame| frame.kind != Kind::Upkeep).collect();
    let first = frames.first()?.at;
    let quiet = frames.windows(2).max_by_key(|pair| pair[1].at.saturating_sub(pair[0].at))?;
    Some((quiet[0].at.saturating_sub(first)).as_secs_f64() * 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joining_ends_where_the_quiet_begins() {
        let frame = |kind, ms| Frame {
            at: Duration::from_millis(ms),
            kind,
            name: String::new(),
            detail: String::new(),
            bytes: 0,
        };
        let frames = [
            frame(Kind::Request, 10),
            frame(Kind::Reply, 11),
            frame(Kind::Request, 14),
            frame(Kind::Reply, 15),
            frame(Kind::Upkeep, 60),
            frame(Kind::Request, 120),
            frame(Kind::Reply, 121),
        ];
        assert_eq!(joined_us(&frames), Some(5_000.0));
        assert_eq!(joined_us(&frames[..1]), None);
    }

    #[test]
    fn fillers_are_named_as_the_client_names_its_own() {
        let names: std::collections::BTreeSet<String> =
            (0..1_000).map(|number| prefix(PeerKind::Kazoo, number)).collect();
        assert_eq!(names.len(), 1_000);
        assert!(names.iter().all(|name| name.len() == 40 && name.as_bytes()[12] == b'4'));
        let curator = prefix(PeerKind::Curator, 7);
        assert_eq!(curator.len(), 45, "{curator}");
    }
}
