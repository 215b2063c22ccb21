//! What the members show, each by itself. They can come to hold different trees: Apache ZooKeeper 3.8.0 was seen to lose
//! transactions when leaders were killed in a row. Such a member is told of, and is no fault of ours; what the leader shows is
//! judged.

use std::collections::{BTreeMap, BTreeSet};
use std::iter;
use std::time::Duration;

use zooky::session::{Error, Session};
use zooky_testkit::{Ensemble, MachineClock, eventually, four_letter, within};

use super::common::{LONG, config, run};
use super::{SESSION_TIMEOUT, SLACK, TICK};

/// What it may take until there is a leader that the others follow. How long it took is told.
const ELECTION: Duration = Duration::from_secs(30);
/// A member that serves opens a session much faster.
const OPENED: Duration = Duration::from_secs(2);
/// By then a session of which nobody speaks any more has been counted out, and its nodes are gone.
const COUNTED_OUT: Duration = SESSION_TIMEOUT.saturating_add(TICK).saturating_add(SLACK);
/// What a member shows for as long as that, one that is only behind does not.
const LASTING: Duration = Duration::from_secs(1);

/// The members of an ensemble whose links are whole.
pub(crate) struct Members<'a>(pub(crate) &'a Ensemble);

impl Members<'_> {
    /// The member that leads, once the others follow it: one that was frozen believes in itself for a while.
    pub(crate) fn elected(&self) -> usize {
        eventually(ELECTION, "a leader by whom a session comes about", || {
            Some(self.0.leader()).filter(|&leader| opens_a_session(&self.host(leader)))
        })
    }

    /// Each member by itself shows ephemeral nodes only of sessions that the leader has, and no more such sessions than
    /// there are clients. A session that is being counted out has its time.
    pub(crate) fn every_node_has_its_session(&self, clients: usize) {
        for member in 0..self.0.len() {
            let host = self.host(member);
            // It may be on its way into the ensemble still.
            let serves = within(ELECTION, || Dump::of(&host).filter(|dump| !dump.ephemerals.is_empty()));
            if serves.is_none() {
                println!("  member {member} has not come back to serve");
                continue;
            }
            let mut seen = None;
            let fits = within(COUNTED_OUT, || {
                let leader = self.0.leader();
                let (theirs, own) = (Dump::of(&self.host(leader))?, Dump::of(&host)?);
                let orphans = own.orphans(&theirs.sessions);
                let fits = orphans.is_empty() && own.owners() <= clients;
                seen = Some((leader, theirs, own, orphans));
                fits.then_some(())
            });
            if fits.is_some() {
                continue;
            }
            let Some((leader, theirs, own, orphans)) = seen else {
                println!("  member {member} serves no more");
                continue;
            };
            let common = |path: &&String| theirs.ephemerals.contains_key(*path);
            let of_the_leader: Vec<&String> = orphans.keys().filter(common).collect();
            assert!(
                of_the_leader.is_empty(),
                "the leader, {leader}, shows nodes whose sessions are gone: {of_the_leader:?}"
            );
            let (owners, all) = (theirs.owners(), &theirs.ephemerals);
            assert!(owners <= clients, "{clients} clients have {owners} sessions with nodes: {all:?}");
            println!(
                "  member {member} has lost transactions: it shows nodes of {} sessions, and of sessions that are gone, as \
                 the leader, {leader}, does not, {orphans:?}",
                own.owners()
            );
        }
    }

    /// The leader shows nothing in these directories once the clients are gone, and neither do the others.
    pub(crate) fn show_nothing(&self, directories: &[String]) {
        let leader = self.elected();
        for member in iter::once(leader).chain(self.others(leader)) {
            let mut left = None;
            let empty = within(LONG / 2, || {
                left = nodes(&self.host(member), directories);
                left.as_ref().is_some_and(BTreeSet::is_empty).then_some(())
            });
            if empty.is_some() {
                continue;
            }
            assert!(member != leader, "the leader shows what its clients have left: {left:x?}");
            println!(
                "member {member} has lost transactions: it shows, as the leader, {leader}, does not, {left:x?}"
            );
        }
    }

    /// By member, what it shows in these directories otherwise than the leader, and goes on to: what comes and goes is no
    /// difference.
    pub(crate) fn differences(
        &self,
        leader: usize,
        directories: &[String],
    ) -> BTreeMap<usize, BTreeSet<Node>> {
        let lasting = |member| (member, self.lasting_differences(leader, member, directories));
        self.others(leader).map(lasting).filter(|(_, nodes)| !nodes.is_empty()).collect()
    }

    fn lasting_differences(&self, leader: usize, member: usize, directories: &[String]) -> BTreeSet<Node> {
        let look = || {
            let [of_leader, of_member] = [leader, member].map(|one| nodes(&self.host(one), directories));
            Some(of_leader?.symmetric_difference(&of_member?).cloned().collect::<BTreeSet<Node>>())
        };
        let mut lasting = look().unwrap_or_default();
        let mut clock = MachineClock::start();
        while !lasting.is_empty() && !clock.left_of(LASTING).is_zero() {
            std::thread::sleep(Duration::from_millis(50));
            let now = look().unwrap_or_default();
            lasting.retain(|node| now.contains(node));
        }
        lasting
    }

    fn others(&self, leader: usize) -> impl Iterator<Item = usize> {
        (0..self.0.len()).filter(move |&member| member != leader)
    }

    fn host(&self, member: usize) -> String {
        self.0.hosts().split(',').nth(member).expect("a member").to_owned()
    }
}

