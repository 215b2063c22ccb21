//! The wait-for graph: who holds what, who waits for whom, and who waits for ever.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use zooky_client::{Error as SessionError, Session};

use super::{AT_ONCE, Contender, Listed, contenders, list_level};
use crate::core::leases::{KAZOO_MUTEX, Stored, stored};
use crate::core::queue::{Place, Queue};
use crate::core::upgrade::{unique, upgrader_waits_for};
use crate::core::waits::{Edge, Knot, Member, Need, knots};
use crate::{Client, Dialect, Error, Mode};

/// Who waits for whom among the locks below a root; made by [`wait_graph`].
#[derive(Debug, Clone)]
pub struct WaitGraph {
    contenders: Vec<Arc<Contender>>,
    waits: Vec<Wait>,
    cycles: Vec<Cycle>,
    unread: Vec<String>,
}

/// A contender that waits, and one that it waits for.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Wait {
    /// Who waits.
    pub waiter: Arc<Contender>,
    /// Who is in the way: a holder, or a waiter further ahead.
    pub blocker: Arc<Contender>,
    /// Whether it would do if another blocker of the same waiter went: of a semaphore's leases, any one.
    pub one_of_several: bool,
}

/// A deadlock: the owner of each wait's blocker is the waiter of the next, and the last one's is that of the first.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Cycle {
    /// The waits.
    pub waits: Vec<Wait>,
    refuses: bool,
}

impl WaitGraph {
    /// The graph of locks that are already known, each with its contenders in any order: nothing is asked of a server.
    ///
    /// Its cycles are deadlocks if all contenders were there at one moment, as with one who follows the tree by its
    /// events; nobody looks a second time. How many leases a semaphore has is not known here: whoever waits for one to come
    /// back waits for nobody in this graph.
    pub fn of_locks(locks: impl IntoIterator<Item = Vec<Contender>>) -> WaitGraph {
        let mut found = Found::default();
        for seen in locks {
            let names: Vec<String> = seen.iter().map(|one| one.name.clone()).collect();
            found.add(Queue::of_any(&names), seen);
        }
        let knots = knots(found.owners.len(), &found.members, &found.needs);
        let cycles = knots.iter().map(|knot| found.cycle(knot)).collect();
        let waits = found.waits();
        WaitGraph { contenders: found.contenders, waits, cycles, unread: Vec::new() }
    }

    /// All contenders of all locks, lock by lock in the order of their queues.
    pub fn contenders(&self) -> impl Iterator<Item = &Contender> {
        self.contenders.iter().map(|one| &**one)
    }

    /// Those that hold a lock.
    pub fn holders(&self) -> impl Iterator<Item = &Contender> {
        self.contenders().filter(|one| one.holding == Some(true))
    }

    /// Who waits for whom. Of all that block a waiter, those are left out that another one of them waits for: a writer
    /// behind two readers waits for both; the writer before them is the readers' business.
    pub fn waits(&self) -> &[Wait] {
        &self.waits
    }

    /// The deadlocks; one for each group of owners who wait for each other, however many ways round there are in it.
    pub fn cycles(&self) -> &[Cycle] {
        &self.cycles
    }

    /// The same, without the rest.
    pub fn into_cycles(self) -> Vec<Cycle> {
        self.cycles
    }

    /// Directories that the server refused to show; what is in them is missing.
    pub fn unread(&self) -> &[String] {
        &self.unread
    }
}

impl Cycle {
    /// The waiter to be refused, so that the others go on: the youngest of those that let themselves be refused (see
    /// [`Lock::refuse_deadlock`](crate::Lock::refuse_deadlock)), if there is one.
    pub fn victim(&self) -> Option<&Contender> {
        self.waits.first().filter(|_| self.refuses).map(|wait| &*wait.waiter)
    }
}

