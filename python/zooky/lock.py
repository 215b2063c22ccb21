"""Locks as kazoo shapes them, with what kazoo has not: a fencing token, and a signal when the lock is lost."""

import threading
import time
from typing import TYPE_CHECKING, Callable, List, Optional

from . import _zooky
from .exceptions import LockLost, LockTimeout

if TYPE_CHECKING:
    from .client import Client


class FencingToken(int):
    """A number that grows with every grant of a lock, whoever gets it.

    Hand it along with each write, and let the resource refuse smaller ones: between looking at the clock and
    writing, any process may be paused for an hour. It is an ``int`` (below 2**128); ``str()`` of it gives the text
    that zooky's command and crate use, which sorts alike.
    """

    _text: str

    def __new__(cls, number: int, text: str) -> "FencingToken":
        token = super().__new__(cls, number)
        token._text = text
        return token

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"<FencingToken {self._text}>"


class Lock:
    """An exclusive lock on a path, first come first served.

    It excludes kazoo's ``Lock``, ``WriteLock`` and ``ReadLock`` on the same path. Used in a ``with`` statement it is
    held in the body; if it was lost by the end of the body, :class:`~zooky.LockLost` is raised there.

    One object is held once at a time: threads that share it wait for each other, as with kazoo.
    """

    _mode = "exclusive"

    def __init__(self, client: "Client", path: str, identifier: Optional[str] = None) -> None:
        """A handle; nothing is sent yet.

        :param client: a started :class:`~zooky.Client`.
        :param path: the lock's znode; it is made if it is missing.
        :param identifier: who you are, for those who look at the contenders.
        """
        self.client = client
        self.path = path
        self.identifier = identifier
        self._guard: Optional[_zooky.Guard] = None
        self._waiting: Optional[_zooky.Lock] = None
        self._threads = threading.Lock()
        self._on_lost: List[Callable[[], None]] = []

    def acquire(self, blocking: bool = True, timeout: Optional[float] = None) -> bool:
        """Takes the lock.

        :param blocking: False: only if it is free now.
        :param timeout: seconds to wait; None: for ever.
        :returns: whether the lock is held; False only without ``blocking``.
        :raises zooky.LockTimeout: it was not granted in time. No node is left behind.
        :raises zooky.CancelledError: :meth:`cancel` was called in another thread.
        :raises zooky.ForeignContenderError: the path holds contenders that would not respect this one.
        """
        begun = time.monotonic()
        patience = -1 if timeout is None else max(timeout, 0)
        if not self._threads.acquire(blocking, patience if blocking else -1):
            if not blocking:
                return False
            raise LockTimeout(f"{self.path} was not granted within {timeout} s: this object is held by another thread")
        try:
            native = self.client._lock(self.path, self._mode, self.identifier)
            self._waiting = native
            if not blocking:
                left: Optional[float] = 0.0
            elif timeout is None:
                left = None
            else:
                left = max(timeout - (time.monotonic() - begun), 0.0)
            try:
                guard = native.acquire(left)
            except LockTimeout:
                if blocking:
                    raise
                guard = None
            self._waiting = None
            if guard is None:
                self._threads.release()
                return False
            self._guard = guard
            for callback in self._on_lost:
                guard.on_lost(callback)
            return True
        except BaseException:
            self._waiting = None
            self._threads.release()
            raise

    def release(self) -> bool:
        """Releases the lock, and returns when its node is deleted.

        :returns: False if it is not held by this object.
        :raises zooky.LockLost: it had been lost before; what was done since may have overlapped with another holder.
        """
        guard, self._guard = self._guard, None
        if guard is None:
            return False
        try:
            return guard.release()
        finally:
            self._threads.release()

    def cancel(self) -> None:
        """Ends an :meth:`acquire` that waits in another thread, with :class:`~zooky.CancelledError` there."""
        waiting = self._waiting
        if waiting is not None:
            waiting.cancel()

    def contenders(self) -> List[Optional[str]]:
        """The identifiers of those who hold and want the lock, in order; whatever their nodes hold if they gave none."""
        native = self.client._lock(self.path, self._mode, self.identifier)
        return [_identifier(contender) for contender in native.contenders()]

    @property
    def is_acquired(self) -> bool:
        """Whether this object holds the lock, as of now: False as soon as it is lost."""
        guard = self._guard
        return guard is not None and guard.state in ("held", "suspect")

    @property
    def lost(self) -> bool:
        """Whether the lock was held by this object and is lost. Final, until it is released."""
        guard = self._guard
        return guard is not None and guard.state == "lost"

    @property
    def fencing_token(self) -> FencingToken:
        """The token of this grant; see :class:`FencingToken`.

        :raises RuntimeError: the lock is not held.
        """
        guard = self._guard
        if guard is None:
            raise RuntimeError(f"{self.path} is not held by this object: acquire it first")
        return FencingToken(guard.token, guard.token_text)

    def on_lost(self, callback: Callable[[], None]) -> None:
        """Calls ``callback``, on a thread of its own, whenever a grant of this object is lost before its release."""
        self._on_lost.append(callback)
        if self._guard is not None:
            self._guard.on_lost(callback)

    def wait_lost(self, timeout: Optional[float] = None) -> bool:
        """Waits until the lock is lost, up to ``timeout`` seconds; whether it is."""
        guard = self._guard
        return guard is not None and guard.wait_lost(timeout)

    def __enter__(self) -> "Lock":
        self.acquire()
        return self

    def __exit__(self, kind: object, exception: object, traceback: object) -> None:
        try:
            self.release()
        except LockLost:
            # What the body raised says more.
            if exception is None:
                raise

    def __repr__(self) -> str:
        guard = self._guard
        return f"<zooky.{type(self).__name__} {self.path} {guard.state if guard else 'not held'}>"


class WriteLock(Lock):
    """The exclusive side of a read/write lock; kazoo's ``WriteLock``."""

    _mode = "write"


class ReadLock(Lock):
    """The shared side of a read/write lock; kazoo's ``ReadLock``. Readers share it, writers wait."""

    _mode = "read"


def _identifier(contender: dict) -> Optional[str]:
    named = contender.get("id")
    if named is not None:
        return named
    return contender["data"].decode("utf-8", "replace")
