"""What a process does: threads, signals, forks."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

import zooky
from conftest import eventually


def test_other_threads_run_while_one_waits(client, path):
    waiting = client.Lock(path)
    with client.Lock(path) as holding:
        thread = threading.Thread(target=waiting.acquire)
        thread.start()
        eventually(lambda: len(holding.contenders()) == 2)
        # With the GIL held in the wait, this thread would be stuck until the lock is free, and the test for ever.
        assert sum(range(100_000)) > 0 and thread.is_alive()
    thread.join(10)
    assert waiting.is_acquired
    waiting.release()


WAITS = """
import sys, zooky
client = zooky.Client(hosts=sys.argv[1])
client.start()
lock = client.Lock(sys.argv[2])
try:
    lock.acquire()
except KeyboardInterrupt:
    print("interrupted", lock.is_acquired, flush=True)
    # Not the end of the session removes it: that lives on until stop().
    sys.stdin.readline()
    client.stop()
"""


def test_ctrl_c_interrupts_a_wait_at_once_and_leaves_no_node(server, client, path):
    with client.Lock(path) as lock:
        child = subprocess.Popen(
            [sys.executable, "-c", WAITS, server.hosts, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            eventually(lambda: len(lock.contenders()) == 2)
            begun = time.monotonic()
            child.send_signal(signal.SIGINT)
            assert child.stdout.readline() == "interrupted False\n"
            assert time.monotonic() - begun < 2
            eventually(lambda: len(lock.contenders()) == 1)
            child.communicate("\n", timeout=30)
            assert child.returncode == 0
        finally:
            child.kill()
            child.wait()
            child.stdin.close()
            child.stdout.close()


def test_pain_18_a_forked_child_is_told_and_takes_nothing_from_its_parent(server, client, path):
    """kazoo#519 and #554: a child that uses its parent's client hangs."""
    lock = client.Lock(path, "parent")
    lock.acquire()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        said = "nothing"
        try:
            for what in (lock.release, lambda: client.get("/"), lambda: client.Lock(path).acquire(timeout=1)):
                try:
                    what()
                    said = "no error"
                    break
                except zooky.ForkError as error:
                    said = str(error)
            else:
                # A client of its own works.
                with zooky.Client(hosts=server.hosts) as own:
                    said += f" then {own.Lock(path).contenders()}"
        finally:
            os.write(write, said.encode())
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    assert "after the fork" in said and said.endswith("then ['parent']"), said
    assert lock.is_acquired
    assert lock.contenders() == ["parent"]
    assert lock.release() is True


def test_what_a_listener_raises_is_logged_and_stops_nothing(server, caplog):
    told = []
    client = zooky.Client(hosts=server.hosts)
    client.add_listener(lambda state: 1 / 0)
    client.add_listener(told.append)
    with client:
        eventually(lambda: told == ["CONNECTED"])
        assert "ZeroDivisionError" in caplog.text
        assert client.connected


def test_what_a_callback_of_a_loss_raises_is_reported(brief, path, monkeypatch):
    reported = []
    monkeypatch.setattr(sys, "unraisablehook", lambda report: reported.append(report.exc_value))
    with zooky.Client(hosts=brief.hosts, timeout=1) as client:
        lock = client.Lock(path)
        lock.acquire()
        lock.on_lost(lambda: 1 / 0)
        brief.stop()
        eventually(lambda: reported)
        assert isinstance(reported[0], ZeroDivisionError)
        with pytest.raises(zooky.LockLost):
            lock.release()


def test_the_interpreter_ends_with_a_client_and_a_server_running(tmp_path):
    program = (
        "import zooky; s = zooky.Server().start(); c = zooky.Client(hosts=s.hosts); c.start();"
        "l = c.Lock('/a'); l.on_lost(print); l.acquire(); print(s._temporary)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert not os.path.exists(done.stdout.strip())
