"""Locks, semaphores and elections."""

import threading
import uuid

import kazoo.client
import pytest

import zooky
from conftest import eventually, keep_the_gil

pytestmark = pytest.mark.everywhere


@pytest.mark.parametrize("kind", ["Lock", "WriteLock", "ReadLock", "Semaphore"])
def test_with_holds_and_releases(client, path, kind):
    lock = getattr(client, kind)(path, "me")
    assert not lock.is_acquired and lock.node is None
    with lock as same:
        assert same is lock and lock.is_acquired and not lock.lost
        assert client.get_children(path) == [lock.node]
        assert int(lock.fencing_token) > 0 and str(lock.fencing_token)
    assert not lock.is_acquired
    assert client.get_children(path) == []
    with pytest.raises(RuntimeError, match="acquire it first"):
        lock.fencing_token


def test_tokens_grow(client, path):
    tokens = []
    for _ in range(3):
        with client.Lock(path) as lock:
            tokens.append(lock.fencing_token)
            # The transaction that created the node, above a count.
            assert lock.fencing_token >> 64 == client.exists(f"{path}/{lock.node}").czxid
    # The same object again: each grant has its own.
    for _ in range(3):
        with lock:
            tokens.append(lock.fencing_token)
    assert tokens == sorted(set(tokens))
    assert [str(token) for token in tokens] == sorted(str(token) for token in tokens)


def test_timeout_and_no_blocking_leave_no_node(client, path):
    with client.Lock(path):
        other = client.Lock(path)
        with pytest.raises(zooky.LockTimeout, match=path):
            other.acquire(timeout=0.05)
        assert other.acquire(blocking=False) is False
        eventually(lambda: len(client.get_children(path)) == 1)
    assert other.acquire(blocking=False) is True
    assert other.release() is True
    assert other.release() is False


def test_cancel_ends_the_wait_in_another_thread(client, path):
    waiting, told = client.Lock(path, "waiting"), []

    def wait():
        try:
            waiting.acquire()
        except zooky.CancelledError as error:
            told.append(error)

    with client.Lock(path, "holding") as holding:
        thread = threading.Thread(target=wait)
        thread.start()
        eventually(lambda: holding.contenders() == ["holding", "waiting"])
        waiting.cancel()
        thread.join(10)
        assert len(told) == 1 and waiting.cancelled
        eventually(lambda: holding.contenders() == ["holding"])


def test_read_and_write_locks_exclude_kazoo_s(server, client, path):
    other = kazoo.client.KazooClient(hosts=server.hosts)
    other.start()
    try:
        with client.ReadLock(path, "reader"):
            assert other.ReadLock(path).acquire(blocking=False)
            assert not other.WriteLock(path).acquire(blocking=False)
            assert not client.WriteLock(path).acquire(blocking=False)
            assert client.Lock(path).contenders()[0] == "reader"
    finally:
        other.stop()
        other.close()


def test_semaphore_gives_out_so_many_leases(client, path):
    leases = [client.Semaphore(path, str(number), max_leases=2) for number in range(3)]
    assert leases[0].acquire() and leases[1].acquire()
    assert not leases[2].acquire(blocking=False)
    assert sorted(leases[2].lease_holders()) == ["0", "1"]
    leases[0].release()
    assert leases[2].acquire(timeout=60)
    with pytest.raises(ValueError, match="leases"):
        client.Semaphore(path, max_leases=3).acquire(timeout=60)


def test_election_s_leader_resigns_when_its_function_raises(client, path):
    with pytest.raises(ZeroDivisionError):
        client.Election(path, "one").run(lambda: 1 / 0)
    led = []
    client.Election(path, "two").run(led.append, "two")
    assert led == ["two"]
    assert client.get_children(path) == []


def test_election_lets_a_cancelled_error_of_the_leader_s_function_through(client, path):
    def lead():
        raise zooky.CancelledError("the function's own")

    with pytest.raises(zooky.CancelledError):
        client.Election(path).run(lead)