/// `pid 7 (…) waits for /locks/b, held by pid 8 (…), who waits for /locks/a, held by pid 7 (…)`.
impl fmt::Display for Cycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, Wait { waiter, blocker, .. }) in self.waits.iter().enumerate() {
            if n == 0 {
                write!(f, "{waiter}, waits for {}", blocker.lock_path())?;
            } else {
                write!(f, ", who waits for {}", blocker.lock_path())?;
            }
            let how = if blocker.holding == Some(true) { "held" } else { "wanted earlier" };
            write!(f, ", {how} by {blocker}")?;
        }
        Ok(())
    }
}

/// Looks at all the locks below `root`, at any depth, and tells who holds what and who waits for whom.
///
/// An owner is an [`Owner`](crate::Owner) with its [id](crate::Owner::with_id), of one run of one process; never a session, which may
/// serve many tasks. A contender without an id, or of another client, is an owner of its own.
///
/// A cycle is told only if all its contenders were there at one moment; it is then no mere coincidence of looks. (One
/// whose wait is about to end by its time limit counts as waiting all the same.)
///
/// Of a semaphore in kazoo's layout, the one whose turn it is waits for the holders of the leases while all are out, and the
/// others for that one. It is stuck only if all those holders are: one lease that may come back is a way out. In Curator's
/// layout it is written nowhere how many leases there are, so there nobody is seen to wait for one.
///
/// It costs a listing of every node below `root` that is no contender, and a read of every contender and semaphore. A root
/// that does not exist has none.
///
/// # Errors
/// The server refuses to show the root, or the connection broke.
pub async fn wait_graph(client: &Client, root: &str) -> Result<WaitGraph, Error> {
    let session = client.session().await?;
    // What others knew before this call is seen by it.
    session.sync(root).await?;
    let (queues, mut unread) = queues(&session, root).await?;
    let mut found = Found::default();
    for (path, children) in &queues {
        found.add(Queue::of_any(children), contenders(&session, path, children, false).await?);
    }
    found.add_bids(&session, &mut unread).await?;
    let cycles = found.cycles(&session).await?;
    let waits = found.waits();
    Ok(WaitGraph { contenders: found.contenders, waits, cycles, unread })
}

type Listing = (String, Vec<String>);

/// Every directory below `root` that has contenders, with its children; and what could not be read.
async fn queues(session: &Session, root: &str) -> Result<(Vec<Listing>, Vec<String>), Error> {
    let (mut queues, mut unread) = (Vec::new(), Vec::new());
    let mut level = vec![root.to_owned()];
    while !level.is_empty() {
        let mut next = Vec::new();
        for (path, listed) in level.iter().zip(list_level(session, &level).await?) {
            match listed {
                Listed::Children { contending, below } => {
                    next.extend(below);
                    if !contending.is_empty() {
                        queues.push((path.clone(), contending));
                    }
                }
                // Deleted meanwhile.
                Listed::Gone => {}
                Listed::Forbidden if path == root => {
                    return Err(SessionError::NoAuth { path: path.clone() }.into());
                }
                Listed::Forbidden => unread.push(path.clone()),
            }
        }
        level = next;
    }
    queues.sort();
    unread.sort();
    Ok((queues, unread))
}

#[derive(Default)]
struct Found {
    contenders: Vec<Arc<Contender>>,
    members: Vec<Member>,
    owners: HashMap<String, usize>,
    needs: Vec<Need>,
}

