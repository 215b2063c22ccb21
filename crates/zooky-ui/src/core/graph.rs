//! The wait-for graph as it is drawn: owners and the waits between them, deadlocks first, and no more than one can look at.

use std::collections::HashMap;

use zooky::inspect::{Contender, Wait, WaitGraph};

use super::model::title;
use super::update::{Graph, GraphEdge, GraphNode};

/// How many waits are drawn. Those of deadlocks are among them, whatever their number.
const DRAWN: usize = 150;

/// Draws the graph of these locks.
pub(crate) fn draw(locks: impl Iterator<Item = Vec<Contender>>) -> Graph {
    let graph = WaitGraph::of_locks(locks);
    let mut drawing = Drawing::default();
    for cycle in graph.cycles() {
        cycle.waits.iter().for_each(|wait| drawing.add(wait, true));
    }
    // Then those that wait for a holder: they are next.
    let next = |wait: &&Wait| wait.blocker.holding == Some(true);
    for wait in graph.waits().iter().filter(next) {
        if drawing.graph.edges.len() < DRAWN {
            drawing.add(wait, false);
        }
    }
    for wait in graph.waits().iter().filter(|wait| !next(wait)) {
        if drawing.graph.edges.len() < DRAWN {
            drawing.add(wait, false);
        }
    }
    drawing.graph.cycles = graph.cycles().iter().map(words).collect();
    drawing.graph.all_edges = graph.waits().len();
    drawing.graph
}

/// A deadlock in words that do not change while it lasts.
fn words(cycle: &zooky::inspect::Cycle) -> String {
    let each = cycle.waits.iter().map(|wait| {
        let how = if wait.blocker.holding == Some(true) { "held" } else { "wanted earlier" };
        let lock = wait.waiter.lock_path();
        format!("{} waits for {lock}, {how} by {}", title(&wait.waiter), title(&wait.blocker))
    });
    each.collect::<Vec<_>>().join("; ")
}

#[derive(Default)]
struct Drawing {
    graph: Graph,
    places: HashMap<String, usize>,
}

impl Drawing {
    fn add(&mut self, wait: &Wait, stuck: bool) {
        let (from, to) = (self.node(&wait.waiter, stuck), self.node(&wait.blocker, stuck));
        let lock = wait.waiter.lock_path();
        let known = |edge: &GraphEdge| edge.from == from && edge.to == to && edge.lock == lock;
        if !self.graph.edges.iter().any(known) {
            self.graph.edges.push(GraphEdge { from, to, lock: lock.to_owned(), stuck });
        }
    }

    /// Owners with an id are one node each, whatever the number of their contenders.
    fn node(&mut self, contender: &Contender, stuck: bool) -> usize {
        let place = *self.places.entry(contender.owner_key()).or_insert_with(|| {
            self.graph.nodes.push(GraphNode { name: title(contender), stuck });
            self.graph.nodes.len() - 1
        });
        self.graph.nodes[place].stuck |= stuck;
        place
    }
}
