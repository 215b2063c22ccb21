//! What a client sees, judged by what it saw before.

use bytes::Bytes;
use zooky_server::core::ConnId;
use zooky_wire::{ConnectResponse, ErrorCode, Reader, ReplyHeader, Request, Response, WatcherEvent, xid};

use super::Sim;
use super::client::{Session, Watch};
use crate::core_model_reference::Mode;

impl Sim {
    /// A client takes some of what has arrived.
    pub(super) fn client_reads(&mut self) {
        let Some(conn) = self.any_link() else { return };
        for _ in 0..1 + self.rng.below(8) {
            self.client_reads_from(conn);
        }
    }

    /// Takes one frame; false if there was none.
    pub(super) fn client_reads_from(&mut self, conn: ConnId) -> bool {
        let Some(link) = self.links.get_mut(&conn).filter(|link| !link.deserted) else { return false };
        let client = link.client;
        match link.to_client.pop_front() {
            None => false,
            Some(None) => {
                self.links.remove(&conn);
                assert!(self.clients[client].greeted, "client {client} is turned away without a word");
                self.clients[client].cut_off();
                true
            }
            Some(Some(frame)) => {
                self.sees(client, conn, &frame);
                true
            }
        }
    }

    fn sees(&mut self, client: usize, conn: ConnId, frame: &Bytes) {
        let mut r = Reader::new(&frame[4..]);
        if !self.clients[client].greeted {
            let answer = ConnectResponse::decode(&mut r).unwrap();
            return self.sees_greeting(client, &answer);
        }
        let header = ReplyHeader::decode(&mut r).unwrap();
        if header.xid == xid::EVENT {
            let event = WatcherEvent::decode(&mut r).unwrap();
            self.trace.note(format!("client {client} is told {event:?}"));
            // What was missed is told of no moment.
            let now = usize::try_from(header.zxid).ok().map(|zxid| &self.history[zxid].model);
            let was_set = self.clients[client].event(event.kind, &event.path, now);
            assert!(was_set || self.clients[client].replaying, "an event twice, or for nobody: {event:?}");
            return;
        }
        let (number, request) = self.clients[client].outstanding.pop_front().expect("it was asked");
        assert_eq!(header.xid, number, "client {client}: answers out of order on {conn:?}");
        self.trace.note(format!("client {client} reads {number} {:?} at {:#x}", header.err, header.zxid));
        assert!(header.zxid >= self.clients[client].last_zxid, "zxid goes back");
        self.clients[client].last_zxid = header.zxid;
        if header.xid == xid::SET_WATCHES {
            self.clients[client].replaying = false;
            self.has_set_again(client, &request);
        }
        self.check_watches(client);
        let result = match header.err {
            ErrorCode::OK => Ok(Response::decode(request.op(), &mut r).unwrap()),
            err => Err(err),
        };
        self.learns(client, &request, &result);
    }

    fn sees_greeting(&mut self, client: usize, answer: &ConnectResponse) {
        self.trace.note(format!("client {client} has session {:#x}", answer.session_id));
        self.clients[client].greeted = true;
        if answer.timeout_ms == 0 {
            let id = self.clients[client].session.as_ref().map_or(0, |s| s.id);
            assert!(!self.world.sessions.contains_key(&id), "a living session is called dead");
            return self.clients[client].session_over();
        }
        let session = Session { id: answer.session_id, password: answer.password.clone() };
        self.clients[client].session = Some(session);
        if !self.clients[client].watches.is_empty() {
            self.clients[client].replaying = true;
            let request = self.clients[client].set_watches();
            self.ask(client, request);
        }
    }

    /// No watch that is still waited for has missed anything up to what the client has just seen.
    fn check_watches(&self, client: usize) {
        let client = &self.clients[client];
        if client.replaying {
            return;
        }
        let model = &self.history[client.last_zxid as usize].model;
        for ((path, of_children), watch) in &client.watches {
            assert!(
                watch.is_up_to(model, path, *of_children),
                "{path} (children: {of_children}) changed without an event: {watch:?}"
            );
        }
    }

    /// Watches that stay are set for what comes from now on; what was missed is not told of.
    fn has_set_again(&mut self, client: usize, request: &Request) {
        let Request::SetWatches2 { persistent, recursive, .. } = request else { return };
        persistent.iter().for_each(|path| self.watches_all(client, path, Mode::Persistent));
        recursive.iter().for_each(|path| self.watches_all(client, path, Mode::Recursive));
    }

    fn watches_all(&mut self, client: usize, path: &str, mode: Mode) {
        [false, true].into_iter().for_each(|of_children| self.watches(client, path, of_children, mode));
    }

    fn watches(&mut self, client: usize, path: &str, of_children: bool, mode: Mode) {
        let model = &self.history[self.clients[client].last_zxid as usize].model;
        let watch = Watch::new(mode, model, path, of_children);
        self.clients[client].watches.insert((path.to_owned(), of_children), watch);
    }

    fn learns(&mut self, client: usize, request: &Request, result: &Result<Response, ErrorCode>) {
        let zxid = self.clients[client].last_zxid;
        let (path, of_children) = match (request, result) {
            (Request::Exists { path, watch: true }, Ok(_) | Err(ErrorCode::NO_NODE)) => (path, false),
            (Request::GetData { path, watch: true }, Ok(_)) => (path, false),
            (Request::GetChildren2 { path, watch: true }, Ok(_)) => (path, true),
            (Request::AddWatch { path, mode }, Ok(_)) => {
                return self.watches_all(client, path, Mode::from_wire(*mode).expect("it was accepted"));
            }
            (Request::RemoveWatches { path, kind }, Ok(_)) => {
                let watches = &mut self.clients[client].watches;
                return watches.retain(|(watched, of_children), _| {
                    watched != path || *kind == if *of_children { 2 } else { 1 }
                });
            }
            (Request::CloseSession, Ok(_)) => return self.clients[client].session_over(),
            (Request::Create(create), Ok(Response::Path(made) | Response::PathStat(made, _)))
                if create.mode.is_sequential() =>
            {
                let parent = zooky_wire::parent(made).unwrap();
                let born = self.history[zxid as usize].model.node(parent).map_or(0, |(_, stat)| stat.czxid);
                let is_new = self.sequences.insert((born, made.clone()));
                return assert!(is_new, "{made} is given twice");
            }
            _ => return,
        };
        self.watches(client, path, of_children, Mode::OneShot);
    }
}
