"""zktools' locks: names, parameters, return values, layouts, and what is mended."""

import threading
import uuid

import pytest

import zooky
from conftest import eventually
from zooky.zktools.locking import (
    IMMEDIATE,
    ZkAsyncLock,
    ZkLock,
    ZkReadLock,
    ZkWriteLock,
    _LockBase,
    has_read_lock,
    has_write_lock,
)

pytestmark = pytest.mark.everywhere

KINDS = {ZkLock: "-lock--", ZkReadLock: "-read--", ZkWriteLock: "-write--"}


@pytest.fixture
def root(path):
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_its_nodes_are_zktools_own(client, kind):
    lock = kind(client, f"layout-{kind.__name__}")
    assert lock.acquire() is True
    assert client.get("/ZktoolsLocks")[0] == b"zktools ZLock dir"
    assert client.get(lock.lock_path)[0] == b"lock"
    (name,) = client.get_children(lock.lock_path)
    unique, word, digits = name[:32], name[32:-10], name[-10:]
    assert int(unique, 16) >= 0 and word == KINDS[kind] and digits.isdigit()
    data, stat = client.get(f"{lock.lock_path}/{name}")
    assert data == b"0" and stat.ephemeralOwner == client.client_id[0]
    assert lock.fencing_token > 0
    assert lock.release() is True


@pytest.mark.parametrize("kind", KINDS)
def test_its_life(client, root, kind):
    lock = kind(client, "deeply/nested", lock_root=root)
    assert isinstance(lock, _LockBase) and lock.connected is True
    # Mended: it raised.
    assert lock.release() is False
    assert lock.has_lock() is False and lock.revoked is False and lock.revoke_all() is False and lock.clear() is False
    assert lock.acquire() is True
    assert lock.has_lock() is True
    # Mended: the first node was left behind.
    assert lock.acquire() is True
    assert len(client.get_children(lock.lock_path)) == 1
    assert lock.release() is True
    # Mended: a plain release was a revocation.
    assert lock.revoked is False
    assert lock.acquire(timeout=0) is True
    assert lock.release() is True
    assert client.get_children(lock.lock_path) == []


def test_who_excludes_whom(client, root):
    def tries(kind):
        lock = kind(client, "a", root)
        got = lock.acquire(timeout=0)
        lock.release()
        return got

    for held, readers in ((ZkLock, False), (ZkWriteLock, False), (ZkReadLock, True)):
        with held(client, "a", root):
            # Mended: a reader was let in beside a ZkLock.
            assert tries(ZkReadLock) is readers
            assert tries(ZkWriteLock) is False
            assert tries(ZkLock) is False
        assert tries(ZkWriteLock) is True


def test_timeouts_leave_no_node_and_no_body_runs_without_the_lock(client, root):
    with ZkLock(client, "a", root) as held:
        other = ZkLock(client, "a", root)
        assert other.acquire(timeout=0) is False
        assert other.acquire(timeout=0.05) is False
        with pytest.raises(zooky.LockTimeout):
            with other(timeout=0):
                pytest.fail("the body ran")
        eventually(lambda: len(client.get_children(held.lock_path)) == 1)
    # The arguments were for that one `with`.
    with other:
        assert other.has_lock()


def test_asking_for_a_lock(client, root):
    held, other, got = ZkLock(client, "a", root), ZkWriteLock(client, "a", root), []
    assert held.acquire()
    thread = threading.Thread(target=lambda: got.append(other.acquire(timeout=30, revoke=True)))
    thread.start()
    eventually(lambda: held.revoked)
    assert held.has_lock()
    assert client.get(held._guard.path)[0] == b"unlock"
    held.release()
    thread.join(30)
    assert got == [True] and other.revoked is False
    assert other.revoke_all() is True
    eventually(lambda: other.revoked)
    other.release()


@pytest.mark.parametrize("timeout", [None, 0, 10])
def test_taking_a_lock(client, root, timeout):
    held, other = ZkLock(client, "a", root), ZkLock(client, "a", root)
    assert held.acquire()
    assert other.acquire(timeout=timeout, revoke=IMMEDIATE) is True
    eventually(lambda: held.revoked)
    assert held.has_lock() is False and other.has_lock() is True
    assert held.release() is False
    # Mended: it said None.
    assert ZkLock(client, "a", root).clear() is True
    eventually(lambda: not other.has_lock())
    assert other.release() is False


def test_with_ends_with_an_exception_if_the_lock_was_taken(client, root):
    with pytest.raises(zooky.LockLost):
        with ZkReadLock(client, "a", root) as held:
            ZkReadLock(client, "a", root).clear()
            eventually(lambda: held.revoked)


def test_the_base(client, root):
    # A root without its slash, as zktools' documents have it here and there.
    base = _LockBase(client, "a", lock_root=root.strip("/"))
    assert base.lock_path == root + "/a"
    assert base.has_lock() is False and base.revoked is False and base.release() is False and base.clear() is False
    assert base._acquire_lock("/-read-", timeout=0) is True
    assert "-read-" in client.get_children(base.lock_path)[0]
    assert base.has_lock() is True
    other = _LockBase(client, "a", root)
    assert other._acquire_lock("/-write-", timeout=0) is False
    assert other._acquire_lock("/-write-", timeout=None, revoke=IMMEDIATE) is True
    eventually(lambda: base.revoked)
    assert base.release() is False
    assert other.clear() is True
    assert other.has_lock() is False


