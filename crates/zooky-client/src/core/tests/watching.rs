//! Watches that nobody wants any more, and watches of whole trees.

use super::*;
use crate::core::Target;
use crate::session::State;

impl Play {
    /// Asks for a watch of what is at `/d` and below, and lets the server set it.
    fn tree(&mut self, name: &'static str) -> Waiter {
        let one = waiter(name);
        self.ask(name, Request::AddWatch { path: "/d".into(), mode: 1 }, Some(one.clone()));
        self.serve(1);
        one
    }

    fn children(&mut self, name: &'static str) -> Waiter {
        let one = waiter(name);
        self.ask(name, Request::GetChildren { path: "/d".into(), watch: true }, Some(one.clone()));
        one
    }

    /// It gives up.
    fn forget(&mut self, gone: &Waiter, path: &str, target: Target) -> Vec<Request> {
        gone.1.set(true);
        self.core.forget(self.now, path, target);
        self.written().into_iter().map(|(_, request)| request).collect()
    }

    /// Who was told what so far, and forgets that.
    fn told(&mut self) -> Vec<String> {
        let events = self.out.drain(..).filter_map(|output| match output {
            Output::Event(Waiter(name, _), Ok(event)) => {
                Some(format!("{name}: {:?} {}", event.kind, event.path))
            }
            Output::Event(Waiter(name, _), Err(error)) => Some(format!("{name}: {error:?}")),
            _ => None,
        });
        events.collect()
    }
}

fn removal(path: &str, kind: i32) -> Request {
    Request::RemoveWatches { path: path.into(), kind }
}

#[test]
fn the_last_one_who_gives_up_has_the_watch_removed() {
    let mut play = Play::open(settings());
    let (first, second) = (waiter("first"), waiter("second"));
    for one in [&first, &second] {
        play.ask("ask", Request::GetData { path: "/g".into(), watch: true }, Some(one.clone()));
    }
    play.serve(1);
    assert!(play.forget(&first, "/g", Target::Node).is_empty(), "the second one still waits");
    assert_eq!(play.forget(&second, "/g", Target::Node), [removal("/g", 2)]);
    play.out.clear();
    play.event(EventType::DELETED, "/g");
    assert!(play.out.is_empty());
}

#[test]
fn a_watch_that_is_being_set_is_not_removed() {
    let mut play = Play::open(settings());
    let first = play.children("first");
    play.serve(1);
    // On the wire the removal would come after it, and take it away.
    let second = play.children("second");
    assert!(
        play.forget(&first, "/d", Target::Children)
            .iter()
            .all(|it| !matches!(it, Request::RemoveWatches { .. }))
    );
    play.reply(2, 2, ErrorCode::OK, &Response::Names(vec![]));
    assert_eq!(play.forget(&second, "/d", Target::Children), [removal("/d", 1)]);
}

#[test]
fn whoever_gives_up_before_the_answer_has_it_removed_after() {
    let mut play = Play::open(settings());
    let goes = waiter("goes");
    play.ask("goes", Request::Exists { path: "/e".into(), watch: true }, Some(goes.clone()));
    play.written();
    assert!(play.forget(&goes, "/e", Target::Node).is_empty());
    play.reply(1, 1, ErrorCode::NO_NODE, &Response::Empty);
    assert_eq!(play.written(), [(2, removal("/e", 2))]);
}

#[test]
fn a_deletion_under_way_takes_the_watch_along() {
    let mut play = Play::open(settings());
    let own = waiter("own");
    play.ask("own", Request::GetData { path: "/g".into(), watch: true }, Some(own.clone()));
    play.serve(1);
    play.ask("delete", Request::Delete { path: "/g".into(), version: -1 }, None);
    assert!(matches!(play.forget(&own, "/g", Target::Node)[..], [Request::Delete { .. }]));
}

#[test]
fn without_a_connection_there_is_nothing_to_remove() {
    let mut play = Play::open(settings());
    let goes = play.children("goes");
    play.serve(1);
    play.lose_connection();
    assert!(play.forget(&goes, "/d", Target::Children).is_empty());
    play.attach();
    play.welcome(7, T_MS);
    assert!(play.written().iter().all(|(_, request)| request.op() == OpCode::SYNC));
}

