//! Who waits for whom over many locks, and where that goes in circles.
//!
//! Somebody who waits is stuck until each contender that blocks it is gone; a contender goes only when its owner gets
//! on. So the owners are the nodes of the graph, and an edge leads from the owner of a waiter to the owner of each
//! contender that blocks it. An owner counts as one flow of control: it does nothing else while it waits. Then a
//! circle is a deadlock, and every deadlock is one (Coffman, Elphick and Shoshani, "System Deadlocks", 1971).
//!
//! Who waits for a semaphore goes on as soon as *one* of the leases comes back. There a circle proves nothing: it
//! may be left by another lease. So a need with several blockers counts only among owners who are all in the same
//! component; one that leads out of it may be satisfied from outside, and is dropped, which may take the component
//! apart, and so on. In what remains everybody has a need that only the others can satisfy: it is stuck whatever
//! the rest does. And nothing that is stuck is dropped: those in which every need leads to somebody who is stuck,
//! too, hold a component by such needs alone.
//!
//! Several circles that hang together are one knot. Its victim is the youngest of its waiters that lets itself be
//! refused: everybody who looks at the same knot finds the same one.

use std::collections::VecDeque;

/// A contender, as far as it matters here.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Member {
    /// The number of its owner.
    pub(crate) owner: usize,
    /// Its age: the youngest has the largest.
    pub(crate) czxid: i64,
    /// Whether it lets itself be refused.
    pub(crate) refusable: bool,
}

/// A contender waits until one of these is gone, by their places in the list of members. Who waits for several to go
/// has several needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Need {
    pub(crate) waiter: usize,
    pub(crate) one_of: Vec<usize>,
}

/// One contender waits for another; both by their places in the list of members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Edge {
    pub(crate) waiter: usize,
    pub(crate) blocker: usize,
}

/// Owners who wait for each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Knot {
    /// One circle of it, through the victim if there is one: each edge's blocker has the owner of the next one's
    /// waiter.
    pub(crate) circle: Vec<Edge>,
    /// The member that is to be refused; none if none of them lets itself be.
    pub(crate) victim: Option<usize>,
    /// Those without whom it would be none. Of a circle that nobody can leave, its own members; else all, for each
    /// lease that comes back may be the way out.
    pub(crate) proof: Vec<usize>,
}

/// All knots among `owners` owners.
pub(crate) fn knots(owners: usize, members: &[Member], needs: &[Need]) -> Vec<Knot> {
    let owner = |member: &usize| members[*member].owner;
    let mut needs: Vec<&Need> = needs.iter().collect();
    loop {
        let mut heads: Vec<Vec<usize>> = vec![Vec::new(); owners];
        for need in &needs {
            heads[owner(&need.waiter)].extend(need.one_of.iter().map(owner));
        }
        let groups = components(owners, |owner, nth| heads[owner].get(nth).copied());
        let group = |member: &usize| groups[owner(member)];
        let before = needs.len();
        needs.retain(|need| need.one_of.iter().all(|blocker| group(blocker) == group(&need.waiter)));
        if needs.len() < before {
            continue;
        }
        let mut inner: Vec<Vec<&Need>> =
            vec![Vec::new(); groups.iter().map(|group| group + 1).max().unwrap_or(0)];
        for need in needs {
            inner[group(&need.waiter)].push(need);
        }
        return inner
            .iter()
            .filter(|needs| !needs.is_empty())
            .map(|needs| knot(owners, members, needs))
            .collect();
    }
}

/// The knot whose needs these are; all that they name lie on circles.
fn knot(owners: usize, members: &[Member], needs: &[&Need]) -> Knot {
    let youngest = |refusable: bool| {
        let waiters =
            needs.iter().map(|need| need.waiter).filter(|waiter| members[*waiter].refusable || !refusable);
        waiters.max_by_key(|waiter| members[*waiter].czxid)
    };
    let victim = youngest(true);
    let start = victim.or_else(|| youngest(false));
    let to = |need: &Need, blocker: &usize| Edge { waiter: need.waiter, blocker: *blocker };
    let edges: Vec<Edge> =
        needs.iter().flat_map(|need| need.one_of.iter().map(|blocker| to(need, blocker))).collect();
    let circle = start.map(|start| shortest_circle(owners, members, &edges, start)).unwrap_or_default();
    let has_choice = needs.iter().any(|need| need.one_of.len() > 1);
    let proven_by = if has_choice { &edges } else { &circle };
    let mut proof: Vec<usize> = proven_by.iter().flat_map(|edge| [edge.waiter, edge.blocker]).collect();
    proof.sort_unstable();
    proof.dedup();
    Knot { circle, victim, proof }
}