impl Found {
    /// Takes one lock's queue in. Those that left between the listing and the look do not count.
    fn add(&mut self, queue: Queue, seen: Vec<Contender>) {
        let first = self.contenders.len();
        let places: HashMap<String, usize> = seen.iter().map(|one| one.name.clone()).zip(first..).collect();
        for contender in seen {
            let count = self.owners.len();
            let owner = *self.owners.entry(contender.owner_key()).or_insert(count);
            let refusable = contender.owner.as_ref().is_some_and(|owner| owner.refusable);
            self.members.push(Member { owner, czxid: contender.stat.czxid, refusable });
            self.contenders.push(Arc::new(contender));
        }
        let there: Vec<String> = places.keys().cloned().collect();
        // Judged among those that are there: another may have left, and uncovered those that it waited for.
        let queue = if there.len() == queue.places().len() { queue } else { Queue::of_any(&there) };
        // Only the mark of one who upgrades has the random part of a reader.
        let reads = |place: &&Place| place.what.mode == Mode::Shared;
        let readers: HashSet<&str> =
            queue.places().iter().filter(reads).filter_map(|place| unique(&place.name)).collect();
        let is_mark = |place: &Place| {
            place.what.mode == Mode::Exclusive && unique(&place.name).is_some_and(|id| readers.contains(id))
        };
        for (at, place) in queue.places().iter().enumerate() {
            // One who upgrades does not wait for those who queue between its two nodes: they wait for it.
            let upgrading = is_mark(place).then(|| upgrader_waits_for(&queue, &place.name)).flatten();
            for blocker in upgrading.unwrap_or_else(|| queue.nearest_blockers_at(at)) {
                let one_of = vec![places[&blocker.name]];
                self.needs.push(Need { waiter: places[&place.name], one_of });
            }
        }
    }

    /// Adds what those wait for who hold the mutex of a semaphore of which all leases are out.
    async fn add_bids(&mut self, session: &Session, unread: &mut Vec<String>) -> Result<(), Error> {
        let bids = self.bids();
        for some in bids.chunks(AT_ONCE) {
            let reads: Vec<_> = some.iter().map(|bid| session.get(&bid.semaphore)).collect();
            for (bid, read) in some.iter().zip(reads) {
                match read.await {
                    Ok((data, _)) => match stored(&data) {
                        Stored::Limit(limit) if limit > 0 && bid.leases.len() as u64 >= limit => {
                            self.needs.push(Need { waiter: bid.turn, one_of: bid.leases.clone() });
                        }
                        _ => {}
                    },
                    Err(SessionError::NoNode { .. }) => {}
                    Err(SessionError::NoAuth { .. }) => unread.push(bid.semaphore.clone()),
                    Err(fault) => return Err(fault.into()),
                }
            }
        }
        Ok(())
    }

    /// Those whose turn it is at a semaphore that has leases out.
    fn bids(&self) -> Vec<Bid> {
        let mut leases: HashMap<&str, Vec<usize>> = HashMap::new();
        for (at, one) in self.contenders.iter().enumerate() {
            if one.dialect == Dialect::KazooSemaphore {
                leases.entry(one.lock_path()).or_default().push(at);
            }
        }
        let waiting: HashSet<usize> = self.needs.iter().map(|need| need.waiter).collect();
        let bid = |(turn, holds): (usize, &Arc<Contender>)| {
            let semaphore = holds.lock_path().strip_suffix(KAZOO_MUTEX)?;
            let leases = leases.get(semaphore).filter(|_| !waiting.contains(&turn))?;
            // Its lease was made in this turn: the bid is over, and the mutex about to be released.
            let is_own = |at: &usize| {
                let lease = &self.contenders[*at];
                self.members[*at].owner == self.members[turn].owner
                    && lease.session() == holds.session()
                    && lease.stat.czxid > holds.stat.czxid
            };
            let over = leases.iter().any(is_own);
            (!over).then(|| Bid { turn, semaphore: semaphore.to_owned(), leases: leases.clone() })
        };
        self.contenders.iter().enumerate().filter_map(bid).collect()
    }

    fn waits(&self) -> Vec<Wait> {
        let edges = self.needs.iter().flat_map(|need| {
            let several = need.one_of.len() > 1;
            need.one_of.iter().map(move |blocker| (Edge { waiter: need.waiter, blocker: *blocker }, several))
        });
        edges.map(|(edge, several)| self.wait(edge, several)).collect()
    }

