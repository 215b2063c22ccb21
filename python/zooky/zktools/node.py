"""``zktools.node``: the value of one znode, followed as it changes.

>>> import zooky
>>> from zooky.zktools.node import ZkNode
>>> with zooky.Server() as server, zooky.Client(hosts=server.hosts) as conn:
...     node = ZkNode(conn, '/some/config/node')
...     print(node.value)
...     node.value = 483.24
...     node.value
...     list(node.children)
None
Decimal('483.24')
[]
"""

import datetime
import decimal
import json
import time
import weakref
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, TypeVar

from ..client import Client

__all__ = ["Children", "ZkNode"]

#: Everything is allowed to everybody.
_OPEN: Dict[str, Any] = {"perms": 31, "scheme": "world", "id": "anyone"}

_Subscriber = TypeVar("_Subscriber", bound=Callable[[Any], object])


class ZkNode:
    """A znode: its value, as Python sees it, and its children.

    The node is read, watched, and read again after each change, over lost connections and sessions.

    ======================================  =============================================
    in the node                             as a value
    ======================================  =============================================
    nothing, or ``none`` in any case        None
    ``true``, ``false`` in any case         bool
    ``42``, ``-7``                          int
    ``4.20``, ``-0.5``, ``1e+16``           :class:`decimal.Decimal`, every digit kept
    ``2012-01-13``                          :class:`datetime.date`
    ``2012-01-13T10:00:00.25Z``, ``+02:00`` :class:`datetime.datetime` in UTC
    ``2012-01-13T10:00:00``                 :class:`datetime.datetime` without a zone
    ``{…}``, ``[…]``, with ``use_json``     dict, list; what is no JSON stays text
    any other text, any other bytes         str, bytes
    ======================================  =============================================

    Written are ``repr()`` of a float, ``str()`` of the rest; moments in UTC with a ``Z`` (those without a zone as they
    are), and dicts and lists as JSON if ``use_json`` is given.
    """

    def __init__(
        self,
        connection: Client,
        path: str,
        default: object = None,
        use_json: bool = False,
        permission: Mapping[str, Any] = _OPEN,
        create_mode: int = 0,
    ) -> None:
        """Reads the node, and creates it, with parents, if it is not there.

        :param connection: a started :class:`zooky.Client`.
        :param path: the znode's path.
        :param default: what it holds if it is created; by default nothing, which reads as None.
        :param use_json: whether what looks like a JSON object or list is read as one, and dicts and lists are written as
            JSON.
        :param permission: the rights to a node that is created: ``perms`` (bits), ``scheme`` and ``id``.
        :param create_mode: 0: it stays; 1: it is there for as long as the session, and is created again in the next.
        :raises ValueError: ``create_mode`` is another.
        :raises zooky.ZookyError: the server refuses to show or to create it.
        """
        if create_mode not in (0, 1):
            raise ValueError(f"create_mode {create_mode}: a node that is followed is persistent (0) or ephemeral (1)")
        self.connection = connection
        self.path = path
        self._use_json = use_json
        data = None if default is None else _write(default, use_json)
        acl = [(permission["perms"], permission["scheme"], permission["id"])]
        self._native = connection._running().node(path, data, use_json, acl, create_mode == 1)

    @property
    def value(self) -> Any:
        """The value that was seen last; no request is made. None also if somebody deleted the node: see :attr:`deleted`.

        After a loss of the session it waits for the next one and reads the node anew.

        :raises zooky.ZookyError: the node cannot be read (the ACL forbids it, say), the client was stopped, or no
            server could be reached for a new session.
        """
        seen = self._native.value()
        return None if seen is None else _read(*seen)

    @value.setter
    def value(self, value: object) -> None:
        """Writes the value, and returns when the server has it; :attr:`value` is this one then, or a newer one.

        :raises zooky.exceptions.NoNodeError: the node is deleted.
        """
        self._native.set(_write(value, self._use_json))

    @property
    def last_modified(self) -> Optional[int]:
        """When it was changed last: milliseconds since 1970 on the server's clock. None if it is deleted."""
        return self._native.last_modified

    @property
    def connected(self) -> bool:
        """Whether a server is answering, so that the value is no older than the network is slow."""
        return self._native.connected

    @property
    def deleted(self) -> bool:
        """New: whether somebody deleted it. It is still watched: created again, it has a value again."""
        return self._native.last_modified is None

    @property
    def children(self) -> "Children":
        """The names of the nodes below; also a decorator for functions that are told of changes. See :class:`Children`."""
        return Children(self)

    def on_change(self, func: _Subscriber) -> _Subscriber:
        """New: calls ``func`` with this object, now and after each change of the value; a decorator.

        It runs on a thread of its own, and has returned once when this returns; of changes that follow each other
        quickly it may miss some, never the last. What it raises is reported (``sys.unraisablehook``). It ends with
        this object.
        """
        node = weakref.ref(self)

        def told() -> None:
            present = node()
            if present is not None:
                func(present)

        self._native.on_change(told)
        return func

    def wait_for(self, predicate: Callable[[Any], Any], timeout: Optional[float] = None) -> Any:
        """New: waits until ``predicate`` of the value is true, and returns what it returned last, as
        :meth:`threading.Condition.wait_for` does.

        >>> import zooky
        >>> with zooky.Server() as server, zooky.Client(hosts=server.hosts) as conn:
        ...     node = ZkNode(conn, "/limit", default=3)
        ...     node.wait_for(lambda value: value > 2), node.wait_for(lambda value: value > 3, timeout=0.01)
        (True, False)

        :param timeout: seconds; None: for ever.
        """
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            seen = self._native.seen
            result = predicate(self.value)
            left = None if end is None else end - time.monotonic()
            if result or (left is not None and left <= 0):
                return result
            self._native.wait_change(seen, left)

    def __repr__(self) -> str:
        return f"<zooky.ZkNode {self.path}>"


