//! One Apache ZooKeeper under the test's hand, and stock clients on it.

use std::path::Path;
use std::time::Duration;
use zooky_testkit::{Apache, JavaProgram, Script, four_letter};

const LONG: Duration = Duration::from_secs(60);

const KAZOO_LOCK: &str = r#"
import sys
from kazoo.client import KazooClient

client = KazooClient(hosts=sys.argv[1])
client.start(timeout=30)
lock = client.Lock("/locks/shared", sys.argv[2])
print("ready", flush=True)
for line in sys.stdin:
    if line.strip() == "acquire":
        lock.acquire()
        print("acquired", ",".join(lock.contenders()), flush=True)
    elif line.strip() == "release":
        lock.release()
        print("released", flush=True)
client.stop()
"#;

const CURATOR_LOCK: &str = r#"
import java.io.BufferedReader;
import java.io.InputStreamReader;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.retry.RetryOneTime;

public class CuratorLock {
    public static void main(String[] args) throws Exception {
        CuratorFramework client = CuratorFrameworkFactory.newClient(args[0], new RetryOneTime(500));
        client.start();
        InterProcessMutex mutex = new InterProcessMutex(client, "/locks/curator");
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in));
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            if (line.equals("acquire")) {
                mutex.acquire();
                System.out.println("acquired " + client.getChildren().forPath("/locks/curator").size());
            } else {
                mutex.release();
                System.out.println("released " + client.getChildren().forPath("/locks/curator").size());
            }
        }
        client.close();
    }
}
"#;

#[test]
fn apache_keeps_its_data_over_kill_stop_and_pause() {
    let mut server = Apache::builder().tick_ms(500).extra("maxSessionTimeout=30000").start();
    let config = four_letter(server.addr(), "conf").unwrap();
    assert!(config.contains("tickTime=500") && config.contains("maxSessionTimeout=30000"), "{config}");

    let write = "import sys; from kazoo.client import KazooClient as K; c = K(sys.argv[1]); c.start(); \
                 print('was', c.exists('/kept') is not None); c.ensure_path('/kept'); c.stop()";
    let mut first = Script::new(write).arg(server.hosts()).spawn();
    assert_eq!(first.expect_line("was", LONG), "False");
    assert!(first.wait(LONG).success());
    assert!(server.data_dir().join("version-2").is_dir());

    let before = server.pid();
    server.kill();
    assert!(four_letter(server.addr(), "ruok").is_err());
    server.restart();
    assert_ne!(server.pid(), before);
    server.stop();
    server.restart();
    server.pause();
    assert!(four_letter(server.addr(), "ruok").is_err());
    server.resume();
    assert_eq!(four_letter(server.addr(), "ruok").unwrap(), "imok");
    let mut second = Script::new(write).arg(server.hosts()).spawn();
    assert_eq!(second.expect_line("was", LONG), "True");
}

#[test]
fn apache_leaves_a_named_data_directory_and_kills_its_process() {
    let directory = tempfile::tempdir().unwrap();
    let server = Apache::builder().data_dir(directory.path()).start();
    let process = format!("/proc/{}", server.pid());
    drop(server);
    assert!(!Path::new(&process).exists());
    assert!(directory.path().join("version-2").is_dir());
}

#[test]
#[should_panic(expected = "nonsense")]
fn apache_shows_its_log_when_it_does_not_start() {
    let _server = Apache::builder().extra("tickTime=nonsense").start();
}

#[test]
fn apache_serves_two_kazoo_locks_that_exclude_each_other() {
    let server = Apache::start();
    let talk = |name: &str| Script::new(KAZOO_LOCK).arg(server.hosts()).arg(name).spawn();
    let (mut one, mut two) = (talk("one"), talk("two"));
    one.expect_line("ready", LONG);
    two.expect_line("ready", LONG);
    one.send_line("acquire");
    assert_eq!(one.expect_line("acquired", LONG), "one");
    two.send_line("acquire");
    assert!(!two.hears_line("acquired", Duration::from_millis(500)));
    one.send_line("release");
    one.expect_line("released", LONG);
    assert_eq!(two.expect_line("acquired", LONG), "two");
    assert!(one.wait(LONG).success());
}

#[test]
fn apache_serves_curators_mutex() {
    let server = Apache::start();
    let mut curator = JavaProgram::new("CuratorLock", CURATOR_LOCK).arg(server.hosts()).spawn();
    curator.send_line("acquire");
    assert_eq!(curator.expect_line("acquired", LONG), "1");
    curator.send_line("release");
    assert_eq!(curator.expect_line("released", LONG), "0");
    assert!(curator.wait(LONG).success());
}