/// The shortest way from the waiter `start` back to its owner.
fn shortest_circle(owners: usize, members: &[Member], edges: &[Edge], start: usize) -> Vec<Edge> {
    let mut leaving: Vec<Vec<Edge>> = vec![Vec::new(); owners];
    for edge in edges {
        leaving[members[edge.waiter].owner].push(*edge);
    }
    let goal = members[start].owner;
    let mut came_by: Vec<Option<Edge>> = vec![None; owners];
    let mut queue = VecDeque::new();
    let step = |edge: Edge, came_by: &mut Vec<Option<Edge>>, queue: &mut VecDeque<usize>| {
        let owner = members[edge.blocker].owner;
        if came_by[owner].is_none() {
            came_by[owner] = Some(edge);
            queue.push_back(owner);
        }
    };
    for edge in edges.iter().filter(|edge| edge.waiter == start) {
        step(*edge, &mut came_by, &mut queue);
    }
    while let Some(owner) = queue.pop_front() {
        if owner == goal {
            break;
        }
        for edge in &leaving[owner] {
            step(*edge, &mut came_by, &mut queue);
        }
    }
    let mut circle = Vec::new();
    let mut at = goal;
    while let Some(edge) = came_by[at].take() {
        circle.push(edge);
        at = members[edge.waiter].owner;
    }
    circle.reverse();
    circle
}

