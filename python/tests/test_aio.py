"""Locks for asyncio."""

import asyncio
import threading
import time
import uuid

import pytest

import zooky
from conftest import eventually

pytestmark = pytest.mark.everywhere


def make(client, kind, path):
    return getattr(client, kind)(path)


KINDS = ["async_lock", "async_write_lock", "async_read_lock", "async_semaphore"]


@pytest.mark.parametrize("kind", KINDS)
def test_async_with_holds_and_releases(client, path, kind):
    async def main():
        lock = make(client, kind, path)
        async with lock as same:
            assert same is lock and lock.is_acquired and not lock.lost
            assert int(lock.fencing_token) > 0
            assert len(client.get_children(path)) == 1
        assert not lock.is_acquired
        assert client.get_children(path) == []
        assert await lock.release() is False
        with pytest.raises(RuntimeError):
            lock.fencing_token

    asyncio.run(main())


@pytest.mark.parametrize("kind", ["async_lock", "async_write_lock", "async_semaphore"])
def test_a_cancelled_task_leaves_no_node(client, path, kind):
    def nodes():
        found = client.get_children(path)
        if kind == "async_semaphore" and client.exists(path + "-__lock__"):
            found += client.get_children(path + "-__lock__")
        return found

    async def main():
        async with make(client, kind, path):
            before = nodes()
            for _ in range(5):
                waiting = asyncio.create_task(make(client, kind, path).acquire())
                while len(nodes()) == len(before):
                    await asyncio.sleep(0.005)
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
                while nodes() != before:
                    await asyncio.sleep(0.005)
        # Cancelled at any moment, also just when it is granted.
        for turn in range(40):
            task = asyncio.create_task(make(client, kind, path).acquire())
            await asyncio.sleep(turn / 8000)
            if not task.cancel():
                await task
            with pytest.raises(asyncio.CancelledError):
                await task

    async def main_or_granted():
        try:
            await main()
        except BaseException as error:
            return error

    error = asyncio.run(main_or_granted())
    if error is not None and "DID NOT RAISE" not in str(error):
        raise error
    # Whatever was granted goes with the objects; nothing else is left.
    import gc

    gc.collect()
    eventually(lambda: nodes() == [])


def test_timeouts(client, path):
    async def main():
        async with client.async_lock(path):
            for timeout in (0, 0.05):
                with pytest.raises(zooky.LockTimeout):
                    await client.async_lock(path).acquire(timeout=timeout)
            # Removed in the background, as after a cancellation.
            while len(client.get_children(path)) != 1:
                await asyncio.sleep(0.005)

    asyncio.run(main())


def test_readers_share_and_one_object_is_held_once(client, path):
    async def main():
        async with client.async_read_lock(path), client.async_read_lock(path):
            with pytest.raises(zooky.LockTimeout):
                await client.async_write_lock(path).acquire(0)
        lock, order = client.async_lock(path), []

        async def one(number):
            async with lock:
                order.append(number)
                await asyncio.sleep(0)
                order.append(number)

        await asyncio.gather(*(one(number) for number in range(5)))
        assert order[0::2] == order[1::2]

    asyncio.run(main())


def test_a_task_hears_who_asks_and_who_does_not_respect_it(client, path):
    async def main():
        lock, strangers = client.async_lock(path), []
        lock.on_foreign(strangers.append)
        assert await lock.wait_revoked() is False
        async with lock:
            waiting = asyncio.create_task(lock.wait_revoked())
            await asyncio.sleep(0)
            assert not lock.revoked and not waiting.done() and lock.foreign_contender is None
            client._running().lock(path, "exclusive").revoke_all(False)
            assert await asyncio.wait_for(waiting, 60) is True and lock.revoked and lock.is_acquired
            name = client.create(f"{path}/_c_{uuid.uuid4()}-lock-", ephemeral=True, sequence=True)
            eventually(lambda: strangers)
            assert strangers[0].path == name and strangers[0].certain and lock.foreign_contender == strangers[0]
            client.delete(name)
        async with lock:
            waiting = asyncio.create_task(lock.wait_revoked())
            await asyncio.sleep(0)
        assert await asyncio.wait_for(waiting, 60) is False

    asyncio.run(main())


def test_threads_and_tasks_exclude_each_other(client, path):
    async def main():
        with client.Lock(path):
            with pytest.raises(zooky.LockTimeout):
                await client.async_lock(path).acquire(0)

    asyncio.run(main())


def test_a_lost_lock_says_so(brief, path):
    async def main():
        with zooky.Client(hosts=brief.hosts, timeout=1) as client:
            with pytest.raises(zooky.LockLost):
                async with client.async_lock(path) as lock:
                    brief.stop()
                    assert await lock.wait_lost() is True
                    assert lock.lost and not lock.is_acquired

    asyncio.run(main())


def test_a_program_that_keeps_the_gil_keeps_its_session(brief, path):
    """What comes meanwhile must not have the runtime's threads wait for the GIL: nobody would keep the session alive."""

    async def main():
        with zooky.Client(hosts=brief.hosts, timeout=3) as client:
            size, took, session = 10_000_000, 0.0, client.client_id
            while took < 2 * client.session_timeout:
                locks = [client.async_lock(f"{path}-{number}") for number in range(8)]
                asking = [asyncio.ensure_future(lock.acquire()) for lock in locks]
                # They ask; the answers come while one call of C keeps the GIL.
                await asyncio.sleep(0)
                begun = time.monotonic()
                sum(range(size))
                took = time.monotonic() - begun
                await asyncio.gather(*asking)
                assert not any(lock.lost for lock in locks) and client.client_id == session
                for lock in locks:
                    await lock.release()
                size = int(size * max(2, 3 * client.session_timeout / took))

    asyncio.run(main())


def test_each_event_loop_gets_its_own_results(client, path):
    """Loops in threads, one after the other and beside each other, on one client."""

    async def take(number):
        for turn in range(20):
            async with client.async_lock(f"{path}-{number % 2}") as lock:
                assert lock.is_acquired
        return number

    def in_loops(number):
        done.append([asyncio.run(take(number)) for _ in range(3)])

    done = []
    threads = [threading.Thread(target=in_loops, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == [[number] * 3 for number in range(4)]
