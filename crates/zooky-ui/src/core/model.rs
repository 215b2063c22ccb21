//! The picture of all locks below some roots, kept by what is told of single nodes.
//!
//! A contender is known by its node's name from the moment it is told of, and judged at once: a lock that is taken and let go
//! within a millisecond is counted, and drawn, too. Who it is follows when its node has been read.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use zooky::Mode;
use zooky::inspect::{Contender, LockQueue, Seat};

use super::graph;
use super::health::Health;
use super::row::{Holder, Place, Row};
use super::suspects::Suspects;
use super::tally::Tally;
use super::update::{ContenderLine, Graph, Link, LockLine, Span, Update, Who};

/// For how long the page can look back.
pub(crate) const HISTORY_MS: i64 = 15 * 60 * 1_000;
/// How many holds are remembered, whatever their age.
const SPANS: usize = 20_000;
/// The longest data of a stranger's node that is shown.
const DATA_SHOWN: usize = 80;

/// The picture.
#[derive(Debug, Default)]
pub(crate) struct Model {
    next_id: u64,
    locks: HashMap<String, Lock>,
    paths: HashMap<u64, String>,
    spans: VecDeque<Span>,
    pub(crate) tally: Tally,
    suspects: Suspects,
    pub(crate) link: Link,
    graph: Graph,
    graph_is_old: bool,
    /// While everything is listed anew: what has not been seen yet.
    unseen: Option<HashSet<(String, String)>>,
    news: News,
    held: usize,
    contending: usize,
    /// By how much the server's clock is ahead of ours, as far as nodes tell that were seen to come.
    skew_ms: Option<i64>,
}

#[derive(Debug, Default)]
struct Lock {
    id: u64,
    queue: LockQueue,
    members: HashMap<String, Member>,
    /// How many of them hold it.
    held: usize,
    last_grant_ms: Option<i64>,
}

#[derive(Debug)]
struct Member {
    id: u64,
    seat: Seat,
    /// Since when it contends, on our clock.
    since_ms: i64,
    /// Whether it was seen to come; else it was there before us.
    seen: bool,
    held: Option<Held>,
    /// Its session has expired, and its node is about to go.
    expired: bool,
    contender: Option<Contender>,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    from_ms: i64,
    seen: bool,
}

/// What pages have not been told yet.
#[derive(Debug, Default)]
struct News {
    locks: Vec<LockLine>,
    locks_gone: Vec<u64>,
    changed: BTreeSet<(String, String)>,
    left: Vec<u64>,
    /// Contenders that no page has heard of.
    untold: HashSet<u64>,
    spans: Vec<Span>,
}

impl Model {
    /// A directory that may be a lock: one below a root, whose name is no contender's.
    pub(crate) fn directory(&mut self, path: &str) {
        self.lock(path);
    }

    fn lock(&mut self, path: &str) -> &mut Lock {
        if !self.locks.contains_key(path) {
            self.next_id += 1;
            let id = self.next_id;
            self.paths.insert(id, path.to_owned());
            self.news.locks.push(LockLine { id, path: path.to_owned() });
            self.locks.insert(path.to_owned(), Lock { id, ..Lock::default() });
        }
        self.locks.entry(path.to_owned()).or_default()
    }

    /// A directory was deleted; the server lets nobody do that while there is a contender in it.
    pub(crate) fn directory_gone(&mut self, path: &str, now_ms: i64) {
        let names: Vec<String> =
            self.locks.get(path).map(|lock| lock.members.keys().cloned().collect()).unwrap_or_default();
        for name in names {
            self.left(path, &name, now_ms);
        }
        self.forget(path);
    }

    /// The directory turned out to hold locks and not to be one.
    pub(crate) fn no_lock(&mut self, path: &str) {
        if self.locks.get(path).is_some_and(|lock| lock.members.is_empty()) {
            self.forget(path);
        }
    }

