//! Requests as a careless client would send them, drawn by a seeded dice.

use bytes::Bytes;
use zooky_testkit::Rng;
use zooky_wire::{Acl, Create, CreateKind, CreateMode, MultiOp, Request, perms};

/// Chance, with the words of these tests.
#[derive(Debug)]
pub(crate) struct Dice(Rng);

impl Dice {
    pub(crate) fn new(seed: u64) -> Dice {
        Dice(Rng::new(seed))
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0.below(n)
    }

    fn one<T: Clone>(&mut self, of: &[T]) -> T {
        self.0.pick(of).clone()
    }

    /// True once in `n` times.
    fn rarely(&mut self, n: usize) -> bool {
        self.0.one_in(n)
    }
}

/// What a sequence is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Theme {
    All,
    /// Writes below a quota.
    Quotas,
    /// A user with all rights, and nodes that nobody else may touch.
    Super,
}

/// As [`any`], with more of what the sequence is about.
pub(crate) fn themed(theme: Theme, dice: &mut Dice, top: &str, step: usize) -> Request {
    match (theme, step) {
        (Theme::Quotas, 1) => quota_at(dice, top, 0),
        (Theme::Quotas, 2..) if dice.rarely(3) => quota(dice, top),
        (Theme::Quotas, 2..) if dice.rarely(2) => {
            let (path, version) = (good_path(dice, top), -1);
            if dice.rarely(4) { Request::Delete { path, version } } else { write(dice, path) }
        }
        (Theme::Super, 1) => Request::Auth { kind: 0, scheme: "digest".into(), auth: b"super:test".to_vec() },
        (Theme::Super, 2..) if dice.rarely(5) => {
            let path = dice.one(&["/zookeeper", "/zookeeper/config", "/zookeeper/quota", "/zookeeper/x"]);
            match dice.below(5) {
                0 => Request::SetAcl { path: path.into(), acl: acl(dice), version: 77 },
                1 => Request::GetAcl { path: path.into() },
                2 => Request::Delete { path: path.into(), version: version(dice) },
                3 => Request::SetData { path: path.into(), data: data(dice), version: 77 },
                _ => Request::AddWatch { path: path.into(), mode: dice.one(&[0, 1, -1]) },
            }
        }
        _ => any(dice, top, step),
    }
}

/// A write that makes a node or changes its data.
fn write(dice: &mut Dice, path: String) -> Request {
    let data = dice.one(&[None, Some(Bytes::from_static(b"x")), Some(Bytes::from_static(b"four and more"))]);
    if dice.rarely(2) {
        return Request::SetData { path, data, version: -1 };
    }
    let mode = CreateMode(dice.one(&[0, 0, 0, 1, 2]));
    Request::Create(Create { kind: CreateKind::Create, path, data, acl: Acl::open(), mode })
}

/// The request of a step; the first one makes the node that all others are about.
pub(crate) fn any(dice: &mut Dice, top: &str, step: usize) -> Request {
    if step == 0 {
        return Request::Create(Create {
            kind: CreateKind::Create2,
            path: top.into(),
            data: Some(Bytes::from_static(b"top")),
            acl: Acl::open(),
            mode: CreateMode::PERSISTENT,
        });
    }
    let watch = dice.rarely(2);
    match dice.below(24) {
        0..=5 => Request::Create(create(dice, top)),
        6 | 7 => Request::Delete { path: path(dice, top), version: version(dice) },
        8 | 9 => Request::Exists { path: path(dice, top), watch },
        10 => Request::GetData { path: path(dice, top), watch },
        11 => Request::GetChildren { path: path(dice, top), watch },
        12 => Request::GetChildren2 { path: path(dice, top), watch },
        13 | 14 => Request::SetData { path: path(dice, top), data: data(dice), version: version(dice) },
        15 => Request::GetAcl { path: path(dice, top) },
        16 => Request::SetAcl { path: path(dice, top), acl: acl(dice), version: version(dice) },
        17 | 18 => {
            let parts = dice.below(4);
            Request::Multi((0..parts).map(|_| part(dice, top)).collect())
        }
        19 => Request::AddWatch { path: path(dice, top), mode: dice.one(&[0, 1, 0, 1, 0, 1, 2]) },
        20 => watches(dice, top),
        21 => seldom(dice, top),
        22 => {
            let parts = dice.below(4);
            Request::MultiRead((0..parts).map(|_| read(dice, top)).collect())
        }
        _ => {
            let auth = dice.one(&["ann:secret", "bob:secret", "ann:secret", "nobody", ""]);
            let scheme = if dice.rarely(12) { "ip" } else { "digest" };
            Request::Auth {
                kind: dice.one(&[0, 0, 0, 7]),
                scheme: scheme.into(),
                auth: auth.as_bytes().to_vec(),
            }
        }
    }
}

