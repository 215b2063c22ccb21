//! Three Apache ZooKeepers that elect a leader, and links between them that can be cut.
//!
//! Clients reach member *i* (counted from 0) at 127.0.0.1*i*+1. Among themselves the members use an address
//! per direction: member *i* knows member *j* as 127.77.*i*.*j*. Linux gives loopback connections no telling
//! source address, so this is what allows one member's links to be cut without the others'. For it the
//! members take quorum connections on every address of the machine, while the test lasts.

use crate::apache::{Apache, ApacheBuilder};
use crate::cut::{self, Cut};
use crate::eventually::within;
use crate::four_letter::mode;
use crate::managed::tail;
use crate::port::free_port;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

const SIZE: usize = 3;
const START: Duration = Duration::from_secs(90);
const ELECTION: Duration = Duration::from_secs(30);

/// A running ensemble of three. Dropping it kills the members and removes the cuts.
#[derive(Debug)]
pub struct Ensemble {
    members: Vec<Apache>,
    ports: Vec<Ports>,
    cut: Option<Cut>,
    cut_off: Vec<usize>,
    clients_cut_off: Vec<usize>,
}

/// How an [`Ensemble`] is to run; made by [`Ensemble::builder`].
#[derive(Debug, Clone)]
pub struct EnsembleBuilder {
    tick_ms: u32,
    sync_limit: u32,
    member: ApacheBuilder,
    data_dirs: Option<[PathBuf; SIZE]>,
    client_ports: Option<[u16; SIZE]>,
}

#[derive(Debug, Clone, Copy)]
struct Ports {
    quorum: u16,
    election: u16,
}

impl Ensemble {
    /// Starts three members with ticks of half a second, and returns when all of them serve.
    ///
    /// # Panics
    /// When they do not, with the ends of their logs.
    pub fn start() -> Ensemble {
        Ensemble::builder().start()
    }

    /// The settings, to be changed before the start.
    pub fn builder() -> EnsembleBuilder {
        EnsembleBuilder {
            tick_ms: 500,
            sync_limit: 4,
            member: Apache::builder(),
            data_dirs: None,
            client_ports: None,
        }
    }

    /// The connect string of all members.
    pub fn hosts(&self) -> String {
        self.members.iter().map(Apache::hosts).collect::<Vec<_>>().join(",")
    }

    /// One member, counted from 0: to be killed, paused, restarted.
    pub fn member(&mut self, index: usize) -> &mut Apache {
        &mut self.members[index]
    }

    /// How many members there are: three.
    #[allow(clippy::len_without_is_empty)] // It never is.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// The member that leads and says so; waits for an election to end. Members that are frozen or cut off
    /// are passed over: a leader among them goes on believing in itself for a while.
    ///
    /// # Panics
    /// When there is none within half a minute; the message shows the members' logs.
    #[track_caller]
    pub fn leader(&self) -> usize {
        self.await_or_show_logs(ELECTION, "a leader", || self.find("leader").first().copied())
    }

    /// The members that follow a leader right now.
    pub fn followers(&self) -> Vec<usize> {
        self.find("follower")
    }

    /// Waits until there are a leader and a follower that can reach each other, so that requests are served.
    ///
    /// # Panics
    /// When that takes longer than `timeout`; the message shows the members' logs.
    #[track_caller]
    pub fn wait_for_quorum(&self, timeout: Duration) {
        self.await_or_show_logs(timeout, "a leader and a follower", || {
            (!self.find("leader").is_empty() && !self.find("follower").is_empty()).then_some(())
        });
    }

    /// Kills a member if it runs and starts it again without waiting: it serves once it finds a quorum.
    pub fn relaunch(&mut self, index: usize) {
        self.members[index].launch();
    }

    /// Cuts one member's links to the other members in both directions; packets vanish silently. Its clients
    /// still reach it. Further members can be cut off as well.
    ///
    /// # Panics
    /// When iptables cannot be used.
    pub fn cut_off(&mut self, index: usize) {
        if !self.cut_off.contains(&index) {
            self.cut_off.push(index);
        }
        self.apply_cuts();
    }

    /// Cuts the links between one member and all clients, these tests included; packets vanish silently. The
    /// members still reach each other.
    ///
    /// # Panics
    /// When iptables cannot be used.
    pub fn cut_off_clients(&mut self, index: usize) {
        if !self.clients_cut_off.contains(&index) {
            self.clients_cut_off.push(index);
        }
        self.apply_cuts();
    }

    /// Resets every connection of clients to one member: both ends learn it at once.
    ///
    /// # Panics
    /// When `ss` cannot do so.
    pub fn reset_clients(&self, index: usize) {
        let address = self.members[index].addr();
        cut::reset(address);
    }

    fn apply_cuts(&mut self) {
        let mut listeners = Vec::new();
        for &one in &self.clients_cut_off {
            let address = self.members[one].addr();
            listeners.push((client_address(one), address.port()));
        }
        for &one in &self.cut_off {
            // What it opens, itself included (others call it back there), and what others open towards it.
            let own = (0..SIZE).map(|other| (one, other));
            let others = (0..SIZE).filter(|&other| other != one).map(|other| (other, one));
            for (from, to) in own.chain(others) {
                let Ports { quorum, election } = self.ports[to];
                listeners.extend([(link(from, to), quorum), (link(from, to), election)]);
            }
        }
        self.cut.get_or_insert_with(Cut::new).drop_only(&listeners);
    }