    fn forget(&mut self, path: &str) {
        if let Some(lock) = self.locks.remove(path) {
            self.paths.remove(&lock.id);
            self.news.locks_gone.push(lock.id);
        }
    }

    /// A child was created, or found (`seen` is false then). Whether it is a contender that was not known.
    pub(crate) fn joined(&mut self, path: &str, name: &str, seen: bool, now_ms: i64) -> bool {
        if let Some(unseen) = &mut self.unseen {
            unseen.remove(&(path.to_owned(), name.to_owned()));
        }
        if self.locks.get(path).is_some_and(|lock| lock.members.contains_key(name)) {
            return false;
        }
        let Some(seat) = LockQueue::default().insert(name) else { return false };
        self.next_id += 1;
        let id = self.next_id;
        let lock = self.lock(path);
        lock.queue.insert(name);
        let (held, contender) = (None, None);
        let member = Member { id, seat, since_ms: now_ms, seen, held, expired: false, contender };
        lock.members.insert(name.to_owned(), member);
        self.contending += 1;
        self.news.untold.insert(id);
        self.changed(path, name);
        self.judge(path, true, now_ms);
        true
    }

    /// A contender's node was read.
    pub(crate) fn described(&mut self, path: &str, name: &str, contender: Contender) {
        let Some(member) = self.locks.get_mut(path).and_then(|lock| lock.members.get_mut(name)) else {
            return;
        };
        if member.seen {
            // The news of the node took its time, too: the largest difference is the nearest to the truth.
            let ahead_ms = contender.since_ms() - member.since_ms;
            self.skew_ms = Some(self.skew_ms.map_or(ahead_ms, |known| known.max(ahead_ms)));
        } else if member.contender.is_none() {
            let skew_ms = self.skew_ms.unwrap_or(0);
            let since_ms = contender.since_ms().saturating_sub(skew_ms).min(member.since_ms);
            member.since_ms = since_ms;
            if let Some(held) = member.held.as_mut().filter(|held| !held.seen) {
                held.from_ms = since_ms;
            }
        }
        member.contender = Some(contender);
        self.changed(path, name);
    }

    /// These nodes are about to go, because their session has expired.
    pub(crate) fn expired(&mut self, nodes: &[String]) {
        for node in nodes {
            let Some((path, name)) = node.rsplit_once('/') else { continue };
            let member = self.locks.get_mut(path).and_then(|lock| lock.members.get_mut(name));
            member.into_iter().for_each(|member| member.expired = true);
        }
    }

    /// The servers have said how they are, and how many sessions they have let expire among it.
    pub(crate) fn look_for_losses(&mut self, servers: &[Health]) {
        let expired = self.suspects.expired(servers);
        let members = || self.locks.values().flat_map(|lock| lock.members.values());
        let living = || members().filter_map(|member| Some(member.contender.as_ref()?.session())).collect();
        for mode in self.suspects.look(expired, living) {
            self.tally.suspected(mode);
        }
    }

    /// A contender's node was deleted.
    pub(crate) fn left(&mut self, path: &str, name: &str, now_ms: i64) {
        let Some(lock) = self.locks.get_mut(path) else { return };
        let Some(member) = lock.members.remove(name) else { return };
        lock.queue.remove(name);
        self.contending -= 1;
        if let Some(held) = member.held {
            lock.held -= 1;
            self.held -= 1;
            if member.expired {
                self.tally.lost(member.seat.mode);
            }
            if let Some(contender) = &member.contender {
                self.suspects.gone(contender.session(), member.seat.mode);
            }
            if held.seen {
                self.tally.released(member.seat.mode, now_ms - held.from_ms);
            }
            let span = Span {
                lock: lock.id,
                contender: member.id,
                name: member.title(name),
                mode: mode(member.seat.mode),
                from_ms: held.from_ms,
                to_ms: now_ms,
                seen: held.seen,
            };
            self.news.spans.push(span.clone());
            self.spans.push_back(span);
            if self.spans.len() > SPANS {
                self.spans.pop_front();
            }
        }
        self.news.changed.remove(&(path.to_owned(), name.to_owned()));
        if !self.news.untold.remove(&member.id) {
            self.news.left.push(member.id);
        }
        self.graph_is_old = true;
        self.judge(path, true, now_ms);
    }

