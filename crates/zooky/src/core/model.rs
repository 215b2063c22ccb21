//! Every interleaving of three clients of a read/write lock: readers, writers, upgrades, downgrades, those who give up,
//! and those who remove whoever is before them, against a model of the server. Nobody is ever in beside a writer, everybody
//! comes to an end, and tokens grow as a fenced resource expects.

use std::collections::{BTreeMap, HashSet};

use super::dialect::{Kind, Mode};
use super::queue::Queue;
use super::upgrade::{Step, Upgrade, counterpart, token_of_swapped};

/// What a client does, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Op {
    Read,
    Write,
    /// As a writer that revokes immediately, once.
    Take,
    Upgrade,
    Downgrade,
    Release,
}

use Op::{Downgrade, Read, Release, Take, Upgrade as Raise, Write};

const PROGRAMS: [&[Op]; 6] = [
    &[Read, Release],
    &[Write, Release],
    &[Read, Raise, Release],
    &[Write, Downgrade, Release],
    &[Read, Raise, Downgrade, Release],
    &[Write, Downgrade, Raise, Release],
];

/// Besides those who take the lock from others.
const REVOKED: [&[Op]; 5] = [PROGRAMS[0], PROGRAMS[1], PROGRAMS[2], PROGRAMS[3], TAKES];
const TAKES: &[Op] = &[Take, Release];

