"""A program that waits: ``waiting.py KIND HOSTS PATH``. test_waits.py runs one for each kind.

While its main thread waits for what will not come, another thread counts, and says so as soon as it has counted a
while: it can only count if the wait gives up the GIL. SIGINT is to end the wait.
"""

import asyncio
import sys
import threading
import time

import zooky
from zooky.zktools import ZkAsyncLock, ZkLock, ZkNode, ZkReadLock, ZkWriteLock


def awaiting(lock):
    asyncio.run(lock.acquire())


def queued(client, path):
    lock = ZkAsyncLock(client, "a", path)
    lock.acquire()
    return lock



def held(client, path):
    """A lock of this program's own, held."""
    lock = client.Lock(path + "-mine")
    lock.acquire()
    return lock


#: Each takes the client and the path, where the test holds whatever there is.
WAITS = {
    "Lock": lambda client, path: client.Lock(path).acquire(),
    "Lock with a timeout": lambda client, path: client.Lock(path).acquire(timeout=100),
    "ReadLock": lambda client, path: client.ReadLock(path).acquire(),
    "WriteLock": lambda client, path: client.WriteLock(path).acquire(),
    "with": lambda client, path: client.Lock(path).__enter__(),
    "Semaphore": lambda client, path: client.Semaphore(path).acquire(),
    "Election": lambda client, path: client.Election(path).run(print),
    "wait_lost": lambda client, path: mine.wait_lost(),
    "async_lock": lambda client, path: awaiting(client.async_lock(path)),
    "async_semaphore": lambda client, path: awaiting(client.async_semaphore(path)),
    "ZkLock": lambda client, path: ZkLock(client, "a", path).acquire(),
    "ZkReadLock": lambda client, path: ZkReadLock(client, "a", path).acquire(revoke=True),
    "ZkWriteLock": lambda client, path: ZkWriteLock(client, "a", path).acquire(timeout=100),
    "ZkAsyncLock": lambda client, path: queued(client, path).wait_for_acquire(),
    "ZkNode": lambda client, path: ZkNode(client, path + "-node").wait_for(lambda value: value == 1),
    # No server is there any more.
    "get": lambda client, path: client.get(path),
    "create": lambda client, path: client.create(path + "-new"),
    "ZkNode.value": lambda client, path: setattr(node, "value", 1),
    "start": lambda client, path: zooky.Client(hosts=client.hosts).start(timeout=100),
    "release": lambda client, path: mine.release(),
    "stop": lambda client, path: client.stop(),
}


def main():
    kind, hosts, path = sys.argv[1:]
    client = zooky.Client(hosts=hosts)
    client.start()
    global mine, node
    node, mine = ZkNode(client, path + "-node"), held(client, path)
    print("ready", flush=True)
    sys.stdin.readline()
    counting = True

    def count():
        begun = time.monotonic()
        while counting and time.monotonic() - begun < 0.1:
            pass
        print("counted", flush=True)

    threading.Thread(target=count, daemon=True).start()
    try:
        WAITS[kind](client, path)
        print("did not wait", flush=True)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    counting = False
    # The end of the session would remove its nodes as well; it lives on until this is read.
    sys.stdin.readline()
    if client.connected:
        client.stop()


if __name__ == "__main__":
    main()