    fn changed(&mut self, path: &str, name: &str) {
        self.graph_is_old = true;
        self.news.changed.insert((path.to_owned(), name.to_owned()));
    }

    /// Looks who holds the lock now; `live`: whoever is found to do so was granted it at this moment.
    fn judge(&mut self, path: &str, live: bool, now_ms: i64) {
        // A listing comes in no order: whoever is first is known at its end.
        if live && self.unseen.is_some() {
            return;
        }
        let Some(Lock { queue, members, held, last_grant_ms, .. }) = self.locks.get_mut(path) else { return };
        let holders = queue.holders();
        let mut changed = Vec::new();
        for name in &holders {
            let Some(member) = members.get_mut(*name).filter(|member| member.held.is_none()) else {
                continue;
            };
            *held += 1;
            self.held += 1;
            member.held = Some(Held { from_ms: if live { now_ms } else { member.since_ms }, seen: live });
            if live {
                let waited_ms = now_ms - member.since_ms;
                let turn_ms = last_grant_ms.filter(|_| waited_ms > 0).map(|last| now_ms - last);
                self.tally.granted(member.seat.mode, member.seen.then_some(waited_ms), turn_ms);
            }
            changed.push((*name).to_owned());
        }
        if !changed.is_empty() {
            *last_grant_ms = live.then_some(now_ms);
        }
        // Somebody came before one that held, who so does not: numbers grow, and this is not seen but among strangers.
        if *held > holders.len() {
            for (name, member) in members.iter_mut() {
                if member.held.is_some() && !holders.contains(&name.as_str()) {
                    member.held = None;
                    *held -= 1;
                    self.held -= 1;
                    changed.push(name.clone());
                }
            }
        }
        for name in changed {
            self.changed(path, &name);
        }
    }

    /// Everything is about to be listed anew: what is not told of by [`joined`](Model::joined) until
    /// [`listed`](Model::listed) has left meanwhile.
    pub(crate) fn listing(&mut self) {
        let all = self
            .locks
            .iter()
            .flat_map(|(path, lock)| lock.members.keys().map(move |name| (path.clone(), name.clone())));
        self.unseen = Some(all.collect());
    }

    /// Everything has been listed; `directories` are the locks there are.
    pub(crate) fn listed(&mut self, directories: &HashSet<String>, now_ms: i64) {
        for (path, name) in self.unseen.take().unwrap_or_default() {
            self.left(&path, &name, now_ms);
        }
        let gone: Vec<String> = self
            .locks
            .iter()
            .filter(|(path, lock)| lock.members.is_empty() && !directories.contains(*path))
            .map(|(path, _)| path.clone())
            .collect();
        for path in gone {
            self.forget(&path);
        }
        let paths: Vec<String> = self.locks.keys().cloned().collect();
        for path in paths {
            self.judge(&path, false, now_ms);
        }
    }

    /// The contenders whose nodes have not been read, holders first.
    pub(crate) fn undescribed(&self) -> Vec<(String, String)> {
        let mut all: Vec<_> = self
            .locks
            .iter()
            .flat_map(|(path, lock)| lock.members.iter().map(move |(name, member)| (path, name, member)))
            .filter(|(_, _, member)| member.contender.is_none())
            .collect();
        all.sort_by_key(|(_, _, member)| (member.held.is_none(), member.seat.sequence));
        all.into_iter().map(|(path, name, _)| (path.clone(), name.clone())).collect()
    }

