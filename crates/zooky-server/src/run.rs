//! The one thread that owns core and log: step, append, sync, then answer.
//!
//! A turn of its loop: wait for sockets; read the connections that have something, a bounded amount each, those
//! first that had nothing more to ask at their last turn and have not come just now, and step the core for each frame; sync what was appended (here or on the log's thread, see
//! [`crate::log`]); let go of every output whose batch is durable; write to each socket once.
//!
//! Each output waits for the batch that holds the newest transaction it shows ([`crate::held`]). On one connection that
//! batch never falls, so nothing overtakes there, and nothing leaves before what it shows is durable: no reply, error,
//! event or connect answer, and no four-letter word either.

mod doors;
mod serve;
mod shares;
mod time;
mod words;

pub(crate) use doors::Door;
pub(crate) use time::now;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use mio::{Events, Poll, Token};
use zooky_wire::Txn;

use crate::config::Config;
use crate::core::{Core, Input, Now, Output};
use crate::error::{ServerError, StartError};
use crate::held::Held;
use crate::log::{Snapshotter, Syncer};
use crate::net::{Conns, Latency, NEW_MS, Tls};
use doors::{DOORS, Doors};

/// The token of the waker that stops the loop and tells of finished syncs; the doors' follow.
pub(crate) const WAKER: Token = Token(0);
/// Connections have their slot plus this as token.
const FIRST_CONN: usize = 1 + DOORS;

/// How many events are taken at once.
const EVENTS: usize = 1_024;
/// The longest sleep: after the machine was suspended, sessions are looked at within this time.
const MAX_SLEEP: Duration = Duration::from_millis(500);
/// A turn and its sleep take less than this, in milliseconds, unless everything stood still.
const STANDSTILL_MS: u64 = 1_000;
/// For so long after it was served a connection that asks little counts as one that others are not to keep waiting, in
/// milliseconds.
const BESIDE_MS: u64 = NEW_MS;
/// How much is read from one connection in one turn, in bytes.
const READ_BYTES: usize = 64 << 10;
/// So many bytes in the batch that waits for the disk, and no more requests are read.
const MAX_WAITING_BYTES: usize = 16 << 20;
/// How long a connection that is to be closed may take to read its last answers.
const LINGER_MS: u64 = 10_000;

/// What waits for its batch: to which connection, and what; `None`: close.
type Leaving = (u64, Option<Bytes>);

/// What others want of the loop; they wake its poll, too.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// To end.
    pub(crate) stop: AtomicBool,
    /// To take a snapshot, whether or not one is due.
    pub(crate) snapshot: AtomicBool,
}

/// Everything the server is made of.
#[derive(Debug)]
pub(crate) struct Run {
    config: Config,
    poll: Poll,
    doors: Doors,
    tls: Option<Tls>,
    asked: Arc<Asked>,
    core: Core,
    syncer: Syncer,
    snapshotter: Snapshotter,
    conns: Conns,
    now: Now,
    started_ms: u64,
    /// What the core just put out; empty between steps.
    outputs: Vec<Output>,
    held: Held<Leaving>,
    /// Slots of connections with something new to read.
    ready: VecDeque<usize>,
    /// Slots of connections that had more to ask than their share: they come after the others.
    backlog: VecDeque<usize>,
    /// Slots of connections with something to write.
    dirty: Vec<usize>,
    /// Connections with nothing left to send, which are to be closed.
    leaving: VecDeque<u64>,
    /// When a connection that asks little was served last, in `mono_ms`.
    light_ms: u64,
    /// How many of those who ask little have written something in this turn.
    light_writers: usize,
    /// The process was stopped, or the machine, before this turn.
    stood_still: bool,
    /// Times in `mono_ms` at which connections are looked at, ascending.
    first_packets: VecDeque<(u64, u64)>,
    closings: VecDeque<(u64, u64)>,
    received: u64,
    sent: u64,
    latency: Latency,
    /// When the answers that leave now leave, in `mono_ms`.
    answered_ms: u64,
    /// Not all connections were read in this turn: the disk is behind.
    reads_held: bool,
    scratch: Box<[u8]>,
}