class Children:
    """The names of a node's children, sorted: those of now whenever it is looked at, or, for a subscriber, those that it
    is told of.

    As a decorator it subscribes a function: it is called with an object like this one, now and after each change, as
    said at :meth:`ZkNode.on_change`.

    >>> import zooky
    >>> with zooky.Server() as server, zooky.Client(hosts=server.hosts) as conn:
    ...     node = ZkNode(conn, '/some/config/node')
    ...     @node.children
    ...     def my_function(children):
    ...         print("children:", list(children))
    children: []
    """

    def __init__(self, node: ZkNode, names: Optional[List[str]] = None) -> None:
        self.node = node
        self._names = names

    def _seen(self) -> List[str]:
        return self.node._native.children() if self._names is None else self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._seen())

    def __len__(self) -> int:
        return len(self._seen())

    def __contains__(self, name: object) -> bool:
        return name in self._seen()

    def __call__(self, func: _Subscriber) -> _Subscriber:
        node = weakref.ref(self.node)

        def told(names: List[str]) -> None:
            present = node()
            if present is not None:
                func(Children(present, names))

        self.node._native.on_children(told)
        return func

    def __repr__(self) -> str:
        return f"<zooky.Children of {self.node.path}>"


def _read(kind: str, data: bytes, moment: Optional[str]) -> Any:
    if kind == "nothing":
        return None
    if kind == "bytes":
        return data
    text = data.decode()
    if kind == "truth":
        return text.lower() == "true"
    if kind == "number":
        return int(text) if text.lstrip("-").isdigit() else decimal.Decimal(text)
    if kind == "json":
        return json.loads(text)
    if moment is not None:
        try:
            return _date(moment) if kind == "date" else _datetime(moment)
        except ValueError:
            # Years that Python has not.
            return text
    return text


def _date(text: str) -> datetime.date:
    return datetime.date(*map(int, text.split("-")))


def _datetime(text: str) -> datetime.datetime:
    # Python has no nanoseconds.
    moment = datetime.datetime.fromisoformat(text.rstrip("Z")[:26])
    return moment.replace(tzinfo=datetime.timezone.utc) if text.endswith("Z") else moment


def _write(value: object, use_json: bool) -> bytes:
    if isinstance(value, (bytes, bytearray)):
        return bytes(value)
    if isinstance(value, float):
        return repr(value).encode()
    if isinstance(value, datetime.datetime):
        if value.tzinfo is None:
            return value.isoformat(timespec="microseconds").encode()
        utc = value.astimezone(datetime.timezone.utc).replace(tzinfo=None)
        return utc.isoformat(timespec="microseconds").encode() + b"Z"
    if use_json and isinstance(value, (dict, list)):
        return json.dumps(value).encode()
    return str(value).encode()
