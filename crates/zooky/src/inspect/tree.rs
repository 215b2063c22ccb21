//! Listing a tree of locks, level by level.

use zooky_client::{Error as SessionError, Session};

use super::AT_ONCE;
use super::lock_queue::seat;
use crate::Error;
use crate::core::dialect::is_note;

/// What the listing of one node told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listed {
    /// Its children.
    Children {
        /// The names of those that stand in the node's queue.
        contending: Vec<String>,
        /// The paths of the others, in or below which there may be locks.
        below: Vec<String>,
    },
    /// It does not exist, or no longer.
    Gone,
    /// The server refuses to show its children.
    Forbidden,
}

/// Lists these nodes, many at a time, and tells the children that contend from those that may be locks themselves.
///
/// The answers come in the order of the paths. ZooKeeper's own `/zookeeper` and the notes that zooky leaves in a lock's
/// directory are left out.
///
/// Cancel safe: nothing is changed.
///
/// # Errors
/// The connection broke, or the server refused for another reason than its ACLs.
pub async fn list_level(session: &Session, paths: &[String]) -> Result<Vec<Listed>, Error> {
    let mut level = Vec::with_capacity(paths.len());
    for some in paths.chunks(AT_ONCE) {
        let listings: Vec<_> = some.iter().map(|path| session.children(path)).collect();
        for (path, listing) in some.iter().zip(listings) {
            level.push(match listing.await {
                Ok(children) => sort_out(path, children.names),
                Err(SessionError::NoNode { .. }) => Listed::Gone,
                Err(SessionError::NoAuth { .. }) => Listed::Forbidden,
                Err(fault) => return Err(fault.into()),
            });
        }
    }
    Ok(level)
}

fn sort_out(path: &str, names: Vec<String>) -> Listed {
    let base = path.trim_end_matches('/');
    let (contending, others): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| seat(name).is_some());
    let others = others.iter().filter(|name| !is_note(name)).map(|name| format!("{base}/{name}"));
    Listed::Children { contending, below: others.filter(|path| path != "/zookeeper").collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_are_told_apart() {
        let lock = "0123456789abcdef0123456789abcdef__lock__0000000001".to_owned();
        let names = ["locks", "zooky.0000000001.write.delay", "zookeeper", &lock].map(str::to_owned).to_vec();
        let told = |below: &[&str]| Listed::Children {
            contending: vec![lock.clone()],
            below: below.iter().map(|path| (*path).to_owned()).collect(),
        };
        assert_eq!(sort_out("/", names.clone()), told(&["/locks"]));
        assert_eq!(sort_out("/a", names), told(&["/a/locks", "/a/zookeeper"]));
    }
}
