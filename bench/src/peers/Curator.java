// Curator's InterProcessMutex; the orders and answers are those of bench/src/protocol.rs.

import com.sun.management.OperatingSystemMXBean;
import java.io.BufferedReader;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Properties;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.framework.recipes.locks.InterProcessReadWriteLock;
import org.apache.curator.retry.RetryOneTime;

public class Curator {
    private static final OperatingSystemMXBean SYSTEM =
            (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();

    private String hosts;
    private CuratorFramework client;

    public static void main(String[] arguments) throws Exception {
        Curator peer = new Curator();
        BufferedReader orders = new BufferedReader(new InputStreamReader(System.in));
        for (String line = orders.readLine(); line != null; line = orders.readLine()) {
            String answer;
            try {
                answer = "ok " + peer.obey(line.trim().split(" +"));
            } catch (Exception failure) {
                answer = "error " + failure;
            }
            System.out.println(answer);
            System.out.flush();
        }
        // Threads of the client must not keep this process alive.
        System.exit(0);
    }

    private String obey(String[] words) throws Exception {
        switch (words[0]) {
            case "setup":
                return setup(words[1]);
            case "uncontended":
                return uncontended(Integer.parseInt(words[1]), Long.parseLong(words[2]), words[3]);
            case "many":
                return many(Integer.parseInt(words[1]), Long.parseLong(words[2]));
            case "handoff":
                return handoff(Integer.parseInt(words[1]), Long.parseLong(words[2]));
            case "tasks":
                return tasks(Integer.parseInt(words[1]), Long.parseLong(words[2]));
            case "readers":
                return readers(Integer.parseInt(words[1]), Long.parseLong(words[2]));
            case "wait":
                return await(Long.parseLong(words[1]));
            case "line":
                return line(Integer.parseInt(words[1]), Integer.parseInt(words[2]));
            case "pass":
                return pass();
            default:
                throw new IllegalArgumentException("no such order: " + words[0]);
        }
    }

    private String setup(String hosts) throws Exception {
        if (client != null) {
            client.close();
        }
        this.hosts = hosts;
        client = connect();
        return "{\"version\":\"" + version() + "\"}";
    }

    private static String version() throws Exception {
        String file = "/META-INF/maven/org.apache.curator/curator-recipes/pom.properties";
        Properties properties = new Properties();
        try (InputStream stream = InterProcessMutex.class.getResourceAsStream(file)) {
            if (stream != null) {
                properties.load(stream);
            }
        }
        return properties.getProperty("version", "?");
    }

    private CuratorFramework connect() throws Exception {
        CuratorFramework made = CuratorFrameworkFactory.newClient(hosts, 30_000, 15_000, new RetryOneTime(100));
        made.start();
        if (!made.blockUntilConnected(30, TimeUnit.SECONDS)) {
            throw new IllegalStateException("not connected after 30 s");
        }
        return made;
    }

    private String uncontended(int count, long limitMs, String release) throws Exception {
        if (!release.equals("awaited")) {
            throw new IllegalArgumentException("Curator releases in the foreground");
        }
        InterProcessMutex mutex = new InterProcessMutex(client, "/bench/curator/free");
        List<Long> acquireNs = new ArrayList<>();
        List<Long> releaseNs = new ArrayList<>();
        long cpu = SYSTEM.getProcessCpuTime();
        long end = System.nanoTime() + limitMs * 1_000_000;
        while (acquireNs.size() < count && System.nanoTime() < end) {
            long start = System.nanoTime();
            mutex.acquire();
            long held = System.nanoTime();
            mutex.release();
            releaseNs.add(System.nanoTime() - held);
            acquireNs.add(held - start);
        }
        cpu = SYSTEM.getProcessCpuTime() - cpu;
        return String.format(
                Locale.ROOT,
                "{\"acquire_us\":%s,\"release_us\":%s,\"cpu_us\":%.1f}",
                micros(acquireNs),
                micros(releaseNs),
                cpu / 1e3);
    }

    private String many(int locks, long limitMs) throws Exception {
        List<InterProcessMutex> mutexes = new ArrayList<>();
        for (int i = 0; i < locks; i++) {
            mutexes.add(new InterProcessMutex(client, "/bench/curator/many/" + i));
        }
        long cpu = SYSTEM.getProcessCpuTime();
        long start = System.nanoTime();
        long end = start + limitMs * 1_000_000;
        List<Callable<Long>> tasks = new ArrayList<>();
        for (InterProcessMutex mutex : mutexes) {
            tasks.add(() -> {
                long cycles = 0;
                while (System.nanoTime() < end) {
                    mutex.acquire();
                    mutex.release();
                    cycles++;
                }
                return cycles;
            });
        }
        long cycles = runAll(tasks).stream().mapToLong(Long::longValue).sum();
        double seconds = (System.nanoTime() - start) / 1e9;
        cpu = SYSTEM.getProcessCpuTime() - cpu;
        return String.format(
                Locale.ROOT, "{\"cycles\":%d,\"seconds\":%.6f,\"cpu_us\":%.1f}", cycles, seconds, cpu / 1e3);
    }

    // Touched by the holder of the lock only.
    private volatile long releasedNs;

    private String handoff(int sessions, long limitMs) throws Exception {
        List<CuratorFramework> clients = new ArrayList<>();
        for (int i = 0; i < sessions; i++) {
            clients.add(connect());
        }
        releasedNs = 0;
        List<Long> handoffNs = new ArrayList<>();
        long cpu = SYSTEM.getProcessCpuTime();
        long start = System.nanoTime();
        long end = start + limitMs * 1_000_000;
        List<Callable<Long>> tasks = new ArrayList<>();
        for (CuratorFramework each : clients) {
            InterProcessMutex mutex = new InterProcessMutex(each, "/bench/curator/handoff");
            tasks.add(() -> {
                while (System.nanoTime() < end) {
                    mutex.acquire();
                    if (releasedNs != 0) {
                        handoffNs.add(System.nanoTime() - releasedNs);
                    }
                    releasedNs = System.nanoTime();
                    mutex.release();
                }
                return 0L;
            });
        }
        runAll(tasks);
        double seconds = (System.nanoTime() - start) / 1e9;
        cpu = SYSTEM.getProcessCpuTime() - cpu;
        for (CuratorFramework each : clients) {
            each.close();
        }
        return String.format(
                Locale.ROOT,
                "{\"handoff_us\":%s,\"seconds\":%.6f,\"cpu_us\":%.1f}",
                micros(handoffNs),
                seconds,
                cpu / 1e3);
    }

    private String tasks(int tasks, long limitMs) throws Exception {
        InterProcessMutex mutex = new InterProcessMutex(client, "/bench/curator/tasks");
        List<Callable<Long>> threads = new ArrayList<>();
        long cpu = SYSTEM.getProcessCpuTime();
        long start = System.nanoTime();
        long end = start + limitMs * 1_000_000;
        for (int i = 0; i < tasks; i++) {
            threads.add(() -> {
                long cycles = 0;
                while (System.nanoTime() < end) {
                    mutex.acquire();
                    mutex.release();
                    cycles++;
                }
                return cycles;
            });
        }
        return rate(threads, start, cpu);
    }

    private String readers(int sessions, long limitMs) throws Exception {
        List<CuratorFramework> clients = new ArrayList<>();
        for (int i = 0; i < sessions; i++) {
            clients.add(connect());
        }
        List<Callable<Long>> threads = new ArrayList<>();
        long cpu = SYSTEM.getProcessCpuTime();
        long start = System.nanoTime();
        long end = start + limitMs * 1_000_000;
        for (int i = 0; i < sessions; i++) {
            InterProcessReadWriteLock lock = new InterProcessReadWriteLock(clients.get(i), "/bench/curator/readers");
            long number = i;
            threads.add(() -> {
                long cycles = 0;
                while (System.nanoTime() < end) {
                    boolean writes = (cycles + number) % 10 == 0;
                    InterProcessMutex mutex = writes ? lock.writeLock() : lock.readLock();
                    mutex.acquire();
                    mutex.release();
                    cycles++;
                }
                return cycles;
            });
        }
        String answer = rate(threads, start, cpu);
        for (CuratorFramework each : clients) {
            each.close();
        }
        return answer;
    }

    private static String rate(List<Callable<Long>> threads, long start, long cpu) throws Exception {
        long cycles = runAll(threads).stream().mapToLong(Long::longValue).sum();
        double seconds = (System.nanoTime() - start) / 1e9;
        double used = (SYSTEM.getProcessCpuTime() - cpu) / 1e3;
        return String.format(Locale.ROOT, "{\"cycles\":%d,\"seconds\":%.6f,\"cpu_us\":%.1f}", cycles, seconds, used);
    }

    private String await(long limitMs) throws Exception {
        InterProcessMutex mutex = new InterProcessMutex(client, "/bench/curator/queue");
        long start = System.nanoTime();
        if (!mutex.acquire(limitMs, TimeUnit.MILLISECONDS)) {
            return "{\"acquired_us\":null}";
        }
        long held = System.nanoTime();
        Thread.sleep(limitMs);
        mutex.release();
        return String.format(Locale.ROOT, "{\"acquired_us\":%.1f}", (held - start) / 1e3);
    }

    private List<CuratorFramework> lineClients;
    private List<Long> lineNs;
    private CountDownLatch go;
    private ExecutorService lineThreads;
    private List<Future<Void>> line;

    private String line(int waiters, int sessions) throws Exception {
        String path = "/bench/curator/queue";
        lineClients = new ArrayList<>();
        for (int i = 0; i < sessions; i++) {
            lineClients.add(connect());
        }
        lineNs = new ArrayList<>();
        go = new CountDownLatch(1);
        CountDownLatch held = new CountDownLatch(1);
        lineThreads = Executors.newFixedThreadPool(waiters);
        line = new ArrayList<>();
        for (int i = 0; i < waiters; i++) {
            int number = i;
            InterProcessMutex mutex = new InterProcessMutex(lineClients.get(i % sessions), path);
            line.add(lineThreads.submit(() -> {
                mutex.acquire();
                if (number == 0) {
                    held.countDown();
                    go.await();
                } else {
                    lineNs.add(System.nanoTime() - releasedNs);
                }
                releasedNs = System.nanoTime();
                mutex.release();
                return null;
            }));
            if (i == 0) {
                held.await();
            }
        }
        while (client.checkExists().forPath(path).getNumChildren() < waiters) {
            Thread.sleep(2);
        }
        return "{\"waiting\":" + waiters + "}";
    }

    private String pass() throws Exception {
        long cpu = SYSTEM.getProcessCpuTime();
        long start = System.nanoTime();
        go.countDown();
        for (Future<Void> each : line) {
            each.get();
        }
        double seconds = (System.nanoTime() - start) / 1e9;
        double used = (SYSTEM.getProcessCpuTime() - cpu) / 1e3;
        lineThreads.shutdown();
        for (CuratorFramework each : lineClients) {
            each.close();
        }
        return String.format(
                Locale.ROOT, "{\"handoff_us\":%s,\"seconds\":%.6f,\"cpu_us\":%.1f}", micros(lineNs), seconds, used);
    }

    private static List<Long> runAll(List<Callable<Long>> tasks) throws Exception {
        ExecutorService threads = Executors.newFixedThreadPool(tasks.size());
        try {
            List<Long> results = new ArrayList<>();
            for (Future<Long> task : threads.invokeAll(tasks)) {
                results.add(task.get());
            }
            return results;
        } finally {
            threads.shutdown();
        }
    }

    private static String micros(List<Long> nanos) {
        StringBuilder text = new StringBuilder("[");
        for (int i = 0; i < nanos.size(); i++) {
            text.append(i == 0 ? "" : ",").append(String.format(Locale.ROOT, "%.1f", nanos.get(i) / 1e3));
        }
        return text.append("]").toString();
    }
}
