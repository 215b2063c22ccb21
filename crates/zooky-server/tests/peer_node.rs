//! A client for Node on our server: nodes, watches, ephemerals, sequences, transactions, ACLs, the lock recipe by
//! hand (the client has none), and its session over a restart of the server.
// Helpers of a test fail it by panicking, too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/client.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use support::start;
use tempfile::TempDir;
use zooky_testkit::Talk;

const LONG: Duration = Duration::from_secs(30);

const WORK: &str = r#"
const zookeeper = require('node-zookeeper-client');
const { promisify } = require('util');
const { CreateMode, ACL, Permission, Id } = zookeeper;

function connect() {
  const client = zookeeper.createClient(process.argv[2], { sessionTimeout: 10000, retries: 3 });
  for (const name of ['create', 'remove', 'setData', 'setACL', 'getACL', 'mkdirp'])
    client[name + 'Async'] = promisify(client[name]).bind(client);
  // These hand their callback a stat as a second result.
  for (const name of ['exists', 'getData', 'getChildren'])
    client[name + 'Async'] = (path, watcher) => new Promise((done, failed) =>
      client[name](path, watcher, (error, result, stat) => error ? failed(error) : done({ result, stat })));
  return new Promise((done) => { client.once('connected', () => done(client)); client.connect(); });
}
const error = (promise) => promise.then(() => 'none', (e) => e.name);
const say = (name, value) => console.log(name, value);

// The recipe: an ephemeral sequential node; whoever has the lowest holds, the others watch the one before.
async function acquire(client, directory) {
  const mine = (await client.createAsync(directory + '/lock-', CreateMode.EPHEMERAL_SEQUENTIAL)).split('/').pop();
  for (;;) {
    const queue = (await client.getChildrenAsync(directory)).result.sort();
    const at = queue.indexOf(mine);
    if (at === 0) return directory + '/' + mine;
    await new Promise((gone, failed) => client.exists(directory + '/' + queue[at - 1], gone,
      (e, stat) => e ? failed(e) : stat || gone()));
  }
}

(async () => {
  const one = await connect(), two = await connect();
  await one.mkdirpAsync('/work/a');
  await one.createAsync('/work/a/b', Buffer.from('x'));
  say('again', await error(one.createAsync('/work/a/b')));
  const read = await two.getDataAsync('/work/a/b');
  say('data', read.result.toString() + ' ' + read.stat.version);
  const changed = new Promise((done) => two.getData('/work/a/b', done, () => one.setData('/work/a/b', Buffer.from('y'), 0, () => {})));
  say('changed', (await changed).getName());
  say('stale', await error(two.setDataAsync('/work/a/b', Buffer.from('z'), 0)));
  const more = new Promise((done) => two.getChildren('/work', done, () => one.create('/work/c', () => {})));
  say('more', (await more).getName() + ' ' + (await two.getChildrenAsync('/work')).result.sort());
  const gone = new Promise((done) => two.exists('/work/c', done, () => one.remove('/work/c', () => {})));
  say('gone', (await gone).getName());

  const first = await one.createAsync('/work/s-', CreateMode.PERSISTENT_SEQUENTIAL);
  const second = await one.createAsync('/work/s-', CreateMode.PERSISTENT_SEQUENTIAL);
  say('sequence', second.slice(-10) - first.slice(-10));

  const commit = (t) => new Promise((done) => t.commit((e, results) => done((e ? e.name : 'done') + ' ' + results.length)));
  say('commit', await commit(one.transaction().check('/work/a/b', 1).create('/work/t').setData('/work/a/b', Buffer.from('t'), 1).remove('/work/t')));
  say('rollback', await commit(one.transaction().create('/work/t').check('/work/a/b', 7)));
  say('undone', await error(one.getDataAsync('/work/t')));

  one.addAuthInfo('digest', Buffer.from('ann:secret'));
  await one.createAsync('/work/secret', Buffer.from('s'), [new ACL(Permission.ALL, new Id('auth', ''))]);
  say('denied', await error(two.getDataAsync('/work/secret')));
  say('acl', (await one.getACLAsync('/work/secret'))[0].id.scheme);

  await one.createAsync('/work/locks');
  const held = await acquire(one, '/work/locks');
  let granted = false;
  const waiting = acquire(two, '/work/locks').then((node) => { granted = true; return node; });
  await two.getChildrenAsync('/work/locks');
  say('granted', granted);
  await one.removeAsync(held);
  say('then', (await waiting) > held);

  // An ephemeral goes with its session; another one lives on over a restart.
  await two.createAsync('/work/e', CreateMode.EPHEMERAL);
  const ended = new Promise((done) => one.exists('/work/e', done, () => two.close()));
  say('ended', (await ended).getName());
  await one.createAsync('/work/mine', CreateMode.EPHEMERAL);
  const id = one.getSessionId().toString('hex');
  const back = new Promise((done) => one.once('connected', done));
  say('ready', id);
  await back;
  const owner = (await one.existsAsync('/work/mine')).result.ephemeralOwner.toString('hex');
  say('back', one.getSessionId().toString('hex') === id && owner === id);
  await one.removeAsync('/work/a/b');
  say('left', (await one.getChildrenAsync('/work/a')).result.length);
  one.once('disconnected', () => process.exit(0));
  one.close();
})().catch((error) => { console.error(error); process.exit(1); });
"#;

/// Where `make peers` has put the client.
fn modules() -> PathBuf {
    let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.peers/node/node_modules");
    assert!(modules.join("node-zookeeper-client").exists(), "no client for Node: run `make peers`");
    modules.canonicalize().unwrap()
}

#[test]
fn a_node_client_does_its_work_and_comes_back_after_a_restart() {
    let dir = TempDir::new().unwrap();
    let server = start(dir.path());
    let addr = server.addr();
    let script = dir.path().join("work.js");
    std::fs::write(&script, WORK).unwrap();
    let mut node = Command::new("node");
    node.arg(&script).arg(addr.to_string()).env("NODE_PATH", modules());
    let mut node = Talk::start(node);
    for (line, value) in [
        ("again", "NODE_EXISTS"),
        ("data", "x 0"),
        ("changed", "NODE_DATA_CHANGED"),
        ("stale", "BAD_VERSION"),
        ("more", "NODE_CHILDREN_CHANGED a,c"),
        ("gone", "NODE_DELETED"),
        ("sequence", "1"),
        ("commit", "done 4"),
        ("rollback", "BAD_VERSION 2"),
        ("undone", "NO_NODE"),
        ("denied", "NO_AUTH"),
        ("acl", "digest"),
        ("granted", "false"),
        ("then", "true"),
        ("ended", "NODE_DELETED"),
    ] {
        assert_eq!(node.expect_line(line, LONG), value, "{line}");
    }
    node.expect_line("ready", LONG);
    server.stop().unwrap();
    let mut config = support::config(dir.path());
    config.listen = addr;
    let _server = zooky_server::Server::start(config).unwrap();
    assert_eq!(node.expect_line("back", LONG), "true");
    assert_eq!(node.expect_line("left", LONG), "0");
    assert!(node.wait(LONG).success());
}
