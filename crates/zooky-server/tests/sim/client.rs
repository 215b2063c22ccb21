//! A simulated client: what it asks, and what it may never see.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use zooky_server::core::ConnId;
use zooky_testkit::Rng;
use zooky_wire::{Acl, ConnectRequest, Create, CreateKind, CreateMode, EventType, MultiOp, Request, Writer};

use crate::core_model_reference::{Mode, Model, covers, hiding_acls, readable_acls};

/// What a watch saw when it was set: the node's birth and its last change, or no node.
pub(crate) type Sight = Option<(i64, i64)>;

/// A watch as its client knows it.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) mode: Mode,
    /// What it saw when it was set, or what its last event told of.
    pub(crate) sight: Sight,
    /// The same of everything that it covers, for a recursive one.
    pub(crate) below: BTreeMap<String, (i64, i64)>,
}

#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) id: i64,
    pub(crate) password: Vec<u8>,
}

#[derive(Debug, Default)]
pub(crate) struct Client {
    pub(crate) session: Option<Session>,
    pub(crate) conn: Option<ConnId>,
    /// The handshake is done on `conn`.
    pub(crate) greeted: bool,
    /// SetWatches is not answered yet.
    pub(crate) replaying: bool,
    pub(crate) outstanding: VecDeque<(i32, Request)>,
    pub(crate) last_zxid: i64,
    /// By path and whether it is of children.
    pub(crate) watches: BTreeMap<(String, bool), Watch>,
    next_xid: i32,
}

/// Whom the certificate of a client names, if it has one.
pub(crate) fn subject(client: usize) -> Option<&'static str> {
    [Some("CN=one"), None, Some("CN=two"), None][client % 4]
}

impl Client {
    /// The connection is gone.
    pub(crate) fn cut_off(&mut self) {
        (self.conn, self.greeted, self.replaying) = (None, false, false);
        self.outstanding.clear();
    }

    /// The session is over.
    pub(crate) fn session_over(&mut self) {
        self.session = None;
        self.watches.clear();
    }

    pub(crate) fn connect_request(&self, rng: &mut Rng) -> ConnectRequest {
        ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: self.last_zxid,
            timeout_ms: *rng.pick(&[4_000, 4_000, 4_000, 6_000]),
            session_id: self.session.as_ref().map_or(0, |s| s.id),
            password: self.session.as_ref().map_or(vec![], |s| s.password.clone()),
            read_only: None,
        }
    }

    /// Notes a request and gives its frame.
    pub(crate) fn ask(&mut self, request: &Request) -> Bytes {
        self.next_xid += 1;
        let xid = request.fixed_xid().unwrap_or(self.next_xid);
        self.outstanding.push_back((xid, request.clone()));
        let mut w = Writer::new();
        request.encode(xid, &mut w);
        w.into_bytes()
    }

    /// The request that sets all watches again.
    pub(crate) fn set_watches(&self) -> Request {
        let relative_zxid = self.last_zxid;
        let (mut data, mut exist, mut child) = (Vec::new(), Vec::new(), Vec::new());
        let (mut persistent, mut recursive) = (BTreeSet::new(), BTreeSet::new());
        for ((path, of_children), watch) in &self.watches {
            match (watch.mode, of_children, watch.sight) {
                (Mode::Persistent, ..) => _ = persistent.insert(path.clone()),
                (Mode::Recursive, ..) => _ = recursive.insert(path.clone()),
                (Mode::OneShot, true, _) => child.push(path.clone()),
                (Mode::OneShot, false, Some(_)) => data.push(path.clone()),
                (Mode::OneShot, false, None) => exist.push(path.clone()),
            }
        }
        if persistent.is_empty() && recursive.is_empty() {
            return Request::SetWatches { relative_zxid, data, exist, child };
        }
        let [persistent, recursive] = [persistent, recursive].map(|paths| paths.into_iter().collect());
        Request::SetWatches2 { relative_zxid, data, exist, child, persistent, recursive }
    }

    /// An event came in; says whether it was waited for. `now` is the world that it tells of, if it tells of a moment.
    pub(crate) fn event(&mut self, kind: EventType, path: &str, now: Option<&Model>) -> bool {
        let tables: &[bool] = match kind {
            EventType::CHILDREN_CHANGED => &[true],
            EventType::DELETED => &[false, true],
            _ => &[false],
        };
        let mut waited_for = false;
        self.watches.retain(|(watched, of_children), watch| {
            let is_meant = match watch.mode {
                Mode::Recursive => kind != EventType::CHILDREN_CHANGED && covers(watched, path),
                _ => watched == path,
            };
            if is_meant && tables.contains(of_children) {
                waited_for = true;
                if watch.mode == Mode::OneShot {
                    return false;
                }
                if let Some(model) = now {
                    watch.learn(model, path, *of_children);
                }
            } else if watched == path
                && kind == EventType::CREATED
                && let Some(model) = now
            {
                // Of a birth the watch on the node tells, and not the one on its children.
                watch.sight = sight(model, path, *of_children);
            }
            true
        });
        waited_for
    }
}