/// Which sessions there are, and whose each ephemeral node is, as one member has it.
struct Dump {
    sessions: BTreeSet<String>,
    ephemerals: BTreeMap<String, String>,
}

impl Dump {
    /// None while the member serves nobody.
    fn of(host: &str) -> Option<Dump> {
        Dump::read(&four_letter(host.parse().unwrap(), "dump").ok()?)
    }

    fn read(answer: &str) -> Option<Dump> {
        let (tracker, rest) = answer.split_once("ephemeral nodes dump:")?;
        let (nodes, _) = rest.split_once("Connections dump:")?;
        let sessions = tracker.split_whitespace().filter(|word| word.starts_with("0x"));
        let mut dump = Dump { sessions: sessions.map(str::to_owned).collect(), ephemerals: BTreeMap::new() };
        let mut owner = "";
        for line in nodes.lines() {
            match line.strip_prefix('\t') {
                Some(path) => drop(dump.ephemerals.insert(path.to_owned(), owner.to_owned())),
                None => owner = line.trim_end_matches(':'),
            }
        }
        Some(dump)
    }

    /// The ephemeral nodes, with their owners, of sessions that are not among these.
    fn orphans(&self, alive: &BTreeSet<String>) -> BTreeMap<String, String> {
        let orphans = self.ephemerals.iter().filter(|(_, owner)| !alive.contains(*owner));
        orphans.map(|(path, owner)| (path.clone(), owner.clone())).collect()
    }

    /// How many sessions have ephemeral nodes.
    fn owners(&self) -> usize {
        self.ephemerals.values().collect::<BTreeSet<_>>().len()
    }
}

/// A node: its path, its owner's session and its version.
pub(crate) type Node = (String, i64, i32);

/// Whether this member opens a session, which takes a leader that a majority follows.
fn opens_a_session(host: &str) -> bool {
    run(LONG, async {
        let Ok(session) = Session::connect(config(host).connect_timeout(OPENED)).await else { return false };
        // It would be gone by itself.
        let _ = session.close().await;
        true
    })
}

/// The nodes in these directories as this member shows them; none if it cannot be asked.
fn nodes(host: &str, directories: &[String]) -> Option<BTreeSet<Node>> {
    run(LONG, async {
        let session = Session::connect(config(host).connect_timeout(OPENED)).await.ok()?;
        let nodes = listed(&session, directories).await.ok();
        let _ = session.close().await;
        nodes
    })
}

async fn listed(session: &Session, directories: &[String]) -> Result<BTreeSet<Node>, Error> {
    let mut nodes = BTreeSet::new();
    for directory in directories {
        session.sync(directory).await?;
        let names = match session.children(directory).await {
            Ok(children) => children.names,
            Err(Error::NoNode { .. }) => continue,
            Err(fault) => return Err(fault),
        };
        for name in names {
            let path = format!("{directory}/{name}");
            if let Some(stat) = session.exists(&path).await? {
                nodes.insert((path, stat.ephemeral_owner, stat.version));
            }
        }
    }
    Ok(nodes)
}

#[test]
fn a_dump_tells_whose_session_is_gone() {
    let answer = "SessionTracker dump:\nSession Sets (2)/(2):\n1 expire at Fri Nov 27 06:00:00 UTC 2026:\n\t0x1000\n\
        1 expire at Fri Nov 27 06:00:01 UTC 2026:\n\t0x2000\nephemeral nodes dump:\nSessions with Ephemerals (2):\n\
        0x1000:\n\t/a/one\n\t/a/two\n0x3000:\n\t/a/three\nConnections dump:\nConnections Sets (1)/(1):\n";
    let dump = Dump::read(answer).unwrap();
    assert_eq!(dump.sessions, BTreeSet::from(["0x1000".to_owned(), "0x2000".to_owned()]));
    assert_eq!((dump.ephemerals.len(), dump.owners()), (3, 2));
    assert_eq!(dump.orphans(&dump.sessions), BTreeMap::from([("/a/three".to_owned(), "0x3000".to_owned())]));
    assert!(Dump::read("This ZooKeeper instance is not currently serving requests\n").is_none());
}
