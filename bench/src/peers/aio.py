"""A Python client in tasks of asyncio; the orders and answers are those of bench/src/protocol.rs.

    python aio.py kazoo|zooky NAME

kazoo knows no asyncio: programs that have it let its calls wait in threads, and so does this one.
"""

import asyncio
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

ROOT = "/bench/" + sys.argv[2]
#: More than wait at any time: with all of them in acquire(), none would be left for a release().
THREADS = 32


class Kazoo:
    def __init__(self):
        import kazoo
        from kazoo.client import KazooClient

        self.version, self.client = kazoo.__version__, KazooClient

    async def connect(self, hosts):
        client = self.client(hosts=hosts, timeout=30.0)
        await asyncio.to_thread(client.start, timeout=30)
        return client

    async def close(self, client):
        await asyncio.to_thread(client.stop)
        await asyncio.to_thread(client.close)

    def lock(self, client, path):
        return client.Lock(path, "bench")

    async def acquire(self, lock):
        await asyncio.to_thread(lock.acquire)

    async def release(self, lock):
        await asyncio.to_thread(lock.release)


class Zooky(Kazoo):
    """It connects as kazoo does, and its locks are awaited."""

    def __init__(self):
        import zooky

        self.version, self.client = zooky.__version__, zooky.Client

    def lock(self, client, path):
        return client.async_lock(path, "bench")

    async def acquire(self, lock):
        await lock.acquire()

    async def release(self, lock):
        await lock.release()


def us(start):
    return round((time.perf_counter_ns() - start) / 1000, 1)


def cpu_us():
    return time.process_time_ns() / 1000


class Peer:
    def __init__(self, library):
        self.library = library
        self.client = None

    async def setup(self, hosts):
        if self.client is not None:
            await self.library.close(self.client)
        self.hosts = hosts
        self.client = await self.library.connect(hosts)
        return {"version": self.library.version}

    async def uncontended(self, count, limit_ms, release):
        if release != "awaited":
            raise ValueError("it releases in the foreground")
        lock = self.library.lock(self.client, ROOT + "/free")
        acquire_us, release_us = [], []
        cpu, end = cpu_us(), time.monotonic() + int(limit_ms) / 1000
        while len(acquire_us) < int(count) and time.monotonic() < end:
            start = time.perf_counter_ns()
            await self.library.acquire(lock)
            acquire_us.append(us(start))
            start = time.perf_counter_ns()
            await self.library.release(lock)
            release_us.append(us(start))
        return {"acquire_us": acquire_us, "release_us": release_us, "cpu_us": cpu_us() - cpu}

    async def handoff(self, sessions, limit_ms):
        clients = [await self.library.connect(self.hosts) for _ in range(int(sessions))]
        handoff_us, released = [], [None]
        cpu, start = cpu_us(), time.monotonic()
        end = start + int(limit_ms) / 1000

        async def contend(lock):
            while time.monotonic() < end:
                await self.library.acquire(lock)
                if released[0] is not None:
                    handoff_us.append(us(released[0]))
                released[0] = time.perf_counter_ns()
                await self.library.release(lock)

        await asyncio.gather(*[contend(self.library.lock(client, ROOT + "/handoff")) for client in clients])
        seconds, cpu = time.monotonic() - start, cpu_us() - cpu
        for client in clients:
            await self.library.close(client)
        return {"handoff_us": handoff_us, "seconds": seconds, "cpu_us": cpu}


def main():
    loop = asyncio.new_event_loop()
    loop.set_default_executor(ThreadPoolExecutor(THREADS))
    peer = Peer(Zooky() if sys.argv[1] == "zooky" else Kazoo())
    orders = {name: getattr(peer, name) for name in ("setup", "uncontended", "handoff")}
    for line in sys.stdin:
        order, *arguments = line.split()
        try:
            answer = loop.run_until_complete(orders[order](*arguments))
            print("ok", json.dumps(answer), flush=True)
        except Exception as failure:  # noqa: BLE001 - the driver is told
            print("error", repr(failure), flush=True)


main()