    fn cycle(&self, knot: &Knot) -> Cycle {
        let has_choice = |edge: &Edge| {
            let among = |need: &&Need| need.waiter == edge.waiter && need.one_of.contains(&edge.blocker);
            self.needs.iter().find(among).is_some_and(|need| need.one_of.len() > 1)
        };
        let waits = knot.circle.iter().map(|edge| self.wait(*edge, has_choice(edge))).collect();
        Cycle { waits, refuses: knot.victim.is_some() }
    }

    fn wait(&self, edge: Edge, one_of_several: bool) -> Wait {
        let (waiter, blocker) = (&self.contenders[edge.waiter], &self.contenders[edge.blocker]);
        Wait { waiter: waiter.clone(), blocker: blocker.clone(), one_of_several }
    }

    /// The deadlocks that are no coincidence: a contender that was seen, and is there still, has been there all the
    /// time between. So if all those are that make it one, there was a moment when all of them were: after the last of
    /// them was seen, before the first of them is looked at again.
    async fn cycles(&self, session: &Session) -> Result<Vec<Cycle>, Error> {
        let mut cycles = Vec::new();
        for knot in knots(self.owners.len(), &self.members, &self.needs) {
            let all = knot.proof.iter().map(|at| &self.contenders[*at]);
            let looks: Vec<_> = all.map(|one| (one, session.exists(&one.path))).collect();
            let mut still_there = true;
            for (one, look) in looks {
                still_there &= look.await?.is_some_and(|stat| stat.czxid == one.stat.czxid);
            }
            if still_there {
                cycles.push(self.cycle(&knot));
            }
        }
        Ok(cycles)
    }
}

/// Whose turn it is at a semaphore.
struct Bid {
    /// By the mutex's node.
    turn: usize,
    /// The path.
    semaphore: String,
    /// All that are out.
    leases: Vec<usize>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Owner;
    use bytes::Bytes;
    use zooky_client::Stat;

    /// Of a semaphore at `/s`: who is next, behind whom another waits; and the leases that are out.
    fn found(leases: &[(&str, i64, i64)]) -> Found {
        let one = |path: &str, name: String, id: &str, session, czxid| {
            let owner = Owner::this_process().with_id(id).to_line();
            let stat = Stat { czxid, ephemeral_owner: session, ..Stat::default() };
            Contender::of_node(path, &name, Bytes::from(owner), stat).unwrap()
        };
        let turns = [(1_u128, "next", 10), (2, "waits", 11)]
            .map(|(n, id, czxid)| one("/s-__lock__", format!("{n:032x}__lock__{n:010}"), id, 1, czxid));
        let lease = |(n, (id, session, czxid)): (usize, &(&str, i64, i64))| {
            one("/s", format!("{n:032x}"), id, *session, *czxid)
        };
        let leases: Vec<_> = leases.iter().enumerate().map(lease).collect();
        let mut found = Found::default();
        for lock in [turns.to_vec(), leases] {
            let names: Vec<String> = lock.iter().map(|one| one.name.clone()).collect();
            found.add(Queue::of_any(&names), lock);
        }
        found
    }

    #[test]
    fn whose_turn_it_is_waits_for_all_leases_unless_one_is_its_own_by_this_turn() {
        let bids = |leases: &[(&str, i64, i64)]| {
            found(leases)
                .bids()
                .into_iter()
                .map(|bid| (bid.turn, bid.semaphore, bid.leases))
                .collect::<Vec<_>>()
        };
        let both = [(0, "/s".to_owned(), vec![2, 3])];
        assert_eq!(bids(&[("other", 1, 12), ("other", 2, 5)]), both);
        assert_eq!(bids(&[]), []);
        // It has an older one, or one by another session: it waits all the same, maybe for itself.
        assert_eq!(bids(&[("other", 1, 12), ("next", 1, 5)]), both);
        assert_eq!(bids(&[("other", 1, 12), ("next", 2, 12)]), both);
        assert_eq!(bids(&[("other", 1, 5), ("next", 1, 12)]), []);
    }
}