fn seldom(dice: &mut Dice, top: &str) -> Request {
    match dice.below(10) {
        6..=8 => quota(dice, top),
        9 if dice.rarely(3) => Request::CloseSession,
        9 if dice.rarely(3) => {
            let scheme = dice.one(&["nobody", "world", "sasl", "x509", "auth", "super", ""]);
            Request::Auth { kind: 0, scheme: scheme.into(), auth: b"anyone".to_vec() }
        }
        9 => Request::Check { path: path(dice, top), version: version(dice) },
        0 => Request::GetEphemerals {
            prefix: dice.one(&[top.to_owned(), format!("{top}/a"), "/nowhere".into()]),
        },
        1 => Request::GetAllChildrenNumber { path: path(dice, top) },
        2 => Request::WhoAmI,
        3 => Request::Sync { path: path(dice, top) },
        4 => Request::Delete {
            path: dice.one(&["/", "/zookeeper", "/zookeeper/quota", ""]).into(),
            version: -1,
        },
        _ => Request::SetData {
            path: dice.one(&["/zookeeper/config", "/"]).into(),
            data: data(dice),
            version: 77,
        },
    }
}

/// What a client does to set, see and remove a quota on `top`.
fn quota(dice: &mut Dice, top: &str) -> Request {
    let which = dice.below(5);
    quota_at(dice, top, which)
}

fn quota_at(dice: &mut Dice, top: &str, which: usize) -> Request {
    let node = format!("/zookeeper/quota{top}");
    let (limits, stats) = (format!("{node}/zookeeper_limits"), format!("{node}/zookeeper_stats"));
    let make = |path: &str, data: &'static str| {
        let data = Some(Bytes::from_static(data.as_bytes()));
        let (acl, mode) = (Acl::open(), CreateMode::PERSISTENT);
        MultiOp::Create(Create { kind: CreateKind::Create, path: path.into(), data, acl, mode })
    };
    match which {
        0 | 1 => {
            let first = dice.one(&[&limits, &stats]).clone();
            let second = if first == limits { &stats } else { &limits };
            let data = dice.one(&["count=2,bytes=9", "count=9,bytes=-1=;byteHardLimit=3;countHardLimit=2"]);
            Request::Multi(vec![make(&node, ""), make(&first, data), make(second, "count=0,bytes=0")])
        }
        2 => Request::Delete { path: limits, version: -1 },
        _ => Request::GetData { path: stats, watch: dice.rarely(2) },
    }
}

fn watches(dice: &mut Dice, top: &str) -> Request {
    let kind = dice.one(&[1, 2, 3, 1, 2, 3, 3, 9]);
    match dice.below(4) {
        0 => Request::CheckWatches { path: path(dice, top), kind },
        1 => Request::RemoveWatches { path: path(dice, top), kind },
        _ => {
            let relative_zxid = dice.one(&[0, i64::MAX]);
            let mut paths = || -> Vec<String> { (0..dice.below(3)).map(|_| good_path(dice, top)).collect() };
            let (data, exist, child, persistent, recursive) = (paths(), paths(), paths(), paths(), paths());
            if dice.rarely(2) {
                return Request::SetWatches { relative_zxid, data, exist, child };
            }
            Request::SetWatches2 { relative_zxid, data, exist, child, persistent, recursive }
        }
    }
}

