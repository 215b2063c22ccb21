import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.recipes.locks.InterProcessLock;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.framework.recipes.locks.InterProcessReadWriteLock;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreV2;
import org.apache.curator.framework.recipes.locks.Lease;
import org.apache.curator.framework.recipes.locks.Revoker;
import org.apache.curator.retry.RetryOneTime;
import org.apache.zookeeper.ZooDefs;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.recipes.lock.LockListener;
import org.apache.zookeeper.recipes.lock.WriteLock;

/**
 * Stock locks in Java, steered line by line: "new NAME KIND PATH", "acquire NAME SECONDS", "release NAME", and "revoke NODE"
 * by Curator's Revoker.
 */
public class Stock {
    interface Stocked {
        boolean acquire(long millis) throws Exception;

        void release() throws Exception;
    }

    static Stocked of(InterProcessLock lock) {
        return new Stocked() {
            public boolean acquire(long millis) throws Exception {
                return lock.acquire(millis, TimeUnit.MILLISECONDS);
            }

            public void release() throws Exception {
                lock.release();
            }
        };
    }

    static Stocked downgraded(InterProcessReadWriteLock lock) {
        return new Stocked() {
            public boolean acquire(long millis) throws Exception {
                if (!lock.writeLock().acquire(millis, TimeUnit.MILLISECONDS)) {
                    return false;
                }
                lock.readLock().acquire();
                lock.writeLock().release();
                return true;
            }

            public void release() throws Exception {
                lock.readLock().release();
            }
        };
    }

    static Stocked semaphore(InterProcessSemaphoreV2 semaphore) {
        return new Stocked() {
            Lease lease;

            public boolean acquire(long millis) throws Exception {
                lease = semaphore.acquire(millis, TimeUnit.MILLISECONDS);
                return lease != null;
            }

            public void release() {
                semaphore.returnLease(lease);
            }
        };
    }

    /** ZooKeeper's own recipe. */
    static Stocked recipe(ZooKeeper zk, String path) {
        return new Stocked() {
            final CountDownLatch acquired = new CountDownLatch(1);
            final WriteLock lock = new WriteLock(zk, path, ZooDefs.Ids.OPEN_ACL_UNSAFE, new LockListener() {
                public void lockAcquired() {
                    acquired.countDown();
                }

                public void lockReleased() {}
            });

            public boolean acquire(long millis) throws Exception {
                lock.lock();
                boolean got = acquired.await(millis, TimeUnit.MILLISECONDS);
                if (!got) {
                    lock.unlock();
                }
                return got;
            }

            public void release() {
                lock.unlock();
            }
        };
    }

    public static void main(String[] args) throws Exception {
        CuratorFramework client = CuratorFrameworkFactory.newClient(args[0], 10000, 30000, new RetryOneTime(100));
        client.start();
        client.blockUntilConnected();
        ZooKeeper zk = client.getZookeeperClient().getZooKeeper();
        Map<String, Stocked> locks = new HashMap<>();
        System.out.println("started");
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String[] words = line.split(" ");
            try {
                switch (words[0]) {
                    case "new":
                        locks.put(words[1], make(client, zk, words[2], words[3]));
                        System.out.println("done");
                        break;
                    case "acquire":
                        System.out.println("acquired " + locks.get(words[1]).acquire((long) (Double.parseDouble(words[2]) * 1000)));
                        break;
                    case "revoke":
                        Revoker.attemptRevoke(client, words[1]);
                        System.out.println("asked");
                        break;
                    default:
                        locks.remove(words[1]).release();
                        System.out.println("released");
                }
            } catch (Exception fault) {
                fault.printStackTrace();
                System.out.println((words[0].equals("acquire") ? "acquired failed " : "trouble ") + fault);
            }
        }
        client.close();
    }

    static Stocked make(CuratorFramework client, ZooKeeper zk, String kind, String path) {
        switch (kind) {
            case "mutex":
                return of(new InterProcessMutex(client, path));
            case "revocable":
                InterProcessMutex mutex = new InterProcessMutex(client, path);
                mutex.makeRevocable(asked -> System.out.println("revoked"));
                return of(mutex);
            case "writer":
                return of(new InterProcessReadWriteLock(client, path).writeLock());
            case "reader":
                return of(new InterProcessReadWriteLock(client, path).readLock());
            case "downgraded":
                return downgraded(new InterProcessReadWriteLock(client, path));
            case "semaphore":
                return semaphore(new InterProcessSemaphoreV2(client, path, 2));
            case "recipe":
                return recipe(zk, path);
            default:
                throw new IllegalArgumentException(kind);
        }
    }
}
