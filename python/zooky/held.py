"""What an object that holds a grant says of it: one place for the locks of kazoo's shape, of zktools' and of asyncio."""

import contextlib
import threading
from typing import Any, Callable, Dict, Generic, Iterator, List, NamedTuple, Optional, Type, TypeVar

from . import _zooky
from .exceptions import LockLost, ZookyError


class FencingToken(int):
    """A number that grows with every grant of a lock, whoever gets it.

    Hand it along with each write, and let the resource refuse smaller ones: between looking at the clock and
    writing, any process may be paused for an hour. It is an ``int`` (below 2**128); ``str()`` of it gives the text
    that zooky's command and crate use, which sorts alike.

    >>> small, great = FencingToken(4 << 64, "4-0"), FencingToken(5 << 64, "5-0")
    >>> small < great, str(small)
    (True, '4-0')
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


class ForeignContender(NamedTuple):
    """A contender that came while a lock was held, and does not respect that: both may believe that they hold it.

    Clients that overlook ours cannot be kept out when they come second. It is seen from 0.2 s after the grant on. What to do
    is for the holder to decide: stop, or go on behind a resource that checks fencing tokens.
    """

    #: The path of its node.
    path: str
    #: Whether it surely does not wait for ours; of a child that nobody knows it is not sure.
    certain: bool
    #: What the server shows of it: ``dialect``, ``mode``, ``data``, ``session`` and ``since_ms`` among others; None if it is gone
    #: already, or no contender of any known client.
    contender: Optional[Dict[str, Any]]


#: A grant, or one who waits for it.
Grant = TypeVar("Grant", _zooky.Guard, _zooky.Candidate)


class Held(Generic[Grant]):
    """Holds a grant now and then."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._guard: Optional[Grant] = None
        self._told: List[Callable[[Grant], None]] = []
        self._telling = threading.Lock()

    @property
    def is_acquired(self) -> bool:
        """Whether this object holds it, as of now: False as soon as it is lost."""
        guard = self._guard
        return guard is not None and guard.state in ("held", "suspect")

    @property
    def lost(self) -> bool:
        """Whether it was held by this object and is lost. Final, until it is released."""
        guard = self._guard
        return guard is not None and guard.state == "lost"

    @property
    def revoked(self) -> bool:
        """Whether somebody asked for the held lock, or it was taken away or lost. It belongs to one acquisition."""
        guard = self._guard
        return guard is not None and (guard.revoked or self.lost)

    @property
    def foreign_contender(self) -> Optional[ForeignContender]:
        """Who came while it is held and does not respect that, if one has been seen: the first, until the first certain one."""
        guard = self._guard
        seen = None if guard is None else guard.foreign_contender
        return None if seen is None else ForeignContender(*seen)

    @property
    def fencing_token(self) -> FencingToken:
        """The token of this grant; see :class:`zooky.FencingToken`.

        :raises RuntimeError: it is not held.
        """
        guard = self._guard
        token = None if guard is None else guard.token
        text = None if guard is None else guard.token_text
        if token is None or text is None:
            raise RuntimeError(f"{self.path} is not held by this object: acquire it first")
        return FencingToken(token, text)

    def on_lost(self, callback: Callable[[], object]) -> None:
        """Calls ``callback``, on a thread of its own, whenever a grant of this object is lost before its release."""
        self._tell(lambda guard: guard.on_lost(callback))

    def on_revoked(self, callback: Callable[[], object]) -> None:
        """Calls ``callback``, on a thread of its own, whenever somebody asks for a grant of this object, or takes it away.

        The holder should let go when it can; nothing forces it. Of another loss :meth:`on_lost` tells, and of a grant that
        is taken away in its first hundredth of a second or so only that.
        """
        self._tell(lambda guard: guard.on_revoked(callback))

    def on_foreign(self, callback: Callable[[ForeignContender], object]) -> None:
        """Calls ``callback``, on a thread of its own, once in each grant of this object in which a contender is seen that
        surely does not respect it."""

        def told(path: str, certain: bool, contender: Optional[Dict[str, Any]]) -> None:
            callback(ForeignContender(path, certain, contender))

        self._tell(lambda guard: guard.on_foreign(told))

    def _tell(self, tell: Callable[[Grant], None]) -> None:
        with self._telling:
            self._told.append(tell)
            guard = self._guard
        if guard is not None:
            tell(guard)

    def _hold(self, guard: Grant) -> None:
        """It is this object's from now on."""
        with self._telling:
            self._guard, told = guard, list(self._told)
        for tell in told:
            tell(guard)

    def _give_up(self) -> Optional[Grant]:
        """The guard, which is the caller's from now on."""
        guard, self._guard = self._guard, None
        return guard

    def __repr__(self) -> str:
        guard = self._guard
        return f"<zooky.{type(self).__name__} {self.path} {guard.state if guard else 'not held'}>"


class Blocking(Held[Grant]):
    """One for whose news threads wait."""

    def wait_lost(self, timeout: Optional[float] = None) -> bool:
        """Waits until it is lost, up to ``timeout`` seconds; whether it is."""
        guard = self._guard
        return guard is not None and guard.wait_lost(timeout)

    def wait_revoked(self, timeout: Optional[float] = None) -> bool:
        """Waits until somebody asks for it or takes it away, up to ``timeout`` seconds; whether somebody did."""
        guard = self._guard
        return guard is not None and guard.wait_revoked(timeout)


@contextlib.contextmanager
def ending(exception: Optional[BaseException], *, quiet: Type[ZookyError] = LockLost) -> Iterator[None]:
    """For the release at the end of a ``with``: what it raises is passed over if the body raised, which says more."""
    try:
        yield
    except quiet:
        if exception is None:
            raise