fn create(dice: &mut Dice, top: &str) -> Create {
    let kind = match dice.below(8) {
        0..=2 => CreateKind::Create,
        3..=5 => CreateKind::Create2,
        6 => CreateKind::Container,
        _ => CreateKind::Ttl(dice.one(&[60_000, 1 << 39, 0, -5])),
    };
    let mode = match kind {
        // A negative time with another mode passes the original's check.
        CreateKind::Ttl(-5) => 5,
        CreateKind::Ttl(_) => dice.one(&[5, 6, 5, 6, 0]),
        CreateKind::Container => dice.one(&[4, 4, 4, 0]),
        _ => dice.one(&[0, 0, 0, 1, 1, 2, 3, 0, 0, 1, 2, 3, 4, 5, 9]),
    };
    let acl = if dice.rarely(4) { acl(dice) } else { Acl::open() };
    Create { kind, path: path(dice, top), data: data(dice), acl, mode: CreateMode(mode) }
}

fn part(dice: &mut Dice, top: &str) -> MultiOp {
    match dice.below(5) {
        0 | 1 => MultiOp::Create(create(dice, top)),
        2 => MultiOp::Delete { path: path(dice, top), version: version(dice) },
        3 => MultiOp::SetData { path: path(dice, top), data: data(dice), version: version(dice) },
        _ => MultiOp::Check { path: path(dice, top), version: version(dice) },
    }
}

fn read(dice: &mut Dice, top: &str) -> Request {
    let (path, watch) = (path(dice, top), false);
    if dice.rarely(2) { Request::GetData { path, watch } } else { Request::GetChildren { path, watch } }
}

/// A path below `top`, few enough that they meet.
fn good_path(dice: &mut Dice, top: &str) -> String {
    let below =
        dice.one(&["", "/a", "/a/b", "/a/b/c", "/d", "/e", "/a/s", "/a", "/a/b", "/d", "/s0000000000"]);
    format!("{top}{below}")
}

/// Mostly a good path.
fn path(dice: &mut Dice, top: &str) -> String {
    if dice.below(25) > 0 {
        return good_path(dice, top);
    }
    let bad = dice.one(&["/", "//a", "/../a", "/a/./b", "/\u{1}", "/\u{0}", "/a//b", "/ä", "/\u{ffff}"]);
    dice.one(&[format!("{top}{bad}"), String::new(), "no-slash".into(), format!("{top}/a/")])
}

fn version(dice: &mut Dice) -> i32 {
    dice.one(&[-1, -1, -1, -1, 0, 1, 2, -2])
}

fn data(dice: &mut Dice) -> Option<Bytes> {
    dice.one(&[
        Some(Bytes::from_static(b"data")),
        Some(Bytes::new()),
        None,
        Some(Bytes::from_static(b"more data")),
    ])
}

fn acl(dice: &mut Dice) -> Vec<Acl> {
    dice.one(&[
        Acl::open(),
        vec![Acl::new(perms::READ, "world", "anyone")],
        vec![Acl::new(perms::ALL, "auth", "")],
        vec![],
        vec![
            Acl::new(perms::ALL, "digest", "ann:hash"),
            Acl::new(perms::READ | perms::CREATE, "world", "anyone"),
        ],
        vec![Acl::new(perms::ALL, "digest", "no-colon")],
        vec![Acl::new(perms::ALL, "nobody", "x")],
        vec![Acl::new(perms::ALL, "ip", "127.0.0.1")],
        vec![Acl::new(perms::ALL, "ip", "10.0.0.0/8"), Acl::new(perms::ADMIN, "world", "anyone")],
        vec![Acl::new(perms::ALL, "ip", "300.0.0.0")],
        vec![Acl::new(perms::READ, "world", "anyone"), Acl::new(perms::READ, "world", "anyone")],
        vec![Acl::new(64, "world", "anyone")],
        vec![Acl::new(perms::ALL, "world", "everyone")],
    ])
}
