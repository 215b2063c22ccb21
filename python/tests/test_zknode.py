"""zktools' ``ZkNode``: parameters, values, children, and what is mended."""

import datetime
import decimal
import gc
import threading

import pytest

import zooky
from conftest import eventually
from zooky.zktools.node import ZkNode

UTC = datetime.timezone.utc


@pytest.mark.parametrize("data, value", [
    (b"", None),
    (b"none", None),
    (b"NONE", None),
    (b"tRue", True),
    (b"False", False),
    (b"42", 42),
    (b"-7", -7),
    (b"1" * 60, int("1" * 60)),
    (b"4.20", decimal.Decimal("4.20")),
    (b"-0.5", decimal.Decimal("-0.5")),
    (b"1e+16", decimal.Decimal("1e16")),
    (b"2012-01-13", datetime.date(2012, 1, 13)),
    (b"2012-01-13T10:00:00.25Z", datetime.datetime(2012, 1, 13, 10, 0, 0, 250_000, UTC)),
    (b"2012-01-13 10:00:00.5Z", datetime.datetime(2012, 1, 13, 10, 0, 0, 500_000, UTC)),
    (b"2012-01-13T10:00:00+02:00", datetime.datetime(2012, 1, 13, 8, tzinfo=UTC)),
    (b"2012-01-13T10:00:00", datetime.datetime(2012, 1, 13, 10)),
    (b"2012-01-13T10:00:00.123456789Z", datetime.datetime(2012, 1, 13, 10, 0, 0, 123_456, UTC)),
    # Mended: an impossible date killed the watcher.
    (b"2012-02-30", "2012-02-30"),
    # Python's years begin with 1.
    (b"0000-01-01", "0000-01-01"),
    (b'{"a": [1, 2.5]}', '{"a": [1, 2.5]}'),
    # Mended: what is not ASCII raised.
    ("Grüße".encode(), "Grüße"),
    (b"\xff\xfe", b"\xff\xfe"),
])
def test_what_is_read(client, path, data, value):
    client.create(path, data)
    node = ZkNode(client, path)
    assert node.value == value and type(node.value) is type(value)
    if isinstance(value, decimal.Decimal):
        assert str(node.value) == str(value), "every digit is kept"
    if isinstance(value, datetime.datetime):
        assert node.value.tzinfo == value.tzinfo


@pytest.mark.parametrize("value, data, read", [
    (None, b"None", None),
    (True, b"True", True),
    (42, b"42", 42),
    (483.24, b"483.24", decimal.Decimal("483.24")),
    (0.1 + 0.2, b"0.30000000000000004", decimal.Decimal("0.30000000000000004")),
    (1e16, b"1e+16", decimal.Decimal("1e16")),
    (decimal.Decimal("4.20"), b"4.20", decimal.Decimal("4.20")),
    (datetime.date(2012, 1, 13), b"2012-01-13", datetime.date(2012, 1, 13)),
    (datetime.datetime(2012, 1, 13, 10, tzinfo=UTC), b"2012-01-13T10:00:00.000000Z",
     datetime.datetime(2012, 1, 13, 10, tzinfo=UTC)),
    # Mended: local times were stamped as UTC.
    (datetime.datetime(2012, 1, 13, 10, tzinfo=datetime.timezone(datetime.timedelta(hours=2))),
     b"2012-01-13T08:00:00.000000Z", datetime.datetime(2012, 1, 13, 8, tzinfo=UTC)),
    (datetime.datetime(2012, 1, 13, 10), b"2012-01-13T10:00:00.000000", datetime.datetime(2012, 1, 13, 10)),
    ("Grüße", "Grüße".encode(), "Grüße"),
    (b"\xff", b"\xff", b"\xff"),
    ([1, "a"], b"[1, 'a']", "[1, 'a']"),
])
def test_what_is_written_and_read_again(client, path, value, data, read):
    node = ZkNode(client, path)
    node.value = value
    assert client.get(path)[0] == data
    assert node.value == read and type(node.value) is type(read)
    # The same as what the node is created with; but None is nothing then.
    other = ZkNode(client, path + "-default", default=value)
    assert client.get(path + "-default")[0] == (b"" if value is None else data)
    assert other.value == read


@pytest.mark.parametrize("value", [{"a": [1, None, 2.5]}, [1, "ü"], {}])
def test_json_is_for_those_who_ask(client, path, value):
    node = ZkNode(client, path, default=value, use_json=True)
    assert node.value == value
    node.value = {"changed": value}
    assert node.value == {"changed": value}
    assert isinstance(ZkNode(client, path).value, str)
    client.set(path, b"{no json}")
    eventually(lambda: node.value == "{no json}")


