//! Who is told of what.

use std::collections::BTreeSet;

use zooky_wire::{Acl, ErrorCode, EventType, perms};

use super::rights::may;
use super::{Model, Node};

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

/// Whether a recursive watch on a path covers another.
pub(crate) fn covers(watched: &str, path: &str) -> bool {
    watched == path || watched == "/" || path.strip_prefix(watched).is_some_and(|rest| rest.starts_with('/'))
}

impl Model {
    /// Tells those of an event that may read a node with this ACL; the watches of the others are gone, too.
    pub(super) fn fire(
        &mut self,
        kind: EventType,
        path: &str,
        children: bool,
        acl: &[Acl],
        but: &[usize],
    ) -> Vec<usize> {
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
            if may(acl, self.subjects[&client], perms::READ) {
                self.events.push((client, kind, path.to_owned()));
            }
        }
        told
    }

    /// A watch that stays replaces others of the client on the path.
    pub(super) fn watch_all(&mut self, client: usize, path: &str, mode: Mode) {
        self.data_watches.insert((path.to_owned(), client), mode);
        self.child_watches.insert((path.to_owned(), client), mode);
    }

    /// What was missed is told at once, the other watches are set. Of what a client may not read it is told nothing.
    pub(super) fn set_watches(
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
                match self.permitted(client, path, perms::READ).map(newest) {
                    Err(ErrorCode::NO_NODE) => self.events.push((client, EventType::DELETED, path.clone())),
                    Ok(zxid) if zxid > since => self.events.push((client, changed, path.clone())),
                    _ => {
                        let set = if children { &mut self.child_watches } else { &mut self.data_watches };
                        set.insert((path.clone(), client), Mode::OneShot);
                    }
                }
            }
        }
        for path in exist {
            if self.permitted(client, path, perms::READ).is_ok() {
                self.events.push((client, EventType::CREATED, path.clone()));
            } else {
                self.data_watches.insert((path.clone(), client), Mode::OneShot);
            }
        }
    }
}
