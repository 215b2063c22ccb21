"""Locks as kazoo shapes them, with what kazoo has not: a fencing token, and a signal when the lock is lost."""

import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Sequence, Type, TypeVar

from . import _zooky
from .exceptions import CancelledError, LockTimeout
from .held import Blocking, FencingToken, ending

if TYPE_CHECKING:
    from .client import Client

__all__ = ["Election", "FencingToken", "Lock", "ReadLock", "Semaphore", "WriteLock"]

_Held = TypeVar("_Held", bound="_Taken")


class _Taken(Blocking[_zooky.Guard]):
    """What is taken and released: the locks, and a semaphore's lease."""

    _mode = "exclusive"

    def __init__(self, client: "Client", path: str, identifier: Optional[str], max_leases: int = 1) -> None:
        super().__init__(path)
        self.client = client
        self.identifier = identifier
        #: Whether :meth:`cancel` was called since the last :meth:`acquire`.
        self.cancelled = False
        self._max_leases = max_leases
        self._waiting: Optional[_zooky.Lock] = None
        self._threads = threading.Lock()

    def acquire(self, blocking: bool = True, timeout: Optional[float] = None, ephemeral: bool = True) -> bool:
        """Waits until it is granted.

        :param blocking: False: only if it is free now.
        :param timeout: seconds to wait; None: for ever.
        :param ephemeral: kazoo's; only True is accepted: the server must free the lock of one who died.
        :returns: whether it is held. False without ``blocking``, or if this very object is in use all the time.
        :raises zooky.LockTimeout: it was not granted in time. Its node is removed in the background.
        :raises zooky.CancelledError: :meth:`cancel` was called in another thread.
        :raises zooky.ForeignContenderError: the path holds contenders that would not respect this one.
        """
        if not ephemeral:
            raise ValueError("ephemeral=False would leave the lock held by nobody when this process dies; zooky refuses")
        begun = time.monotonic()
        patience = -1 if timeout is None else max(timeout, 0)
        if not self._threads.acquire(blocking, patience if blocking else -1):
            return False
        try:
            native = self._native()
            self.cancelled = False
            self._waiting = native
            if not blocking:
                left: Optional[float] = 0.0
            elif timeout is None:
                left = None
            else:
                left = max(timeout - (time.monotonic() - begun), 0.0)
            try:
                guard: Optional[_zooky.Guard] = native.acquire(left)
            except LockTimeout:
                if blocking:
                    raise
                guard = None
            self._waiting = None
            if guard is None:
                self._threads.release()
                return False
            self._hold(guard)
            return True
        except BaseException:
            self._waiting = None
            self._threads.release()
            raise

    def release(self) -> bool:
        """Gives it back, and returns when its node is deleted.

        :returns: False if it is not held by this object.
        :raises zooky.LockLost: it had been lost before; what was done since may have overlapped with another holder.
        """
        guard = self._give_up()
        if guard is None:
            return False
        try:
            return guard.release()
        finally:
            self._threads.release()

    def cancel(self) -> None:
        """Ends an :meth:`acquire` that waits in another thread, with :class:`~zooky.CancelledError` there."""
        self.cancelled = True
        waiting = self._waiting
        if waiting is not None:
            waiting.cancel()

    @property
    def node(self) -> Optional[str]:
        """The name of this object's node below :attr:`path` while it is held; else None."""
        guard = self._guard
        return None if guard is None else guard.path.rpartition("/")[2]

    def _native(self) -> _zooky.Lock:
        return self.client._running().lock(self.path, self._mode, self.identifier, self._max_leases)

    def _identifiers(self) -> List[str]:
        return [_identifier(contender) for contender in self._native().contenders()]

    def __enter__(self: _Held) -> _Held:
        self.acquire()
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        exception: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        with ending(exception):
            self.release()


class Lock(_Taken):
    """An exclusive lock on a path, first come first served.

    It excludes kazoo's ``Lock``, ``WriteLock`` and ``ReadLock`` on the same path. Used in a ``with`` statement it is
    held in the body; if it was lost by the end of the body, :class:`~zooky.LockLost` is raised there.

    One object is held once at a time: threads that share it wait for each other, as with kazoo.
    """

    def __init__(
        self,
        client: "Client",
        path: str,
        identifier: Optional[str] = None,
        extra_lock_patterns: Sequence[str] = (),
    ) -> None:
        """A handle; nothing is sent yet.

        :param client: a started :class:`~zooky.Client`.
        :param path: the lock's znode; it is made if it is missing.
        :param identifier: who you are, for those who look at the contenders.
        :param extra_lock_patterns: kazoo's; only an empty one is accepted: zooky refuses a path with other clients'
            contenders (:class:`~zooky.ForeignContenderError`), as those would not wait for this lock.
        """
        if extra_lock_patterns:
            raise ValueError("extra_lock_patterns: zooky refuses a path with contenders that would not respect its own")
        super().__init__(client, path, identifier)

    def contenders(self) -> List[str]:
        """The identifiers of those who hold and want the lock, in order; ``""`` for those that gave none."""
        return self._identifiers()


