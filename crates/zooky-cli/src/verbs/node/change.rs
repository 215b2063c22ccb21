//! `zooky node set` and `rm`.

use super::report::Report;
use super::{Rm, Set};
use crate::config::Config;
use crate::exit::{self, Failure};
use crate::{json, locks};
use std::io::Read;
use zooky::session::{Error as SessionError, Session, Stat};
use zooky::{Client, Node, Value};

pub(super) async fn set(config: &Config, args: &Set) -> Result<u8, Failure> {
    let given = given(args)?;
    let data = if args.raw { given } else { Value::read(&given, true).write() };
    let stat = locks::with(config, async |client| store(client, config, args, &data).await).await?;
    if args.json {
        json::print(&Report::present(&args.path, &Value::read(&data, true), &stat))?;
    }
    Ok(exit::OK)
}

fn given(args: &Set) -> Result<Vec<u8>, Failure> {
    let Some(file) = &args.from else {
        return Ok(args.value.clone().unwrap_or_default().into_bytes());
    };
    let read = if file.as_os_str() == "-" {
        let mut data = Vec::new();
        std::io::stdin().lock().read_to_end(&mut data).map(|_| data)
    } else {
        std::fs::read(file)
    };
    read.map_err(|error| Failure::new(exit::DATA, format!("{}: {error}", file.display())))
}

async fn store(client: &Client, config: &Config, args: &Set, data: &[u8]) -> Result<Stat, Failure> {
    let session = client.session().await?;
    loop {
        match session.set(&args.path, data.to_vec(), args.version.unwrap_or(-1)).await {
            Err(SessionError::NoNode { .. }) if !args.existing && args.version.is_none() => {}
            set => return Ok(set?),
        }
        let node = Node::builder(client, &args.path)?.default(Value::Bytes(data.to_vec()));
        let node = node.with_acl(config.acl.clone()).open().await?;
        // Somebody else may have created it before us, with something else in it, or deleted it again.
        if let Some(made) = node.snapshot().filter(|made| made.data == data) {
            return Ok(made.stat);
        }
    }
}

pub(super) async fn rm(config: &Config, args: &Rm) -> Result<u8, Failure> {
    if args.path == "/" || args.path == "/zookeeper" || args.path.starts_with("/zookeeper/") {
        return Err(Failure::new(exit::DATA, format!("{} is the servers' own; it stays", args.path)));
    }
    let removed = locks::with(config, async |client| {
        let session = client.session().await?;
        match args.recursive {
            false => Ok(session.delete(&args.path, args.version.unwrap_or(-1)).await?),
            true => remove_all(&session, &args.path).await,
        }
    });
    removed.await?;
    Ok(exit::OK)
}

/// The node and everything below it, from the leaves up. What others create meanwhile is removed, too.
async fn remove_all(session: &Session, path: &str) -> Result<(), Failure> {
    session.exists(path).await?.ok_or_else(|| SessionError::NoNode { path: path.to_string() })?;
    let mut open = vec![path.to_string()];
    while let Some(path) = open.pop() {
        match session.delete(&path, -1).await {
            Ok(()) | Err(SessionError::NoNode { .. }) => {}
            Err(SessionError::NotEmpty { .. }) => {
                let below = match session.children(&path).await {
                    Ok(children) => children.names,
                    Err(SessionError::NoNode { .. }) => continue,
                    Err(fault) => return Err(fault.into()),
                };
                let below: Vec<String> = below.iter().map(|name| format!("{path}/{name}")).collect();
                open.push(path);
                open.extend(below);
            }
            Err(fault) => return Err(fault.into()),
        }
    }
    Ok(())
}
