"""Locks for asyncio: the same locks on the same paths, awaited.

>>> import asyncio, zooky
>>> async def main(client):
...     async with client.async_lock("/locks/nightly-backup") as lock:
...         return lock.is_acquired, int(lock.fencing_token) > 0
>>> with zooky.Server() as server, zooky.Client(hosts=server.hosts) as client:
...     asyncio.run(main(client))
(True, True)
"""

import asyncio
from types import TracebackType
from typing import TYPE_CHECKING, Optional, Type

from . import _zooky
from .held import Held, ending

if TYPE_CHECKING:
    from .client import Client

__all__ = ["AsyncLock"]


class AsyncLock(Held[_zooky.Guard]):
    """A lock, or a semaphore's lease, that tasks wait for; made by ``client.async_lock(path)`` and its like.

    A task that is cancelled while it waits leaves no node behind. One object is held once at a time: tasks that share
    it wait for each other. It belongs to one event loop.
    """

    def __init__(self, client: "Client", path: str, mode: str, identifier: Optional[str], max_leases: int = 1) -> None:
        super().__init__(path)
        self.client = client
        self.identifier = identifier
        self._mode = mode
        self._max_leases = max_leases
        # Made in the first acquire: before CPython 3.10 it takes the loop of where it is made.
        self._tasks: Optional[asyncio.Lock] = None

    async def acquire(self, timeout: Optional[float] = None) -> bool:
        """Waits until it is granted, and returns True.

        :param timeout: seconds; None: for ever; 0: only if it is free now.
        :raises zooky.LockTimeout: it was not granted in time. Its node is removed in the background.
        """
        native = self.client._running().lock(self.path, self._mode, self.identifier, self._max_leases)
        tasks = self._tasks = self._tasks or asyncio.Lock()
        await tasks.acquire()
        try:
            self._hold(await native.acquire_async(timeout))
        except BaseException:
            tasks.release()
            raise
        return True

    async def release(self) -> bool:
        """Gives it back, and returns when its node is deleted; False if it is not held.

        Cancelled, it is given back all the same.

        :raises zooky.LockLost: it had been lost before.
        """
        guard, tasks = self._give_up(), self._tasks
        if guard is None or tasks is None:
            return False
        try:
            return await guard.release_async()
        finally:
            tasks.release()

    async def wait_lost(self) -> bool:
        """Waits until it is lost; False if it is released before."""
        guard = self._guard
        return guard is not None and await guard.wait_lost_async()

    async def wait_revoked(self) -> bool:
        """Waits until somebody asks for it or takes it away; False if it is released or lost before."""
        guard = self._guard
        return guard is not None and await guard.wait_revoked_async()

    async def __aenter__(self) -> "AsyncLock":
        await self.acquire()
        return self

    async def __aexit__(
        self,
        kind: Optional[Type[BaseException]],
        exception: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        with ending(exception):
            await self.release()
