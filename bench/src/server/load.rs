//! The load generator: a process that carries out the orders of a run. It does as little as the protocol allows,
//! so that what is measured is the server.

use super::flood;
use super::order::{Order, Rate, Single, Times};
use crate::failure::Failure;
use crate::peers::redis::Connection as Redis;
use crate::peers::us_since;
use crate::peers::wire::{Connection, create, refused};
use bytes::Bytes;
use serde::Serialize;
use std::io::{BufRead, Write};
use std::thread;
use std::time::{Duration, Instant};
use zooky_wire::{CreateMode, ErrorCode, Request};

/// What a lock's node would hold.
pub(super) const DATA: &[u8] = b"{\"host\":\"localhost\",\"pid\":12345,\"user\":\"bench\"}";
/// How many creates and connects are under way while a server is filled.
const FILLING: usize = 256;
/// How many nodes share a directory of the filled tree.
const SIBLINGS: usize = 1_000;

/// Takes orders from standard input until it ends.
pub(crate) fn serve() -> Result<(), Failure> {
    let mut open = Vec::new();
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(Failure::io("reading an order"))?;
        let answer = obey(&line, &mut open);
        let answer = answer.map_or_else(|failure| format!("error {failure}"), |json| format!("ok {json}"));
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "{answer}").and_then(|()| stdout.flush()).map_err(Failure::io("answering"))?;
    }
    Ok(())
}

fn obey(line: &str, open: &mut Vec<Connection>) -> Result<String, Failure> {
    let order: Order = serde_json::from_str(line).map_err(|e| Failure::Unreadable(e.to_string()))?;
    match order {
        Order::Flood { hosts, what, sessions, in_flight, limit_ms } => {
            json(&flood::flood(&hosts, what, sessions, in_flight, Duration::from_millis(limit_ms))?)
        }
        Order::Single { hosts, what, limit_ms } => {
            json(&single(&hosts, what, Duration::from_millis(limit_ms))?)
        }
        Order::Connects { hosts, threads, limit_ms } => {
            json(&connects(&hosts, threads, Duration::from_millis(limit_ms))?)
        }
        Order::FanOut { hosts, watchers, limit_ms } => {
            json(&flood::fan_out(&hosts, watchers, Duration::from_millis(limit_ms))?)
        }
        Order::Fill { hosts, znodes } => json(&fill(&hosts, znodes)?),
        Order::Idle { hosts, sessions } => json(&idle(&hosts, sessions, open)?),
        Order::Leave => {
            open.clear();
            json(&Rate::default())
        }
    }
}

fn json(value: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|error| Failure::Unreadable(error.to_string()))
}

/// One write after the other, each timed.
fn single(hosts: &str, what: Single, limit: Duration) -> Result<Times, Failure> {
    match what {
        Single::RedisSet => redis_set(hosts, limit),
        Single::Create => {
            let mut connection = Connection::open(hosts)?;
            connection.make_path("/bench/single")?;
            let make = create("/bench/single/n", CreateMode::EPHEMERAL, Bytes::from_static(DATA));
            let times = timed(limit, |begin| {
                connection.ask(&make)?.map_err(refused)?;
                let took = us_since(begin);
                let delete = Request::Delete { path: "/bench/single/n".to_string(), version: -1 };
                connection.ask(&delete)?.map_err(refused)?;
                Ok(took)
            })?;
            connection.close()?;
            Ok(times)
        }
        Single::SetData => {
            let mut connection = Connection::open(hosts)?;
            connection.make_path("/bench/single")?;
            let data = Some(Bytes::from_static(DATA));
            let set = Request::SetData { path: "/bench/single".to_string(), data, version: -1 };
            let times = timed(limit, |begin| {
                connection.ask(&set)?.map_err(refused)?;
                Ok(us_since(begin))
            })?;
            connection.close()?;
            Ok(times)
        }
    }
}

fn redis_set(hosts: &str, limit: Duration) -> Result<Times, Failure> {
    let mut connection = Redis::open(hosts)?;
    let data = String::from_utf8_lossy(DATA);
    timed(limit, |begin| {
        connection.command(&["SET", "bench:single", &data]);
        connection.flush()?;
        connection.expect("+OK")?;
        Ok(us_since(begin))
    })
}

fn timed(limit: Duration, mut one: impl FnMut(Instant) -> Result<f64, Failure>) -> Result<Times, Failure> {
    let (mut times, start) = (Times::default(), Instant::now());
    while start.elapsed() < limit {
        times.us.push(one(Instant::now())?);
    }
    Ok(times)
}

/// Sessions opened and closed, one after the other on each thread.
fn connects(hosts: &str, threads: usize, limit: Duration) -> Result<Rate, Failure> {
    let start = Instant::now();
    let one = || -> Result<u64, Failure> {
        let mut count = 0;
        while start.elapsed() < limit {
            Connection::open(hosts)?.close()?;
            count += 1;
        }
        Ok(count)
    };
    let count = if threads == 1 {
        one()?
    } else {
        thread::scope(|scope| {
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
            let dead = |_| Err(Failure::Refused("a connecting thread died".to_string()));
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(dead)).sum::<Result<u64, _>>()
        })?
    };
    Ok(Rate { count, seconds: start.elapsed().as_secs_f64() })
}

/// Makes persistent nodes, many at once.
fn fill(hosts: &str, znodes: usize) -> Result<Rate, Failure> {
    let mut connection = Connection::open(hosts)?;
    let start = Instant::now();
    let node = |n: usize| match n % SIBLINGS {
        0 => create(&format!("/fill-{}", n / SIBLINGS), CreateMode::PERSISTENT, Bytes::new()),
        _ => {
            let path = format!("/fill-{}/node-{n:09}", n / SIBLINGS);
            create(&path, CreateMode::PERSISTENT, Bytes::from_static(DATA))
        }
    };
    let (mut sent, mut answered) = (0, 0);
    while answered < znodes {
        while sent < znodes.min(answered + FILLING) {
            connection.queue(&node(sent));
            sent += 1;
        }
        connection.flush()?;
        let mut arrival = Some(connection.arrival()?);
        while let Some(arrived) = arrival {
            match arrived {
                crate::peers::wire::Arrival::Reply(_, Ok(_) | Err(ErrorCode::NODE_EXISTS)) => answered += 1,
                crate::peers::wire::Arrival::Reply(_, Err(code)) => return Err(refused(code)),
                crate::peers::wire::Arrival::Event(_) => {}
            }
            arrival = connection.arrived()?;
        }
    }
    let rate = Rate { count: znodes as u64, seconds: start.elapsed().as_secs_f64() };
    connection.close()?;
    Ok(rate)
}

/// Opens sessions from several threads and keeps them.
fn idle(hosts: &str, sessions: usize, open: &mut Vec<Connection>) -> Result<Rate, Failure> {
    const THREADS: usize = 16;
    let start = Instant::now();
    let some = |n: usize| (0..n).map(|_| Connection::open(hosts)).collect::<Result<Vec<_>, _>>();
    let opened = thread::scope(|scope| {
        let shares = (0..THREADS).map(|i| sessions / THREADS + usize::from(i < sessions % THREADS));
        let threads: Vec<_> = shares.map(|n| scope.spawn(move || some(n))).collect();
        let dead = |_| Err(Failure::Refused("a connecting thread died".to_string()));
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(dead)).collect::<Result<Vec<_>, _>>()
    })?;
    open.extend(opened.into_iter().flatten());
    Ok(Rate { count: sessions as u64, seconds: start.elapsed().as_secs_f64() })
}