def test_what_kazoo_has_and_zooky_has_not_is_refused(client, path):
    with pytest.raises(ValueError, match="ephemeral"):
        client.Lock(path).acquire(ephemeral=False)
    with pytest.raises(ValueError, match="extra_lock_patterns"):
        client.Lock(path, extra_lock_patterns=["-lock-"])
    with pytest.raises(ValueError, match="one lease"):
        client.Semaphore(path, max_leases=0)


def test_foreign_contenders_are_refused(client, path):
    client.create(path)
    client.create(path + "/_c_8eb60557ba51e0da67eefc47467d3f34-lock-", ephemeral=True, sequence=True)
    with pytest.raises(zooky.ForeignContenderError):
        client.Lock(path).acquire(timeout=60)


@pytest.mark.parametrize("kind", ["Lock", "WriteLock", "ReadLock"])
def test_a_holder_hears_who_asks_and_who_does_not_respect_it(client, path, kind):
    lock, asked, strangers = getattr(client, kind)(path), [], []
    lock.on_revoked(lambda: asked.append(1))
    lock.on_foreign(strangers.append)
    with lock:
        assert lock.revoked is False and lock.wait_revoked(0.05) is False and lock.foreign_contender is None
        assert client._running().lock(path, "exclusive").revoke_all(False) == 1
        assert lock.wait_revoked(60) is True and lock.revoked is True and lock.is_acquired
        eventually(lambda: asked == [1])
        name = client.create(f"{path}/_c_{uuid.uuid4()}-lock-", ephemeral=True, sequence=True)
        (seen,) = eventually(lambda: strangers)
        assert seen == zooky.ForeignContender(name, True, seen.contender) and seen.contender["dialect"] == "Curator"
        assert lock.foreign_contender == seen and lock.is_acquired
    assert lock.revoked is False and lock.foreign_contender is None and lock.wait_revoked() is False
    client.delete(name)
    # It belongs to one grant, and nobody asks in the next.
    with lock:
        assert lock.revoked is False
    assert asked == [1] and len(strangers) == 1


def test_a_lost_lock_says_so_in_every_way(brief, path):
    told = threading.Event()
    where = []

    def callback():
        where.append(threading.current_thread())
        told.set()

    with zooky.Client(hosts=brief.hosts, timeout=3) as client:
        lock = client.Lock(path)
        lock.on_lost(callback)
        with pytest.raises(zooky.LockLost, match=path):
            with lock:
                assert not lock.wait_lost(0.01)
                brief.stop()
                assert lock.wait_lost(60)
                assert lock.lost and not lock.is_acquired
        assert told.wait(60)
        assert where[0] is not threading.main_thread()
        assert not lock.lost and not lock.is_acquired
        # What the body raises goes before.
        brief.start()
        with pytest.raises(ZeroDivisionError):
            with lock:
                brief.stop()
                assert lock.wait_lost(60)
                1 / 0


def test_on_lost_is_not_told_of_a_release(client, path):
    told = []
    with client.Lock(path) as lock:
        lock.on_lost(lambda: told.append(1))
    client.stop()
    assert told == []


def test_a_program_that_keeps_the_gil_keeps_its_lock(brief, path):
    """Nobody waits, and so nobody who could keep the session alive, but the thread that is there for that."""
    with zooky.Client(hosts=brief.hosts, timeout=3) as client:
        session = client.client_id
        with client.Lock(path) as lock:
            keep_the_gil(2 * client.session_timeout)
            assert lock.is_acquired and not lock.lost and client.client_id == session


def test_one_who_waits_beside_a_thread_that_keeps_the_gil_keeps_its_lock(brief, path):
    """The main thread looks for signals now and then in its wait; for that it wants the GIL, and must not keep the session
    waiting meanwhile."""
    with zooky.Client(hosts=brief.hosts, timeout=3) as client:
        session = client.client_id
        other = client.Lock(path + "-other")
        with client.Lock(path) as lock, other:

            def work():
                keep_the_gil(2 * client.session_timeout)
                other.release()

            thread = threading.Thread(target=work)
            thread.start()
            same = client.Lock(path + "-other")
            assert same.acquire(timeout=300)
            thread.join()
            assert lock.is_acquired and not lock.lost and client.client_id == session
            same.release()
