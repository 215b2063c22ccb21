"""The embedded server."""

import gc
import os
import socket
import time

import kazoo.client
import pytest

import zooky


def test_it_starts_at_once_and_serves_kazoo():
    # Under 100 ms; a machine with much else to do may take longer now and then.
    took = 1.0
    for _ in range(100):
        begun = time.perf_counter()
        with zooky.Server() as server:
            assert server.hosts
            took = time.perf_counter() - begun
            client = kazoo.client.KazooClient(hosts=server.hosts)
            client.start()
            client.create("/a", b"1")
            client.stop()
            client.close()
        if took < 0.1:
            break
    assert took < 0.1


def test_temporary_data_outlive_a_restart_and_go_with_the_block():
    server = zooky.Server()
    with server:
        hosts = server.hosts
        with zooky.Client(hosts=hosts) as client:
            client.create("/kept", b"1")
            server.stop()
            server.start()
            assert server.hosts == hosts
            assert client.get("/kept")[0] == b"1"
        directory = server._temporary
        assert os.path.isdir(directory)
    assert not os.path.exists(directory)


def test_temporary_data_go_with_the_object():
    server = zooky.Server().start()
    directory = server._temporary
    server.stop()
    assert os.path.isdir(directory)
    del server
    gc.collect()
    assert not os.path.exists(directory)


def test_given_data_stay(tmp_path):
    with zooky.Server(data_dir=tmp_path / "data") as server, zooky.Client(hosts=server.hosts) as client:
        client.create("/kept")
    with zooky.Server(data_dir=tmp_path / "data") as server, zooky.Client(hosts=server.hosts) as client:
        assert client.exists("/kept")


def test_what_goes_wrong_is_told():
    server = zooky.Server()
    with pytest.raises(RuntimeError, match="start"):
        server.hosts
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(zooky.exceptions.ServerError):
            zooky.Server(port=taken.getsockname()[1]).start()