    /// The end of a second: its sample, and the graph if it has changed.
    pub(crate) fn second(&mut self, now_ms: i64) -> Update {
        let sample = self.tally.close(now_ms, self.held, self.contending - self.held);
        while self.spans.front().is_some_and(|span| span.to_ms < now_ms - HISTORY_MS) {
            self.spans.pop_front();
        }
        let mut update = Update { now_ms, samples: vec![sample], ..Update::default() };
        update.link = Some(self.link.clone());
        if std::mem::take(&mut self.graph_is_old) {
            let locks = self.locks.values().filter(|lock| lock.members.len() > 1);
            let graph = graph::draw(locks.map(Lock::contenders));
            if graph != self.graph {
                self.graph = graph;
                update.graph = Some(self.graph.clone());
            }
        }
        update
    }

    /// What has changed since the last call; `None`: nothing.
    pub(crate) fn news(&mut self, now_ms: i64) -> Option<Update> {
        let news = std::mem::take(&mut self.news);
        let contenders: Vec<_> =
            news.changed.iter().filter_map(|(path, name)| self.line(path, name)).collect();
        let update = Update {
            now_ms,
            locks: news.locks,
            locks_gone: news.locks_gone,
            contenders,
            left: news.left,
            spans: news.spans,
            ..Update::default()
        };
        let nothing = update.locks.is_empty()
            && update.locks_gone.is_empty()
            && update.contenders.is_empty()
            && update.left.is_empty()
            && update.spans.is_empty();
        (!nothing).then_some(update)
    }

    /// Everything, in pieces that a page takes in without stalling. What [`news`](Model::news) has not told yet is not
    /// in it: call that first.
    pub(crate) fn everything(&self, now_ms: i64, piece: usize) -> Vec<Update> {
        let mut locks: Vec<_> =
            self.locks.iter().map(|(path, lock)| LockLine { id: lock.id, path: path.clone() }).collect();
        locks.sort_by(|a, b| a.path.cmp(&b.path));
        let mut updates = vec![Update {
            now_ms,
            reset: true,
            samples: self.tally.samples().cloned().collect(),
            graph: Some(self.graph.clone()),
            link: Some(self.link.clone()),
            ..Update::default()
        }];
        for some in locks.chunks(piece) {
            updates.push(Update { now_ms, locks: some.to_vec(), ..Update::default() });
        }
        let names =
            self.locks.iter().flat_map(|(path, lock)| lock.queue.names().map(move |name| (path, name)));
        let lines: Vec<_> = names.filter_map(|(path, name)| self.line(path, name)).collect();
        for some in lines.chunks(piece) {
            updates.push(Update { now_ms, contenders: some.to_vec(), ..Update::default() });
        }
        let spans: Vec<_> = self.spans.iter().cloned().collect();
        for some in spans.chunks(piece) {
            updates.push(Update { now_ms, spans: some.to_vec(), ..Update::default() });
        }
        updates
    }

    fn line(&self, path: &str, name: &str) -> Option<ContenderLine> {
        let lock = self.locks.get(path)?;
        let member = lock.members.get(name)?;
        Some(ContenderLine {
            id: member.id,
            lock: lock.id,
            node: name.to_owned(),
            mode: mode(member.seat.mode),
            dialect: member.seat.dialect.to_string(),
            sequence: member.seat.sequence,
            since_ms: member.since_ms,
            held_ms: member.held.map(|held| held.from_ms),
            seen: member.held.is_some_and(|held| held.seen),
            who: member.contender.as_ref().map(who),
        })
    }

    /// The contender of this node, if it is there and was read.
    pub(crate) fn contender(&self, path: &str, name: &str) -> Option<&Contender> {
        self.locks.get(path)?.members.get(name)?.contender.as_ref()
    }

