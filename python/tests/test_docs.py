"""The examples in docstrings run, and every module has one that does or says why not."""

import doctest
import importlib
import pkgutil

import pytest

import zooky

#: Which need what is not here.
OTHERS = {"zooky._zooky", "zooky.pytest_plugin"}
#: Names, and what starts a program.
WITHOUT = {"zooky.exceptions", "zooky.__main__", "zooky._command"}
MODULES = [name for _, name, _ in pkgutil.walk_packages(zooky.__path__, "zooky.") if name not in OTHERS] + ["zooky"]


@pytest.mark.parametrize("name", MODULES)
def test_docstrings_run(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    failed, run = doctest.testmod(module)
    assert failed == 0
    assert run > 0 or name in WITHOUT


def test_the_plugin_s_fixture_serves_kazoo(zookeeper):
    from kazoo.client import KazooClient

    client = KazooClient(hosts=zookeeper)
    client.start()
    try:
        assert client.get_children("/") == []
        with client.Lock("/lock"):
            pass
    finally:
        client.stop()
        client.close()
