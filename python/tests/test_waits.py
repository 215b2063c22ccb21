"""Every kind of wait gives up the GIL, and Ctrl-C ends it at once and leaves no node."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time

import pytest

import waiting
import zooky
from conftest import eventually
from zooky.zktools import ZkLock

#: Ctrl-C takes some hundredths of a second; a machine with much else to do takes longer, and has this many seconds.
AT_ONCE = 10
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


@pytest.mark.parametrize("kind", FOR_A_SERVER)
def test_of_a_server(path, kind):
    with zooky.Server() as server:
        with program(kind, server.hosts, path) as child:
            server.stop()
            begin(child)
            interrupt(child)


def test_a_thread_that_waits_sleeps(client, path):
    """Only the main thread runs the handlers of signals: the others need not wake up again and again to look for them."""
    waits = client.Lock(path)
    thread = threading.Thread(target=lambda: pytest.raises(zooky.CancelledError, waits.acquire))
    with client.Lock(path):
        thread.start()
        eventually(lambda: len(client.get_children(path)) == 2)

        def wakes():
            with open(f"/proc/self/task/{thread.native_id}/status") as status:
                return int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", status.read(), re.MULTILINE)[1])

        before = wakes()
        time.sleep(1)
        # It may be the one who keeps the process's sessions alive; those who look for signals wake fifty times.
        assert wakes() - before < 30
        waits.cancel()
        thread.join(60)
    assert not thread.is_alive()