class WriteLock(Lock):
    """The exclusive side of a read/write lock; kazoo's ``WriteLock``."""

    _mode = "write"


class ReadLock(Lock):
    """The shared side of a read/write lock; kazoo's ``ReadLock``. Readers share it, writers wait."""

    _mode = "read"


class Semaphore(_Taken):
    """So many leases of one path, shared with kazoo's ``Semaphore``; all its users must say the same number.

    >>> import zooky
    >>> with zooky.Server() as server, zooky.Client(hosts=server.hosts) as client:
    ...     one = client.Semaphore("/downloads", "one", max_leases=2)
    ...     two = client.Semaphore("/downloads", "two", max_leases=2)
    ...     with one, two:
    ...         one.lease_holders(), client.Semaphore("/downloads", max_leases=2).acquire(blocking=False)
    (['one', 'two'], False)
    """

    _mode = "lease"

    def __init__(
        self, client: "Client", path: str, identifier: Optional[str] = None, max_leases: int = 1
    ) -> None:
        """A handle; nothing is sent yet.

        :param identifier: who you are, for those who look at :meth:`lease_holders`.
        :param max_leases: how many leases there are; :meth:`acquire` raises ValueError if others say otherwise.
        """
        if max_leases < 1:
            raise ValueError("max_leases: a semaphore has one lease at least")
        super().__init__(client, path, identifier, max_leases)

    @property
    def max_leases(self) -> int:
        """How many leases there are, as this object was told."""
        return self._max_leases

    def acquire(self, blocking: bool = True, timeout: Optional[float] = None, ephemeral: bool = True) -> bool:
        """Waits for a lease; as with kazoo it returns True at once if this object has one. See :meth:`Lock.acquire`."""
        return self.is_acquired or super().acquire(blocking, timeout, ephemeral)

    def lease_holders(self) -> List[str]:
        """The identifiers of those who have a lease."""
        return self._identifiers()


class Election:
    """Who leads. The candidates queue on one path, together with kazoo's ``Election`` there.

    >>> import zooky
    >>> with zooky.Server() as server, zooky.Client(hosts=server.hosts) as client:
    ...     election = client.Election("/leader", "db1")
    ...     election.run(lambda word: print(word, election.contenders()), "leading")
    leading ['db1']
    """

    def __init__(self, client: "Client", path: str, identifier: Optional[str] = None) -> None:
        """A handle; nothing is sent yet. ``identifier`` is the candidate's name for the others."""
        #: The lock that the leader holds: its fencing token, its loss.
        self.lock = Lock(client, path, identifier)

    def run(self, func: Callable[..., object], *args: Any, **kwargs: Any) -> None:
        """Waits until this candidate leads, calls ``func``, and resigns when it returns or raises.

        Returns without the call if :meth:`cancel` ends the wait.

        :raises ValueError: ``func`` cannot be called.
        :raises zooky.LockLost: the leadership was lost before ``func`` returned.
        """
        if not callable(func):
            raise ValueError(f"{func!r} cannot be called: run() wants the function that the leader runs")
        try:
            self.lock.acquire()
        except CancelledError:
            return
        # Not in the try: a CancelledError of func's own is its caller's.
        with _Holding(self.lock):
            func(*args, **kwargs)

    def cancel(self) -> None:
        """Ends the wait of :meth:`run` in another thread. One who leads already goes on."""
        self.lock.cancel()

    def contenders(self) -> List[str]:
        """The identifiers of the leader and the other candidates, in order."""
        return self.lock.contenders()


class _Holding:
    """Releases what is held already."""

    def __init__(self, lock: _Taken) -> None:
        self._lock = lock

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        exception: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self._lock.__exit__(kind, exception, traceback)


def _identifier(contender: Dict[str, Any]) -> str:
    """The id of zooky's owner; "" if it gave none, as with kazoo; another client's data as they are."""
    named = contender.get("id")
    if named is None and "host" not in contender:
        named = contender["data"].decode("utf-8", "replace")
    return named or ""
