"""The client: its life, its settings, its nodes."""

import threading

import pytest

import zooky
from conftest import eventually


def test_listeners_are_told_of_every_state_on_their_own_thread(brief):
    told, threads = [], set()

    def listener(state):
        told.append(state)
        threads.add(threading.current_thread())

    client = zooky.Client(hosts=brief.hosts, timeout=1)
    client.add_listener(listener)
    with client:
        first = client.client_id
        eventually(lambda: told[-1:] == ["CONNECTED"])
        brief.stop()
        eventually(lambda: told[-1:] == ["LOST"])
        assert "SUSPENDED" in told
        brief.start()
        eventually(lambda: told[-1:] == ["CONNECTED"] and client.connected)
        assert client.client_id != first
    assert told[-1] == "LOST" and client.state == "LOST"
    assert threading.main_thread() not in threads


def test_a_listener_that_returns_true_is_told_once(server):
    told = []
    client = zooky.Client(hosts=server.hosts)
    client.add_listener(lambda state: told.append(state) or True)
    with client:
        eventually(lambda: told)
        eventually(lambda: client._listeners == [])
    assert told == ["CONNECTED"]


def test_a_listener_may_stop_the_client(server):
    client = zooky.Client(hosts=server.hosts)
    stopped = threading.Event()

    def stop(state):
        if state == "CONNECTED":
            client.stop()
            stopped.set()

    client.add_listener(stop)
    client.start()
    assert stopped.wait(10)


def test_it_says_what_is_wrong_before_and_after_its_life(server):
    client = zooky.Client(hosts=server.hosts)
    with pytest.raises(zooky.exceptions.ConnectionClosedError, match=r"start\(\)"):
        client.Lock("/a").acquire()
    client.start()
    client.start()
    client.restart()
    assert client.connected and client.session_timeout > 0
    client.close()
    client.stop()
    with pytest.raises(zooky.exceptions.ConnectionClosedError):
        client.get("/")


def test_no_server_is_told_in_time():
    with zooky.Server() as server:
        hosts = server.hosts
    with pytest.raises(zooky.exceptions.ConnectionLoss):
        zooky.Client(hosts=hosts).start(timeout=0.2)
    with pytest.raises(ValueError):
        zooky.Client(hosts="localhost:port").start()


@pytest.mark.parametrize("setting", [
    {"client_id": (1, b"")}, {"handler": object()}, {"sasl_options": {}}, {"read_only": True},
    {"keyfile_password": "x"}, {"verify_certs": False}, {"use_ssl": True},
    {"use_ssl": True, "ca": "ca.pem", "check_hostname": False},
])
def test_settings_that_it_has_not_are_refused(setting):
    with pytest.raises(ValueError, match="not supported"):
        zooky.Client(**setting)


def test_settings_that_it_does_not_need_are_taken(server):
    with zooky.Client(server.hosts, 5.0, None, None, randomize_hosts=False, connection_retry={}, logger=None) as client:
        assert client.connected


def test_nodes(client, path):
    with pytest.raises(zooky.exceptions.NoNodeError):
        client.create(path + "/a/b")
    assert client.create(path + "/a/b", b"1", makepath=True) == path + "/a/b"
    with pytest.raises(zooky.exceptions.NodeExistsError):
        client.create(path + "/a/b")
    data, stat = client.get(path + "/a/b")
    assert data == b"1" and stat.version == 0 and stat.dataLength == 1
    assert client.set(path + "/a/b", b"22", 0).version == 1
    with pytest.raises(zooky.exceptions.BadVersionError):
        client.set(path + "/a/b", b"3", 0)
    with pytest.raises(zooky.exceptions.NotEmptyError):
        client.delete(path)
    assert client.sync(path) == path
    assert client.get_children(path) == ["a"]
    assert client.delete(path, recursive=True)
    assert client.exists(path) is None
    made = client.create(path + "-", ephemeral=True, sequence=True)
    assert client.exists(made).ephemeralOwner == client.client_id[0]


def test_a_chroot_is_made_by_ensure_path(server, client, path):
    with zooky.Client(hosts=server.hosts + path + "/deep") as below:
        below.ensure_path("/")
        with below.Lock("/lock") as lock:
            assert client.get_children(path + "/deep/lock") == [lock.node]


def test_acl_and_identities(server, path):
    owner = ("digest", "me:secret")
    with zooky.Client(hosts=server.hosts, auth_data=[owner], default_acl=[(31, "auth", "")]) as client:
        client.create(path)
        assert client.get(path)[0] == b""
    with zooky.Client(hosts=server.hosts) as other:
        with pytest.raises(zooky.exceptions.NoAuthError):
            other.get(path)
