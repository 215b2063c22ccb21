//! The wait-for graph: who holds what, who waits for whom, and who waits for ever.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use zooky_client::{Error as SessionError, Session};

use super::{Contender, Listed, contenders, list_level};
use crate::core::queue::{Place, Queue};
use crate::core::upgrade::{unique, upgrader_waits_for};
use crate::core::waits::{Edge, Knot, Member, knots};
use crate::{Client, Error, Mode};

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
    /// events; nobody looks a second time.
    pub fn of_locks(locks: impl IntoIterator<Item = Vec<Contender>>) -> WaitGraph {
        let mut found = Found::default();
        for seen in locks {
            let names: Vec<String> = seen.iter().map(|one| one.name.clone()).collect();
            found.add(Queue::of_any(&names), seen);
        }
        let knots = knots(found.owners.len(), &found.members, &found.edges);
        let cycles = knots.iter().map(|knot| found.cycle(knot)).collect();
        WaitGraph { contenders: found.contenders, waits: found.waits, cycles, unread: Vec::new() }
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
        for (n, Wait { waiter, blocker }) in self.waits.iter().enumerate() {
            if n == 0 {
                write!(f, "{waiter}, waits for {}", waiter.lock_path())?;
            } else {
                write!(f, ", who waits for {}", waiter.lock_path())?;
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
/// It costs a listing of every node below `root` that is no contender, and a read of every contender. A root that does
/// not exist has none.
///
/// # Errors
/// The server refuses to show the root, or the connection broke.
pub async fn wait_graph(client: &Client, root: &str) -> Result<WaitGraph, Error> {
    let session = client.session().await?;
    // What others knew before this call is seen by it.
    session.sync(root).await?;
    let (queues, unread) = queues(&session, root).await?;
    let mut found = Found::default();
    for (path, children) in &queues {
        found.add(Queue::of_any(children), contenders(&session, path, children, false).await?);
    }
    let cycles = found.cycles(&session).await?;
    Ok(WaitGraph { contenders: found.contenders, waits: found.waits, cycles, unread })
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
    edges: Vec<Edge>,
    waits: Vec<Wait>,
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
                let edge = Edge { waiter: places[&place.name], blocker: places[&blocker.name] };
                self.edges.push(edge);
                self.waits.push(self.wait(edge));
            }
        }
    }

    fn cycle(&self, knot: &Knot) -> Cycle {
        let waits = knot.circle.iter().map(|edge| self.wait(*edge)).collect();
        Cycle { waits, refuses: knot.victim.is_some() }
    }

    fn wait(&self, edge: Edge) -> Wait {
        Wait { waiter: self.contenders[edge.waiter].clone(), blocker: self.contenders[edge.blocker].clone() }
    }

    /// The deadlocks that are no coincidence: a contender that was seen, and is there still, has been there all the
    /// time between. So if all those of a cycle are, there was a moment when all of them were: after the last of them was
    /// seen, before the first of them is looked at again.
    async fn cycles(&self, session: &Session) -> Result<Vec<Cycle>, Error> {
        let mut cycles = Vec::new();
        for knot in knots(self.owners.len(), &self.members, &self.edges) {
            let cycle = self.cycle(&knot);
            let all = cycle.waits.iter().flat_map(|wait| [&wait.waiter, &wait.blocker]);
            let looks: Vec<_> = all.map(|one| (one, session.exists(&one.path))).collect();
            let mut still_there = true;
            for (one, look) in looks {
                still_there &= look.await?.is_some_and(|stat| stat.czxid == one.stat.czxid);
            }
            if still_there {
                cycles.push(cycle);
            }
        }
        Ok(cycles)
    }
}
