"""``ZooKeeperLock``, as small scripts use it."""

import logging
import threading

import pytest

import zooky


def test_its_life(server, client):
    lock = zooky.ZooKeeperLock([server.hosts], "life", logging.getLogger("test"), timeout=5)
    with pytest.raises(RuntimeError, match="create_lock"):
        lock.acquire()
    lock.create_lock()
    lock.create_lock()
    assert lock.acquire() is True and lock.is_acquired
    assert len(client.get_children("/locks/life")) == 1
    assert lock.fencing_token > 0
    assert lock.release() is True
    assert lock.release() is False
    assert lock.acquire()
    lock.destroy_lock()
    lock.destroy_lock()
    assert client.get_children("/locks/life") == []
    assert not lock.is_acquired


def test_its_destructor_frees_it(server, client):
    lock = zooky.ZooKeeperLock(server.hosts, "destructor")
    lock.create_lock()
    assert lock.acquire()
    del lock
    assert client.get_children("/locks/destructor") == []


def test_failures_are_logged_and_raised(server, caplog):
    with zooky.ZooKeeperLock(server.hosts, "busy"):
        other = zooky.ZooKeeperLock(server.hosts, "busy")
        other.create_lock()
        assert other.acquire(blocking=False) is False
        assert other.acquire(timeout=0.05) is False
        assert "/locks/busy" in caplog.text
        other.destroy_lock()


def test_three_instances_count_to_ten_one_after_the_other(server):
    seen, locks = [], [zooky.ZooKeeperLock(server.hosts, "counting") for _ in range(3)]

    def count(lock, name):
        with lock:
            for number in range(1, 11):
                seen.append((name, number))

    threads = [threading.Thread(target=count, args=(lock, name)) for name, lock in enumerate(locks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(seen) == 30
    assert [number for _, number in seen] == list(range(1, 11)) * 3
    assert {name for name, _ in seen[0:10]} != {name for name, _ in seen[10:20]}
