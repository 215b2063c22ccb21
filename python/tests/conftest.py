"""What the tests share: servers, and clients with a part of the tree of their own.

Tests marked ``everywhere`` run on the embedded server, on Apache ZooKeeper alone and on three Apache ZooKeepers; the
others on the embedded server.
"""

import os
import signal
import subprocess
import time
import types
import uuid

import pytest

import zooky

# A shell has what it starts in the background ignore Ctrl-C, and whatever that starts, too; it is what many tests send.
signal.signal(signal.SIGINT, signal.default_int_handler)

HERE = os.path.dirname(os.path.abspath(__file__))


def eventually(condition, timeout=60):
    """Waits until something is so, and returns it."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, "it did not become so in time"
        time.sleep(0.005)


def pytest_generate_tests(metafunc):
    if "server" in metafunc.fixturenames:
        everywhere = metafunc.definition.get_closest_marker("everywhere")
        places = ["embedded", "standalone", "ensemble"] if everywhere else ["embedded"]
        metafunc.parametrize("server", places, indirect=True, scope="session")


@pytest.fixture(scope="session")
def server(request):
    if request.param == "embedded":
        with zooky.Server() as server:
            yield server
        return
    # python/check builds it: the Rust tests' own starter of real servers.
    starter = os.environ["ZOOKY_TEST_APACHE"]
    with subprocess.Popen([starter, request.param], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as servers:
        hosts = servers.stdout.readline().strip()
        assert hosts, f"{starter} {request.param} did not start: see above"
        yield types.SimpleNamespace(hosts=hosts)
        # At the end of its input it stops them.
        servers.stdin.close()


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


def keep_the_gil(seconds):
    """Makes calls of C that keep the GIL, the last of them for so long at least."""
    size, took = 10_000_000, 0.0
    while took < seconds:
        begun = time.monotonic()
        sum(range(size))
        took = time.monotonic() - begun
        size = int(size * max(2, 1.5 * seconds / took))
