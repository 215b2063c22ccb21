//! The reference model: what one ZooKeeper server does, said as plainly as possible.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use zooky_wire::{
    Create, CreateKind, ErrorCode, EventType, MultiOp, MultiResult, OpCode, Request, Response, Stat,
    validate_path,
};

#[derive(Debug, Clone, Default)]
struct Node {
    data: Option<Bytes>,
    /// With `cversion` counting creations only.
    stat: Stat,
}

/// How long a watch lives and what it covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Gone with its first event.
    OneShot,
    /// Stays.
    Persistent,
    /// Stays, and covers everything below, but lists of children.
    Recursive,
}

impl Mode {
    /// What addWatch calls so.
    pub(crate) fn from_wire(number: i32) -> Option<Mode> {
        [Mode::Persistent, Mode::Recursive].get(usize::try_from(number).ok()?).copied()
    }
}

/// Who watches what: for each client and path the mode that was set last.
type Watches = BTreeMap<(String, usize), Mode>;

#[derive(Debug, Clone)]
pub(crate) struct Model {
    nodes: BTreeMap<String, Node>,
    pub(crate) zxid: i64,
    sessions: BTreeMap<usize, i64>,
    data_watches: Watches,
    child_watches: Watches,
    /// Whom, what, where; for the last request.
    pub(crate) events: Vec<(usize, EventType, String)>,
}

/// Whether a recursive watch on a path covers another.
pub(crate) fn covers(watched: &str, path: &str) -> bool {
    watched == path || watched == "/" || path.strip_prefix(watched).is_some_and(|rest| rest.starts_with('/'))
}

fn parent(path: &str) -> String {
    match path.rfind('/') {
        Some(0) | None => "/".into(),
        Some(i) => path[..i].into(),
    }
}

