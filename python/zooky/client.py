"""The client: a connection to ZooKeeper that outlives its sessions, shaped as kazoo's users know it."""

import logging
import os
import threading
from typing import Callable, List, NamedTuple, Optional, Sequence, Tuple, Union

from . import _zooky
from . import lock as locks
from .aio import AsyncLock
from .exceptions import ConnectionClosedError, NodeExistsError, NoNodeError, NotEmptyError

_log = logging.getLogger("zooky")


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
        hosts: Union[str, Sequence[str]] = "127.0.0.1:2181",
        timeout: float = 10.0,
        client_id: None = None,
        handler: None = None,
        default_acl: Optional[Sequence[Tuple[int, str, str]]] = None,
        auth_data: Optional[Sequence[Tuple[str, str]]] = None,
        sasl_options: None = None,
        read_only: Optional[bool] = None,
        randomize_hosts: bool = True,
        connection_retry: object = None,
        command_retry: object = None,
        logger: object = None,
        keyfile: Optional[str] = None,
        keyfile_password: None = None,
        certfile: Optional[str] = None,
        ca: Optional[str] = None,
        use_ssl: bool = False,
        verify_certs: bool = True,
        check_hostname: bool = True,
    ) -> None:
        """Settings, with the names and the order that ``KazooClient`` has; nothing is sent before :meth:`start`.

        :param hosts: ``host:port,host:port/chroot``, or a list of ``host:port``.
        :param timeout: the session timeout in seconds; servers move it into their limits.
        :param auth_data: identities, as ``(scheme, credentials)``: ``("digest", "user:password")``.
        :param default_acl: for nodes made by :meth:`create`; ``(permission bits, scheme, id)``.
        :param use_ssl: connect by TLS; then ``ca`` names the file with the authorities to trust, and ``certfile`` and
            ``keyfile`` this client's identity if the server wants one. Names and certificates are always checked.
        :param randomize_hosts: servers are always tried in an order by chance.
        :param connection_retry: accepted and not needed, like ``command_retry`` and ``logger``: the session is kept,
            and a lost one replaced, until :meth:`stop`.
        :raises ValueError: a setting of kazoo's that zooky has not, with what to do instead.
        """
        _refuse(client_id is not None, "client_id", "zooky opens its own sessions")
        _refuse(handler is not None, "handler", "zooky brings its threads along; for asyncio use client.async_lock()")
        _refuse(sasl_options is not None, "sasl_options", "use auth_data or TLS")
        _refuse(bool(read_only), "read_only", "a server without a quorum cannot grant locks")
        _refuse(keyfile_password is not None, "keyfile_password", "give a key file without one")
        _refuse(not verify_certs, "verify_certs=False", "name the authority in ca")
        _refuse(use_ssl and not check_hostname, "check_hostname=False", "let the certificate name the server")
        _refuse(use_ssl and ca is None, "use_ssl without ca", "name the PEM file with the authorities to trust in ca")
        self.hosts = hosts if isinstance(hosts, str) else ",".join(hosts)
        self._timeout = timeout
        self._auth: List[Tuple[str, str]] = [(scheme, credentials) for scheme, credentials in auth_data or ()]
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
            if self._listeners:
                # Listeners are never called on a thread of the application's.
                telling = threading.Thread(target=self._set, args=(ZooKeeperState.LOST,), name="zooky-listeners")
                telling.start()
                telling.join()
            else:
                self._state = ZooKeeperState.LOST

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
            try:
                if listener(state) is True:
                    self.remove_listener(listener)
            except Exception:
                # As with kazoo: the others are told all the same.
                _log.exception("a listener of %r failed on %s", self, state)

    def _sibling(self, hosts: str) -> "Client":
        """A client with the same settings, elsewhere in the tree."""
        ca, certfile, keyfile = self._tls
        return Client(
            hosts, self._timeout, default_acl=self.default_acl, auth_data=self._auth,
            use_ssl=ca is not None, ca=ca, certfile=certfile, keyfile=keyfile,
        )

    def _running(self) -> _zooky.Client:
        native = self._native
        if native is None:
            raise ConnectionClosedError("the client is not started: call start(), or use it in a with statement")
        return native

    # -- locks --------------------------------------------------------------------------------------------------

    def Lock(
        self, path: str, identifier: Optional[str] = None, extra_lock_patterns: Sequence[str] = ()
    ) -> locks.Lock:
        """An exclusive lock; see :class:`zooky.Lock`."""
        return locks.Lock(self, path, identifier, extra_lock_patterns)

    def WriteLock(
        self, path: str, identifier: Optional[str] = None, extra_lock_patterns: Sequence[str] = ()
    ) -> locks.WriteLock:
        """The exclusive side of a read/write lock; see :class:`zooky.WriteLock`."""
        return locks.WriteLock(self, path, identifier, extra_lock_patterns)

    def ReadLock(
        self, path: str, identifier: Optional[str] = None, extra_lock_patterns: Sequence[str] = ()
    ) -> locks.ReadLock:
        """The shared side of a read/write lock; see :class:`zooky.ReadLock`."""
        return locks.ReadLock(self, path, identifier, extra_lock_patterns)

    def Semaphore(self, path: str, identifier: Optional[str] = None, max_leases: int = 1) -> locks.Semaphore:
        """So many leases; see :class:`zooky.Semaphore`."""
        return locks.Semaphore(self, path, identifier, max_leases)

    def Election(self, path: str, identifier: Optional[str] = None) -> locks.Election:
        """A candidate for leadership; see :class:`zooky.Election`."""
        return locks.Election(self, path, identifier)

    def async_lock(self, path: str, identifier: Optional[str] = None) -> AsyncLock:
        """An exclusive lock for asyncio; see :class:`zooky.aio.AsyncLock`."""
        return AsyncLock(self, path, "exclusive", identifier)

    def async_write_lock(self, path: str, identifier: Optional[str] = None) -> AsyncLock:
        """The exclusive side of a read/write lock for asyncio."""
        return AsyncLock(self, path, "write", identifier)

    def async_read_lock(self, path: str, identifier: Optional[str] = None) -> AsyncLock:
        """The shared side of a read/write lock for asyncio."""
        return AsyncLock(self, path, "read", identifier)

    def async_semaphore(self, path: str, identifier: Optional[str] = None, max_leases: int = 1) -> AsyncLock:
        """A lease of a semaphore for asyncio."""
        return AsyncLock(self, path, "lease", identifier, max_leases)

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
        entries = None if acl is None else [(perms, scheme, id) for perms, scheme, id in acl]
        try:
            return self._running().create(path, value, flags, entries)
        except NoNodeError:
            if not makepath:
                raise
        self.ensure_path(path.rpartition("/")[0])
        return self._running().create(path, value, flags, entries)

    def ensure_path(self, path: str) -> bool:
        """Creates a znode and its parents where they are missing."""
        path = path or "/"
        if self.exists(path) is not None:
            return True
        if path == "/":
            # The chroot itself, which may be several levels below what is there.
            hosts, _, chroot = self.hosts.partition("/")
            with self._sibling(hosts) as above:
                return above.ensure_path("/" + chroot)
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


def default_hosts() -> str:
    """Where those go who were told no servers: ``ZOOKY_SERVERS``, else ``127.0.0.1:2181``."""
    return os.environ.get("ZOOKY_SERVERS") or "127.0.0.1:2181"


def _refuse(given: bool, what: str, instead: str) -> None:
    if given:
        raise ValueError(f"{what} is not supported by zooky.Client: {instead}")