impl Watch {
    /// One that is set on what a model shows.
    pub(crate) fn new(mode: Mode, model: &Model, path: &str, of_children: bool) -> Watch {
        let below = if mode == Mode::Recursive { model.below(path) } else { BTreeMap::new() };
        Watch { mode, sight: sight(model, path, of_children), below }
    }

    fn learn(&mut self, model: &Model, path: &str, of_children: bool) {
        if self.mode != Mode::Recursive {
            self.sight = sight(model, path, of_children);
            return;
        }
        match sight(model, path, false) {
            Some(seen) => _ = self.below.insert(path.to_owned(), seen),
            None => _ = self.below.remove(path),
        }
    }

    /// Whether it has been told of everything that a model shows, and never hid.
    pub(crate) fn is_up_to(&self, model: &Model, path: &str, of_children: bool) -> bool {
        if self.mode != Mode::Recursive && model.was_hidden(path) {
            return true;
        }
        match (self.mode, of_children) {
            (Mode::Recursive, false) => {
                let shown =
                    |all: BTreeMap<String, _>| all.into_iter().filter(|(path, _)| !model.was_hidden(path));
                shown(model.below(path)).eq(shown(self.below.clone()))
            }
            // Alone, these are told of ends only, and of no birth.
            (Mode::Recursive, true) => true,
            (Mode::Persistent, true) if self.sight.is_none() => true,
            _ => sight(model, path, of_children) == self.sight,
        }
    }
}

/// What is to be seen at a path.
pub(crate) fn sight(model: &Model, path: &str, of_children: bool) -> Sight {
    let (_, stat) = model.node(path)?;
    Some((stat.czxid, if of_children { stat.pzxid } else { stat.mzxid }))
}

fn path(rng: &mut Rng) -> String {
    (*rng.pick(&["/a", "/b", "/a/x", "/a/y", "/b/x", "/a/x/p", "/b/q"])).to_owned()
}

/// The two at the top more often, for nothing is below them without them.
fn likely_path(rng: &mut Rng) -> String {
    if rng.one_in(3) { rng.pick(&["/a", "/b"]).to_string() } else { path(rng) }
}

/// One that has something below.
fn high_path(rng: &mut Rng) -> String {
    (*rng.pick(&["/", "/a", "/b", "/a/x"])).to_owned()
}

fn data(rng: &mut Rng) -> Option<Bytes> {
    let len = *rng.pick(&[0, 3, 20, 90, 700]);
    let byte = rng.below(256) as u8;
    Some(Bytes::from(vec![byte; len]))
}

/// Some are refused. Two paths may be hidden: what is told of the others is judged without a look at ACLs.
fn acl(rng: &mut Rng, path: &str) -> Vec<Acl> {
    match rng.below(4) {
        0 => Acl::open(),
        1 if ["/b/q", "/a/x/p"].contains(&path) => rng.pick(&hiding_acls()).clone(),
        _ => rng.pick(&readable_acls()).clone(),
    }
}