impl Run {
    /// Puts the parts together. `asked` is looked at whenever the poll's waker is used.
    pub(crate) fn new(
        config: Config,
        poll: Poll,
        (doors, tls): (Vec<Door>, Option<Tls>),
        (core, syncer, snapshotter): (Core, Syncer, Snapshotter),
        asked: Arc<Asked>,
    ) -> Result<Run, StartError> {
        let doors = Doors::new(doors, &poll)?;
        let now = time::now();
        let mut run = Run {
            config,
            poll,
            doors,
            tls,
            asked,
            core,
            syncer,
            snapshotter,
            conns: Conns::default(),
            now,
            started_ms: now.mono_ms,
            outputs: Vec::new(),
            held: Held::default(),
            ready: VecDeque::new(),
            backlog: VecDeque::new(),
            dirty: Vec::new(),
            leaving: VecDeque::new(),
            light_ms: 0,
            light_writers: 0,
            stood_still: false,
            first_packets: VecDeque::new(),
            closings: VecDeque::new(),
            received: 0,
            sent: 0,
            latency: Latency::default(),
            answered_ms: now.mono_ms,
            reads_held: false,
            scratch: vec![0; READ_BYTES].into_boxed_slice(),
        };
        run.core.begin(now);
        Ok(run)
    }

    /// Serves until it is stopped or fails. After a failure no connection gets anything more.
    pub(crate) fn serve(mut self) -> Result<(), ServerError> {
        let result = self.serve_until_stopped();
        if let Err(error) = &result {
            tracing::error!(%error, "the server stops; all connections are closed without an answer");
        }
        result
    }

    fn serve_until_stopped(&mut self) -> Result<(), ServerError> {
        let mut events = Events::with_capacity(EVENTS);
        while !self.asked.stop.load(Ordering::Acquire) {
            self.wait(&mut events)?;
            let before_ms = self.now.mono_ms;
            self.now = time::later_than(self.now);
            self.stood_still = self.now.mono_ms - before_ms > STANDSTILL_MS;
            if self.stood_still {
                // It may have been stopped behind the poll: what has come in since is to be seen all the same.
                self.take_events(&mut events, Duration::ZERO)?;
            }
            self.answered_ms = self.now.mono_ms;
            self.syncer.collect()?;
            self.release();
            self.read_light()?;
            self.accept();
            self.read_rest()?;
            self.tick();
            if !self.backlog.is_empty() {
                self.syncer.note_waiting();
            }
            // Whoever asks little among those who ask much waits no longer than alone: two hops to another thread, on
            // processors that others want, take longer than most syncs. Of several each would wait for the others' syncs.
            let here = !self.backlog.is_empty() && self.light_writers == 1;
            if self.syncer.would_sync_here(here) {
                // Nobody waits for a sync that has nothing to do with what he asked.
                self.release();
                self.flush();
            }
            self.syncer.sync(here)?;
            self.look_behind(&mut events)?;
            self.release();
            self.flush();
            self.give_way();
            self.close_some();
            self.shed_buffers();
            self.snapshot()?;
        }
        self.finish()
    }

    /// Begins a snapshot if it is time, or does a little of one that is under way. Answers have left before.
    fn snapshot(&mut self) -> Result<(), ServerError> {
        if self.asked.snapshot.swap(false, Ordering::AcqRel) {
            self.snapshotter.ask();
        }
        // Everything the snapshot shows must be in batches of its own, so that the log rolls exactly behind it.
        if self.snapshotter.is_due() && self.syncer.is_drained() {
            self.snapshotter.begin(&mut self.core, self.syncer.needed());
            self.syncer.roll();
        }
        self.snapshotter.advance(&mut self.core, self.syncer.durable())
    }

    /// Waits for something to do, and notes which connections have it.
    fn wait(&mut self, events: &mut Events) -> Result<(), ServerError> {
        let timeout = self.sleep();
        self.take_events(events, timeout)?;
        Ok(())
    }

