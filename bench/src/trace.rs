//! One cycle on a free lock as it looks on the wire: which requests, and how many round trips.

use crate::child::Child;
use crate::failure::Failure;
use crate::peers::PeerKind;
use crate::protocol::{Cycles, Hello, Order, Release};
use crate::proxy::{Frame, Kind, Protocol, Proxy};
use std::fmt::Write;
use std::time::Duration;

/// Replies are held back for so long that whatever else the client has to say leaves before they reach it.
const HELD_BACK: Duration = Duration::from_millis(40);
const PATIENCE: Duration = Duration::from_secs(20);

/// What went over the wire in one cycle of acquire and release.
#[derive(Debug, Clone)]
pub(crate) struct Trace {
    frames: Vec<Frame>,
}

impl Trace {
    /// Connects the peer through a proxy and watches one cycle, after a few others that leave the lock's
    /// directory and the client warm.
    pub(crate) fn of(child: &mut Child, server: &str) -> Result<Trace, Failure> {
        let kind = child.kind();
        let protocol = if kind == PeerKind::Redis { Protocol::Redis } else { Protocol::ZooKeeper };
        let proxy = Proxy::start(server, protocol)?;
        let cycles = |count| Order::Uncontended { count, limit: PATIENCE, release: Release::Awaited };
        let _: Hello = child.obey(&Order::Setup { hosts: proxy.hosts() })?;
        let _: Cycles = child.obey(&cycles(3))?;
        proxy.record(HELD_BACK);
        let _: Cycles = child.obey(&cycles(2))?;
        Ok(Trace { frames: second_cycle(proxy.recorded(), kind.awaits_release()) })
    }

    /// The requests' names, those that left in one flight together.
    pub(crate) fn flights(&self) -> Vec<Vec<&str>> {
        let mut flights: Vec<Vec<&str>> = Vec::new();
        let mut answered = true;
        for frame in &self.frames {
            match frame.kind {
                Kind::Request => {
                    if std::mem::take(&mut answered) {
                        flights.push(Vec::new());
                    }
                    if let Some(flight) = flights.last_mut() {
                        flight.push(&frame.name);
                    }
                }
                Kind::Reply | Kind::Event => answered = true,
                Kind::Upkeep => {}
            }
        }
        flights
    }

    /// How many requests the cycle took.
    pub(crate) fn requests(&self) -> usize {
        self.frames.iter().filter(|frame| frame.kind == Kind::Request).count()
    }

    /// How many times the client waited for the server before it held the lock.
    pub(crate) fn acquire_round_trips(&self) -> usize {
        let flights = self.flights();
        flights.iter().position(|flight| flight.iter().any(|name| is_release(name))).unwrap_or(flights.len())
    }

    /// The flights in one line.
    pub(crate) fn summary(&self) -> String {
        self.flights().iter().map(|flight| flight.join(" + ")).collect::<Vec<_>>().join(", ")
    }

    /// All frames, one line each.
    pub(crate) fn lines(&self) -> String {
        let mut text = String::new();
        for frame in &self.frames {
            let arrow = if frame.kind == Kind::Request { "->" } else { "<-" };
            let at_ms = frame.at.as_secs_f64() * 1e3;
            // Writing into a string does not fail.
            let _ = writeln!(
                text,
                "{at_ms:9.2} ms  {arrow} {:<14} {:4} bytes  {}",
                frame.name, frame.bytes, frame.detail
            );
        }
        text
    }
}

/// Leaves out what is no part of a cycle in the long run: all that comes before the first release is confirmed,
/// upkeep, and the questions by which the driver's side of a client that cannot await its release does so.
fn second_cycle(mut frames: Vec<Frame>, awaits_release: bool) -> Vec<Frame> {
    frames.retain(|frame| frame.kind != Kind::Upkeep && (awaits_release || frame.name != "exists"));
    let released = frames.iter().position(|frame| frame.kind == Kind::Request && is_release(&frame.name));
    let confirmed = released.and_then(|at| {
        let behind = frames.iter().skip(at).position(|frame| frame.kind == Kind::Reply)?;
        Some(at + behind + 1)
    });
    frames.split_off(confirmed.unwrap_or(0))
}

fn is_release(name: &str) -> bool {
    matches!(name, "delete" | "DEL")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: Kind, name: &str, detail: &str) -> Frame {
        Frame { at: Duration::ZERO, kind, name: name.to_string(), detail: detail.to_string(), bytes: 0 }
    }

    fn cycle(first_flight: &[&str], more: &[&str]) -> Vec<Frame> {
        let request = |name: &&str| frame(Kind::Request, name, "");
        let reply = |name: &&str| frame(Kind::Reply, name, "");
        let mut frames: Vec<Frame> = first_flight.iter().map(request).collect();
        frames.extend(first_flight.iter().map(reply));
        frames.extend(more.iter().chain(&["delete"]).flat_map(|name| [request(name), reply(name)]));
        frames
    }

    #[test]
    fn a_flight_ends_with_the_first_reply() {
        let mut frames = cycle(&["create", "create", "getChildren"], &[]);
        frames.extend(cycle(&["create", "getChildren"], &[]));
        frames.insert(9, frame(Kind::Upkeep, "ping", ""));
        let trace = Trace { frames: second_cycle(frames, true) };
        assert_eq!(trace.summary(), "create + getChildren, delete");
        assert_eq!((trace.requests(), trace.acquire_round_trips()), (3, 1));
    }

    #[test]
    fn two_round_trips_are_seen_as_two() {
        let frames = [cycle(&["create"], &["getChildren"]), cycle(&["create"], &["getChildren"])].concat();
        let trace = Trace { frames: second_cycle(frames, true) };
        assert_eq!((trace.requests(), trace.acquire_round_trips()), (3, 2));
    }
}