    /// How many hold a lock, and how many wait.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.held, self.contending - self.held)
    }

    /// How many locks are held, and how many there are.
    pub(crate) fn lock_counts(&self) -> (usize, usize) {
        let held = self.locks.values().filter(|lock| !lock.members.is_empty()).count();
        (held, self.locks.len())
    }

    /// How many deadlocks there were at the last look.
    pub(crate) fn cycles(&self) -> usize {
        self.graph.cycles.len()
    }

    /// All locks as lines of a table, in no order.
    pub(crate) fn rows(&self) -> Vec<Row> {
        self.locks.iter().map(|(path, lock)| lock.row(path)).collect()
    }

    /// Who holds the lock and who waits, in order; nobody if there is no such lock.
    pub(crate) fn queue(&self, path: &str) -> Vec<Place> {
        self.locks.get(path).map(Lock::places).unwrap_or_default()
    }
}

impl Lock {
    fn contenders(&self) -> Vec<Contender> {
        self.queue.names().filter_map(|name| self.members.get(name)?.contender()).collect()
    }

    fn places(&self) -> Vec<Place> {
        let place = |name: &str| {
            let member = self.members.get(name)?;
            let held = member.held;
            Some(Place {
                name: name.to_owned(),
                mode: member.seat.mode,
                since_ms: held.map_or(member.since_ms, |held| held.from_ms),
                holds: held.is_some(),
                seen: held.map_or(member.seen, |held| held.seen),
                contender: member.contender(),
            })
        };
        self.queue.names().filter_map(place).collect()
    }

    fn row(&self, path: &str) -> Row {
        let in_order = || self.queue.names().filter_map(|name| Some((name, self.members.get(name)?)));
        let holder = |(name, member): (&str, &Member)| {
            let held = member.held?;
            Some(Holder {
                name: name.to_owned(),
                mode: member.seat.mode,
                since_ms: held.from_ms,
                seen: held.seen,
                contender: member.contender.clone(),
            })
        };
        let holders: Vec<_> = in_order().filter_map(holder).collect();
        let waiting = in_order().filter(|(_, member)| member.held.is_none());
        Row {
            path: path.to_owned(),
            waiters: self.members.len() - holders.len(),
            holders,
            waiting_since_ms: waiting.map(|(_, member)| member.since_ms).min(),
        }
    }
}

impl Member {
    /// Its node, and what it does now.
    fn contender(&self) -> Option<Contender> {
        let mut contender = self.contender.clone()?;
        contender.holding = Some(self.held.is_some());
        Some(contender)
    }

    fn title(&self, name: &str) -> String {
        self.contender.as_ref().map_or_else(|| name.to_owned(), title)
    }
}

/// A contender in few words: what runs, and where.
pub(crate) fn title(contender: &Contender) -> String {
    match &contender.owner {
        Some(owner) => {
            let id = owner.id.as_deref().map(|id| format!(" {id}")).unwrap_or_default();
            format!("{}{id} @{} pid {}", owner.program, owner.host, owner.pid)
        }
        None => shown(&contender.data).unwrap_or_else(|| format!("session 0x{:x}", contender.session())),
    }
}

/// A stranger's data, if there is something to read in it.
fn shown(data: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(data);
    let text: String = text.chars().filter(|letter| !letter.is_control()).take(DATA_SHOWN).collect();
    (!text.is_empty()).then_some(text)
}

fn who(contender: &Contender) -> Who {
    let owner = contender.owner.as_ref();
    Who {
        host: owner.map(|owner| owner.host.clone()),
        pid: owner.map(|owner| owner.pid),
        user: owner.map(|owner| owner.user.clone()),
        program: owner.map(|owner| owner.program.clone()),
        id: owner.and_then(|owner| owner.id.clone()),
        data: if owner.is_none() { shown(&contender.data) } else { None },
        session: format!("0x{:x}", contender.session()),
        czxid: format!("0x{:x}", contender.stat.czxid),
        asked: contender.is_asked(),
    }
}

fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Exclusive => "exclusive",
        Mode::Shared => "shared",
    }
}

#[cfg(test)]
#[path = "model_tests.rs"]
mod tests;
