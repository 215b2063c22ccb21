//! One contender's way through the queue: the only queueing code there is.
//!
//! The caller does what [`Action`] says and tells what came of it; locks of all dialects, exclusive
//! and shared, differ by their [`Kind`] only. The rules that keep two out:
//!
//! - A node is ours only if it carries our unique name **and** the present session owns it. A new
//!   session makes a new name.
//! - A create whose fate is unknown is looked up by that name before anything else is decided.
//! - The lock is granted by a listing, or a mirror that is as true as one, that shows our node and nobody before it that blocks us,
//!   never by the deletion of a predecessor alone: it may have left without ever holding the lock.
//! - Each waiter watches one node: the last one that blocks it.

use super::dialect::{Kind, classify};
use super::mirror::Mirror;
use super::queue::{Queue, Refusal, check_reserve};

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Send create and list in one flight (create alone if there is a mirror); then [`Contender::created`], and with a node made,
    /// [`Contender::listed`].
    Join,
    /// Create the lock's directory (and its parents), then [`Contender::directory_made`].
    MakeDirectory,
    /// Sync, list, and look for our name; then [`Contender::looked_up`].
    LookUp,
    /// List the children; then [`Contender::listed`]. Or look into the mirror: [`Contender::mirrored`].
    List,
    /// Read this child and watch it; when it is gone, or the session has reconnected,
    /// [`Contender::blocker_changed`].
    Watch(String),
    /// The lock is ours.
    Grant,
    /// Leave, and tell why.
    Refuse(Refusal),
}

/// Our node, once it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OwnNode {
    pub(crate) name: String,
    pub(crate) czxid: i64,
}

/// How a create ended that did not make a node for certain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotCreated {
    /// The directory is not there.
    NoDirectory,
    /// The connection broke: it may have been made.
    Unknown,
}

/// What a look-up found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) node: OwnNode,
    /// The session that owns it.
    pub(crate) owner: i64,
}

/// A contender that is joining, waiting or holding.
#[derive(Debug, Clone)]
pub(crate) struct Contender {
    prefix: String,
    kind: Kind,
    session: i64,
    allow_foreign: bool,
    node: Option<OwnNode>,
}

impl Contender {
    /// A contender named by 128 random bits (six of which say that it is ours), for the present session only.
    pub(crate) fn new(unique: u128, kind: Kind, session: i64, allow_foreign: bool) -> Self {
        Contender { prefix: kind.prefix(unique), kind, session, allow_foreign, node: None }
    }

    /// The name that the server puts its number behind.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// What it contends as.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Our node, if it is known to exist.
    pub(crate) fn node(&self) -> Option<&OwnNode> {
        self.node.as_ref()
    }

    /// The first thing to do for one who means to wait.
    pub(crate) fn start(&self) -> Action {
        Action::Join
    }

    /// For one who would rather not wait: whom it would wait for, by a listing made *before*
    /// anything is created.
    pub(crate) fn would_wait(&self, children: &[String]) -> Result<Option<String>, Refusal> {
        let queue = Queue::of(self.kind, children, self.allow_foreign)?;
        Ok(queue.blocker_of_next(self.kind).map(|place| place.name.clone()))
    }

    /// What came of the create.
    pub(crate) fn created(&mut self, result: Result<OwnNode, NotCreated>) -> Action {
        match result {
            Ok(node) => {
                let sequence = classify(&node.name).and_then(|what| what.sequence);
                let reserve = check_reserve(&node.name, sequence);
                self.node = Some(node);
                match reserve {
                    Ok(()) => Action::List,
                    Err(refusal) => Action::Refuse(refusal),
                }
            }
            Err(NotCreated::NoDirectory) => Action::MakeDirectory,
            Err(NotCreated::Unknown) => Action::LookUp,
        }
    }

    /// The directory is there.
    pub(crate) fn directory_made(&self) -> Action {
        Action::Join
    }

    /// What the look-up found.
    pub(crate) fn looked_up(&mut self, found: Option<Found>) -> Action {
        match found {
            Some(Found { node, owner }) if owner == self.session => self.created(Ok(node)),
            _ => Action::Join,
        }
    }

    /// A listing that was made after our create.
    pub(crate) fn listed(&mut self, children: &[String]) -> Action {
        let queue = match Queue::of(self.kind, children, self.allow_foreign) {
            Ok(queue) => queue,
            Err(refusal) => return Action::Refuse(refusal),
        };
        match &self.node {
            Some(node) if queue.contains(&node.name) => match queue.blocker_of(&node.name) {
                None => Action::Grant,
                Some(blocker) => Action::Watch(blocker.name.clone()),
            },
            // Somebody removed our node while we waited: join again, at the end.
            _ => {
                self.node = None;
                Action::Join
            }
        }
    }

