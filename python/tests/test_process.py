"""What a process does: forks, callbacks, its end."""

import asyncio
import gc
import os
import signal
import subprocess
import sys

import pytest

import zooky
from conftest import eventually
from zooky.zktools import ZkAsyncLock, ZkLock, ZkNode


def test_pain_18_a_forked_child_is_told_and_takes_nothing_from_its_parent(server, client, path):
    """kazoo#519 and #554: a child that uses its parent's client hangs."""
    lock = client.Lock(path, "parent")
    lock.acquire()
    asyncio.run(client.async_lock(path + "-parent").acquire())
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        # A wait that is not refused would never end here.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(60)
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
                # A client of its own works, for asyncio, too.
                with zooky.Client(hosts=server.hosts) as own:
                    said += f" then {own.Lock(path).contenders()}"
                    said += f" and {asyncio.run(own.async_lock(path + '-child').acquire(timeout=30))}"
        finally:
            os.write(write, said.encode())
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    assert "after the fork" in said and said.endswith("then ['parent'] and True"), said
    assert lock.is_acquired
    assert lock.contenders() == ["parent"]
    assert lock.release() is True


def test_every_class_tells_of_a_fork_and_goes_on_in_the_parent(server, client, path):
    def held(lock):
        assert lock.acquire() is True
        return lock

    semaphore, zk_lock = held(client.Semaphore(path + "-s")), held(ZkLock(client, "a", path))
    queued, node, own = ZkAsyncLock(client, "b", path), ZkNode(client, path + "-n", default=1), zooky.Server().start()
    queued.acquire()
    assert queued.wait_for_acquire(30)
    small = zooky.ZooKeeperLock(server.hosts, path.strip("/"))
    small.create_lock()
    small.acquire()
    handle, reader = client.Lock(path)._native(), client.ReadLock(path)
    uses = {
        "Client": lambda: client.exists("/"),
        "Lock": handle.acquire,
        "Lock.contenders": handle.contenders,
        "ReadLock": reader.acquire,
        "Semaphore": semaphore.release,
        "Election": lambda: client.Election(path).run(print),
        "AsyncLock": lambda: asyncio.run(client.async_lock(path).acquire()),
        "ZooKeeperLock": small.release,
        "ZkLock": zk_lock.release,
        "ZkAsyncLock": lambda: queued.wait_for_acquire(1),
        "ZkAsyncLock.release": queued.release,
        "ZkNode.value": lambda: node.value,
        "ZkNode.children": lambda: list(node.children),
        "ZkNode.on_change": lambda: node.on_change(print),
        "Server": own.stop,
    }
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        # A wait that is not refused would never end here.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(60)
        said = []
        try:
            for name, use in uses.items():
                try:
                    use()
                    said.append(f"{name}: no error")
                except BaseException as error:
                    said.append(f"{name}: {type(error).__name__}")
            # What is dropped here is not the child's to give back.
            del semaphore, zk_lock, queued, node, own, small, handle
            uses.clear()
            gc.collect()
        finally:
            os.write(write, "\n".join(said).encode())
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        said = pipe.read().split("\n")
    os.waitpid(child, 0)
    assert said == [f"{name}: ForkError" for name in uses]
    assert semaphore.release() and zk_lock.has_lock() and zk_lock.release() and queued.acquired and small.release()
    node.value = 2
    assert node.value == 2
    small.destroy_lock()
    own.__exit__()


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
