"""``zktools.locking``: exclusive, shared and asynchronous locks that can be revoked.

>>> children = ["a-write--0000000001", "b-read--0000000002"]
>>> has_write_lock("a-write--0000000001", children)
(True, None)
>>> has_read_lock("b-read--0000000002", children)
(False, ['a-write--0000000001'])
"""

import threading
from types import TracebackType
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, Type, TypeVar, Union

from .. import _zooky
from ..client import Client
from ..exceptions import LockLost, LockTimeout
from ..held import Blocking, ending

__all__ = [
    "IMMEDIATE",
    "ZkAsyncLock",
    "ZkLock",
    "ZkReadLock",
    "ZkWriteLock",
    "has_read_lock",
    "has_write_lock",
]


class _Immediate:
    """The type of :data:`IMMEDIATE`."""

    def __repr__(self) -> str:
        return "IMMEDIATE"


#: For ``acquire(revoke=IMMEDIATE)``: those in the way are removed, without time to let go.
IMMEDIATE = _Immediate()

#: How long a try that removes those in the way waits for their nodes to go, in seconds.
_REMOVAL = 5.0

Revoke = Union[bool, _Immediate]
_Base = TypeVar("_Base", bound="_LockBase")


class _LockBase(Blocking[_zooky.Guard]):
    """What the three locks have in common. One object is for one thread at a time."""

    _node_name = "-lock-"

    def __init__(self, connection: Client, lock_name: str, lock_root: str = "/ZktoolsLocks") -> None:
        """A lock object; nothing is sent yet.

        :param connection: a started :class:`zooky.Client`.
        :param lock_name: the lock is the znode ``<lock_root>/<lock_name>``; it may be nested.
        :param lock_root: where the locks are.
        """
        super().__init__(_join(lock_root, lock_name))
        self.connection = connection
        self.lock_root = lock_root
        self.lock_path = self.path
        self._arguments: Dict[str, Any] = {}

    def _acquire_lock(self, node_name: str, timeout: Optional[float] = None, revoke: Revoke = False) -> bool:
        """Takes the lock as what the node's name says: a reader (``-read-``), a writer (``-write-``), or ``-lock-``.

        For the other parameters and the result see :meth:`ZkLock.acquire`.
        """
        if self.is_acquired:
            return True
        self.release()
        mode = "read" if "read" in node_name else "write" if "write" in node_name else "exclusive"
        how = "immediately" if revoke is IMMEDIATE else "ask" if revoke else None
        if timeout == 0 and how is not None:
            timeout = _REMOVAL if how == "immediately" else 0.05
        try:
            self._hold(self._native(mode, how).acquire(timeout))
        except LockTimeout:
            return False
        return True

    def release(self) -> bool:
        """Releases the lock. True if it was released, False if it was not held any more, or not yet."""
        guard = self._give_up()
        try:
            return guard is not None and guard.release()
        except LockLost:
            return False

    def has_lock(self) -> bool:
        """Asks the server whether this object has the lock."""
        guard = self._guard
        if guard is None or guard.state == "lost":
            return False
        # The server that is asked may lag behind the others.
        self.connection.sync(guard.path)
        stat = self.connection.exists(guard.path)
        return stat is not None and guard.state != "lost"

    def revoke_all(self) -> bool:
        """Asks all who hold or want the lock to let go; they may take their time. Whether there were any."""
        return self._native("exclusive", None).revoke_all(False) > 0

    def clear(self) -> bool:
        """Removes all who hold or want the lock. **Holders may be at work.** Whether there were any."""
        return self._native("exclusive", None).revoke_all(True) > 0

    @property
    def connected(self) -> bool:
        """Whether a server is answering."""
        return self.connection.connected

    def _native(self, mode: str, revoke: Optional[str]) -> _zooky.Lock:
        return self.connection._running().lock(self.lock_path, mode, zktools=True, revoke=revoke)

    def __call__(self: _Base, **arguments: Any) -> _Base:
        """Keeps arguments of :meth:`ZkLock.acquire` for the next ``with``: ``with lock(timeout=5): …``."""
        self._arguments = arguments
        return self

    def __enter__(self: _Base) -> _Base:
        arguments, self._arguments = self._arguments, {}
        if not self._acquire_lock(self._node_name, **arguments):
            raise LockTimeout(f"{self.lock_path} was not granted: the body of the with statement is not run")
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        exception: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        guard = self._give_up()
        # None: the body released it itself.
        if guard is not None:
            with ending(exception):
                guard.release()


class ZkLock(_LockBase):
    """An exclusive lock."""

    def acquire(self, timeout: Optional[float] = None, revoke: Revoke = False) -> bool:
        """Takes the lock; at once if this object has it.

        :param timeout: seconds to wait; None: for ever; 0: only if it is free now.
        :param revoke: True: asks those in the way to let go, and waits; :data:`IMMEDIATE`: removes them.
        :returns: whether the lock is held. If not, the node is removed in the background.
        """
        return self._acquire_lock(self._node_name, timeout, revoke)


class ZkReadLock(_LockBase):
    """A lock that readers share. Those in its way are writers, and exclusive locks."""

    _node_name = "-read-"

    def acquire(self, timeout: Optional[float] = None, revoke: Revoke = False) -> bool:
        """Takes the lock together with other readers; see :meth:`ZkLock.acquire`."""
        return self._acquire_lock(self._node_name, timeout, revoke)