#[test]
fn a_tree_is_told_of_all_below_it_again_and_again() {
    let mut play = Play::open(settings());
    play.tree("tree");
    play.out.clear();
    play.event(EventType::CREATED, "/d/a");
    play.event(EventType::DELETED, "/d/a");
    play.event(EventType::DATA_CHANGED, "/d/a/b");
    play.event(EventType::DELETED, "/d");
    play.event(EventType::CREATED, "/other");
    play.event(EventType::CREATED, "/dd");
    let told = play.told();
    assert_eq!(told.len(), 4, "{told:?}");
    let wanted = [EventType::CREATED, EventType::DELETED, EventType::DATA_CHANGED, EventType::DELETED];
    for ((line, kind), path) in told.iter().zip(wanted).zip(["/d/a", "/d/a", "/d/a/b", "/d"]) {
        assert_eq!(*line, format!("tree: {kind:?} {path}"));
    }
}

#[test]
fn a_tree_ends_with_its_connection_before_any_answer_does() {
    let mut play = Play::open(settings());
    play.tree("tree");
    play.get("under way");
    play.out.clear();
    play.lose_connection();
    assert!(matches!(
        &play.out[..],
        [
            Output::Event(Waiter("tree", _), Err(Error::ConnectionLoss { path })),
            Output::Reply("under way", Err(_)),
            Output::State(State::Suspended)
        ] if path == "/d"
    ));
    play.attach();
    play.welcome(7, T_MS);
    assert!(play.written().iter().all(|(_, request)| request.op() == OpCode::SYNC), "it was not set again");
    play.out.clear();
    play.event(EventType::CREATED, "/d/a");
    assert!(play.out.is_empty());
}

#[test]
fn the_last_watcher_of_a_tree_has_it_removed() {
    let mut play = Play::open(settings());
    let (first, second) = (play.tree("first"), play.tree("second"));
    assert!(play.forget(&first, "/d", Target::Tree).is_empty());
    assert_eq!(play.forget(&second, "/d", Target::Tree), [removal("/d", 3)]);
}

#[test]
fn one_node_has_one_kind_of_watch() {
    let mut play = Play::open(settings());
    play.children("children");
    play.ask("tree", Request::AddWatch { path: "/d".into(), mode: 1 }, Some(waiter("tree")));
    assert_eq!(play.failure("tree"), Some(Error::Watched { path: "/d".into() }), "one is being set");
    play.serve(1);
    play.ask("again", Request::AddWatch { path: "/d".into(), mode: 1 }, Some(waiter("tree")));
    assert_eq!(play.failure("again"), Some(Error::Watched { path: "/d".into() }), "one is set");
    play.event(EventType::CHILDREN_CHANGED, "/d");
    play.tree("tree");
    play.out.clear();
    play.children("children");
    assert_eq!(play.told(), [r#"tree: Watched { path: "/d" }"#], "a new one takes the tree's place");
}

#[test]
fn a_one_shot_watch_on_the_heels_of_a_tree_ends_it() {
    let mut play = Play::open(settings());
    play.ask("tree", Request::AddWatch { path: "/d".into(), mode: 1 }, Some(waiter("tree")));
    play.children("children");
    play.out.clear();
    play.serve(1);
    assert_eq!(play.told(), [r#"tree: Watched { path: "/d" }"#]);
    play.event(EventType::CREATED, "/d/a");
    assert!(play.told().is_empty());
}

/// As Apache's does: its answer overtakes that of a write, and then the connection is closed.
#[test]
fn a_server_that_does_not_know_trees_says_so_out_of_turn() {
    let mut play = Play::open(settings());
    play.ask("write", Request::Delete { path: "/g".into(), version: -1 }, None);
    play.ask("tree", Request::AddWatch { path: "/d".into(), mode: 1 }, Some(waiter("tree")));
    play.written();
    play.reply(2, -1, ErrorCode::UNIMPLEMENTED, &Response::Empty);
    assert!(matches!(play.failure("tree"), Some(Error::Server { code: ErrorCode::UNIMPLEMENTED, .. })));
    assert!(!play.said("Disconnect"));
    play.lose_connection();
    assert_eq!(play.failure("write"), loss("/g"));
}

#[test]
fn the_session_s_end_is_told_to_trees_too() {
    let mut play = Play::open(settings());
    play.tree("tree");
    play.out.clear();
    play.core.close(play.now, &mut play.out);
    assert_eq!(play.told(), ["tree: Closed"]);
}
