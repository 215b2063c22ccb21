"""A Python client in threads; the orders and answers are those of bench/src/protocol.rs.

    python threads.py kazoo|zooky NAME

kazoo's Lock recipe, and zooky's with nothing changed but the import.
"""

import json
import sys
import threading
import time

if sys.argv[1] == "zooky":
    import zooky as package
    from zooky import Client, LockTimeout
else:
    import kazoo as package
    from kazoo.client import KazooClient as Client
    from kazoo.exceptions import LockTimeout

THREADS = 16
ROOT = "/bench/" + sys.argv[2]


def us(start):
    return round((time.perf_counter_ns() - start) / 1000, 1)


def cpu_us():
    return time.process_time_ns() / 1000


class Peer:
    def __init__(self):
        self.client = None

    def connect(self):
        client = Client(hosts=self.hosts, timeout=30.0)
        client.start(timeout=30)
        return client

    def setup(self, hosts):
        if self.client is not None:
            self.client.stop()
            self.client.close()
        self.hosts = hosts
        self.client = self.connect()
        return {"version": package.__version__}

    def uncontended(self, count, limit_ms, release):
        if release != "awaited":
            raise ValueError("it releases in the foreground")
        lock = self.client.Lock(ROOT + "/free", "bench")
        acquire_us, release_us = [], []
        cpu, end = cpu_us(), time.monotonic() + int(limit_ms) / 1000
        while len(acquire_us) < int(count) and time.monotonic() < end:
            start = time.perf_counter_ns()
            lock.acquire()
            acquire_us.append(us(start))
            start = time.perf_counter_ns()
            lock.release()
            release_us.append(us(start))
        return {"acquire_us": acquire_us, "release_us": release_us, "cpu_us": cpu_us() - cpu}

    def many(self, locks, limit_ms):
        """A thread for each lock would only stand in the way; each thread goes round its share of them."""
        made = [self.client.Lock(ROOT + "/many/%d" % i, "bench") for i in range(int(locks))]
        counts = [0] * THREADS
        cpu, start = cpu_us(), time.monotonic()
        end = start + int(limit_ms) / 1000

        def cycle(thread):
            share = made[thread::THREADS]
            while time.monotonic() < end:
                for lock in share:
                    lock.acquire()
                    lock.release()
                    counts[thread] += 1

        run_all(cycle, [(thread,) for thread in range(THREADS)])
        return {"cycles": sum(counts), "seconds": time.monotonic() - start, "cpu_us": cpu_us() - cpu}

    def handoff(self, sessions, limit_ms):
        clients = [self.connect() for _ in range(int(sessions))]
        locks = [client.Lock(ROOT + "/handoff", "bench") for client in clients]
        handoff_us, released = [], [None]
        cpu, start = cpu_us(), time.monotonic()
        end = start + int(limit_ms) / 1000

        def contend(lock):
            while time.monotonic() < end:
                lock.acquire()
                if released[0] is not None:
                    handoff_us.append(us(released[0]))
                released[0] = time.perf_counter_ns()
                lock.release()

        run_all(contend, [(lock,) for lock in locks])
        seconds, cpu = time.monotonic() - start, cpu_us() - cpu
        for client in clients:
            client.stop()
            client.close()
        return {"handoff_us": handoff_us, "seconds": seconds, "cpu_us": cpu}

    def tasks(self, tasks, limit_ms):
        locks = [self.client.Lock(ROOT + "/tasks", "bench") for _ in range(int(tasks))]
        counts = [0] * len(locks)
        cpu, start = cpu_us(), time.monotonic()
        end = start + int(limit_ms) / 1000

        def cycle(number):
            while time.monotonic() < end:
                locks[number].acquire()
                locks[number].release()
                counts[number] += 1

        run_all(cycle, [(number,) for number in range(len(locks))])
        return {"cycles": sum(counts), "seconds": time.monotonic() - start, "cpu_us": cpu_us() - cpu}

    def readers(self, sessions, limit_ms):
        clients = [self.connect() for _ in range(int(sessions))]
        path = ROOT + "/readers"
        pairs = [(client.ReadLock(path, "bench"), client.WriteLock(path, "bench")) for client in clients]
        counts = [0] * len(clients)
        cpu, start = cpu_us(), time.monotonic()
        end = start + int(limit_ms) / 1000

        def cycle(number):
            while time.monotonic() < end:
                lock = pairs[number][1 if (counts[number] + number) % 10 == 0 else 0]
                lock.acquire()
                lock.release()
                counts[number] += 1

        run_all(cycle, [(number,) for number in range(len(clients))])
        seconds, cpu = time.monotonic() - start, cpu_us() - cpu
        for client in clients:
            client.stop()
            client.close()
        return {"cycles": sum(counts), "seconds": seconds, "cpu_us": cpu}

    def wait(self, limit_ms):
        lock = self.client.Lock(ROOT + "/queue", "bench")
        limit = int(limit_ms) / 1000
        start = time.perf_counter_ns()
        try:
            lock.acquire(timeout=limit)
        except LockTimeout:
            return {"acquired_us": None}
        acquired_us = us(start)
        time.sleep(limit)
        lock.release()
        return {"acquired_us": acquired_us}

    def line(self, waiters, sessions):
        path, waiters = ROOT + "/queue", int(waiters)
        clients = [self.connect() for _ in range(int(sessions))]
        log = {"handoff_us": [], "released": None}
        held, go, failures = threading.Event(), threading.Event(), []

        def stand(number):
            try:
                lock = clients[number % len(clients)].Lock(path, "bench")
                lock.acquire()
                if number == 0:
                    held.set()
                    go.wait()
                else:
                    log["handoff_us"].append(us(log["released"]))
                log["released"] = time.perf_counter_ns()
                lock.release()
            except Exception as failure:  # noqa: BLE001 - the driver is told
                failures.append(failure)

        threads = []
        for number in range(waiters):
            threads.append(threading.Thread(target=stand, args=(number,)))
            threads[-1].start()
            if number == 0:
                held.wait()
        while len(self.client.get_children(path)) < waiters:
            time.sleep(0.01)
        self.standing = (clients, log, go, threads, failures)
        return {"waiting": waiters}

    def pass_on(self):
        clients, log, go, threads, failures = self.standing
        cpu, start = cpu_us(), time.monotonic()
        go.set()
        for thread in threads:
            thread.join()
        seconds, cpu = time.monotonic() - start, cpu_us() - cpu
        for client in clients:
            client.stop()
            client.close()
        if failures:
            raise failures[0]
        return {"handoff_us": log["handoff_us"], "seconds": seconds, "cpu_us": cpu}


def run_all(target, arguments):
    failures = []

    def guarded(*args):
        try:
            target(*args)
        except Exception as failure:  # noqa: BLE001 - the driver is told
            failures.append(failure)

    threads = [threading.Thread(target=guarded, args=args) for args in arguments]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def main():
    peer = Peer()
    names = ("setup", "uncontended", "many", "handoff", "tasks", "readers", "wait", "line")
    orders = {name: getattr(peer, name) for name in names}
    orders["pass"] = peer.pass_on
    for line in sys.stdin:
        order, *arguments = line.split()
        try:
            print("ok", json.dumps(orders[order](*arguments)), flush=True)
        except Exception as failure:  # noqa: BLE001 - the driver is told
            print("error", repr(failure), flush=True)


main()
