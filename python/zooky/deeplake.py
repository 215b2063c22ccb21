"""Locks for Deep Lake datasets: one writer at a time, readers beside each other.

>>> import zooky
>>> from zooky.deeplake import read_lock, write_lock
>>> with zooky.Server() as server:
...     with write_lock("./my_vector_store", hosts=server.hosts) as lock:
...         pass    # VectorStore("./my_vector_store", lock_enabled=False).add(...)
...     with read_lock("./my_vector_store", hosts=server.hosts):
...         pass    # VectorStore("./my_vector_store", read_only=True).search(...)

The lock's znode is ``/deeplake-locks/`` and the dataset's path, with percent signs for slashes; a local path is made
absolute first. (Not below ``/deeplake``, which is itself the lock in Deep Lake's tutorial.) All who write one dataset
must therefore call it by one name: a bucket's URL, or the same mount point.

With deeplake 3.9 take the write lock around opening *and* writing, with ``lock_enabled=False``, and the read lock
around opening and reading, also where writers only append. Set ``deeplake.constants.LOCKS_ENABLED = False`` besides:
the views that a filter makes do not inherit ``lock_enabled``, and take Deep Lake's own lock in spite of it. With
deeplake 4 appends may go beside each other, but a change of what is there may be lost beside an append: hold the read
lock around opening and appending, and the write lock around read-modify-write.
"""

import contextlib
import os
import threading
from typing import Dict, Iterator, Optional, Tuple, TypeVar, Union
from urllib.parse import quote

from .client import Client, default_hosts
from .lock import Lock, ReadLock, WriteLock

__all__ = ["lock_path", "read_lock", "write_lock"]

PathLike = Union[str, "os.PathLike[str]"]

_Lock = TypeVar("_Lock", bound=Lock)

_clients: Dict[Tuple[int, str], Client] = {}
_clients_changing = threading.Lock()


def lock_path(dataset: PathLike) -> str:
    """The znode that stands for a dataset.

    >>> lock_path("s3://bucket/images")
    '/deeplake-locks/s3%3A%2F%2Fbucket%2Fimages'
    """
    name = os.fspath(dataset)
    if "://" not in name:
        name = os.path.realpath(os.path.expanduser(name))
    return "/deeplake-locks/" + quote(name.rstrip("/") or "/", safe="")


@contextlib.contextmanager
def write_lock(
    dataset: PathLike,
    client: Optional[Client] = None,
    hosts: Optional[str] = None,
    timeout: Optional[float] = None,
) -> Iterator[WriteLock]:
    """Holds the dataset alone: for appending, updating, deleting.

    :param dataset: its path, as all its writers call it.
    :param client: a started client; otherwise one is kept for this process.
    :param hosts: where that one connects; by default ``ZOOKY_SERVERS``, or ``127.0.0.1:2181``.
    :param timeout: seconds to wait for the lock; None: for ever.
    :raises zooky.LockTimeout: it was not granted in time.
    :raises zooky.LockLost: it was lost before the end of the body: check what was written.
    """
    with _held((client or _shared(hosts)).WriteLock(lock_path(dataset)), timeout) as lock:
        yield lock


@contextlib.contextmanager
def read_lock(
    dataset: PathLike,
    client: Optional[Client] = None,
    hosts: Optional[str] = None,
    timeout: Optional[float] = None,
) -> Iterator[ReadLock]:
    """Holds the dataset together with other readers; writers wait. The parameters are those of :func:`write_lock`."""
    with _held((client or _shared(hosts)).ReadLock(lock_path(dataset)), timeout) as lock:
        yield lock


@contextlib.contextmanager
def _held(lock: _Lock, timeout: Optional[float]) -> Iterator[_Lock]:
    lock.acquire(timeout=timeout)
    try:
        yield lock
    except BaseException as error:
        lock.__exit__(type(error), error, error.__traceback__)
        raise
    else:
        lock.__exit__(None, None, None)


def _shared(hosts: Optional[str]) -> Client:
    """One client for each process and each list of servers."""
    where = hosts or default_hosts()
    with _clients_changing:
        key = (os.getpid(), where)
        client = _clients.get(key)
        if client is None:
            client = Client(hosts=where)
            client.start()
            _clients[key] = client
        return client