type Token = (i64, u64);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Phase {
    Out,
    Waits(String),
    /// It has listed those before it, and removes them, the last one first.
    Removes(String, Vec<String>),
    Holds(String, Token),
    /// A reader that waits to become the writer.
    Raises(Upgrade, Token),
    /// Decided to swap, by a listing; the request is on its way.
    Swaps(Upgrade, Token, Option<String>),
    /// Refused or tired of waiting; its mark is still there.
    Withdraws(Upgrade, Token),
    /// Its reader's node was removed while it waited; its mark is still there.
    Clears(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Client {
    id: u128,
    program: &'static [Op],
    done: usize,
    phase: Phase,
    may_give_up: bool,
    /// It has removed whoever was before it.
    has_taken: bool,
}

/// The server, the clients, and what a fenced resource has seen.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    reader: Kind,
    writer: Kind,
    nodes: BTreeMap<String, i64>,
    number: u32,
    zxid: i64,
    clients: [Client; 3],
    largest: Token,
    largest_writer: Token,
}

impl World {
    fn children(&self) -> Vec<String> {
        self.nodes.keys().cloned().collect()
    }

    fn create_sequential(&mut self, prefix: &str) -> String {
        let name = format!("{prefix}{:010}", self.number);
        self.number += 1;
        self.create(name.clone());
        name
    }

    fn create(&mut self, name: String) {
        self.zxid += 1;
        assert_eq!(self.nodes.insert(name, self.zxid), None, "two of one name");
    }

    fn delete(&mut self, name: &str) {
        self.zxid += 1;
        assert!(self.nodes.remove(name).is_some(), "{name} was there");
    }

    /// What a resource that is guarded by the lock is told at each grant and each change.
    fn enter(&mut self, mode: Mode, token: Token) {
        match mode {
            Mode::Exclusive => {
                assert!(token > self.largest, "a writer is refused: {self:#?}");
                self.largest_writer = token;
            }
            Mode::Shared => assert!(token > self.largest_writer, "a reader is refused: {self:#?}"),
        }
        self.largest = self.largest.max(token);
    }

    /// All that client `i` may do next; a step that changes nothing is none.
    fn steps(&self, i: usize) -> Vec<World> {
        let mut next = self.clone();
        let client = &mut next.clients[i];
        let op = client.program.get(client.done).copied();
        let (phase, id) = (client.phase.clone(), client.id);
        let mut after = Vec::new();
        match (phase, op) {
            (Phase::Out, Some(op @ (Read | Write | Take))) => {
                let kind = if op == Read { next.reader } else { next.writer };
                client.done += 1;
                let name = next.create_sequential(&kind.prefix(id));
                next.clients[i].phase = Phase::Waits(name);
                after.push(next);
            }
            (Phase::Waits(name), _) => {
                let queue = Queue::of(next.reader, &next.children(), false).unwrap();
                if queue.blocker_of(&name).is_none() {
                    let mut granted = next.clone();
                    let token = (granted.nodes[&name], 0);
                    let mode = queue.places().iter().find(|place| place.name == name).unwrap().what.mode;
                    granted.enter(mode, token);
                    granted.clients[i].phase = Phase::Holds(name.clone(), token);
                    after.push(granted);
                }
                if next.clients[i].may_give_up {
                    let mut tired = next.clone();
                    tired.delete(&name);
                    tired.clients[i].phase = Phase::Out;
                    tired.clients[i].done = usize::MAX;
                    after.push(tired);
                }
                let blockers = queue.blockers_of(&name);
                if client_takes(&next.clients[i]) && !blockers.is_empty() {
                    next.clients[i].has_taken = true;
                    let victims = blockers.into_iter().map(str::to_owned).collect();
                    next.clients[i].phase = Phase::Removes(name, victims);
                    after.push(next);
                }
            }
            (Phase::Removes(name, mut victims), _) => {
                let victim = victims.pop();
                client.phase =
                    if victims.is_empty() { Phase::Waits(name) } else { Phase::Removes(name, victims) };
                if let Some(victim) = victim.filter(|victim| next.nodes.contains_key(victim)) {
                    next.remove(&victim);
                }
                after.push(next);
            }
            (Phase::Holds(name, _), Some(Release)) => {
                client.done += 1;
                client.phase = Phase::Out;
                next.delete(&name);
                after.push(next);
            }
            (Phase::Holds(name, token), Some(Downgrade)) => {
                let target = counterpart(&name).unwrap();
                next.delete(&name);
                next.zxid -= 1;
                next.create(target.clone());
                next.change(i, Mode::Shared, target, (token.0, token.1 + 1));
                after.push(next);
            }
            (Phase::Holds(name, token), Some(Raise)) => {
                let core = Upgrade::new(&name, false).unwrap();
                client.phase = Phase::Raises(core, token);
                after.push(next);
            }
            (Phase::Raises(core, token), _) => after.extend(next.raise(i, core, token)),
            (Phase::Swaps(core, token, keeper), _) => after.push(next.swap(i, core, token, keeper.as_ref())),
            (Phase::Withdraws(core, token), _) => {
                let reader = next.reader_of(&core);
                core.mark().into_iter().for_each(|mark| next.delete_if_there(mark));
                // It goes on as a reader, and lets go.
                let client = &mut next.clients[i];
                client.phase = Phase::Holds(reader, token);
                client.done = client.program.len() - 1;
                after.push(next);
            }
            (Phase::Clears(mark), _) => {
                client.phase = Phase::Out;
                next.delete_if_there(&mark);
                after.push(next);
            }
            _ => {}
        }
        after
    }

    /// Somebody else removes a node: who held by it has lost the lock, who waited joins again, and who means to upgrade
    /// marks again.
    fn remove(&mut self, victim: &str) {
        let upgraders: Vec<Option<String>> =
            self.clients.iter().map(|client| client.upgrade().map(|core| self.reader_of(core))).collect();
        self.delete(victim);
        for (client, reader) in self.clients.iter_mut().zip(upgraders) {
            let (done, phase) = match &client.phase {
                Phase::Waits(name) | Phase::Removes(name, _) if name == victim => {
                    (client.done - 1, Phase::Out)
                }
                Phase::Holds(name, _) if name == victim => (usize::MAX, Phase::Out),
                _ if reader.as_deref() == Some(victim) => {
                    let mark = client.upgrade().and_then(Upgrade::mark).map(str::to_owned);
                    (usize::MAX, mark.map_or(Phase::Out, Phase::Clears))
                }
                _ => continue,
            };
            (client.done, client.phase) = (done, phase);
        }
    }

    fn delete_if_there(&mut self, name: &str) {
        if self.nodes.contains_key(name) {
            self.delete(name);
        }
    }

    fn reader_of(&self, core: &Upgrade) -> String {
        let own = core.mark_prefix();
        let names = self.nodes.keys().filter_map(|name| Some((name, counterpart(name)?)));
        names.filter(|(_, other)| other.starts_with(&own)).map(|(name, _)| name.clone()).next().unwrap()
    }

    fn change(&mut self, i: usize, mode: Mode, name: String, token: Token) {
        let (Phase::Holds(_, old) | Phase::Raises(_, old) | Phase::Swaps(_, old, _)) = &self.clients[i].phase
        else {
            panic!("it holds nothing")
        };
        assert!(token > *old);
        self.enter(mode, token);
        self.clients[i].phase = Phase::Holds(name, token);
        self.clients[i].done += 1;
    }

    fn raise(&self, i: usize, mut core: Upgrade, token: Token) -> Vec<World> {
        let mut after = Vec::new();
        let (mut next, before) = (self.clone(), core.clone());
        let step = core.listed(&next.children());
        match step {
            Step::Mark => {
                let mark = next.create_sequential(&core.mark_prefix());
                core.marked(mark);
                next.clients[i].phase = Phase::Raises(core.clone(), token);
                after.push(next);
            }
            Step::Swap { keeper } => {
                next.clients[i].phase = Phase::Swaps(core.clone(), token, keeper);
                after.push(next);
            }
            Step::Conflict(_) => {
                next.clients[i].phase = Phase::Withdraws(core.clone(), token);
                after.push(next);
            }
            Step::Wait(_) => {}
            Step::Gone | Step::Refuse(_) => panic!("{step:?}: {next:#?}"),
        }
        if self.clients[i].may_give_up {
            let mut tired = self.clone();
            tired.clients[i].phase = Phase::Withdraws(before, token);
            after.push(tired);
        }
        after
    }

    /// The transaction arrives.
    fn swap(mut self, i: usize, core: Upgrade, token: Token, keeper: Option<&String>) -> World {
        let mark = core.mark().unwrap().to_owned();
        // The mark goes in the same transaction, so that it must be there, too.
        let mut needed = [Some(&mark), keeper].into_iter().flatten();
        if !needed.all(|node| self.nodes.contains_key(node)) {
            self.clients[i].phase = Phase::Raises(core, token);
            return self;
        }
        let keeper_czxid = self.nodes[keeper.unwrap_or(&mark)];
        let reader = self.reader_of(&core);
        let target = counterpart(&reader).unwrap();
        self.delete(&reader);
        self.zxid -= 1;
        self.delete(&mark);
        self.zxid -= 1;
        self.create(target.clone());
        let token = token_of_swapped(token.0, token.1 + 1, Some(keeper_czxid));
        self.change(i, Mode::Exclusive, target, token);
        self
    }

    fn check(&self) {
        let (mut readers, mut writers) = (0, 0);
        for client in &self.clients {
            match &client.phase {
                Phase::Holds(name, _) if super::dialect::classify(name).unwrap().mode == Mode::Exclusive => {
                    writers += 1;
                }
                Phase::Out | Phase::Waits(_) | Phase::Removes(..) | Phase::Clears(_) => {}
                _ => readers += 1,
            }
        }
        assert!(
            writers == 0 || (writers, readers) == (1, 0),
            "{writers} writers, {readers} readers: {self:#?}"
        );
    }
}

impl Client {
    fn upgrade(&self) -> Option<&Upgrade> {
        match &self.phase {
            Phase::Raises(core, _) | Phase::Swaps(core, ..) | Phase::Withdraws(core, _) => Some(core),
            _ => None,
        }
    }
}

/// Whether it waits, is one that removes those before it, and has not done so.
fn client_takes(client: &Client) -> bool {
    !client.has_taken && client.done.checked_sub(1).is_some_and(|at| client.program.get(at) == Some(&Take))
}

/// Explores all interleavings; how many states there are.
fn explore(reader: Kind, writer: Kind, programs: [&'static [Op]; 3], may_give_up: [bool; 3]) -> usize {
    let client = |i: usize| Client {
        id: ((i + 1) as u128) << 100,
        program: programs[i],
        done: 0,
        phase: Phase::Out,
        may_give_up: may_give_up[i],
        has_taken: false,
    };
    let clients = [client(0), client(1), client(2)];
    let (largest, largest_writer) = ((0, 0), (0, 0));
    let nodes = BTreeMap::new();
    let first = World { reader, writer, nodes, number: 0, zxid: 1, clients, largest, largest_writer };
    let mut seen = HashSet::from([first.clone()]);
    let mut open = vec![first];
    while let Some(world) = open.pop() {
        world.check();
        let mut stuck = true;
        for next in (0..3).flat_map(|i| world.steps(i)) {
            stuck = false;
            if seen.insert(next.clone()) {
                open.push(next);
            }
        }
        let is_over = |client: &Client| client.phase == Phase::Out && client.done >= client.program.len();
        let over = world.clients.iter().all(is_over);
        assert!(!stuck || over, "they wait for each other for ever: {world:#?}");
        assert!(!over || world.nodes.is_empty(), "a node is left: {world:#?}");
    }
    seen.len()
}

#[test]
fn no_interleaving_of_three_clients_lets_two_in_or_hangs() {
    let mut states = 0;
    for (a, one) in PROGRAMS.iter().enumerate() {
        for (b, two) in PROGRAMS.iter().enumerate().skip(a) {
            for three in PROGRAMS.iter().skip(b) {
                // Without giving up everybody must be served; with it nobody may profit.
                states += explore(Kind::KazooReader, Kind::KazooLock, [one, two, three], [false; 3]);
                if three.len() < 4 {
                    states += explore(Kind::KazooReader, Kind::KazooLock, [one, two, three], [true; 3]);
                }
            }
        }
    }
    assert!(states > 10_000, "{states} states are few");
}

#[test]
fn no_interleaving_with_revocations_lets_two_in_or_hangs() {
    let mut states = 0;
    for (a, one) in REVOKED.iter().enumerate() {
        for two in REVOKED.iter().skip(a) {
            for may_give_up in [false, true] {
                let programs = [*one, *two, TAKES];
                states += explore(Kind::KazooReader, Kind::KazooLock, programs, [may_give_up; 3]);
            }
        }
    }
    assert!(states > 1_000, "{states} states are few");
}

#[test]
fn the_other_dialects_have_the_same_order() {
    for (reader, writer) in [(Kind::CuratorReader, Kind::CuratorWriter), (Kind::ZkReader, Kind::ZkWriter)] {
        explore(reader, writer, [PROGRAMS[4], PROGRAMS[5], PROGRAMS[1]], [false; 3]);
    }
}
