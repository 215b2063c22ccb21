"""What the stories run on: the embedded server, and three Apache ZooKeepers as `make ensemble` starts them."""

import ctypes
import os
import signal
import socket
import subprocess
from pathlib import Path
from typing import Iterator

import pytest

import zooky

# A shell has what it starts in the background ignore Ctrl-C, and whatever that starts, too; it is how they are ended here.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parents[2]
#: With the home directory that cargo needs.
ENVIRONMENT = dict(os.environ)


@pytest.fixture(scope="session", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> None:
    """deeplake and matplotlib write to the home directory as soon as they are imported."""
    os.environ["HOME"] = str(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    with zooky.Server() as server:
        yield server.hosts


@pytest.fixture(scope="session")
def ensemble() -> Iterator[str]:
    process = subprocess.Popen(
        ["make", "--silent", "ensemble"],
        cwd=ROOT, env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=end_with_parent,
    )
    hosts = process.stdout.readline().strip()
    try:
        # Without an input it goes on all the same, until it is told to end.
        assert len(hosts.split(",")) == 3, hosts
        yield hosts
        assert process.poll() is None
    finally:
        # As a terminal does on Ctrl-C: the whole group. It takes the servers along.
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=60)
        assert not any(listens(address) for address in hosts.split(",")), hosts


def end_with_parent() -> None:
    """Linux sends the signal; make passes it on."""
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


@pytest.fixture(params=["server", "ensemble"])
def hosts(request: pytest.FixtureRequest) -> str:
    """Each story that takes this is told twice: on the embedded server, and on three Apache ZooKeepers."""
    return request.getfixturevalue(request.param)
