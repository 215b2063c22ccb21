"""What the tests share: one server in this process, and clients with a part of the tree of their own."""

import time
import uuid

import pytest

import zooky


def eventually(condition, timeout=30):
    """Waits until something is so, and returns it."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, "it did not become so in time"
        time.sleep(0.005)


@pytest.fixture(scope="session")
def server():
    with zooky.Server() as server:
        yield server


@pytest.fixture
def client(server):
    with zooky.Client(hosts=server.hosts) as client:
        yield client


@pytest.fixture
def path():
    return "/" + uuid.uuid4().hex


@pytest.fixture
def brief():
    """A server of its own with short sessions, so that they are soon lost."""
    with zooky.Server(tick_time=0.25) as server:
        yield server
