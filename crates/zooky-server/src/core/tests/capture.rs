//! A snapshot shows one moment, whatever happens while it is taken.

use super::*;

/// Numbers that look random.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// One change at random, refused ones included.
fn change(b: &mut Bench, conn: ConnId, dice: &mut Dice) {
    let paths: Vec<String> = b.core.image().nodes().map(|node| node.path.to_owned()).collect();
    let path = paths[dice.roll(paths.len() as u64) as usize].clone();
    let acl = vec![Acl::new(31, "world", "anyone"), Acl::new(1, "ip", format!("10.0.0.{}", dice.roll(9)))];
    let make = |path: &str, mode| create(&format!("{path}/n{:x}", dice.0 >> 50), mode, acl.clone());
    let (one, two) = (make(&path, CreateMode::PERSISTENT), make(&path, CreateMode::EPHEMERAL));
    let data = Some(vec![7; dice.roll(99) as usize].into());
    let set = Request::SetData { path: path.clone(), data, version: -1 };
    let request = match dice.roll(9) {
        0..3 => one,
        3 => two,
        4 => set,
        5 => Request::SetAcl { path, acl, version: -1 },
        _ => Request::Delete { path, version: -1 },
    };
    b.send(conn, &request);
}

/// Sessions, ACLs and nodes as one text.
fn image(core: &Core) -> String {
    let image = core.image();
    let mut text = format!("{} {:?}\n", image.last_zxid(), image.sessions());
    image.acls().iter().for_each(|acl| text += &format!("{:?}\n", Piece::Acl(acl.0, acl.1)));
    image.nodes().for_each(|node| text += &format!("{:?}\n", Piece::Node(node)));
    text
}

#[test]
fn a_capture_is_the_state_of_its_beginning() {
    for seed in 0..300 {
        let mut dice = Dice(seed);
        let mut b = Bench::new();
        let (stays, goes) = (b.client(), b.client());
        for _ in 0..40 {
            let conn = if dice.roll(2) == 0 { stays } else { goes };
            change(&mut b, conn, &mut dice);
        }
        let expected = image(&b.core);
        let head = b.core.begin_capture();
        assert_eq!(head.acls, b.core.image().acls().len());
        let mut text = format!("{} {:?}\n", head.zxid, head.sessions);
        loop {
            for _ in 0..dice.roll(4) {
                change(&mut b, stays, &mut dice);
            }
            if dice.roll(20) == 0 {
                b.send(goes, &Request::CloseSession);
            }
            if !b.core.capture_next(|piece| text += &format!("{piece:?}\n")) {
                break;
            }
        }
        assert_eq!(text, expected, "seed {seed}");
        assert!(!b.core.capture_next(|_| panic!("it is over")));
        // What was kept for the capture is gone with it: the next one, and a replay, agree with the state.
        let mut again = Core::new(config());
        b.log.iter().for_each(|record| again.replay(record).unwrap());
        assert_eq!(dump(&again), b.dump(), "seed {seed}");
        let now = image(&b.core);
        let head = b.core.begin_capture();
        let mut text = format!("{} {:?}\n", head.zxid, head.sessions);
        while b.core.capture_next(|piece| text += &format!("{piece:?}\n")) {}
        assert_eq!(text, now, "seed {seed}");
    }
}

#[test]
fn an_acl_that_a_snapshot_does_not_list_comes_from_the_log() {
    let mut b = Bench::new();
    let conn = b.client();
    b.make(conn, "/a");
    let before = b.log.len();
    let acl = vec![Acl::new(31, "ip", "10.0.0.7")];
    b.ask(conn, &create("/a/late", CreateMode::PERSISTENT, acl.clone())).unwrap();
    let nodes: Vec<RestoredNode> = b
        .core
        .image()
        .nodes()
        .map(|n| RestoredNode {
            path: n.path.to_owned(),
            data: n.data.map(Bytes::copy_from_slice),
            acl: if n.path == "/a/late" { 77 } else { n.acl },
            stat: n.stat,
        })
        .collect();
    // As a server's that was at it while the node was made: the ACLs of the beginning, the node of the end.
    let acls: Vec<_> = b.core.image().acls().into_iter().filter(|(_, list)| *list != &acl[..]).collect();
    let acls: Vec<(i64, Vec<Acl>)> = acls.into_iter().map(|(id, list)| (id, list.to_vec())).collect();
    let zxid = b.log[before - 1].header.zxid;
    let restore = || Core::restore(config(), zxid, b.core.image().sessions(), acls.clone(), nodes.clone());
    let mut without = restore().unwrap();
    assert!(matches!(without.check_restored(), Err(RestoreError::UnknownAcl { acl: 77, .. })));
    let mut with = restore().unwrap();
    b.log[before..].iter().for_each(|record| with.replay(record).unwrap());
    with.check_restored().unwrap();
    assert_eq!(dump(&with), b.dump());
}