@pytest.mark.everywhere
def test_parameters_of_its_creation(server, client, path):
    assert ZkNode(client, path + "/deep/down").value is None
    assert client.get(path + "/deep/down")[0] == b""
    # A node that is there is left as it is.
    client.set(path, b"7")
    assert ZkNode(client, path, default=8).value == 7
    with zooky.Client(hosts=server.hosts) as other:
        fleeting = ZkNode(other, path + "/fleeting", default=1, create_mode=1)
        assert client.exists(path + "/fleeting").ephemeralOwner == other.client_id[0]
        assert fleeting.connected is True
    # Another of three servers may hear of it later.
    client.sync(path)
    assert client.exists(path + "/fleeting") is None
    readable = {"perms": 1, "scheme": "world", "id": "anyone"}
    node = ZkNode(client, path + "/readable", default=1, permission=readable)
    assert node.value == 1
    with pytest.raises(zooky.exceptions.NoAuthError):
        node.value = 2
    with pytest.raises(ValueError, match="create_mode"):
        ZkNode(client, path, create_mode=2)
    with pytest.raises(zooky.exceptions.BadArgumentsError):
        ZkNode(client, "no/path")


@pytest.mark.everywhere
def test_it_follows_what_others_write(client, path):
    node = ZkNode(client, path, default=1)
    before = node.last_modified
    assert isinstance(before, int) and before == client.exists(path).mtime
    for number in range(2, 20):
        client.set(path, b"%d" % number)
        assert node.wait_for(lambda value: value == number, timeout=30)
    assert node.last_modified == client.exists(path).mtime
    assert node.deleted is False
    client.delete(path)
    eventually(lambda: node.deleted)
    assert node.value is None and node.last_modified is None
    with pytest.raises(zooky.exceptions.NoNodeError):
        node.value = 2
    client.create(path, b"3")
    assert node.wait_for(lambda value: value == 3, timeout=30)


@pytest.mark.everywhere
def test_children(client, path):
    node, told, called = ZkNode(client, path), [], threading.Event()
    assert list(node.children) == [] and len(node.children) == 0
    client.create(path + "/b")

    @node.children
    def my_function(children):
        told.append((list(children), threading.current_thread()))
        called.set()

    # At once, and on another thread.
    assert [names for names, _ in told] == [["b"]]
    client.create(path + "/a")
    eventually(lambda: told[-1][0] == ["a", "b"])
    assert threading.main_thread() not in [thread for _, thread in told]
    assert list(node.children) == ["a", "b"] and "a" in node.children
    assert callable(my_function)
    client.delete(path + "/b")
    eventually(lambda: told[-1][0] == ["a"])


@pytest.mark.everywhere
def test_subscribers_of_the_value(client, path):
    node, told = ZkNode(client, path, default=1), []
    node.on_change(lambda node: told.append(node.value))
    assert told == [1]
    node.value = 2
    eventually(lambda: told[-1] == 2)
    # It ends with the object.
    del node
    gc.collect()
    client.set(path, b"3")
    follower = ZkNode(client, path)
    assert follower.value == 3 and told[-1] == 2


def test_a_subscriber_that_raises_is_reported_and_told_again(client, path, monkeypatch):
    reported, told = [], []
    monkeypatch.setattr("sys.unraisablehook", lambda report: reported.append(report.exc_value))
    node = ZkNode(client, path, default=1)

    @node.on_change
    def fails(node):
        told.append(node.value)
        raise ZeroDivisionError

    assert isinstance(reported[0], ZeroDivisionError)
    node.value = 2
    eventually(lambda: told == [1, 2] and len(reported) == 2)


def test_a_lost_session_is_replaced_and_the_value_read_anew(brief, path):
    with zooky.Client(hosts=brief.hosts, timeout=1) as client:
        node, fleeting = ZkNode(client, path, default=1), ZkNode(client, path + "-fleeting", default=2, create_mode=1)
        first = client.client_id
        brief.stop()
        eventually(lambda: client.state == "LOST")
        assert node.connected is False
        brief.start()
        # Mended: the expiry of the session was never noticed.
        assert node.value == 1
        assert client.client_id != first and node.connected is True
        with zooky.Client(hosts=brief.hosts) as other:
            other.set(path, b"3")
            assert node.wait_for(lambda value: value == 3, timeout=30)

            def owner():
                stat = other.exists(path + "-fleeting")
                return stat and stat.ephemeralOwner

            # The server, too, has to find the old session expired before.
            eventually(lambda: owner() == client.client_id[0])
            assert fleeting.value == 2


def test_a_stopped_client_is_told(server, path):
    with zooky.Client(hosts=server.hosts) as client:
        node = ZkNode(client, path, default=1)
    for look in (lambda: node.value, lambda: list(node.children), lambda: node.wait_for(lambda value: False, 30)):
        with pytest.raises(zooky.exceptions.ConnectionClosedError):
            eventually(look)
