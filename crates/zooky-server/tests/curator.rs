//! Apache Curator on our server: nodes, containers, transactions, a cache and a lock.
// Helpers of a test fail it by panicking, too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/client.rs"]
mod support;

use std::time::Duration;

use support::start;
use tempfile::TempDir;
use zooky_testkit::JavaProgram;

const LONG: Duration = Duration::from_secs(60);

const WORK: &str = r#"
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.recipes.cache.CuratorCache;
import org.apache.curator.framework.recipes.cache.CuratorCacheListener;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.framework.recipes.locks.InterProcessReadWriteLock;
import org.apache.curator.retry.RetryOneTime;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.data.Stat;

public class CuratorWork {
    static CuratorFramework client(String hosts) {
        CuratorFramework client = CuratorFrameworkFactory.newClient(hosts, new RetryOneTime(500));
        client.start();
        return client;
    }

    public static void main(String[] args) throws Exception {
        CuratorFramework one = client(args[0]), two = client(args[0]);
        one.create().creatingParentContainersIfNeeded().forPath("/work/a", "x".getBytes());
        Stat stat = one.setData().withVersion(0).forPath("/work/a", "y".getBytes());
        System.out.println("set " + stat.getVersion() + " " + new String(two.getData().forPath("/work/a")));
        try {
            two.setData().withVersion(0).forPath("/work/a", "z".getBytes());
        } catch (KeeperException.BadVersionException e) {
            System.out.println("stale " + e.code());
        }
        one.create().withProtection().withMode(CreateMode.EPHEMERAL_SEQUENTIAL).forPath("/work/e-");
        one.create().withTtl(60000).withMode(CreateMode.PERSISTENT_WITH_TTL).forPath("/work/ttl");
        System.out.println("parts " + one.transaction().forOperations(
            one.transactionOp().create().withMode(CreateMode.CONTAINER).forPath("/box"),
            one.transactionOp().setData().forPath("/work/a", "t".getBytes()),
            one.transactionOp().check().withVersion(2).forPath("/work/a"),
            one.transactionOp().delete().forPath("/work/ttl")).size());
        CuratorCache cache = CuratorCache.build(two, "/work");
        CountDownLatch seen = new CountDownLatch(1);
        cache.listenable().addListener(CuratorCacheListener.builder().forCreates(
            node -> { if (node.getPath().equals("/work/new")) seen.countDown(); }).build());
        cache.start();
        one.create().forPath("/work/new");
        System.out.println("cache " + seen.await(20, TimeUnit.SECONDS));
        cache.close();
        InterProcessMutex mine = new InterProcessMutex(one, "/lock"), yours = new InterProcessMutex(two, "/lock");
        mine.acquire();
        System.out.println("second " + yours.acquire(200, TimeUnit.MILLISECONDS));
        mine.release();
        System.out.println("then " + yours.acquire(20, TimeUnit.SECONDS));
        yours.release();
        InterProcessReadWriteLock r = new InterProcessReadWriteLock(one, "/rw"), w = new InterProcessReadWriteLock(two, "/rw");
        r.readLock().acquire();
        System.out.println("writer " + w.writeLock().acquire(200, TimeUnit.MILLISECONDS));
        r.readLock().release();
        one.delete().deletingChildrenIfNeeded().forPath("/work");
        System.out.println("left " + (two.checkExists().forPath("/work") == null));
        one.close();
        two.close();
    }
}
"#;

#[test]
fn curator_works_and_locks() {
    let dir = TempDir::new().unwrap();
    let server = start(dir.path());
    let mut curator = JavaProgram::new("CuratorWork", WORK).arg(server.addr().to_string()).spawn();
    for (line, value) in [
        ("set", "1 y"),
        ("stale", "BADVERSION"),
        ("parts", "4"),
        ("cache", "true"),
        ("second", "false"),
        ("then", "true"),
        ("writer", "false"),
        ("left", "true"),
    ] {
        assert_eq!(curator.expect_line(line, LONG), value, "{line}");
    }
    assert!(curator.wait(LONG).success());
}