class ZkWriteLock(_LockBase):
    """The writer's side of a shared lock: everybody who came before is in its way."""

    _node_name = "-write-"

    def acquire(self, timeout: Optional[float] = None, revoke: Revoke = False) -> bool:
        """Takes the lock alone; see :meth:`ZkLock.acquire`."""
        return self._acquire_lock(self._node_name, timeout, revoke)


class ZkAsyncLock(Blocking[_zooky.Candidate]):
    """An exclusive lock that is waited for in the background.

    Until it has the lock there is nothing to lose, and nothing to ask it for: :meth:`wait_lost` and :meth:`wait_revoked` wait for
    the lock first.

    >>> import zooky
    >>> with zooky.Server() as server, zooky.Client(hosts=server.hosts) as zk:
    ...     lock = ZkAsyncLock(zk, "/Mylocks/resourceB")
    ...     lock.acquire()
    ...     lock.wait_for_acquire()
    ...     lock.release()
    ...     lock.wait_for_release()
    False
    True
    False
    True
    """

    def __init__(self, connection: Client, lock_name: str, lock_root: str = "/ZktoolsLocks") -> None:
        """A lock object; nothing is sent yet. The parameters are those of :class:`ZkLock`."""
        super().__init__(_join(lock_root, lock_name))
        self.connection = connection
        self.lock_root = lock_root
        self.lock_path = self.path
        self._changing = threading.Lock()

    def acquire(self, func: Optional[Callable[["ZkAsyncLock"], object]] = None) -> bool:
        """Begins to wait for the lock, and returns False at once.

        :param func: called with this object, on a thread of its own, when it has the lock.
        :raises RuntimeError: this object has the lock, or waits for it.
        """
        with self._changing:
            if self._guard is not None:
                raise RuntimeError("Lock already acquired")
            candidate = self.connection._running().enqueue(self.lock_path)
            self._hold(candidate)
        if func is not None:
            told = func
            candidate.on_acquired(lambda: told(self))
        return False

    def release(self, func: Optional[Callable[[], object]] = None) -> bool:
        """Begins to release the lock, or to leave the queue, and returns False at once.

        :param func: called, on a thread of its own, when the node is gone for certain.
        :raises RuntimeError: this object has not asked for the lock.
        """
        candidate = self._guard
        if candidate is None:
            raise RuntimeError("Lock not acquired, nor was a lock node created")
        if func is not None:
            candidate.on_released(func)
        candidate.let_go()
        candidate.on_released(lambda: self._forget(candidate))
        return False

    @property
    def acquired(self) -> bool:
        """Whether it has the lock, as of now."""
        return self.is_acquired

    @property
    def candidate_created(self) -> bool:
        """Whether its node is in the queue."""
        candidate = self._guard
        return candidate is not None and candidate.created

    @property
    def errors(self) -> List[Tuple[Optional[int], str]]:
        """What went wrong in the present acquisition: ZooKeeper's codes, and texts."""
        candidate = self._guard
        return [] if candidate is None else candidate.errors

    def has_lock(self) -> bool:
        """Asks the server whether this object has the lock. False without asking while it waits."""
        candidate = self._guard
        return candidate is not None and candidate.has_lock()

    def wait_for_acquire(self, timeout: Optional[float] = None) -> bool:
        """Waits for the lock; whether it came. False at once if it cannot come: see :attr:`errors`.

        :param timeout: seconds; None: for ever.
        :raises RuntimeError: :meth:`acquire` was not called.
        """
        candidate = self._guard
        if candidate is None:
            raise RuntimeError("Lock acquisition is not in process")
        return candidate.wait_acquired(timeout)

    def wait_for_release(self, timeout: Optional[float] = None) -> bool:
        """Waits until the node is gone for certain, after :meth:`release`; whether it is.

        :param timeout: seconds; None: for ever.
        """
        candidate = self._guard
        if candidate is None:
            return True
        gone = candidate.release(timeout)
        if gone:
            self._forget(candidate)
        return gone

    def _forget(self, candidate: _zooky.Candidate) -> None:
        with self._changing:
            if self._guard is candidate:
                self._guard = None

    def __enter__(self) -> "ZkAsyncLock":
        self.acquire()
        self.wait_for_acquire()
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        exception: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        if self._guard is not None:
            self.release()
            self.wait_for_release()


def has_read_lock(keyname: str, children: Sequence[str]) -> Tuple[bool, Optional[List[str]]]:
    """Whether the child ``keyname`` has a read lock, judged by the names of all children.

    :returns: ``(True, None)``, or ``(False, blockers)``: writers, and exclusive locks, that came before.
    """
    return _judge(keyname, children, lambda name: "read" not in name)


def has_write_lock(keyname: str, children: Sequence[str]) -> Tuple[bool, Optional[List[str]]]:
    """Whether the child ``keyname`` has a write lock: nobody came before. The result is that of :func:`has_read_lock`."""
    return _judge(keyname, children, lambda name: True)


def _judge(
    keyname: str, children: Sequence[str], blocks: Callable[[str], bool]
) -> Tuple[bool, Optional[List[str]]]:
    if keyname not in children:
        return False, []
    mine = _place(keyname)
    before = sorted((name for name in children if _place(name) < mine), key=_place)
    blockers = [name for name in before if blocks(name)]
    return (False, blockers) if blockers else (True, None)


def _place(name: str) -> int:
    """The digits after the last dash; what has none is no contender, and behind all."""
    digits = name.rpartition("-")[2]
    return int(digits) if digits.isdigit() else 1 << 63


def _join(root: str, name: str) -> str:
    """zktools' own documents write the root with a leading slash and without."""
    return f"/{root.strip('/')}/{name.strip('/')}".replace("//", "/")
