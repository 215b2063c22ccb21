//! Who waits for whom over many locks, and where that goes in circles.
//!
//! Somebody who waits is stuck until each contender that blocks it is gone; a contender goes only when its owner gets
//! on. So the owners are the nodes of the graph, and an edge leads from the owner of a waiter to the owner of each
//! contender that blocks it. An owner counts as one flow of control: it does nothing else while it waits. Then a
//! circle is a deadlock, and every deadlock is one (Coffman, Elphick and Shoshani, "System Deadlocks", 1971).
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
}

/// All knots among `owners` owners.
pub(crate) fn knots(owners: usize, members: &[Member], edges: &[Edge]) -> Vec<Knot> {
    let mut of_owner: Vec<Vec<Edge>> = vec![Vec::new(); owners];
    for edge in edges {
        of_owner[members[edge.waiter].owner].push(*edge);
    }
    let heads = |owner: usize| of_owner[owner].iter().map(|edge| members[edge.blocker].owner);
    let groups = components(owners, |owner, nth| heads(owner).nth(nth));
    let mut inner: Vec<Vec<Edge>> = vec![Vec::new(); groups.iter().map(|group| group + 1).max().unwrap_or(0)];
    for edge in edges {
        let group = groups[members[edge.waiter].owner];
        if group == groups[members[edge.blocker].owner] {
            inner[group].push(*edge);
        }
    }
    inner.into_iter().filter(|edges| !edges.is_empty()).map(|edges| knot(owners, members, &edges)).collect()
}

/// The knot whose edges these are; all of them lie on circles.
fn knot(owners: usize, members: &[Member], edges: &[Edge]) -> Knot {
    let youngest = |refusable: bool| {
        let waiters =
            edges.iter().map(|edge| edge.waiter).filter(|waiter| members[*waiter].refusable || !refusable);
        waiters.max_by_key(|waiter| members[*waiter].czxid)
    };
    let victim = youngest(true);
    let start = victim.or_else(|| youngest(false));
    let circle = start.map(|start| shortest_circle(owners, members, edges, start)).unwrap_or_default();
    Knot { circle, victim }
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

    /// A holds a, B holds b; A waits for b, B for a.
    #[test]
    fn two_who_wait_for_each_other() {
        let members = [member(0, 1), member(1, 2), member(0, 3), member(1, 4)];
        let edges = [edge(2, 1), edge(3, 0)];
        let found = knots(2, &members, &edges);
        assert_eq!(found, [Knot { circle: vec![edge(3, 0), edge(2, 1)], victim: Some(3) }]);
        // Only the older one lets itself be refused.
        let stubborn = [members[0], members[1], members[2], Member { refusable: false, ..members[3] }];
        assert_eq!(knots(2, &stubborn, &edges)[0].victim, Some(2));
        // Half of it is none.
        assert_eq!(knots(2, &members, &edges[..1]), []);
    }

    #[test]
    fn owners_of_their_own_make_no_circle() {
        // The same as above, but nobody knows that two contenders are one's.
        let members = [member(0, 1), member(1, 2), member(2, 3), member(3, 4)];
        assert_eq!(knots(4, &members, &[edge(2, 1), edge(3, 0)]), []);
    }

    #[test]
    fn who_waits_for_itself_waits_for_ever() {
        let members = [member(0, 1), member(0, 2)];
        assert_eq!(knots(1, &members, &[edge(1, 0)])[0].circle, [edge(1, 0)]);
    }

    #[test]
    fn knots_apart_have_a_victim_each() {
        let members: Vec<_> = (0..8).map(|n| member([0, 1, 0, 1, 2, 3, 2, 3][n], n as i64)).collect();
        let edges = [edge(2, 1), edge(3, 0), edge(6, 5), edge(7, 4)];
        let mut victims: Vec<_> = knots(4, &members, &edges).into_iter().map(|knot| knot.victim).collect();
        victims.sort();
        assert_eq!(victims, [Some(3), Some(7)]);
    }

    proptest! {
        /// Against the plain definition: an owner is in a knot if there is a way from it to itself. And refusing
        /// the victims, again and again, ends every knot.
        #[test]
        fn knots_are_what_can_reach_itself(
            ends in proptest::collection::vec((0_usize..8, 0_usize..8), 0..20),
        ) {
            // Member n waits as owner ends[n].0 for a holder (8 more members) of owner ends[n].1.
            let waiting = ends.len();
            let mut members: Vec<_> = ends.iter().zip(0..).map(|((from, _), n)| member(*from, n)).collect();
            members.extend((0..8).map(|owner| member(owner, -1)));
            let mut edges: Vec<_> = ends.iter().enumerate().map(|(n, (_, to))| edge(n, waiting + to)).collect();
            loop {
                let mut reach = [[false; 8]; 8];
                for edge in &edges {
                    reach[members[edge.waiter].owner][members[edge.blocker].owner] = true;
                }
                for via in 0..8 {
                    for from in 0..8 {
                        for to in 0..8 {
                            reach[from][to] |= reach[from][via] && reach[via][to];
                        }
                    }
                }
                let stuck = (0..8).filter(|owner| reach[*owner][*owner]).count();
                let found = knots(8, &members, &edges);
                prop_assert_eq!(found.is_empty(), stuck == 0);
                for knot in &found {
                    let (first, last) = (knot.circle[0], knot.circle[knot.circle.len() - 1]);
                    prop_assert_eq!(Some(first.waiter), knot.victim);
                    prop_assert_eq!(members[last.blocker].owner, members[first.waiter].owner);
                    for pair in knot.circle.windows(2) {
                        prop_assert_eq!(members[pair[0].blocker].owner, members[pair[1].waiter].owner);
                    }
                }
                if found.is_empty() {
                    break;
                }
                let before = edges.len();
                edges.retain(|edge| !found.iter().any(|knot| knot.victim == Some(edge.waiter)));
                prop_assert!(edges.len() < before);
            }
        }
    }
}
