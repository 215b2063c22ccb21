"""Distributed locks on ZooKeeper that know when they are lost, and a ZooKeeper server without Java.

>>> import zooky
>>> with zooky.Server() as server, zooky.Client(hosts=server.hosts) as client:
...     with client.Lock("/locks/nightly-backup") as lock:
...         token = lock.fencing_token      # hand it along with every write
>>> int(token) > 0
True
"""

from . import aio, exceptions
from ._zooky import __version__
from .aio import AsyncLock
from .client import Client, KazooState, ZnodeStat, ZooKeeperState
from .exceptions import (
    CancelledError,
    ForeignContenderError,
    ForkError,
    LockLost,
    LockTimeout,
    ZookyError,
)
from .held import FencingToken, ForeignContender
from .lock import Election, Lock, ReadLock, Semaphore, WriteLock
from .server import Server
from .zookeeper_lock import ZooKeeperLock

__all__ = [
    "AsyncLock",
    "CancelledError",
    "Client",
    "Election",
    "FencingToken",
    "ForeignContender",
    "ForeignContenderError",
    "ForkError",
    "KazooState",
    "Lock",
    "LockLost",
    "LockTimeout",
    "ReadLock",
    "Semaphore",
    "Server",
    "WriteLock",
    "ZnodeStat",
    "ZooKeeperLock",
    "ZooKeeperState",
    "ZookyError",
    "__version__",
    "aio",
    "exceptions",
]