/// Tarjan's strongly connected components, without recursion: the number of each node's component. `head` gives the
/// end of a node's nth edge.
fn components(nodes: usize, head: impl Fn(usize, usize) -> Option<usize>) -> Vec<usize> {
    const UNSEEN: usize = usize::MAX;
    let (mut index, mut low) = (vec![UNSEEN; nodes], vec![0; nodes]);
    let (mut group, mut groups) = (vec![UNSEEN; nodes], 0);
    let (mut open, mut next) = (Vec::new(), 0);
    for root in 0..nodes {
        if index[root] != UNSEEN {
            continue;
        }
        let mut path = vec![(root, 0)];
        while let Some((node, edge)) = path.last_mut() {
            let node = *node;
            if *edge == 0 {
                (index[node], low[node]) = (next, next);
                next += 1;
                open.push(node);
            }
            let to = head(node, *edge);
            *edge += 1;
            match to {
                Some(to) if index[to] == UNSEEN => path.push((to, 0)),
                Some(to) if group[to] == UNSEEN => low[node] = low[node].min(index[to]),
                Some(_) => {}
                None => {
                    if low[node] == index[node] {
                        while let Some(member) = open.pop() {
                            group[member] = groups;
                            if member == node {
                                break;
                            }
                        }
                        groups += 1;
                    }
                    path.pop();
                    if let Some((parent, _)) = path.last() {
                        low[*parent] = low[*parent].min(low[node]);
                    }
                }
            }
        }
    }
    group
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn member(owner: usize, czxid: i64) -> Member {
        Member { owner, czxid, refusable: true }
    }

    fn edge(waiter: usize, blocker: usize) -> Edge {
        Edge { waiter, blocker }
    }

    fn need(waiter: usize, blocker: usize) -> Need {
        Need { waiter, one_of: vec![blocker] }
    }

    /// A holds a, B holds b; A waits for b, B for a.
    #[test]
    fn two_who_wait_for_each_other() {
        let members = [member(0, 1), member(1, 2), member(0, 3), member(1, 4)];
        let needs = [need(2, 1), need(3, 0)];
        let found = knots(2, &members, &needs);
        let proof = vec![0, 1, 2, 3];
        assert_eq!(found, [Knot { circle: vec![edge(3, 0), edge(2, 1)], victim: Some(3), proof }]);
        // Only the older one lets itself be refused.
        let stubborn = [members[0], members[1], members[2], Member { refusable: false, ..members[3] }];
        assert_eq!(knots(2, &stubborn, &needs)[0].victim, Some(2));
        // Half of it is none.
        assert_eq!(knots(2, &members, &needs[..1]), []);
    }

    #[test]
    fn owners_of_their_own_make_no_circle() {
        // The same as above, but nobody knows that two contenders are one's.
        let members = [member(0, 1), member(1, 2), member(2, 3), member(3, 4)];
        assert_eq!(knots(4, &members, &[need(2, 1), need(3, 0)]), []);
    }

    #[test]
    fn who_waits_for_itself_waits_for_ever() {
        let members = [member(0, 1), member(0, 2)];
        assert_eq!(knots(1, &members, &[need(1, 0)])[0].circle, [edge(1, 0)]);
    }

    #[test]
    fn knots_apart_have_a_victim_each() {
        let members: Vec<_> = (0..8).map(|n| member([0, 1, 0, 1, 2, 3, 2, 3][n], n as i64)).collect();
        let needs = [need(2, 1), need(3, 0), need(6, 5), need(7, 4)];
        let mut victims: Vec<_> = knots(4, &members, &needs).into_iter().map(|knot| knot.victim).collect();
        victims.sort();
        assert_eq!(victims, [Some(3), Some(7)]);
    }

    /// A has a lease and wants B's lock; B wants a lease. The other lease is C's.
    #[test]
    fn a_lease_that_may_come_back_is_a_way_out() {
        let members = [member(0, 1), member(1, 2), member(2, 3), member(0, 4), member(1, 5), member(2, 6)];
        let mut needs = vec![need(3, 1), Need { waiter: 4, one_of: vec![0, 2] }];
        assert_eq!(knots(3, &members, &needs), []);
        // C wants B's lock, too: no lease comes back.
        needs.push(need(5, 1));
        let found = knots(3, &members, &needs);
        assert_eq!((found.len(), found[0].victim), (1, Some(5)));
        assert_eq!(
            found[0].proof,
            [0, 1, 2, 3, 4, 5],
            "also A's lease, though it is not in the circle shown"
        );
        // C waits in a circle of its own instead: once that is resolved, so is this. B's need has another way out.
        let mut members = members.to_vec();
        members.extend([member(2, 7), member(3, 8), member(3, 9)]);
        needs.pop();
        needs.extend([need(5, 7), need(8, 6)]);
        let found = knots(4, &members, &needs);
        assert_eq!(found.iter().map(|knot| knot.victim).collect::<Vec<_>>(), [Some(8)]);
    }

    proptest! {
        /// Against the plain definition: an owner gets on once each of its needs is met by one that gets on; there
        /// is a knot if some never do. Nobody in a knot gets on even if all the others do. And refusing the victims,
        /// again and again, ends every knot.
        #[test]
        fn knots_are_those_who_never_get_on(
            ends in proptest::collection::vec(
                (0_usize..8, proptest::collection::vec(0_usize..8, 1..4)),
                0..20,
            ),
        ) {
            // Member n waits as owner ends[n].0 for holders (8 more members) of the owners ends[n].1.
            let waiting = ends.len();
            let mut members: Vec<_> = ends.iter().zip(0..).map(|((from, _), n)| member(*from, n)).collect();
            members.extend((0..8).map(|owner| member(owner, -1)));
            let need = |(waiter, (_, to)): (usize, &(usize, Vec<usize>))| {
                Need { waiter, one_of: to.iter().map(|owner| waiting + owner).collect() }
            };
            let mut needs: Vec<Need> = ends.iter().enumerate().map(need).collect();
            loop {
                let stuck_of = |mut stuck: [bool; 8]| {
                    for _ in 0..8 {
                        for owner in 0..8 {
                            let met = |need: &&Need| need.one_of.iter().any(|b| !stuck[members[*b].owner]);
                            let mut own = needs.iter().filter(|need| members[need.waiter].owner == owner);
                            stuck[owner] &= !own.all(|need| met(&need));
                        }
                    }
                    stuck
                };
                let found = knots(8, &members, &needs);
                prop_assert_eq!(found.is_empty(), stuck_of([true; 8]) == [false; 8]);
                for knot in &found {
                    let (first, last) = (knot.circle[0], knot.circle[knot.circle.len() - 1]);
                    prop_assert_eq!(Some(first.waiter), knot.victim);
                    prop_assert_eq!(members[last.blocker].owner, members[first.waiter].owner);
                    for pair in knot.circle.windows(2) {
                        prop_assert_eq!(members[pair[0].blocker].owner, members[pair[1].waiter].owner);
                    }
                    let mut inside = [false; 8];
                    knot.proof.iter().for_each(|one| inside[members[*one].owner] = true);
                    prop_assert_eq!(stuck_of(inside), inside);
                }
                if found.is_empty() {
                    break;
                }
                let before = needs.len();
                needs.retain(|need| !found.iter().any(|knot| knot.victim == Some(need.waiter)));
                prop_assert!(needs.len() < before);
            }
        }
    }
}
