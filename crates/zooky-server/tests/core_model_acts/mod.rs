//! What the clients of the core do at random, and time with them.

use bytes::Bytes;
use proptest::prelude::*;
use zooky_wire::{Acl, Create, CreateKind, CreateMode, MultiOp, Request};

use crate::core_model_reference::{hiding_acls, readable_acls};

#[derive(Debug, Clone)]
pub(crate) enum Act {
    Ask(Request),
    /// Sets watches as they were so many transactions ago.
    SetAgain {
        back: i64,
        /// Of data, existence and children, that stay, and that reach down.
        lists: [Vec<String>; 5],
        with_those_that_stay: bool,
    },
    /// So many milliseconds, in which no session ends.
    TimePasses(u64),
    Reconnect,
    Close,
    FallSilent,
}

fn path() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "/a",
        "/b",
        "/a/x",
        "/a/y",
        "/b/x",
        "/a/x/p",
        "/a/s0000000001",
        "/",
        "/a/",
        "q",
        "/zookeeper",
    ])
    .prop_map(str::to_owned)
}

fn data() -> impl Strategy<Value = Option<Bytes>> {
    prop::option::of(prop::collection::vec(any::<u8>(), 0..4).prop_map(Bytes::from))
}

fn acl() -> impl Strategy<Value = Vec<Acl>> {
    prop_oneof![
        2 => Just(Acl::open()),
        2 => prop::sample::select(readable_acls()),
        1 => prop::sample::select(hiding_acls()),
    ]
}

fn create() -> impl Strategy<Value = Create> {
    use CreateKind::{Container, Create2, Ttl};
    let how = prop_oneof![
        // 9 is no mode.
        12 => (prop::sample::select(vec![CreateKind::Create, Create2]), prop::sample::select(vec![0, 0, 1, 2, 3, 9])),
        3 => Just((Container, 4)),
        3 => (prop::sample::select(vec![1, 700, 1 << 39]).prop_map(Ttl), prop::sample::select(vec![5, 6])),
        // Kind and mode do not go together, or the time to live is none.
        1 => prop::sample::select(vec![(Create2, 4), (Container, 1), (CreateKind::Create, 5), (Ttl(5), 0), (Ttl(0), 5)]),
    ];
    let acl = prop_oneof![6 => Just(Acl::open()), 1 => acl()];
    (how, path(), data(), acl).prop_map(|((kind, mode), path, data, acl)| {
        let mode = CreateMode(mode);
        Create { kind, path, data, acl, mode }
    })
}

fn write() -> impl Strategy<Value = MultiOp> {
    let version = || prop::sample::select(vec![-1, -1, 0, 1]);
    prop_oneof![
        4 => create().prop_map(MultiOp::Create),
        2 => (path(), version()).prop_map(|(path, version)| MultiOp::Delete { path, version }),
        2 => (path(), data(), version())
            .prop_map(|(path, data, version)| MultiOp::SetData { path, data, version }),
        1 => (path(), version()).prop_map(|(path, version)| MultiOp::Check { path, version }),
    ]
}

fn request() -> impl Strategy<Value = Request> {
    let single = write().prop_map(|op| match op {
        MultiOp::Create(create) => Request::Create(create),
        MultiOp::Delete { path, version } => Request::Delete { path, version },
        MultiOp::SetData { path, data, version } => Request::SetData { path, data, version },
        check @ MultiOp::Check { .. } => Request::Multi(vec![check]),
    });
    prop_oneof![
        8 => single,
        3 => prop::collection::vec(write(), 0..5).prop_map(Request::Multi),
        3 => (path(), prop::bool::weighted(0.8)).prop_map(|(path, watch)| Request::Exists { path, watch }),
        3 => (path(), prop::bool::weighted(0.8)).prop_map(|(path, watch)| Request::GetData { path, watch }),
        3 => (path(), prop::bool::weighted(0.8)).prop_map(|(path, watch)| Request::GetChildren2 { path, watch }),
        // 2 is no mode.
        2 => (path(), 0..3).prop_map(|(path, mode)| Request::AddWatch { path, mode }),
        // 4 is no kind.
        2 => (path(), 1..5).prop_map(|(path, kind)| Request::RemoveWatches { path, kind }),
        2 => (path(), 1..5).prop_map(|(path, kind)| Request::CheckWatches { path, kind }),
        1 => (path(), acl(), prop::sample::select(vec![-1, -1, -1, 0, 1]))
            .prop_map(|(path, acl, version)| Request::SetAcl { path, acl, version }),
        1 => path().prop_map(|path| Request::GetAcl { path }),
        1 => Just(Request::Ping),
    ]
}

fn set_again() -> impl Strategy<Value = Act> {
    // All of them are sometimes more than the core sets in one step.
    let list = || prop::collection::vec(path(), 0..20);
    let lists = [list(), list(), list(), list(), list()];
    (0..9i64, lists, any::<bool>()).prop_map(|(back, lists, with_those_that_stay)| Act::SetAgain {
        back,
        lists,
        with_those_that_stay,
    })
}

pub(crate) fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        20 => request().prop_map(Act::Ask),
        1 => set_again(),
        2 => prop::sample::select(vec![1, 800, 2_500, 3_900]).prop_map(Act::TimePasses),
        1 => Just(Act::Reconnect),
        1 => Just(Act::Close),
        1 => Just(Act::FallSilent),
    ]
}
