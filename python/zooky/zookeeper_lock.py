"""``ZooKeeperLock``: one lock with a client of its own, as small scripts like it."""

import logging
from typing import Optional, Sequence, Union

from .client import Client
from .exceptions import LockTimeout, ZookyError
from .held import FencingToken, ending
from .lock import Lock


class ZooKeeperLock:
    """A lock under ``/locks/``, with a connection of its own.

    >>> import zooky
    >>> with zooky.Server() as server:
    ...     lock = ZooKeeperLock(server.hosts, "counting")
    ...     lock.create_lock()
    ...     if lock.acquire(timeout=5):
    ...         print("counting", lock.is_acquired)
    ...         _ = lock.release()
    ...     lock.destroy_lock()
    counting True

    What goes wrong is written to the logger and raised: a lock that failed silently would not be one.
    """

    def __init__(
        self,
        hosts: Union[str, Sequence[str]],
        lock_name: str,
        logger: Optional[logging.Logger] = None,
        timeout: float = 10.0,
    ) -> None:
        """Settings; nothing is sent before :meth:`create_lock`.

        :param hosts: ``host:port,host:port``, or a list of them.
        :param lock_name: the lock is the znode ``/locks/<lock_name>``.
        :param logger: where failures are told; by default the logger ``zooky``.
        :param timeout: the session timeout in seconds: after so long without a sign of life the lock is another's.
        """
        self.hosts = hosts
        self.lock_name = lock_name
        self.lock_path = f"/locks/{lock_name}"
        self.logger = logging.getLogger("zooky") if logger is None else logger
        self.timeout = timeout
        self._client: Optional[Client] = None
        self._lock: Optional[Lock] = None

    def create_lock(self) -> None:
        """Connects and makes the lock object. Called twice, it goes on with the first.

        :raises zooky.ZookyError: no server could be reached.
        """
        if self._lock is not None:
            return
        client = Client(hosts=self.hosts, timeout=self.timeout)
        try:
            client.start()
        except ZookyError as error:
            self.logger.error("cannot create the lock %s at %s: %s", self.lock_path, self.hosts, error)
            raise
        self._client = client
        self._lock = client.Lock(self.lock_path)

    def acquire(self, blocking: bool = True, timeout: Optional[float] = None) -> bool:
        """Takes the lock.

        :param blocking: False: only if it is free now.
        :param timeout: seconds to wait; None: for ever.
        :returns: whether the lock is held.
        :raises zooky.ZookyError: servers failed, or the lock's path is another client's.
        """
        lock = self._created()
        try:
            return lock.acquire(blocking=blocking, timeout=timeout)
        except LockTimeout as error:
            self.logger.warning("%s", error)
            return False
        except ZookyError as error:
            self.logger.error("cannot acquire %s: %s", self.lock_path, error)
            raise

    def release(self) -> bool:
        """Releases the lock; False if it was not held.

        :raises zooky.LockLost: it had been lost before.
        """
        try:
            return self._created().release()
        except ZookyError as error:
            self.logger.error("cannot release %s: %s", self.lock_path, error)
            raise

    def destroy_lock(self) -> None:
        """Closes the connection, which frees the lock. Called twice, nothing happens."""
        client, self._client, self._lock = self._client, None, None
        if client is not None:
            client.stop()

    @property
    def is_acquired(self) -> bool:
        """Whether the lock is held, as of now."""
        return self._lock is not None and self._lock.is_acquired

    @property
    def fencing_token(self) -> FencingToken:
        """The token to hand along with each write while the lock is held."""
        return self._created().fencing_token

    def _created(self) -> Lock:
        if self._lock is None:
            raise RuntimeError(f"{self.lock_path}: call create_lock() first")
        return self._lock

    def __enter__(self) -> "ZooKeeperLock":
        self.create_lock()
        self.acquire()
        return self

    def __exit__(self, kind: object, exception: Optional[BaseException], traceback: object) -> None:
        try:
            with ending(exception, quiet=ZookyError):
                self.release()
        finally:
            self.destroy_lock()

    def __del__(self) -> None:
        try:
            self.destroy_lock()
        except Exception:  # The interpreter may be ending; the server frees the lock by the session's timeout.
            pass
