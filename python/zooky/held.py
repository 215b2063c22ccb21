"""What an object that holds a grant says of it: one place for the locks of kazoo's shape, of zktools' and of asyncio."""

import contextlib
from typing import Iterator, Optional, Type

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


class Held:
    """Holds a grant now and then."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._guard: Optional[_zooky.Guard] = None

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
    def fencing_token(self) -> FencingToken:
        """The token of this grant; see :class:`zooky.FencingToken`.

        :raises RuntimeError: it is not held.
        """
        guard = self._guard
        if guard is None:
            raise RuntimeError(f"{self.path} is not held by this object: acquire it first")
        return FencingToken(guard.token, guard.token_text)

    def _give_up(self) -> Optional[_zooky.Guard]:
        """The guard, which is the caller's from now on."""
        guard, self._guard = self._guard, None
        return guard

    def __repr__(self) -> str:
        guard = self._guard
        return f"<zooky.{type(self).__name__} {self.path} {guard.state if guard else 'not held'}>"


@contextlib.contextmanager
def ending(exception: Optional[BaseException], *, quiet: Type[ZookyError] = LockLost) -> Iterator[None]:
    """For the release at the end of a ``with``: what it raises is passed over if the body raised, which says more."""
    try:
        yield
    except quiet:
        if exception is None:
            raise
