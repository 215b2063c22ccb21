//! kazoo as a client of our server.
// Helpers of a test fail it by panicking, too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/client.rs"]
mod support;

use std::time::Duration;

use support::start;
use tempfile::TempDir;
use zooky_testkit::Script;

const WORK: &str = r#"
import sys, threading
from kazoo.client import KazooClient
client = KazooClient(sys.argv[1], timeout=10)
client.start()
client.ensure_path('/a/b')
client.create('/a/b/c', b'x', ephemeral=True)
assert client.get('/a/b/c')[0] == b'x'
seen = threading.Event()
client.get('/a', watch=lambda event: seen.set())
client.set('/a', b'new')
assert seen.wait(10)
transaction = client.transaction()
transaction.create('/t', b'1')
transaction.check('/a', 7)
assert [type(part).__name__ for part in transaction.commit()] == ['RolledBackError', 'BadVersionError']
lock, other = client.Lock('/lock', 'first'), client.Lock('/lock', 'second')
assert lock.acquire() and not other.acquire(blocking=False)
assert lock.contenders() == ['first']
print('session', client.client_id[0])
sys.stdin.readline()
assert client.retry(client.exists, "/a/b/c").ephemeralOwner == client.client_id[0]
lock.release()
assert other.acquire(timeout=10)
client.stop()
client.close()
print('done', client.client_id)
"#;

#[test]
fn it_works_locks_and_comes_back_after_a_restart() {
    let dir = TempDir::new().unwrap();
    let server = start(dir.path());
    let addr = server.addr();
    let mut script = Script::new(WORK).arg(addr.to_string()).spawn();
    script.expect_line("session", Duration::from_secs(30));
    server.stop().unwrap();
    let mut config = support::config(dir.path());
    config.listen = addr;
    let _server = zooky_server::Server::start(config).unwrap();
    script.send_line("go on");
    script.expect_line("done", Duration::from_secs(30));
}
