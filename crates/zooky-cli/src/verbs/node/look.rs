//! `zooky node get`, `watch` and `ls`.

use super::report::{Numbers, Report, owner};
use super::{Get, Ls, Watch};
use crate::config::Config;
use crate::exit::{self, Failure, say};
use crate::run::signals::Signals;
use crate::table::{Table, printable};
use crate::{json, locks, time};
use serde::Serialize;
use std::io::Write;
use zooky::session::{Error as SessionError, Stat};
use zooky::{Client, Node, NodeState, Value};

/// How many requests are under way at once.
const AT_ONCE: usize = 256;

pub(super) async fn get(config: &Config, args: &Get) -> Result<u8, Failure> {
    let read = locks::with(config, async |client| Ok(client.session().await?.get(&args.path).await?));
    let (data, stat) = read.await?;
    let mut out = std::io::stdout().lock();
    if args.raw {
        out.write_all(&data)?;
        out.flush()?;
        return Ok(exit::OK);
    }
    let value = Value::read(&data, true);
    if args.json {
        json::print(&Report::present(&args.path, &value, &stat))?;
    } else {
        out.write_all(&value.write())?;
        writeln!(out)?;
    }
    Ok(exit::OK)
}

pub(super) async fn watch(config: &Config, args: &Watch) -> Result<u8, Failure> {
    let mut signals = Signals::install()?;
    let watched = locks::with(config, async |client| {
        tokio::select! {
            watched = follow(client, args) => watched,
            _ = signals.end() => Ok(exit::OK),
        }
    });
    watched.await
}

async fn follow(client: &Client, args: &Watch) -> Result<u8, Failure> {
    let node = Node::builder(client, &args.path)?.json(true).existing().open().await?;
    let mut changes = node.changes();
    let mut left = args.count.unwrap_or(u64::MAX);
    while left > 0 {
        left -= 1;
        match changes.next().await {
            Some(NodeState::Present(seen)) if args.json => {
                json::print_line(&Report::present(&args.path, &seen.value, &seen.stat))?;
            }
            // A line each, whatever is in it.
            Some(NodeState::Present(seen)) => {
                writeln!(std::io::stdout().lock(), "{}", printable(&seen.value.to_string()))?;
            }
            Some(NodeState::Deleted) if args.json => json::print_line(&Report::absent(&args.path))?,
            Some(NodeState::Deleted) => say(format_args!("{}: there is no such node now", args.path)),
            Some(NodeState::Unreadable(fault)) => say(fault),
            _ => break,
        }
    }
    Ok(exit::OK)
}

/// A child in `zooky node ls --json`.
#[derive(Debug, Serialize)]
struct Child {
    name: String,
    stat: Numbers,
}

pub(super) async fn ls(config: &Config, args: &Ls) -> Result<u8, Failure> {
    let with_stats = args.long || args.json;
    let children = locks::with(config, async |client| children(client, &args.path, with_stats).await).await?;
    if args.json {
        let child = |(name, stat): &(String, Stat)| Child { name: name.clone(), stat: stat.into() };
        json::print(&children.iter().map(child).collect::<Vec<_>>())?;
    } else if args.long {
        let mut table = Table::new(["NAME", "VERSION", "BYTES", "CHILDREN", "SESSION", "MODIFIED"]);
        for (name, stat) in &children {
            table.row([
                name.clone(),
                stat.version.to_string(),
                stat.data_length.to_string(),
                stat.num_children.to_string(),
                owner(stat).unwrap_or("-".to_string()),
                time::utc(stat.mtime_ms),
            ]);
        }
        table.print()?;
    } else {
        let mut out = std::io::stdout().lock();
        for (name, _) in &children {
            writeln!(out, "{}", printable(name))?;
        }
    }
    Ok(exit::OK)
}

/// The children by name; one that goes meanwhile is left out.
async fn children(client: &Client, path: &str, with_stats: bool) -> Result<Vec<(String, Stat)>, Failure> {
    let session = client.session().await?;
    let mut names = session.children(path).await?.names;
    names.sort();
    if !with_stats {
        return Ok(names.into_iter().map(|name| (name, Stat::default())).collect());
    }
    let mut found = Vec::new();
    for some in names.chunks(AT_ONCE) {
        let child = |name: &String| format!("{}/{name}", path.trim_end_matches('/'));
        let looks: Vec<_> = some.iter().map(|name| session.exists(&child(name))).collect();
        for (name, look) in some.iter().zip(looks) {
            match look.await {
                Ok(Some(stat)) => found.push((name.clone(), stat)),
                Ok(None) | Err(SessionError::NoNode { .. }) => {}
                Err(fault) => return Err(fault.into()),
            }
        }
    }
    Ok(found)
}