    /// With more to do for those who ask much, lets go of the processor for whoever has just been woken by an answer: the
    /// kernel tends to put him where this thread runs, and would let him in at its next tick only, milliseconds later.
    fn give_way(&self) {
        let has_more = !self.backlog.is_empty() || !self.leaving.is_empty() || !self.dirty.is_empty();
        if self.is_beside() && (has_more || self.doors.are_knocked_at()) {
            std::thread::yield_now();
        }
    }

    /// After a sync on this thread: have requests come in meanwhile? Looked at before any answer leaves,
    /// for an answer brings the next request within microseconds, and that one has not waited.
    fn look_behind(&mut self, events: &mut Events) -> Result<(), ServerError> {
        self.answered_ms = time::mono_ms();
        if self.syncer.take_synced_inline() && self.take_events(events, Duration::ZERO)? {
            self.syncer.note_waiting();
        }
        Ok(())
    }

    /// Polls, and notes which connections have something to do. Returns whether any can be read.
    fn take_events(&mut self, events: &mut Events, mut timeout: Duration) -> Result<bool, ServerError> {
        let mut readable = false;
        loop {
            match self.poll.poll(events, Some(timeout)) {
                Ok(()) => {}
                // As it is by a standstill: what has come in meanwhile is to be seen all the same.
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {
                    timeout = Duration::ZERO;
                    continue;
                }
                Err(source) => return Err(ServerError::Poll { source }),
            }
            for event in events.iter() {
                match event.token() {
                    WAKER => {}
                    Token(token) if token < FIRST_CONN => self.doors.note(token),
                    Token(token) => {
                        readable |= event.is_readable();
                        self.note_event(token - FIRST_CONN, event);
                    }
                }
            }
            // All that has come in is served before sessions are counted out.
            if events.iter().count() < EVENTS {
                return Ok(readable);
            }
            timeout = Duration::ZERO;
        }
    }