    /// A mirror, in place of a listing made after our create; `None` if it is behind that, so that we must list.
    pub(crate) fn mirrored(&self, mirror: &Mirror) -> Option<Action> {
        let node = self.node.as_ref().filter(|node| mirror.contains(&node.name))?;
        if let Some(refusal) = mirror.refusal(self.kind, self.allow_foreign) {
            return Some(Action::Refuse(refusal));
        }
        Some(match mirror.blocker_of(&node.name) {
            None => Action::Grant,
            Some(blocker) => Action::Watch(blocker.to_owned()),
        })
    }

    /// The one we waited for is gone, or something happened to the session: look again.
    pub(crate) fn blocker_changed(&self) -> Action {
        Action::List
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contender(id: u128, kind: Kind) -> Contender {
        Contender::new(id, kind, 7, false)
    }

    fn own(contender: &Contender, n: u32) -> OwnNode {
        OwnNode { name: format!("{}{n:010}", contender.prefix()), czxid: i64::from(n) }
    }

    #[test]
    fn a_free_lock_is_granted_by_the_first_listing() {
        let mut c = contender(1, Kind::KazooLock);
        assert_eq!(c.start(), Action::Join);
        let node = own(&c, 0);
        assert_eq!(c.created(Ok(node.clone())), Action::List);
        assert_eq!(c.listed(&[node.name]), Action::Grant);
    }

    #[test]
    fn a_waiter_watches_the_one_before_it_and_looks_again() {
        let mut first = contender(1, Kind::KazooLock);
        let mut second = contender(2, Kind::KazooLock);
        let mut third = contender(3, Kind::KazooLock);
        let nodes = [own(&first, 1), own(&second, 2), own(&third, 3)];
        for (c, node) in [&mut first, &mut second, &mut third].into_iter().zip(&nodes) {
            c.created(Ok(node.clone()));
        }
        let all: Vec<String> = nodes.iter().map(|n| n.name.clone()).collect();
        assert_eq!(third.listed(&all), Action::Watch(all[1].clone()));
        // The second gives up: its deletion is no grant for the third.
        assert_eq!(third.blocker_changed(), Action::List);
        assert_eq!(third.listed(&[all[0].clone(), all[2].clone()]), Action::Watch(all[0].clone()));
        assert_eq!(third.listed(&[all[2].clone()]), Action::Grant);
    }

    #[test]
    fn an_ambiguous_create_is_looked_up() {
        let mut c = contender(1, Kind::KazooLock);
        assert_eq!(c.created(Err(NotCreated::Unknown)), Action::LookUp);
        assert_eq!(c.looked_up(None), Action::Join);
        let node = own(&c, 5);
        assert_eq!(c.looked_up(Some(Found { node: node.clone(), owner: 7 })), Action::List);
        assert_eq!(c.node(), Some(&node));
    }

    #[test]
    fn a_node_of_another_session_is_not_ours() {
        let mut c = contender(1, Kind::KazooLock);
        let node = own(&c, 5);
        assert_eq!(c.looked_up(Some(Found { node, owner: 6 })), Action::Join);
        assert_eq!(c.node(), None);
    }

    #[test]
    fn a_node_near_the_end_of_the_counter_is_given_back() {
        let mut c = contender(1, Kind::ZkLock);
        let node = own(&c, 2_147_483_647);
        assert!(matches!(c.created(Ok(node.clone())), Action::Refuse(Refusal::Exhausted { .. })));
        assert_eq!(c.node(), Some(&node));
    }

    #[test]
    fn a_mirror_that_is_behind_grants_nothing() {
        let mut c = contender(1, Kind::KazooLock);
        let (node, other) = (own(&c, 5), own(&contender(2, Kind::KazooLock), 4));
        c.created(Ok(node.clone()));
        let mut mirror = Mirror::new(&[], 4);
        assert_eq!(c.mirrored(&mirror), None);
        mirror.created(&other.name).unwrap();
        assert_eq!(c.mirrored(&mirror), None, "whoever is before us may not have been told of");
        mirror.created(&node.name).unwrap();
        assert_eq!(c.mirrored(&mirror), Some(Action::Watch(other.name.clone())));
        mirror.deleted(&other.name);
        assert_eq!(c.mirrored(&mirror), Some(Action::Grant));
        mirror.deleted(&node.name);
        assert_eq!(c.mirrored(&mirror), None, "a listing decides whether it is gone");
    }

    #[test]
    fn a_removed_node_joins_again() {
        let mut c = contender(1, Kind::KazooLock);
        let node = own(&c, 5);
        c.created(Ok(node));
        assert_eq!(c.listed(&[]), Action::Join);
        assert_eq!(c.node(), None);
    }

    #[test]
    fn try_looks_first() {
        let c = contender(1, Kind::KazooReader);
        let reader = own(&contender(2, Kind::KazooReader), 1).name;
        let writer = own(&contender(3, Kind::KazooLock), 2).name;
        assert_eq!(c.would_wait(std::slice::from_ref(&reader)), Ok(None));
        assert_eq!(c.would_wait(&[reader, writer.clone()]), Ok(Some(writer)));
    }
}
