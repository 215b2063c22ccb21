"""Every kind of wait gives up the GIL, and Ctrl-C ends it at once and leaves no node."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest

import waiting
import zooky
from conftest import eventually
from zooky.zktools import ZkLock

#: What a user takes for "at once", in seconds.
AT_ONCE = 0.5
PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "waiting.py")
#: Those that wait for a server, and not for a lock.
FOR_A_SERVER = ("get", "create", "ZkNode.value", "start", "release", "stop")


@contextlib.contextmanager
def program(kind, hosts, path):
    """The program, ready to wait; what it still says is read by the caller."""
    child = subprocess.Popen(
        [sys.executable, PROGRAM, kind, hosts, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    try:
        assert child.stdout.readline() == "ready\n"
        yield child
        child.stdin.write("\n")
        assert child.wait(60) == 0
    finally:
        child.kill()
        child.wait()
        child.stdin.close()
        child.stdout.close()


def begin(child):
    child.stdin.write("\n")
    # With the GIL held in the wait nobody would count, and the test would end by its timeout.
    assert child.stdout.readline() == "counted\n"


def interrupt(child):
    begun = time.monotonic()
    child.send_signal(signal.SIGINT)
    assert child.stdout.readline() == "interrupted\n"
    took = time.monotonic() - begun
    assert took < AT_ONCE, f"{took:.3f} s"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", [kind for kind in waiting.WAITS if kind not in FOR_A_SERVER])
def test_of_a_lock(server, client, path, kind):
    held = ZkLock(client, "a", path) if kind.startswith("Zk") else None
    if held is None:
        held = client.Semaphore(path) if "emaphore" in kind else client.Lock(path)
    with held:
        directory = path + "/a" if kind.startswith("Zk") else path + "-__lock__" if "emaphore" in kind else path
        before = client.get_children(directory) if client.exists(directory) else []
        with program(kind, server.hosts, path) as child:
            begin(child)
            if kind not in ("wait_lost", "ZkNode"):
                eventually(lambda: len(client.get_children(directory)) == len(before) + 1)
            interrupt(child)
            eventually(lambda: client.get_children(directory) == before)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", FOR_A_SERVER)
def test_of_a_server(path, kind):
    with zooky.Server() as server:
        with program(kind, server.hosts, path) as child:
            server.stop()
            begin(child)
            interrupt(child)
