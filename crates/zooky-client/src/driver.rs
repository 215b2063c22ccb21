//! The one task behind a session: it carries bytes between the core and the connection, and moments to the core.
//!
//! Each pass takes everything that was asked and everything that has come, and then writes once. So requests made
//! back to back leave together, and a burst of answers is handed out before anything is waited for again.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::sync::oneshot;
use tracing::debug;

use crate::boottime::{BootInstant, BootTimer};
use crate::config::SessionConfig;
use crate::core::{Core, Output, Settings};
use crate::error::{ConnectError, Error};
use crate::failures::ConnectFailures;
use crate::link::Stream;
use crate::machine::Arrivals;
use crate::pending::ReplySender;
use crate::servers::Server;
use crate::session::State;
use crate::shared::{Ask, Shared, WatchSender};
use crate::tls::TlsConfig;

type Outputs = Vec<Output<ReplySender, WatchSender>>;
type Opened = Result<(i64, Duration), ConnectError>;

/// Starts a session's task and waits until the session is open.
pub(crate) async fn start(config: SessionConfig) -> Result<(Arc<Shared>, i64, Duration), ConnectError> {
    let local = |why: String| ConnectError::Local { why };
    let runtime = tokio::runtime::Handle::try_current().map_err(|error| local(error.to_string()))?;
    let seed = getrandom::u64().map_err(|error| local(error.to_string()))?;
    let timer = BootTimer::new().map_err(|error| local(format!("no timer on CLOCK_BOOTTIME: {error}")))?;
    let start = BootInstant::now();
    if config.auth.iter().any(|(scheme, _)| is_sasl(scheme)) {
        return Err(ConnectError::SaslUnsupported);
    }
    if let Some(tls) = &config.tls {
        for server in &config.servers.servers {
            tls.name_for(&server.host)?;
        }
    }
    let servers = config.servers.to_string();
    // The caller's may tell of other sessions, too.
    let failures = ConnectFailures::default();
    let shared = Arc::new(Shared::new(config.servers.chroot.clone(), config.max_outstanding));
    let (opened, answer) = oneshot::channel();
    let settings = Settings {
        servers: config.servers.servers.len(),
        chroot: config.servers.chroot,
        timeout: config.timeout,
        margin: config.margin,
        auth: config.auth,
        max_outstanding: config.max_outstanding,
        max_request: config.max_request,
        max_reply: config.max_reply,
        seed,
    };
    let driver = Driver {
        core: Core::new(start, settings),
        shared: shared.clone(),
        servers: config.servers.servers,
        tls: config.tls,
        failures: [failures.clone(), config.failures],
        arrivals: config.arrivals,
        noted: false,
        timer,
        connection: Connection::None,
        server: 0,
        bytes: BytesMut::new(),
        unflushed: false,
        asks: Vec::new(),
        outputs: Vec::new(),
        closers: Vec::new(),
        opened: Some(opened),
        deadline: BootInstant::NEVER,
        over: false,
    };
    let driver = Arc::new(Mutex::new(driver));
    shared.driven_by(Arc::downgrade(&driver));
    // Others have it for the time of a write at most.
    runtime.spawn(std::future::poll_fn(move |cx| {
        driver.lock().unwrap_or_else(PoisonError::into_inner).poll(cx)
    }));

    let unless_dropped = CloseOnDrop(Some(shared.clone()));
    let opened = tokio::select! {
        biased;
        answer = answer => answer.unwrap_or_else(|_| Err(local("the runtime is shutting down".to_owned()))),
        slept = (start + config.connect_timeout).sleep_until() => {
            slept.map_err(|error| local(error.to_string()))?;
            let last = failures.to_string();
            let last = if last.is_empty() { "no answer".to_owned() } else { last };
            Err(ConnectError::Timeout { servers, waited: config.connect_timeout, last })
        }
    };
    let (id, timeout) = opened?;
    unless_dropped.keep();
    Ok((shared, id, timeout))
}

/// SASL is a dialogue, and no identity that could be handed in.
pub(crate) fn is_sasl(scheme: &str) -> bool {
    scheme.eq_ignore_ascii_case("sasl")
}

/// Closes a session that nobody got.
struct CloseOnDrop(Option<Arc<Shared>>);

impl CloseOnDrop {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        if let Some(shared) = self.0.take() {
            shared.close(None);
        }
    }
}

enum Connection {
    None,
    Opening(Pin<Box<dyn Future<Output = io::Result<Stream>> + Send>>),
    Open(Stream),
}

