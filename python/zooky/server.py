"""The embedded server: a ZooKeeper in this process, without Java."""

import os
import shutil
import tempfile
import weakref
from typing import Optional, Union

from . import _zooky


class Server:
    """A ZooKeeper server on a loopback port, on threads of its own.

    It speaks ZooKeeper's protocol, so kazoo and every other client can use it. Every acknowledged write is on the
    disk. Without ``data_dir`` the data is in a temporary directory: it stays over :meth:`stop` and :meth:`start`, and
    goes at the end of the ``with`` block, or else with this object.

    >>> with Server() as server:
    ...     server.hosts.startswith("127.0.0.1:")
    True
    """

    def __init__(
        self,
        data_dir: Optional[Union[str, "os.PathLike[str]"]] = None,
        port: int = 0,
        tick_time: float = 2.0,
    ) -> None:
        """Settings; nothing runs before :meth:`start` or ``with``.

        :param data_dir: where the data is kept, in ZooKeeper's own file formats.
        :param port: the port on 127.0.0.1; 0 takes a free one.
        :param tick_time: seconds; session timeouts lie between 2 and 20 of them.
        """
        self._data_dir = data_dir
        self._port = port
        self._tick_ms = round(tick_time * 1000)
        self._native: Optional[_zooky.Server] = None
        self._temporary: Optional[str] = None
        self._clean: Optional["weakref.finalize[..., Server]"] = None

    def start(self) -> "Server":
        """Starts it, and returns when clients can connect. Started twice, it goes on.

        :raises zooky.exceptions.ServerError: the directory is another server's, or damaged, or the port is taken.
        """
        if self._native is not None:
            return self
        directory = self._data_dir
        if directory is None:
            if self._temporary is None:
                self._temporary = tempfile.mkdtemp(prefix="zooky-")
                self._clean = weakref.finalize(self, _remove, self._temporary, os.getpid())
            directory = self._temporary
        self._native = _zooky.Server(directory, f"127.0.0.1:{self._port}", self._tick_ms)
        # The same port after a stop and a start, so that clients find it again.
        self._port = int(self._native.hosts.rpartition(":")[2])
        return self

    def stop(self) -> None:
        """Stops it. Stopped twice, nothing happens."""
        native, self._native = self._native, None
        if native is not None:
            native.stop()

    @property
    def hosts(self) -> str:
        """Where it is, as clients want it: ``host:port``.

        :raises RuntimeError: it does not run.
        """
        if self._native is None:
            raise RuntimeError("the server does not run: use `with zooky.Server() as server`, or start() it")
        return self._native.hosts

    def __enter__(self) -> "Server":
        return self.start()

    def __exit__(self, *exc: object) -> None:
        try:
            self.stop()
        finally:
            if self._clean is not None:
                self._clean()
            self._clean = self._temporary = None

    def __repr__(self) -> str:
        return f"<zooky.Server {self._native.hosts if self._native else 'stopped'}>"


def _remove(directory: str, pid: int) -> None:
    # A forked child that ends must not take its parent's data along.
    if os.getpid() == pid:
        shutil.rmtree(directory, ignore_errors=True)