    /// Mends every cut.
    pub fn heal(&mut self) {
        self.cut = None;
        self.cut_off.clear();
        self.clients_cut_off.clear();
    }

    #[track_caller]
    fn await_or_show_logs<T>(&self, timeout: Duration, what: &str, probe: impl FnMut() -> Option<T>) -> T {
        if let Some(found) = within(timeout, probe) {
            return found;
        }
        let logs: Vec<String> = self.members.iter().map(|one| tail(&one.log())).collect();
        panic!("three servers do not have {what} within {timeout:?}\n{}", logs.join("\n---\n"))
    }

    /// The members in this mode, without those that do not run, are frozen or are cut off.
    fn find(&self, wanted: &str) -> Vec<usize> {
        let cut_off = |index: &usize| self.cut_off.contains(index) || self.clients_cut_off.contains(index);
        let reachable = |index: &usize| !cut_off(index) && self.members[*index].can_run();
        let has_mode = |index: &usize| mode(self.members[*index].addr()).as_deref() == Some(wanted);
        (0..SIZE).filter(reachable).filter(has_mode).collect()
    }
}

impl EnsembleBuilder {
    /// The members' tick; session timeouts lie between 2 and 20 of them. Default 500 ms.
    pub fn tick_ms(mut self, tick_ms: u32) -> Self {
        self.tick_ms = tick_ms;
        self
    }

    /// After how many ticks of silence leader and followers give each other up. Default 4; with many, a follower
    /// that is cut off goes on serving its clients for long.
    pub fn sync_limit(mut self, ticks: u32) -> Self {
        self.sync_limit = ticks;
        self
    }

    /// One more line for each `zoo.cfg`.
    pub fn extra(mut self, line: &str) -> Self {
        self.member = self.member.extra(line);
        self
    }

    /// Lets each member start on the data that is in its directory already, and leaves it there; `myid` is written.
    pub fn data_dirs(mut self, directories: [PathBuf; SIZE]) -> Self {
        self.data_dirs = Some(directories);
        self
    }

    /// The ports on which the members take clients, where these must be known before: from [`free_port`].
    pub fn client_ports(mut self, ports: [u16; SIZE]) -> Self {
        self.client_ports = Some(ports);
        self
    }

    /// Virtual machines for measuring, see [`ApacheBuilder::for_benches`].
    pub fn for_benches(mut self) -> Self {
        self.member = self.member.for_benches();
        self
    }

    /// Starts the members and returns when all of them serve.
    ///
    /// # Panics
    /// When they do not, with the ends of their logs.
    pub fn start(self) -> Ensemble {
        cut::sweep();
        let ports: Vec<Ports> =
            (0..SIZE).map(|_| Ports { quorum: free_port(), election: free_port() }).collect();
        let members = (0..SIZE).map(|index| self.member_settings(index, &ports).prepare()).collect();
        let mut ensemble =
            Ensemble { members, ports, cut: None, cut_off: Vec::new(), clients_cut_off: Vec::new() };
        // The last one joins a leader that is there. When all three start at once, it now and then elects itself
        // while the others elect without it, and notices only after `initLimit`.
        ensemble.members[..SIZE - 1].iter_mut().for_each(Apache::launch);
        ensemble.wait_for_quorum(START);
        ensemble.members[SIZE - 1].launch();
        ensemble.await_or_show_logs(START, "a leader and two followers", || {
            let serving = ensemble.find("leader").len() + ensemble.find("follower").len();
            (serving == SIZE).then_some(())
        });
        ensemble
    }

    fn member_settings(&self, index: usize, ports: &[Ports]) -> ApacheBuilder {
        let mut member = self.member.clone();
        member = member.tick_ms(self.tick_ms).address(client_address(index));
        member = member.server_id(1 + index as u8);
        if let Some(directories) = &self.data_dirs {
            member = member.data_dir(&directories[index]);
        }
        if let Some(ports) = &self.client_ports {
            member = member.port(ports[index]);
        }
        member = member.extra("initLimit=10").extra("quorumListenOnAllIPs=true");
        member = member.extra(&format!("syncLimit={}", self.sync_limit));
        // Connecting to a member that is cut off (5 s by default) and the pauses of an election (up to 60 s) must stay
        // well below `initLimit`, or one member gives a round up while another still tries to enter it.
        member = member.extra(&format!("cnxTimeout={}", 2 * self.tick_ms));
        member = member.extra(&format!("fastleader.maxNotificationInterval={}", 4 * self.tick_ms));
        for (other, Ports { quorum, election }) in ports.iter().enumerate() {
            let address = link(index, other);
            member = member.extra(&format!("server.{}={address}:{quorum}:{election}", other + 1));
        }
        member
    }
}

/// The address at which member `index` takes clients.
fn client_address(index: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, 11 + index as u8)
}

/// The address under which member `from` knows member `to`.
fn link(from: usize, to: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 77, 1 + from as u8, 1 + to as u8)
}