def test_the_asynchronous_lock(client, root):
    lock, got, gone = ZkAsyncLock(client, "/a", root), threading.Event(), threading.Event()
    with pytest.raises(RuntimeError, match="nor was a lock node created"):
        lock.release()
    with pytest.raises(RuntimeError, match="not in process"):
        lock.wait_for_acquire()
    assert lock.acquire(lambda mine: got.set() if mine is lock else None) is False
    with pytest.raises(RuntimeError, match="already acquired"):
        lock.acquire()
    assert lock.wait_for_acquire() is True and lock.acquired is True and lock.candidate_created is True
    assert got.wait(60) and lock.errors == []
    assert client.get(lock.lock_path)[0] == b"zktools ZLock dir"
    (name,) = client.get_children(lock.lock_path)
    assert "-lock-" in name and "-lock--" not in name

    other = ZkAsyncLock(client, "/a", root)
    other.acquire()
    assert other.wait_for_acquire(timeout=0.05) is False and other.acquired is False
    eventually(lambda: other.candidate_created)
    # Tired of waiting.
    other.release()
    assert other.wait_for_release() is True
    assert client.get_children(lock.lock_path) == [name]

    assert lock.release(gone.set) is False
    assert gone.wait(60) and lock.wait_for_release(timeout=60) is True
    assert client.get_children(lock.lock_path) == [] and not lock.acquired
    with lock:
        assert lock.acquired
    assert not lock.acquired and lock.candidate_created is False


def test_errors_of_the_asynchronous_lock_wake_those_who_wait(client, root):
    client.create(root + "/a", makepath=True)
    client.create(root + "/a/stranger")
    lock = ZkAsyncLock(client, "a", root)
    lock.acquire()
    # Mended: they waited for ever.
    assert lock.wait_for_acquire(timeout=30) is False
    assert lock.errors and "stranger" in lock.errors[-1][1]


def test_the_asynchronous_lock_hears_what_a_holder_hears(client, root):
    holding, lock = ZkLock(client, "a", root), ZkAsyncLock(client, "a", root)
    asked, strangers, lost = threading.Event(), [], []
    lock.on_revoked(asked.set)
    lock.on_lost(lambda: lost.append(1))
    assert lock.has_lock() is False and lock.revoked is False and lock.foreign_contender is None
    assert lock.wait_revoked() is False and lock.wait_lost() is False and not lock.is_acquired
    assert holding.acquire()
    lock.acquire()
    eventually(lambda: lock.candidate_created)
    # Asked while it waits, it hears of that when it has the lock.
    assert holding.revoke_all() is True and holding.wait_revoked(60) is True
    assert lock.has_lock() is False and lock.revoked is False and lock.wait_revoked(timeout=0.05) is False
    with pytest.raises(RuntimeError, match="acquire it first"):
        lock.fencing_token
    assert not asked.is_set()
    holding.release()
    assert lock.wait_for_acquire(60) is True and lock.wait_revoked(60) is True and asked.wait(60)
    # It is asked, no more.
    assert lock.revoked is True and lock.has_lock() is True and not lock.lost and int(lock.fencing_token) > 0
    assert lock.wait_lost(timeout=0.05) is False

    lock.on_foreign(strangers.append)
    name = client.create(f"{lock.lock_path}/{uuid.uuid4().hex}__lock__", ephemeral=True, sequence=True)
    (seen,) = eventually(lambda: strangers)
    assert seen.path == name and seen.certain is True and seen.contender["dialect"] == "kazoo"
    assert lock.foreign_contender == seen and lock.acquired
    assert lock.release() is False and lock.wait_for_release(60) is True
    assert lock.has_lock() is False and lock.revoked is False and lock.foreign_contender is None
    client.delete(name)

    # Whoever wanted to be told is told of each acquisition.
    asked.clear()
    with lock:
        assert lock.revoked is False and not lost
        assert holding.revoke_all() is True
        assert asked.wait(60) and lock.revoked is True and lock.acquired
        assert holding.clear() is True
        assert lock.wait_lost(60) is True and lock.lost and not lock.acquired and lock.has_lock() is False
        eventually(lambda: lost == [1])
    assert not lock.lost and lost == [1] and len(strangers) == 1


def test_judging_by_names():
    children = ["c-lock--0000000003", "a-read--0000000001", "b-write--0000000002", "d-read--0000000004"]
    assert has_read_lock("a-read--0000000001", children) == (True, None)
    assert has_write_lock("a-read--0000000001", children) == (True, None)
    assert has_read_lock("d-read--0000000004", children) == (False, ["b-write--0000000002", "c-lock--0000000003"])
    assert has_write_lock("b-write--0000000002", children) == (False, ["a-read--0000000001"])
    assert has_write_lock("write-0000000002", ["write-0000000002", "read-0000000003"]) == (True, None)
    assert has_read_lock("gone-read--0000000009", children) == (False, [])
