//! The reference model: what one ZooKeeper server does, said as plainly as possible.

mod lifetimes;
mod rights;
mod watches;
mod writes;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use zooky_wire::{Acl, ErrorCode, EventType, MultiOp, MultiResult, Request, Response, Stat, perms};

use lifetimes::Life;
pub(crate) use rights::{hiding_acls, readable_acls};
use rights::{may, shown};
pub(crate) use watches::{Mode, covers};

#[derive(Debug, Clone, Default)]
struct Node {
    data: Option<Bytes>,
    /// With `cversion` counting creations only.
    stat: Stat,
    acl: Arc<[Acl]>,
    life: Life,
}

/// Who watches what: for each client and path the mode that was set last.
type Watches = BTreeMap<(String, usize), Mode>;

#[derive(Debug, Clone)]
pub(crate) struct Model {
    nodes: BTreeMap<String, Node>,
    pub(crate) zxid: i64,
    sessions: BTreeMap<usize, i64>,
    /// Whom a client's certificate names.
    subjects: BTreeMap<usize, Option<&'static str>>,
    /// The paths of which somebody could not be told, at some time.
    hidden: BTreeSet<String>,
    data_watches: Watches,
    child_watches: Watches,
    /// Whom, what, where; for the last request.
    pub(crate) events: Vec<(usize, EventType, String)>,
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
            let mut node = Node { data: Some(Bytes::new()), acl: Acl::open().into(), ..Node::default() };
            if path == "/zookeeper/config" {
                (node.acl, node.stat.aversion) = ([Acl::new(perms::READ, "world", "anyone")].into(), -1);
            }
            nodes.insert(path.to_owned(), node);
        }
        Model {
            nodes,
            zxid: 0,
            sessions: BTreeMap::new(),
            subjects: BTreeMap::new(),
            hidden: BTreeSet::new(),
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

    /// The ACL of a node.
    pub(crate) fn acl(&self, path: &str) -> Option<&[Acl]> {
        self.nodes.get(path).map(|node| &*node.acl)
    }

    /// Whether the node at a path was hidden from somebody at some time: then who watches it may not have been told.
    #[allow(dead_code)] // not every test that uses the model asks
    pub(crate) fn was_hidden(&self, path: &str) -> bool {
        self.hidden.contains(path)
    }

    pub(crate) fn watches(&self) -> usize {
        self.data_watches.len() + self.child_watches.len()
    }

    pub(crate) fn forget_watches(&mut self, client: usize) {
        self.data_watches.retain(|w, _| w.1 != client);
        self.child_watches.retain(|w, _| w.1 != client);
    }

    pub(crate) fn begin_session(&mut self, client: usize, session: i64, subject: Option<&'static str>) {
        self.zxid += 1;
        self.sessions.insert(client, session);
        self.subjects.insert(client, subject);
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
            Request::Multi(parts) => self.multi(client, parts, wall_ms).map(Response::Multi),
            Request::Exists { path, watch } => {
                let found = self.permitted(client, path, perms::READ).map(|_| ());
                if *watch && found != Err(ErrorCode::NO_AUTH) {
                    self.data_watches.insert((path.clone(), client), Mode::OneShot);
                }
                found.map(|()| Response::Stat(self.stat(path)))
            }
            Request::GetData { path, watch } => {
                let data = self.permitted(client, path, perms::READ)?.data.clone();
                if *watch {
                    self.data_watches.insert((path.clone(), client), Mode::OneShot);
                }
                Ok(Response::Data(data, self.stat(path)))
            }
            Request::GetChildren2 { path, watch } => {
                self.permitted(client, path, perms::READ)?;
                if *watch {
                    self.child_watches.insert((path.clone(), client), Mode::OneShot);
                }
                let mut names = self.children(path);
                names.sort();
                Ok(Response::NamesStat(names, self.stat(path)))
            }
            Request::GetAcl { path } => {
                let acl = &self.permitted(client, path, perms::READ | perms::ADMIN)?.acl;
                Ok(Response::Acl(shown(acl, self.subjects[&client]), self.stat(path)))
            }
            Request::SetAcl { path, acl, version } => self.set_acl(client, path, acl, *version),
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
            Request::CheckWatches { path, kind } => {
                // As if they were removed, and then they are not.
                self.clone().serve(
                    client,
                    &Request::RemoveWatches { path: path.clone(), kind: *kind },
                    wall_ms,
                )
            }
            Request::RemoveWatches { kind, .. } if !(1..=3).contains(kind) => Err(ErrorCode::MARSHALLING),
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

    fn need(&self, path: &str) -> Result<&Node, ErrorCode> {
        self.nodes.get(path).ok_or(ErrorCode::NO_NODE)
    }

    /// The node at a path, if the client has one of the permissions.
    fn permitted(&self, client: usize, path: &str, wanted: i32) -> Result<&Node, ErrorCode> {
        let node = self.need(path)?;
        if may(&node.acl, self.subjects[&client], wanted) { Ok(node) } else { Err(ErrorCode::NO_AUTH) }
    }
}
