"""The client: a connection to ZooKeeper that outlives its sessions, shaped as kazoo's users know it."""

import threading
from typing import Callable, List, NamedTuple, Optional, Sequence, Tuple

from . import _zooky
from .exceptions import ConnectionClosedError, NodeExistsError, NoNodeError, NotEmptyError
from .lock import Lock, ReadLock, WriteLock


class ZooKeeperState:
    """What a listener is told."""

    #: Requests are answered.
    CONNECTED = "CONNECTED"
    #: The connection is down; the session, its locks included, may still be saved.
    SUSPENDED = "SUSPENDED"
    #: The session is lost, and with it all locks; a new one is opened.
    LOST = "LOST"


#: kazoo's name for it.
KazooState = ZooKeeperState


class ZnodeStat(NamedTuple):
    """A znode's stat, with ZooKeeper's names for its fields."""

    czxid: int
    mzxid: int
    ctime: int
    mtime: int
    version: int
    cversion: int
    aversion: int
    ephemeralOwner: int
    dataLength: int
    numChildren: int
    pzxid: int


class Client:
    """A connection to ZooKeeper.

    >>> import zooky
    >>> server = zooky.Server().start()
    >>> client = Client(hosts=server.hosts)
    >>> client.start()
    >>> lock = client.WriteLock("/deeplake")
    >>> with lock:
    ...     lock.is_acquired
    True
    >>> client.stop()
    >>> server.stop()
    """

    def __init__(
        self,
        hosts: str = "127.0.0.1:2181",
        timeout: float = 10.0,
        auth_data: Sequence[Tuple[str, str]] = (),
        default_acl: Optional[Sequence[Tuple[int, str, str]]] = None,
        use_ssl: bool = False,
        ca: Optional[str] = None,
        certfile: Optional[str] = None,
        keyfile: Optional[str] = None,
        randomize_hosts: bool = True,
    ) -> None:
        """Settings; nothing is sent before :meth:`start`.

        :param hosts: ``host:port,host:port/chroot``.
        :param timeout: the session timeout in seconds; servers move it into their limits.
        :param auth_data: identities, as ``(scheme, credentials)``: ``("digest", "user:password")``.
        :param default_acl: for nodes made by :meth:`create`; ``(permission bits, scheme, id)``.
        :param use_ssl: connect by TLS; then ``ca`` names the file with the authorities to trust.
        :param randomize_hosts: kazoo's; servers are always tried in an order by chance.
        """
        if use_ssl and ca is None:
            raise ValueError("use_ssl needs ca, the PEM file with the authorities to trust")
        self.hosts = hosts
        self._timeout = timeout
        self._auth = [tuple(one) for one in auth_data]
        self.default_acl = default_acl
        self._tls = (ca, certfile, keyfile) if use_ssl else (None, None, None)
        self._native: Optional[_zooky.Client] = None
        self._listeners: List[Callable[[str], Optional[bool]]] = []
        self._changing = threading.RLock()
        self._state = ZooKeeperState.LOST

    # -- life ---------------------------------------------------------------------------------------------------

    def start(self, timeout: float = 15.0) -> None:
        """Connects, and returns when a session is open.

        :param timeout: seconds; after them it raises.
        :raises zooky.exceptions.ConnectionLoss: no server could be reached.
        """
        with self._changing:
            if self._native is not None:
                return
            native = _zooky.Client.connect(self.hosts, self._timeout, timeout, self._auth, *self._tls)
            self._native = native
        native.listen(lambda state: self._changed(native, state))

    def stop(self) -> None:
        """Closes the session: its locks are free at once, its waiters fail. Stopped twice, nothing happens."""
        with self._changing:
            native, self._native = self._native, None
        if native is not None:
            native.close()
            self._set(ZooKeeperState.LOST)

    def close(self) -> None:
        """The same as :meth:`stop`."""
        self.stop()

    def restart(self) -> None:
        """Stops and starts, with a new session."""
        self.stop()
        self.start()

    def __enter__(self) -> "Client":
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<zooky.Client {self.hosts} {self.state}>"

    # -- state --------------------------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """One of :class:`ZooKeeperState`, as of now."""
        native = self._native
        return ZooKeeperState.LOST if native is None else native.state

    @property
    def connected(self) -> bool:
        """Whether a server is answering."""
        return self.state == ZooKeeperState.CONNECTED

    @property
    def client_id(self) -> Optional[Tuple[int, bytes]]:
        """The session's id, as kazoo gives it; the password is kept to itself."""
        native = self._native
        return None if native is None else (native.session_id, b"")

    @property
    def session_timeout(self) -> float:
        """Seconds, as the server granted them."""
        return self._running().session_timeout

    def add_listener(self, listener: Callable[[str], Optional[bool]]) -> None:
        """Calls ``listener`` with each new state, on a thread of its own; one that returns True is removed."""
        if listener not in self._listeners:
            self._listeners.append(listener)

    def remove_listener(self, listener: Callable[[str], Optional[bool]]) -> None:
        """No more calls."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    def _changed(self, native: _zooky.Client, state: str) -> None:
        if self._native is native:
            self._set(state)

    def _set(self, state: str) -> None:
        with self._changing:
            if state == self._state:
                return
            self._state = state
        self._tell(state)

    def _tell(self, state: str) -> None:
        for listener in list(self._listeners):
            if listener(state) is True:
                self.remove_listener(listener)

    def _running(self) -> _zooky.Client:
        native = self._native
        if native is None:
            raise ConnectionClosedError("the client is not started: call start(), or use it in a with statement")
        return native

    # -- locks --------------------------------------------------------------------------------------------------

    def Lock(self, path: str, identifier: Optional[str] = None) -> Lock:
        """An exclusive lock; see :class:`zooky.Lock`."""
        return Lock(self, path, identifier)

    def WriteLock(self, path: str, identifier: Optional[str] = None) -> WriteLock:
        """The exclusive side of a read/write lock; see :class:`zooky.WriteLock`."""
        return WriteLock(self, path, identifier)

    def ReadLock(self, path: str, identifier: Optional[str] = None) -> ReadLock:
        """The shared side of a read/write lock; see :class:`zooky.ReadLock`."""
        return ReadLock(self, path, identifier)

    def _lock(self, path: str, mode: str, identifier: Optional[str]) -> _zooky.Lock:
        return self._running().lock(path, mode, identifier)

    # -- nodes --------------------------------------------------------------------------------------------------

    def create(
        self,
        path: str,
        value: bytes = b"",
        acl: Optional[Sequence[Tuple[int, str, str]]] = None,
        ephemeral: bool = False,
        sequence: bool = False,
        makepath: bool = False,
    ) -> str:
        """Creates a znode and returns its path."""
        acl = self.default_acl if acl is None else acl
        flags = (1 if ephemeral else 0) | (2 if sequence else 0)
        acl = None if acl is None else [tuple(entry) for entry in acl]
        try:
            return self._running().create(path, value, flags, acl)
        except NoNodeError:
            if not makepath:
                raise
        self.ensure_path(path.rpartition("/")[0])
        return self._running().create(path, value, flags, acl)

    def ensure_path(self, path: str) -> bool:
        """Creates a znode and its parents where they are missing."""
        if path in ("", "/") or self.exists(path) is not None:
            return True
        self.ensure_path(path.rpartition("/")[0])
        try:
            self.create(path)
        except NodeExistsError:
            pass
        return True

    def exists(self, path: str) -> Optional[ZnodeStat]:
        """The stat, or None."""
        stat = self._running().exists(path)
        return None if stat is None else ZnodeStat(*stat)

    def get(self, path: str) -> Tuple[bytes, ZnodeStat]:
        """Data and stat."""
        data, stat = self._running().get(path)
        return data, ZnodeStat(*stat)

    def set(self, path: str, value: bytes, version: int = -1) -> ZnodeStat:
        """Sets the data, if the version fits; -1 fits any."""
        return ZnodeStat(*self._running().set(path, value, version))

    def get_children(self, path: str) -> List[str]:
        """The names of the children."""
        return self._running().children(path)

    def delete(self, path: str, version: int = -1, recursive: bool = False) -> bool:
        """Deletes a znode, if the version fits; with ``recursive`` all below it first."""
        if not recursive:
            self._running().delete(path, version)
            return True
        while True:
            try:
                children = self.get_children(path)
            except NoNodeError:
                return True
            for name in children:
                self.delete(f"{path.rstrip('/')}/{name}", recursive=True)
            try:
                self._running().delete(path, version)
                return True
            except NoNodeError:
                return True
            except NotEmptyError:
                # Somebody made another child meanwhile.
                continue

    def sync(self, path: str) -> str:
        """Waits until what others have written can be read here."""
        self._running().sync(path)
        return path
