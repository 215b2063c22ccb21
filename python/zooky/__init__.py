"""Distributed locks on ZooKeeper that know when they are lost, and a ZooKeeper server without Java.

>>> import zooky
>>> with zooky.Server() as server, zooky.Client(hosts=server.hosts) as client:
...     with client.Lock("/locks/nightly-backup") as lock:
...         token = lock.fencing_token      # hand it along with every write
>>> int(token) > 0
True
"""

from . import exceptions
from ._zooky import __version__
from .client import Client, ZooKeeperState, ZnodeStat
from .exceptions import (
    CancelledError,
    ForeignContenderError,
    ForkError,
    LockLost,
    LockTimeout,
    ZookyError,
)
from .lock import FencingToken, Lock, ReadLock, WriteLock
from .server import Server
from .zookeeper_lock import ZooKeeperLock

__all__ = [
    "CancelledError",
    "Client",
    "FencingToken",
    "ForeignContenderError",
    "ForkError",
    "Lock",
    "LockLost",
    "LockTimeout",
    "ReadLock",
    "Server",
    "WriteLock",
    "ZnodeStat",
    "ZooKeeperLock",
    "ZooKeeperState",
    "ZookyError",
    "__version__",
    "exceptions",
]
