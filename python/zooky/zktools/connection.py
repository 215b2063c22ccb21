"""The connection that zktools' documents begin with: ``zc.zk.ZooKeeper``.

>>> import zooky
>>> with zooky.Server() as server, ZooKeeper(server.hosts) as conn:
...     conn.connected
True
"""

from typing import Optional

from ..client import Client, default_hosts

__all__ = ["ZooKeeper"]


def ZooKeeper(connection_string: Optional[str] = None) -> Client:
    """A started :class:`zooky.Client`.

    :param connection_string: ``host:port,host:port/chroot``; by default ``ZOOKY_SERVERS``, or ``127.0.0.1:2181``.
    :raises zooky.exceptions.ConnectionLoss: no server could be reached.
    """
    client = Client(hosts=connection_string or default_hosts())
    client.start()
    return client
