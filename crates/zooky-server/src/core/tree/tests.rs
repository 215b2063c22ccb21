//! What the mutators leave, and that they can be taken back.

use super::*;

fn tree() -> Tree {
    Tree::new(Hashing::new(3))
}

fn make(tree: &mut Tree, path: &str, zxid: i64) -> Change {
    let parent = tree.need(parent(path).unwrap()).unwrap();
    let cversion = tree.node(parent).stat.cversion + 1;
    tree.create(path, None, &Acl::open(), Lifetime::Persistent, cversion, zxid, 0).unwrap()
}

#[test]
fn the_last_cversion_sticks() {
    let mut tree = tree();
    tree.node_mut(ROOT).stat.cversion = i32::MAX;
    tree.create("/a", None, &Acl::open(), Lifetime::Persistent, i32::MIN, 5, 0).unwrap();
    assert_eq!(tree.node(ROOT).stat.cversion, i32::MAX);
    assert_eq!(tree.node(ROOT).stat.pzxid, 0);
}

#[test]
fn replays_are_tolerated() {
    let mut tree = tree();
    make(&mut tree, "/a", 1);
    make(&mut tree, "/a/b", 2);
    let again = tree.create("/a/b", None, &Acl::creator_all(), Lifetime::Persistent, 7, 9, 0);
    assert_eq!(again.unwrap_err(), ErrorCode::NODE_EXISTS);
    let a = tree.find("/a").unwrap();
    assert_eq!((tree.node(a).stat.cversion, tree.node(a).stat.pzxid), (7, 9));
    assert_eq!(tree.acl(tree.find("/a/b").unwrap()), Acl::creator_all());
    assert_eq!(tree.delete("/a/c", 11).unwrap_err(), ErrorCode::NO_NODE);
    assert_eq!(tree.node(a).stat.pzxid, 11, "a deletion that is done already still counts");
    assert_eq!(tree.delete("/a/c", 10).unwrap_err(), ErrorCode::NO_NODE);
    assert_eq!(tree.node(a).stat.pzxid, 11);
    tree.delete("/a", 12).unwrap();
    assert_eq!(tree.len(), 1, "what was below is gone too");
    assert_eq!(tree.data_size(), 1);
}

#[test]
fn undo_restores_everything() {
    let mut tree = tree();
    for (zxid, path) in ["/a", "/b", "/c"].into_iter().enumerate() {
        make(&mut tree, path, zxid as i64 + 1);
    }
    let before = format!("{tree:?}");
    let mut done = vec![
        tree.delete("/a", 9).unwrap(),
        tree.create("/a", Some(b"x"), &Acl::creator_all(), Lifetime::Ephemeral(5), 9, 9, 1).unwrap(),
        tree.set_data("/b", Some(b"yy"), 4, 9, 1).unwrap(),
        tree.set_acl("/c", &Acl::creator_all(), 2).unwrap(),
        tree.delete("/b", 9).unwrap(),
    ];
    assert_eq!(tree.ephemerals(5).len(), 1);
    while let Some(change) = done.pop() {
        tree.undo(change);
    }
    tree.forget_owner(5);
    assert_eq!(tree.nodes.len(), 4);
    assert_eq!(tree.data_size(), 7);
    assert_eq!(tree.acls.iter().count(), 0);
    assert_eq!(tree.ephemeral_count(), 0);
    // The same nodes in the same places; only the ACL table has grown a free entry.
    let nodes = |text: &str| text.split("index:").next().unwrap().to_owned();
    assert_eq!(nodes(&format!("{tree:?}")), nodes(&before));
}