    fn note_event(&mut self, slot: usize, event: &mio::event::Event) {
        let (now_ms, beside) = (self.now.mono_ms, self.is_beside());
        let Some(conn) = self.conns.at(slot) else { return };
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            conn.readable = true;
            conn.read_closed |= event.is_read_closed() || event.is_error();
            if !conn.in_ready {
                conn.in_ready = true;
                let much = conn.effort.is_great(now_ms) || conn.has_long_frame();
                let line =
                    if much || (beside && conn.is_new(now_ms)) { &mut self.backlog } else { &mut self.ready };
                line.push_back(slot);
            }
        }
        if event.is_writable() && !conn.in_dirty {
            conn.in_dirty = true;
            self.dirty.push(slot);
        }
    }

    /// How long nothing needs to be done.
    fn sleep(&self) -> Duration {
        if self.snapshotter.has_work(self.syncer.durable())
            || !self.leaving.is_empty()
            || !self.dirty.is_empty()
            || (self.ready.len() + self.backlog.len() > 0 && !self.disk_is_behind())
        {
            return Duration::ZERO;
        }
        let times = [
            self.core.next_tick().filter(|_| !self.reads_held),
            self.first_packets.front().map(|&(at, _)| at),
            self.closings.front().map(|&(at, _)| at),
            self.doors.next_ms(),
        ];
        let until = times.into_iter().flatten().min().unwrap_or(u64::MAX);
        Duration::from_millis(until.saturating_sub(self.now.mono_ms)).min(MAX_SLEEP)
    }

    fn disk_is_behind(&self) -> bool {
        self.syncer.waiting_bytes() > MAX_WAITING_BYTES
    }

    /// What time alone brings: sessions that end, connections that take too long.
    fn tick(&mut self) {
        let now_ms = self.now.mono_ms;
        if let Some(tls) = &mut self.tls {
            tls.look(now_ms);
        }
        // Frames that are not read yet, because the disk is behind, are signs of life.
        if !self.reads_held && self.core.next_tick().is_some_and(|at| at <= now_ms) {
            self.step(Input::Tick);
            if self.core.next_tick().is_some_and(|at| at <= now_ms) {
                // It is one of several: nobody is to wait for the sync of each.
                self.syncer.note_waiting();
            }
        }
        while let Some(&(at, key)) = self.first_packets.front()
            && at <= now_ms
        {
            self.first_packets.pop_front();
            if self.conns.get(key).is_some_and(|conn| !conn.greeted) {
                tracing::debug!(conn = key, "closed: no packet in time");
                self.drop_conn(key);
            }
        }
        while let Some(&(at, key)) = self.closings.front()
            && at <= now_ms
        {
            self.closings.pop_front();
            self.drop_conn(key);
        }
    }

    /// Closes connections that have nothing left to send.
    fn close_some(&mut self) {
        for _ in 0..self.shares().leaves.min(self.leaving.len()) {
            if let Some(key) = self.leaving.pop_front() {
                self.drop_conn(key);
            }
        }
    }

    /// Steps the core and takes what it puts out into the log and the queue.
    fn step(&mut self, input: Input) {
        let is_tick = matches!(input, Input::Tick);
        self.core.step(self.now, input, &mut self.outputs);
        let mut outputs = std::mem::take(&mut self.outputs);
        for output in outputs.drain(..) {
            match output {
                Output::Append(record) => {
                    // What time alone ends has expired.
                    if is_tick
                        && let Txn::CloseSession { ephemerals: Some(nodes) } = &record.txn
                        && let Some(companion) = &self.config.companion
                    {
                        companion.expired(nodes);
                    }
                    self.snapshotter.note_transaction();
                    self.syncer.push(record);
                }
                Output::Send { conn, frame, shows } => {
                    self.hold(conn.0, Some(frame), self.syncer.needed_for(shows));
                }
                Output::Close { conn } => self.hold(conn.0, None, self.syncer.needed()),
            }
        }
        self.outputs = outputs;
    }

    /// Keeps an output until `batch` is durable; `None` closes the connection.
    fn hold(&mut self, key: u64, frame: Option<Bytes>, batch: u64) {
        let Some(conn) = self.conns.get(key) else { return };
        let Some(frame) = frame else {
            conn.finished = true;
            self.held.push(batch, (key, None));
            return;
        };
        self.sent += 1;
        conn.held_count += 1;
        conn.held_bytes += frame.len();
        self.conns.note_more(key, frame.len());
        let Some(conn) = self.conns.get(key) else { return };
        let too_slow = conn.unread_bytes() > self.config.limits.unread_hard_bytes;
        self.held.push(batch, (key, Some(frame)));
        if too_slow {
            tracing::warn!(conn = key, "closed: it does not read what it asked for");
            // Not at once: the core is in the middle of a step.
            self.closings.push_front((0, key));
        }
    }

    /// While all buffers together take more than they may, whoever takes most is closed: clients that read and
    /// finish what they begin have little in theirs.
    fn shed_buffers(&mut self) {
        while self.conns.buffer_bytes() > self.config.limits.buffer_bytes
            && let Some(key) = self.conns.largest()
        {
            tracing::warn!(conn = key, "closed: no room for all that waits, and most of it is this one's");
            self.drop_conn(key);
        }
    }

    /// Lets go of what is durable.
    fn release(&mut self) {
        let durable = self.syncer.durable();
        self.core.note_durable(self.syncer.durable_zxid());
        while let Some((key, frame)) = self.held.pop(durable) {
            self.deliver(key, frame);
        }
    }

    /// A clean end: what was accepted becomes durable and is answered as far as sockets take it.
    fn finish(&mut self) -> Result<(), ServerError> {
        self.syncer.finish()?;
        self.release();
        self.flush();
        while !self.dirty.is_empty() {
            self.flush();
        }
        for key in self.conns.keys() {
            if let Some(conn) = self.conns.get(key) {
                conn.shut_down(&mut self.scratch, 16);
            }
        }
        Ok(())
    }
}
