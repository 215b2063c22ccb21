//! What the members show, each by itself. They can come to hold different trees: Apache ZooKeeper 3.8.0 was seen to lose
//! transactions when leaders were killed in a row. Such a member is told of, and is no fault of ours; what the leader shows is
//! judged.

use std::collections::{BTreeMap, BTreeSet};
use std::iter;
use std::time::Duration;

use zooky::session::{Error, Session};
use zooky_testkit::{Ensemble, MachineClock, eventually, four_letter, within};

use super::common::{LONG, config, run};
use super::judge::{self, Answers, Dump};

/// What it may take until there is a leader that the others follow. How long it took is told.
const ELECTION: Duration = Duration::from_secs(30);
/// A member that serves opens a session much faster.
const OPENED: Duration = Duration::from_secs(2);
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
            let serves = within(ELECTION, || dump(&host).filter(|dump| !dump.is_empty()));
            if serves.is_none() {
                println!("  member {member} has not come back to serve");
                continue;
            }
            let judged =
                judge::every_node_has_its_session(member, clients, &mut MachineClock::start(), || {
                    let leader = self.0.leader();
                    let (of_leader, of_member) = (dump(&self.host(leader))?, dump(&host)?);
                    Some(Answers { leader, of_leader, of_member })
                });
            if let Some(told) = judged.unwrap_or_else(|fault| panic!("{fault}")) {
                println!("  {told}");
            }
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

/// What a member says of its sessions and their nodes; none while it serves nobody.
fn dump(host: &str) -> Option<Dump> {
    Dump::read(&four_letter(host.parse().unwrap(), "dump").ok()?)
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
