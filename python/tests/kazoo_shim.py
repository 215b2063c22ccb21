"""pytest plugin: the tests of kazoo's recipes run with ``zooky.Client`` in the place of ``KazooClient``.

kazoo's harness, its exceptions' module and the maker of its servers are given other contents before its tests are
imported; the tests themselves are untouched. What is added to the client is all here.
"""

import sys
import threading
import time
import types

import zooky


class _Server:
    """One server in this process, with short sessions: what kazoo's harness asks of it."""

    def __init__(self):
        self._server = zooky.Server(tick_time=0.25)
        self.running = False

    @property
    def address(self):
        return self._server.hosts

    secure_address = address

    def run(self):
        self._server.start()
        self.running = True

    def stop(self):
        self._server.stop()
        self.running = False


class _Cluster(list):
    def __init__(self, **_described):
        super().__init__([_Server()])

    def start(self):
        self[0].run()

    def stop(self):
        self[0].stop()

    terminate = stop


CLUSTER = _Cluster()


class _Silent:
    """kazoo's ``release`` says nothing of a lock that was lost; zooky's raises."""

    def release(self):
        try:
            return super().release()
        except zooky.LockLost:
            return False


class Lock(_Silent, zooky.Lock):
    pass


class Client(zooky.Client):
    handler = types.SimpleNamespace(sleep_func=time.sleep)

    def __init__(self, hosts, timeout, **options):
        super().__init__(hosts, 1.0, **options)

    def Lock(self, path, identifier=None):
        return Lock(self, path, identifier)


def _expire_session(harness, _event_factory):
    """kazoo's harness speaks the protocol itself; here no server answers until the session is given up."""
    lost, back = threading.Event(), threading.Event()

    def listener(state):
        if state == "LOST":
            lost.set()
        elif state == "CONNECTED" and lost.is_set():
            back.set()

    harness.client.add_listener(listener)
    CLUSTER.stop()
    assert lost.wait(30)
    CLUSTER.start()
    assert back.wait(30)
    harness.client.remove_listener(listener)


def _put_in_place():
    servers = types.ModuleType("kazoo.testing.common")
    servers.ZookeeperCluster = _Cluster
    servers.ManagedZooKeeper = _Server
    sys.modules["kazoo.testing.common"] = servers
    import kazoo.exceptions

    for name in ("CancelledError", "LockTimeout", "NoNodeError"):
        setattr(kazoo.exceptions, name, getattr(zooky.exceptions, name))
    from kazoo.testing import harness

    harness.KazooClient = Client
    harness.get_global_cluster = lambda: CLUSTER
    harness.KazooTestHarness.expire_session = _expire_session


_put_in_place()