pub(crate) struct Driver {
    core: Core<ReplySender, WatchSender>,
    shared: Arc<Shared>,
    servers: Vec<Server>,
    tls: Option<TlsConfig>,
    failures: [ConnectFailures; 2],
    arrivals: Option<Arrivals>,
    /// Whether the end of this connection has a cause already.
    noted: bool,
    timer: BootTimer,
    connection: Connection,
    /// The place in `servers` of the one that `connection` leads to.
    server: usize,
    /// What was read and is no whole frame yet.
    bytes: BytesMut,
    unflushed: bool,
    /// Empty between passes; kept for its room, as is `outputs`.
    asks: Vec<Ask>,
    outputs: Outputs,
    closers: Vec<oneshot::Sender<Result<(), Error>>>,
    opened: Option<oneshot::Sender<Opened>>,
    /// As last published.
    deadline: BootInstant,
    over: bool,
}

impl Driver {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            // The clock first: nothing that has come meanwhile revives a session past its deadline. And it is a
            // moment before the bytes of new requests leave: the deadline may count from it.
            let now = BootInstant::now();
            self.core.check_deadline(now, &mut self.outputs);
            self.take_requests(now, cx);
            let mut again = self.poll_connection(cx);
            // After what has come was handed in, at whatever moment: a tick that comes a little late is none too early.
            self.core.tick(now, &mut self.outputs);
            again |= self.carry_out();
            again |= self.poll_write(cx);
            if self.over {
                return Poll::Ready(());
            }
            again |= self.poll_timer(cx);
            if !again {
                return Poll::Pending;
            }
        }
    }

    /// Writes what was asked, on the thread of one who asked; `cx` is the task's. Whether that was all: otherwise the
    /// task must be woken, which sees to everything else.
    pub(crate) fn send(&mut self, cx: &mut Context<'_>) -> bool {
        if !matches!(self.connection, Connection::Open(_)) {
            return false;
        }
        let now = BootInstant::now();
        self.core.check_deadline(now, &mut self.outputs);
        self.take_requests(now, cx);
        // A request's answer may be due earlier than anything before it. The timer wakes the task as it would have.
        self.outputs.is_empty() && !self.poll_write(cx) && self.timer.set(self.core.next_at()).is_ok()
    }

    fn take_requests(&mut self, now: BootInstant, cx: &mut Context<'_>) {
        let mut asks = std::mem::take(&mut self.asks);
        let drained = self.shared.drain(&mut asks, cx.waker());
        if drained.look {
            self.core.seen_lost(now, &mut self.outputs);
        }
        if drained.leave && matches!(self.connection, Connection::Open(_)) {
            self.broke("left for another server");
        }
        for ask in asks.drain(..) {
            self.core.submit(now, ask, &mut self.outputs);
        }
        self.asks = asks;
        for (path, target) in drained.forgotten {
            self.core.forget(now, &path, target);
        }
        if let Some(closers) = drained.close {
            self.core.close(now, &mut self.outputs);
            if !closers.is_empty() {
                self.core.hurry(now);
            }
            self.closers.extend(closers);
        }
    }

    /// Whether something has happened.
    fn poll_connection(&mut self, cx: &mut Context<'_>) -> bool {
        match &mut self.connection {
            Connection::None => false,
            Connection::Opening(attempt) => match attempt.as_mut().poll(cx) {
                Poll::Pending => false,
                Poll::Ready(Ok(stream)) => {
                    if let Some(Err(error)) = self.arrivals.as_ref().map(|told| told.include(stream.tcp())) {
                        // The runtime's own threads notice all the same.
                        debug!(%error, "another event loop cannot be told of arrivals");
                    }
                    self.connection = Connection::Open(stream);
                    self.core.connected(BootInstant::now(), &mut self.outputs);
                    true
                }
                Poll::Ready(Err(error)) => {
                    self.broke(&error.to_string());
                    true
                }
            },
            Connection::Open(stream) => match stream.poll_read(cx, &mut self.bytes) {
                Poll::Pending => false,
                Poll::Ready(Ok(0)) => {
                    self.broke("the server closed the connection");
                    true
                }
                Poll::Ready(Ok(_)) => {
                    let now = BootInstant::now();
                    if let Some(why) = self.core.received(now, &mut self.bytes, &mut self.outputs) {
                        self.note(why);
                    }
                    true
                }
                Poll::Ready(Err(error)) => {
                    self.broke(&error.to_string());
                    true
                }
            },
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> bool {
        let Connection::Open(stream) = &mut self.connection else { return false };
        let mut result = Ok(());
        while !self.core.wire.is_empty() && result.is_ok() {
            match stream.poll_write(cx, &self.core.wire) {
                Poll::Pending => return false,
                Poll::Ready(Ok(0)) => result = Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(n)) => {
                    self.core.wire.advance(n);
                    self.unflushed = true;
                }
                Poll::Ready(Err(error)) => result = Err(error),
            }
        }
        if self.unflushed && result.is_ok() {
            match stream.poll_flush(cx) {
                Poll::Pending => return false,
                Poll::Ready(flushed) => {
                    self.unflushed = false;
                    result = flushed;
                }
            }
        }
        match result {
            Ok(()) => false,
            Err(error) => {
                self.broke(&error.to_string());
                true
            }
        }
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> bool {
        let fired = self.timer.set(self.core.next_at()).map(|()| self.timer.poll(cx));
        match fired {
            Ok(Poll::Pending) => false,
            Ok(Poll::Ready(Ok(()))) => true,
            Ok(Poll::Ready(Err(error))) | Err(error) => {
                // Without a timer no deadline can be kept.
                debug!(%error, "the timer failed");
                self.core.seen_lost(BootInstant::now(), &mut self.outputs);
                self.carry_out();
                self.over = true;
                true
            }
        }
    }

    /// The connection, or the attempt, has ended by itself.
    fn broke(&mut self, why: &str) {
        self.note(why);
        self.hang_up();
        self.core.disconnected(BootInstant::now(), &mut self.outputs);
    }

    fn note(&mut self, why: &str) {
        self.noted = true;
        let server = self.servers.get(self.server).map(Server::to_string).unwrap_or_default();
        debug!(%server, why, "no connection");
        for failures in &self.failures {
            failures.note(&server, why);
        }
    }

    fn hang_up(&mut self) {
        self.connection = Connection::None;
        self.bytes.clear();
        self.unflushed = false;
    }

    /// Whether there was anything to be done.
    fn carry_out(&mut self) -> bool {
        self.publish_deadline();
        if self.outputs.is_empty() {
            return false;
        }
        let mut outputs = std::mem::take(&mut self.outputs);
        for output in outputs.drain(..) {
            match output {
                Output::Reply(reply, result) => reply.send(result),
                Output::Event(watcher, event) => watcher.send(event),
                Output::State(state) => self.tell(state),
                Output::Connect { server, within } => {
                    self.server = server;
                    self.noted = false;
                    if let Some(server) = self.servers.get(server) {
                        let attempt = Stream::open(server.clone(), self.tls.clone(), within);
                        self.connection = Connection::Opening(Box::pin(attempt));
                    }
                }
                Output::Disconnect => {
                    let opening = matches!(self.connection, Connection::Opening(_));
                    if opening || (self.opened.is_some() && !self.noted) {
                        self.note("it did not answer in time");
                    }
                    self.hang_up();
                }
                Output::Over(result) => {
                    for closer in self.closers.drain(..) {
                        let _ = closer.send(result.clone());
                    }
                    self.over = true;
                }
            }
        }
        self.outputs = outputs;
        true
    }

    fn publish_deadline(&mut self) {
        if let Some((deadline, lead)) = self.core.deadline()
            && deadline != self.deadline
        {
            self.deadline = deadline;
            self.shared.set_deadline(deadline, lead);
        }
    }

    fn tell(&mut self, state: State) {
        debug!(?state, session = self.core.identity().map(|(id, _)| id), "the session's state");
        self.shared.set_state(state);
        match state {
            State::Connected => {
                if let (Some(opened), Some(identity)) = (self.opened.take(), self.core.identity()) {
                    let _ = opened.send(Ok(identity));
                }
            }
            State::Suspended => {}
            State::Lost => {
                if let Some(opened) = self.opened.take() {
                    let _ = opened.send(Err(match self.core.end() {
                        Some(Error::AuthFailed) => ConnectError::AuthFailed,
                        Some(Error::AuthRequired) => ConnectError::AuthRequired,
                        _ => ConnectError::Lost,
                    }));
                }
            }
        }
    }
}

/// The session ends with its driver, also when the runtime is shut down under it.
impl Drop for Driver {
    fn drop(&mut self) {
        self.shared.set_state(State::Lost);
        let error = self.core.end().cloned().unwrap_or(Error::SessionLost);
        let (asks, closers) = self.shared.end(&error);
        for reply in asks.into_iter().filter_map(|ask| ask.reply) {
            reply.send(Err(error.clone()));
        }
        drop(closers);
    }
}
