//! What can be seen through a session: times, clock, rights, and whether a lock can be had.

use super::{Check, State};
use crate::config::{Config, show_acl};
use crate::locks;
use crate::time;
use std::time::{Duration, Instant};
use zooky::inspect::show;
use zooky::session::{Acl, Error as SessionError, Session, perms};
use zooky::{Client, Error, RwLock};

/// How often a time is measured.
const TIMES: u32 = 15;
/// A clock that differs by less disturbs nobody who reads ages in seconds.
const CLOCK: Duration = Duration::from_secs(1);

/// The checks, and whether a server let us in at all.
pub(super) async fn check(config: &Config) -> (Vec<Check>, bool) {
    let start = Instant::now();
    let client = match locks::connect(config).await {
        Ok(client) => client,
        Err(failure) => return (vec![Check::wrong("session", failure.line())], false),
    };
    let took = start.elapsed();
    let checks = match client.session().await {
        Ok(session) => through(config, &client, &session, took).await,
        Err(error) => vec![Check::wrong("session", error.to_string())],
    };
    locks::close(client).await;
    (checks, true)
}

async fn through(config: &Config, client: &Client, session: &Session, took: Duration) -> Vec<Check> {
    let asked = config.session_timeout;
    vec![
        timeout(session, asked, took),
        round_trip(session).await,
        sync(session).await,
        identities(session).await,
        acl(session, config.root()).await,
        lock(client, config).await,
    ]
}

fn timeout(session: &Session, asked: Duration, took: Duration) -> Check {
    let granted = session.timeout();
    let says = format!("opened in {}, timeout {} s", ms(took), granted.as_secs_f64());
    if granted == asked {
        return Check::ok("session", says);
    }
    let says =
        format!("{says}: {} s were asked for, and the servers' limits changed it", asked.as_secs_f64());
    Check::new("session", State::Warning, says)
}

async fn round_trip(session: &Session) -> Check {
    judge("round trip", session, || async { session.exists("/").await.map(|_| ()) }).await
}

/// What a guard's deadline rests on: the leader's word.
async fn sync(session: &Session) -> Check {
    judge("sync", session, || async { session.sync("/").await }).await
}

async fn judge<F: Future<Output = Result<(), SessionError>>>(
    name: &str,
    session: &Session,
    ask: impl Fn() -> F,
) -> Check {
    let mut times = Vec::new();
    for _ in 0..TIMES {
        let start = Instant::now();
        if let Err(fault) = ask().await {
            return Check::wrong(name, fault.to_string());
        }
        times.push(start.elapsed());
    }
    times.sort();
    let (median, longest) = (times[times.len() / 2], times[times.len() - 1]);
    let says = format!("median {}, longest {} of {TIMES}", ms(median), ms(longest));
    // A guard asks every sixth of the timeout; when answers take as long, it is often suspect.
    if longest > session.timeout() / 6 {
        let says = format!("{says}: too slow for a timeout of {} s", session.timeout().as_secs_f64());
        return Check::wrong(name, says);
    }
    Check::ok(name, says)
}

async fn identities(session: &Session) -> Check {
    match session.who_am_i().await {
        Ok(mut infos) => {
            infos.sort_by(|a, b| (&a.scheme, &a.user).cmp(&(&b.scheme, &b.user)));
            let ids: Vec<String> =
                infos.iter().map(|info| format!("{}:{}", info.scheme, info.user)).collect();
            Check::ok("identities", ids.join(", "))
        }
        // Servers before 3.7 do not know the question.
        Err(SessionError::Server { .. }) => Check::ok("identities", "the server cannot tell"),
        Err(fault) => Check::wrong("identities", fault.to_string()),
    }
}

async fn acl(session: &Session, root: &str) -> Check {
    let name = format!("ACL of {root}");
    match session.acl(root).await {
        Ok((acl, _)) => {
            let needed = perms::READ | perms::CREATE | perms::DELETE;
            let world = |one: &Acl| one.id.scheme == "world" && one.perms & needed == needed;
            let shown: Vec<String> = acl.iter().map(show_acl).collect();
            let says = shown.join(", ");
            match acl.iter().any(world) {
                true => {
                    Check::ok(name, format!("{says}: whoever reaches the servers can take and free locks"))
                }
                false => Check::ok(name, says),
            }
        }
        Err(SessionError::NoNode { .. }) => Check::ok(name, "not there yet; the first lock makes it"),
        Err(fault) => Check::new(name, State::Warning, fault.to_string()),
    }
}

/// Takes a lock, looks at it, compares the clocks by its node, and gives it back.
async fn lock(client: &Client, config: &Config) -> Check {
    let path = config.lock_path(&format!("zooky-doctor-{}", std::process::id()));
    match measure(client, &path, &config.acl).await {
        Ok((took, ahead_ms)) => {
            let says = format!("taken and given back in {}", ms(took));
            let off = Duration::from_millis(ahead_ms.unsigned_abs());
            if off <= CLOCK.max(took) {
                return Check::ok("lock and clock", format!("{says}; the clocks differ by {}", ms(off)));
            }
            let which = if ahead_ms > 0 { "behind" } else { "ahead of" };
            let says = format!(
                "{says}; this machine's clock is {:.1} s {which} the server's: ages in tables are wrong by that much \
                 (no lock depends on it)",
                off.as_secs_f64()
            );
            Check::new("lock and clock", State::Warning, says)
        }
        Err(error) => Check::wrong("lock and clock", error.to_string()),
    }
}

/// How long it took, and by how many milliseconds the server's clock is ahead of ours.
async fn measure(client: &Client, path: &str, acl: &[Acl]) -> Result<(Duration, i64), Error> {
    let (start, before_ms) = (Instant::now(), time::wall_now_ms());
    let guard = RwLock::new(client, path)?.with_acl(acl).write().await?;
    let after_ms = time::wall_now_ms();
    let ours = show(client, path).await?;
    guard.release().await?;
    let took = start.elapsed();
    // With the session's end or by `zooky clean` it would go, too.
    let _ = zooky::remove(client, path, true).await;
    let created_ms = ours.first().map_or(before_ms, |one| one.since_ms());
    Ok((took, created_ms - created_ms.clamp(before_ms, after_ms)))
}

fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}
