"""The snippets of the documents that zooky began with run as they are: but for the import, for where the servers are, and
for what is only a comment in them (a body, a path)."""

import threading

import pytest

import zooky

pytestmark = pytest.mark.everywhere


def run(snippet, server, monkeypatch, **names):
    """Runs a snippet, and gives what it has named."""
    monkeypatch.setenv("ZOOKY_SERVERS", server.hosts)
    exec(compile(snippet.replace("127.0.0.1:2181", server.hosts), "snippet", "exec"), names)
    return names


WRITE = """
from zooky import Client as KazooClient

zk = KazooClient(hosts="127.0.0.1:2181")
zk.start()
deeplake_writelock = zk.WriteLock("/deeplake")
"""
READ = """
from zooky import Client as KazooClient

zk = KazooClient(hosts="127.0.0.1:2181")
zk.start()
deeplake_readlock = zk.ReadLock("/deeplake")
"""
WRITING = """
with deeplake_writelock:
    write()
"""
READING = """
with deeplake_readlock:
    read()
"""


def test_deep_lake_s_write_and_read_locks(server, monkeypatch):
    inside, most = [], []

    def noted(what):
        def body():
            inside.append(what)
            most.append(sorted(inside))
            inside.remove(what)

        return body

    def one(connect, work):
        names = run(connect, server, monkeypatch, write=noted("write"), read=noted("read"))
        for _ in range(10):
            exec(compile(work, "snippet", "exec"), names)
        names["zk"].stop()

    sides = [(WRITE, WRITING), (WRITE, WRITING), (READ, READING), (READ, READING)]
    threads = [threading.Thread(target=one, args=side) for side in sides]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(most) == 40
    assert all(together == ["write"] or "write" not in together for together in most)


def test_who_is_kept_out_by_deep_lake_s_locks(server, monkeypatch):
    writer, reader, other = (run(text, server, monkeypatch) for text in (WRITE, READ, READ))
    write, read = writer["deeplake_writelock"], reader["deeplake_readlock"]
    with write:
        assert read.acquire(blocking=False) is False
    with read, other["deeplake_readlock"]:
        assert write.acquire(blocking=False) is False
    for names in (writer, reader, other):
        names["zk"].stop()


def test_zktools_lock(server, monkeypatch):
    held = []
    names = run("""
from zooky.zktools import ZooKeeper
from zooky.zktools.locking import ZkLock

# Create a connection and a lock
conn = ZooKeeper()
my_lock = ZkLock(conn, "my_lock_name")

my_lock.acquire() # wait to acquire lock
# do something with the lock
held.append(my_lock.has_lock())

my_lock.release() # release our lock

# Or, using the context manager
with my_lock:
    # do something with the lock
    held.append(my_lock.has_lock())
""", server, monkeypatch, held=held)
    assert held == [True, True] and not names["my_lock"].has_lock()
    names["conn"].stop()


def test_zktools_asynchronous_lock(server, monkeypatch):
    with zooky.Client(hosts=server.hosts) as zk:
        done = []
        run("""
from zooky.zktools.locking import ZkAsyncLock

lock = ZkAsyncLock(zk, '/Mylocks/resourceB')
try:
    lock.acquire()

    # Do some stuff that doesn't care if the lock is
    # established yet, then wait for the lock to acquire
    lock.wait_for_acquire()

    # Do stuff with lock, after checking it was acquired
    done.append(lock.acquired)
finally:
    # Release and wait for release
    lock.release()
    lock.wait_for_release()
""", server, monkeypatch, zk=zk, done=done)
        run("""
from zooky.zktools.locking import ZkAsyncLock

lock = ZkAsyncLock(zk, '/Mylocks/resourceB')
with lock:
    if not lock.acquired:
        # handle appropriately and return if needed!
        raise RuntimeError(lock.errors)
    # Won't execute until the lock is acquired
    do_stuff()
# lock is released
do_more_stuff()
""", server, monkeypatch, zk=zk, do_stuff=lambda: done.append("stuff"), do_more_stuff=lambda: done.append("more"))
        assert done == [True, "stuff", "more"]
        assert zk.get_children("/ZktoolsLocks/Mylocks/resourceB") == []


def test_zktools_node(server, monkeypatch, capsys):
    told = []
    names = run("""
from zooky.zktools import ZooKeeper
from zooky.zktools.node import ZkNode

conn = ZooKeeper()
node = ZkNode(conn, '/some/config/node')

# prints out the current value, defaults to None
print(node.value)

# Set the value in zookeeper
node.value = 483.24

# Show the children of the node
print(list(node.children))

# Subscribe a function to be called when the node's
# children change (note this will be called immediately
# with a zc.zk Children instance)
@node.children
def my_function(children):
    # do something with node.children or prior_children
    told.append(list(children))
""", server, monkeypatch, told=told)
    assert capsys.readouterr().out == "None\n[]\n"
    assert told == [[]] and str(names["node"].value) == "483.24"
    names["conn"].stop()


def test_zookeeper_lock(server, monkeypatch):
    counted = []
    run("""
import logging
from zooky import ZooKeeperLock

logger = logging.getLogger("dl_sci")
lock = ZooKeeperLock(hosts="127.0.0.1:2181", lock_name="counting", logger=logger, timeout=10)
lock.create_lock()
if lock.acquire():
    for number in range(1, 11):
        counted.append(number)
    lock.release()
lock.destroy_lock()
""", server, monkeypatch, counted=counted)
    assert counted == list(range(1, 11))