impl Model {
    pub(crate) fn new() -> Model {
        let mut nodes = BTreeMap::new();
        for path in ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"] {
            nodes.insert(path.to_owned(), Node { data: Some(Bytes::new()), ..Node::default() });
        }
        Model {
            nodes,
            zxid: 0,
            sessions: BTreeMap::new(),
            data_watches: Watches::new(),
            child_watches: Watches::new(),
            events: Vec::new(),
        }
    }

    /// The paths in the order of a snapshot whose children are sorted, the root as "".
    pub(crate) fn paths(&self) -> BTreeSet<String> {
        self.nodes.keys().map(|p| if p == "/" { String::new() } else { p.clone() }).collect()
    }

    /// Data and stat of a node, its `cversion` counting creations only.
    pub(crate) fn node(&self, path: &str) -> Option<(Option<&[u8]>, Stat)> {
        self.nodes.get(path).map(|node| (node.data.as_deref(), node.stat))
    }

    pub(crate) fn watches(&self) -> usize {
        self.data_watches.len() + self.child_watches.len()
    }

    pub(crate) fn forget_watches(&mut self, client: usize) {
        self.data_watches.retain(|w, _| w.1 != client);
        self.child_watches.retain(|w, _| w.1 != client);
    }

    pub(crate) fn begin_session(&mut self, client: usize, session: i64) {
        self.zxid += 1;
        self.sessions.insert(client, session);
    }

    pub(crate) fn end_session(&mut self, client: usize) {
        self.zxid += 1;
        let session = self.sessions.remove(&client).unwrap();
        let own = self.nodes.iter().filter(|(_, n)| n.stat.ephemeral_owner == session);
        for path in own.map(|(p, _)| p.clone()).collect::<Vec<_>>() {
            self.remove(&path);
        }
    }

    fn children(&self, path: &str) -> Vec<String> {
        let prefix = if path == "/" { "/".to_owned() } else { format!("{path}/") };
        let below = self.nodes.keys().filter_map(|p| p.strip_prefix(&prefix));
        below.filter(|name| !name.is_empty() && !name.contains('/')).map(str::to_owned).collect()
    }

    /// What a recursive watch covers: the paths, with their births and last changes.
    #[allow(dead_code)] // not every test that uses the model looks at it so
    pub(crate) fn below(&self, watched: &str) -> BTreeMap<String, (i64, i64)> {
        let covered = self.nodes.iter().filter(|(path, _)| covers(watched, path));
        covered.map(|(path, node)| (path.clone(), (node.stat.czxid, node.stat.mzxid))).collect()
    }

    fn stat(&self, path: &str) -> Stat {
        let node = &self.nodes[path];
        let children = self.children(path).len() as i32;
        Stat {
            data_length: node.data.as_ref().map_or(0, |d| d.len() as i32),
            num_children: children,
            cversion: 2 * node.stat.cversion - children,
            ..node.stat
        }
    }

    fn fire(&mut self, kind: EventType, path: &str, children: bool, but: &[usize]) -> Vec<usize> {
        let set = if children { &mut self.child_watches } else { &mut self.data_watches };
        let is_told = |watched: &str, mode: Mode| match mode {
            Mode::Recursive => kind != EventType::CHILDREN_CHANGED && covers(watched, path),
            _ => watched == path,
        };
        let told: BTreeSet<usize> =
            set.iter().filter(|((watched, _), mode)| is_told(watched, **mode)).map(|(w, _)| w.1).collect();
        let told: Vec<usize> = told.into_iter().collect();
        set.retain(|(watched, _), mode| watched != path || *mode != Mode::OneShot);
        for &client in told.iter().filter(|c| !but.contains(c)) {
            self.events.push((client, kind, path.to_owned()));
        }
        told
    }

    fn remove(&mut self, path: &str) {
        self.nodes.remove(path);
        let up = parent(path);
        self.nodes.get_mut(&up).unwrap().stat.pzxid = self.zxid;
        let told = self.fire(EventType::DELETED, path, false, &[]);
        self.fire(EventType::DELETED, path, true, &told);
        self.fire(EventType::CHILDREN_CHANGED, &up, true, &[]);
    }

    pub(crate) fn serve(
        &mut self,
        client: usize,
        request: &Request,
        wall_ms: i64,
    ) -> Result<Response, ErrorCode> {
        let as_part = match request.clone() {
            Request::Create(create) => Some(MultiOp::Create(create)),
            Request::Delete { path, version } => Some(MultiOp::Delete { path, version }),
            Request::SetData { path, data, version } => Some(MultiOp::SetData { path, data, version }),
            _ => None,
        };
        if let Some(part) = as_part {
            let mut next = self.clone();
            next.zxid += 1;
            let result = next.write(client, &part, wall_ms)?;
            *self = next;
            return Ok(match result {
                MultiResult::Create(path) => Response::Path(path),
                MultiResult::Create2(path, stat, _) => Response::PathStat(path, stat),
                MultiResult::SetData(stat) => Response::Stat(stat),
                _ => Response::Empty,
            });
        }
        match request {
            Request::Multi(parts) => Ok(Response::Multi(self.multi(client, parts, wall_ms))),
            Request::Exists { path, watch } => {
                if *watch {
                    self.data_watches.insert((path.clone(), client), Mode::OneShot);
                }
                self.need(path)?;
                Ok(Response::Stat(self.stat(path)))
            }
            Request::GetData { path, watch } => {
                let data = self.need(path)?.data.clone();
                if *watch {
                    self.data_watches.insert((path.clone(), client), Mode::OneShot);
                }
                Ok(Response::Data(data, self.stat(path)))
            }
            Request::GetChildren2 { path, watch } => {
                self.need(path)?;
                if *watch {
                    self.child_watches.insert((path.clone(), client), Mode::OneShot);
                }
                let mut names = self.children(path);
                names.sort();
                Ok(Response::NamesStat(names, self.stat(path)))
            }
            Request::SetWatches { relative_zxid, data, exist, child } => {
                self.set_watches(client, *relative_zxid, data, exist, child);
                Ok(Response::Empty)
            }
            Request::SetWatches2 { relative_zxid, data, exist, child, persistent, recursive } => {
                self.set_watches(client, *relative_zxid, data, exist, child);
                persistent.iter().for_each(|path| self.watch_all(client, path, Mode::Persistent));
                recursive.iter().for_each(|path| self.watch_all(client, path, Mode::Recursive));
                Ok(Response::Empty)
            }
            Request::AddWatch { path, mode } => {
                let mode = Mode::from_wire(*mode).ok_or(ErrorCode::MARSHALLING)?;
                self.watch_all(client, path, mode);
                Ok(Response::Empty)
            }
            Request::RemoveWatches { path, kind } => {
                let watch = (path.clone(), client);
                let child = *kind != 2 && self.child_watches.remove(&watch).is_some();
                let data = *kind != 1 && self.data_watches.remove(&watch).is_some();
                if child || data { Ok(Response::Empty) } else { Err(ErrorCode::NO_WATCHER) }
            }
            Request::Sync { path } => Ok(Response::Path(path.clone())),
            Request::Ping => Ok(Response::Empty),
            other => panic!("not in the model: {other:?}"),
        }
    }

    /// A watch that stays replaces others of the client on the path.
    fn watch_all(&mut self, client: usize, path: &str, mode: Mode) {
        self.data_watches.insert((path.to_owned(), client), mode);
        self.child_watches.insert((path.to_owned(), client), mode);
    }

    /// What was missed is told at once, the other watches are set.
    fn set_watches(
        &mut self,
        client: usize,
        since: i64,
        data: &[String],
        exist: &[String],
        child: &[String],
    ) {
        let lists = [(data, false, EventType::DATA_CHANGED), (child, true, EventType::CHILDREN_CHANGED)];
        for (paths, children, changed) in lists {
            for path in paths {
                let newest = |node: &Node| if children { node.stat.pzxid } else { node.stat.mzxid };
                match self.nodes.get(path).map(newest) {
                    None => self.events.push((client, EventType::DELETED, path.clone())),
                    Some(zxid) if zxid > since => self.events.push((client, changed, path.clone())),
                    Some(_) => {
                        let set = if children { &mut self.child_watches } else { &mut self.data_watches };
                        set.insert((path.clone(), client), Mode::OneShot);
                    }
                }
            }
        }
        for path in exist {
            if self.nodes.contains_key(path) {
                self.events.push((client, EventType::CREATED, path.clone()));
            } else {
                self.data_watches.insert((path.clone(), client), Mode::OneShot);
            }
        }
    }

    fn multi(&mut self, client: usize, parts: &[MultiOp], wall_ms: i64) -> Vec<MultiResult> {
        let mut next = self.clone();
        next.zxid += 1;
        let mut results = Vec::new();
        for part in parts {
            match next.write(client, part, wall_ms) {
                Ok(result) => results.push(result),
                Err(err) => {
                    let mut failed = vec![MultiResult::Error(ErrorCode::OK); results.len()];
                    failed.push(MultiResult::Error(err));
                    failed.resize(parts.len(), MultiResult::Error(ErrorCode::RUNTIME_INCONSISTENCY));
                    return failed;
                }
            }
        }
        *self = next;
        results
    }

    fn need(&self, path: &str) -> Result<&Node, ErrorCode> {
        self.nodes.get(path).ok_or(ErrorCode::NO_NODE)
    }

    fn expect(&self, path: &str, version: i32) -> Result<i32, ErrorCode> {
        let present = self.need(path)?.stat.version;
        if version == -1 || version == present { Ok(present + 1) } else { Err(ErrorCode::BAD_VERSION) }
    }

    fn write(&mut self, client: usize, part: &MultiOp, wall_ms: i64) -> Result<MultiResult, ErrorCode> {
        let valid = |path: &str| validate_path(path).map_err(|_| ErrorCode::BAD_ARGUMENTS);
        match part {
            MultiOp::Create(create) => self.create(client, create, wall_ms),
            MultiOp::Delete { path, version } => {
                if !path.contains('/') || path == "/" || path == "/zookeeper" {
                    return Err(ErrorCode::BAD_ARGUMENTS);
                }
                self.need(&parent(path))?;
                self.expect(path, *version)?;
                if !self.children(path).is_empty() {
                    return Err(ErrorCode::NOT_EMPTY);
                }
                self.remove(path);
                Ok(MultiResult::Delete)
            }
            MultiOp::SetData { path, data, version } => {
                valid(path)?;
                let version = self.expect(path, *version)?;
                let zxid = self.zxid;
                let node = self.nodes.get_mut(path).unwrap();
                node.data = data.clone();
                node.stat = Stat { version, mzxid: zxid, mtime_ms: wall_ms, ..node.stat };
                self.fire(EventType::DATA_CHANGED, path, false, &[]);
                Ok(MultiResult::SetData(self.stat(path)))
            }
            MultiOp::Check { path, version } => {
                valid(path)?;
                self.expect(path, *version)?;
                Ok(MultiResult::Check)
            }
        }
    }

    fn create(&mut self, client: usize, create: &Create, wall_ms: i64) -> Result<MultiResult, ErrorCode> {
        if !create.mode.is_known() || !create.path.contains('/') {
            return Err(ErrorCode::BAD_ARGUMENTS);
        }
        let up = parent(&create.path);
        let above = self.need(&up)?.stat;
        let mut path = create.path.clone();
        if create.mode.is_sequential() {
            path += &format!("{:010}", above.cversion);
        }
        validate_path(&path).map_err(|_| ErrorCode::BAD_ARGUMENTS)?;
        if self.nodes.contains_key(&path) {
            return Err(ErrorCode::NODE_EXISTS);
        }
        if above.ephemeral_owner != 0 {
            return Err(ErrorCode::NO_CHILDREN_FOR_EPHEMERALS);
        }
        let zxid = self.zxid;
        let owner = if create.mode.is_ephemeral() { self.sessions[&client] } else { 0 };
        let stat = Stat {
            czxid: zxid,
            mzxid: zxid,
            pzxid: zxid,
            ctime_ms: wall_ms,
            mtime_ms: wall_ms,
            ephemeral_owner: owner,
            ..Stat::default()
        };
        self.nodes.insert(path.clone(), Node { data: create.data.clone(), stat });
        let above = &mut self.nodes.get_mut(&up).unwrap().stat;
        (above.cversion, above.pzxid) = (above.cversion + 1, zxid);
        self.fire(EventType::CREATED, &path, false, &[]);
        self.fire(EventType::CHILDREN_CHANGED, &up, true, &[]);
        Ok(match create.kind {
            CreateKind::Create => MultiResult::Create(path),
            _ => MultiResult::Create2(path.clone(), self.stat(&path), OpCode::CREATE2),
        })
    }
}
