"""zktools' locks and nodes on Python 3, with their names, parameters and return values, over zooky's own.

>>> import zooky
>>> from zooky.zktools.locking import ZkLock
>>> with zooky.Server() as server, zooky.Client(hosts=server.hosts) as conn:
...     my_lock = ZkLock(conn, "my_lock_name")
...     my_lock.acquire()
...     my_lock.release()
...     with my_lock:
...         my_lock.has_lock()
True
True
True

The locks' nodes are written as zktools 0.3 writes them, so that both exclude each other. What was wrong with the original and is
mended here is listed in ``docs/python.md``.
"""

from .connection import ZooKeeper
from .locking import (
    IMMEDIATE,
    ZkAsyncLock,
    ZkLock,
    ZkReadLock,
    ZkWriteLock,
    has_read_lock,
    has_write_lock,
)
from .node import ZkNode

__all__ = [
    "IMMEDIATE",
    "ZkAsyncLock",
    "ZkLock",
    "ZkNode",
    "ZkReadLock",
    "ZkWriteLock",
    "ZooKeeper",
    "has_read_lock",
    "has_write_lock",
]
