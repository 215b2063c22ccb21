//! What time does: sessions end, and nodes go that nobody owns.

use std::collections::BTreeSet;

use zooky_server::core::{Input, Output};
use zooky_wire::{OpCode, Txn, TxnRecord};

use super::Sim;
use super::serving::appended;

/// How often the server looks at containers and TTL nodes.
pub(super) const LOOK_MS: u64 = 250;

impl Sim {
    /// Time is looked at: exactly the sessions whose whole timeout has passed are over, and exactly those containers and TTL
    /// nodes go that have had their time, if it is time to look at them.
    pub(super) fn tick(&mut self) {
        let Some(server) = &self.server else { return };
        let due = self.due();
        if server.core.next_tick().is_none_or(|at| at > self.now.mono_ms) {
            assert!(due.is_empty(), "a session outlives its timeout");
            return assert!(!self.is_time_to_look(), "containers and TTL nodes are not looked at");
        }
        let mut due: BTreeSet<i64> = due.into_iter().collect();
        self.tick_once(&mut due);
        // Of many that are over together a tick ends some, and asks for the next one at once.
        while !due.is_empty() {
            let before = due.len();
            self.tick_once(&mut due);
            assert!(due.len() < before, "their time is over, and they go on: {due:?}");
        }
    }

    /// Takes those that it ends off `due`.
    fn tick_once(&mut self, due: &mut BTreeSet<i64>) {
        let out = self.step(Input::Tick);
        let logged = appended(&out);
        let is_end = |record: &&TxnRecord| matches!(record.txn, Txn::CloseSession { .. });
        let (ended, reaped) = logged.split_at(logged.iter().take_while(is_end).count());
        for record in ended {
            assert!(due.remove(&record.header.client_id), "a session ends before its time");
            self.session_ends(record, &out);
        }
        let asks = |sim: &Sim| sim.server.as_ref().and_then(|server| server.core.next_tick());
        assert!(
            due.is_empty() || asks(self).is_some_and(|at| at <= self.now.mono_ms),
            "nobody will end {due:?}"
        );
        let mut due = BTreeSet::new();
        if self.is_time_to_look() {
            self.next_look_ms = self.now.mono_ms + LOOK_MS;
            due = self.world.model.over(self.now.wall_ms);
        }
        for record in reaped {
            let Txn::Delete { path } = &record.txn else { panic!("{record:?}") };
            assert_eq!((record.header.client_id, record.header.kind), (0, OpCode::DELETE_CONTAINER));
            assert!(due.remove(path), "{path} goes before its time");
            self.world.model.reap(path);
            self.tells(record, &out, false);
            self.history.push(self.world.clone());
        }
        assert!(due.is_empty(), "their time is over, and they stay: {due:?}");
    }

    fn is_time_to_look(&self) -> bool {
        self.next_look_ms <= self.now.mono_ms && self.world.model.has_mortals()
    }

    fn session_ends(&mut self, record: &TxnRecord, out: &[Output]) {
        let session = record.header.client_id;
        let number = self.world.sessions.get(&session).map(|s| s.0).expect("it ends once");
        self.world.model.end_session(number);
        self.world.sessions.remove(&session);
        self.tells(record, out, true);
        self.world.model.forget_watches(number);
        self.attached.retain(|_, s| *s != session);
        self.history.push(self.world.clone());
    }

    /// The events of a transaction stand behind it, and it is the next one.
    fn tells(&mut self, record: &TxnRecord, out: &[Output], any_order: bool) {
        assert_eq!(record.header.zxid, self.world.model.zxid);
        let own = events_of(out, record.header.zxid);
        self.check_events(&own, any_order, false);
    }

    fn due(&self) -> Vec<i64> {
        let sessions = self.world.sessions.iter();
        let over = sessions.filter(|(id, (_, timeout))| self.heard_ms[id] + timeout < self.now.mono_ms);
        over.map(|(&id, _)| id).collect()
    }
}

/// What stands behind the transaction with this number, up to the next one.
fn events_of(out: &[Output], zxid: i64) -> Vec<Output> {
    let is_it = |output: &Output| matches!(output, Output::Append(r) if r.header.zxid == zxid);
    let behind = out.iter().skip_while(|output| !is_it(output)).skip(1);
    behind.take_while(|output| !matches!(output, Output::Append(_))).cloned().collect()
}
