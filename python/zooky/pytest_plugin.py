"""Fixtures for tests of whatever needs a ZooKeeper: kazoo, zooky, or any other client. No Java, no Docker."""

from typing import Iterator

import pytest

from .server import Server


@pytest.fixture(scope="session")
def zookeeper_server() -> Iterator[Server]:
    """One ZooKeeper for the whole test session, in this process, with data that goes with it."""
    with Server() as server:
        yield server


@pytest.fixture
def zookeeper(zookeeper_server: Server, request: pytest.FixtureRequest) -> Iterator[str]:
    """The connect string of a ZooKeeper, with a chroot of this test's own, so that tests do not see each other.

    It works for kazoo as for zooky: ``KazooClient(hosts=zookeeper)``, ``zooky.Client(hosts=zookeeper)``.
    """
    from .client import Client

    with Client(hosts=zookeeper_server.hosts) as client:
        chroot = client.create("/pytest-", sequence=True)
        yield zookeeper_server.hosts + chroot
        client.delete(chroot, recursive=True)