fn create(rng: &mut Rng) -> Create {
    let mode = CreateMode(*rng.pick(&[0, 0, 0, 1, 1, 1, 2, 3, 3, 3, 4, 4, 5, 6]));
    let ttl = CreateKind::Ttl(*rng.pick(&[1, 150, 1_500, 1 << 39]));
    let kind = match mode {
        CreateMode::CONTAINER if !rng.one_in(6) => CreateKind::Container,
        CreateMode::PERSISTENT_WITH_TTL | CreateMode::PERSISTENT_SEQUENTIAL_WITH_TTL if !rng.one_in(12) => {
            ttl
        }
        _ => *rng.pick(&[CreateKind::Create, CreateKind::Create2]),
    };
    let path = match mode {
        _ if mode.is_sequential() => rng.pick(&["/a/s-", "/b/s-"]).to_string(),
        // It is to have children.
        CreateMode::CONTAINER => rng.pick(&["/a", "/b", "/a/x"]).to_string(),
        _ => likely_path(rng),
    };
    let acl = if rng.one_in(12) { acl(rng, &path) } else { Acl::open() };
    Create { kind, path, data: data(rng), acl, mode }
}

fn write(rng: &mut Rng) -> MultiOp {
    let version = *rng.pick(&[-1, -1, -1, 0, 1]);
    match rng.below(9) {
        0..=4 => MultiOp::Create(create(rng)),
        5 | 6 => MultiOp::SetData { path: path(rng), data: data(rng), version },
        7 => MultiOp::Delete { path: path(rng), version },
        _ => MultiOp::Check { path: path(rng), version },
    }
}

/// A write whose record is as long as that of every other.
pub(crate) fn uniform_write(rng: &mut Rng) -> Request {
    let data = Some(Bytes::from(vec![rng.below(256) as u8; 300]));
    Request::SetData { path: "/a".to_owned(), data, version: -1 }
}

/// A write so long that a few of them use up the zeros that a log has ahead.
pub(crate) fn long_write(rng: &mut Rng) -> Request {
    let data = Some(Bytes::from(vec![rng.below(256) as u8; 30_000]));
    Request::SetData { path: "/b".to_owned(), data, version: -1 }
}

/// Something to ask.
pub(crate) fn request(rng: &mut Rng) -> Request {
    let watch = !rng.one_in(4);
    match rng.below(27) {
        0..=9 => match write(rng) {
            MultiOp::Create(create) => Request::Create(create),
            MultiOp::Delete { path, version } => Request::Delete { path, version },
            MultiOp::SetData { path, data, version } => Request::SetData { path, data, version },
            check @ MultiOp::Check { .. } => Request::Multi(vec![check]),
        },
        10 | 11 => {
            let parts = rng.below(4);
            Request::Multi((0..parts).map(|_| write(rng)).collect())
        }
        12 | 13 => Request::Exists { path: path(rng), watch },
        14 | 15 => Request::GetData { path: path(rng), watch },
        16 | 17 => Request::GetChildren2 { path: path(rng), watch },
        18 => Request::Ping,
        19 => Request::AddWatch { path: path(rng), mode: 0 },
        20 => Request::AddWatch { path: high_path(rng), mode: 1 },
        21 => {
            let path = likely_path(rng);
            Request::SetAcl { acl: acl(rng, &path), path, version: *rng.pick(&[-1, -1, 0, 1]) }
        }
        22 => Request::GetAcl { path: likely_path(rng) },
        23 | 24 => {
            let path = if rng.one_in(3) { high_path(rng) } else { path(rng) };
            Request::RemoveWatches { path, kind: 1 + rng.below(3) as i32 }
        }
        25 => Request::CheckWatches { path: path(rng), kind: 1 + rng.below(3) as i32 },
        _ => Request::Sync { path: path(rng) },
    }
}
