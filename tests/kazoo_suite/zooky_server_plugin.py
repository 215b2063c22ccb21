"""pytest plugin: kazoo's own tests against a server of ours instead of a Java one.

kazoo's harness asks `kazoo.testing.common` for a cluster. This plugin puts its own module of that name in
place before the harness is imported; nothing of kazoo is changed.

Environment
  ZOOKY_SUITE_SERVER   command as a JSON list; started with ZOOKY_TEST_SERVER_DIR and ZOOKY_TEST_SERVER_LISTEN,
                       it says `serving as PID at ADDRESS` on a line of its own and serves until SIGTERM
  ZOOKY_SUITE_PORT     the port that all starts use
  ZOOKY_SUITE_LIST     exceptions.tsv: `n/a` tests in it are not run
  ZOOKY_SUITE_OUT      a directory: the results go to results.tsv in it, the server's words to server.log
"""

import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import types

import pytest

OUT = os.environ["ZOOKY_SUITE_OUT"]
LISTEN = "127.0.0.1:%s" % os.environ["ZOOKY_SUITE_PORT"]


class Server:
    """One server with a directory of its own: what kazoo's harness and tests ask of it."""

    address = secure_address = LISTEN
    ends_by_itself = 0

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="data-", dir=OUT)
        self.process = None

    @property
    def running(self):
        if self.process is not None and self.process.poll() is not None:
            Server.ends_by_itself += 1
            self.process = None
        return self.process is not None

    def run(self):
        if self.running:
            return
        env = dict(os.environ, ZOOKY_TEST_SERVER_DIR=self.directory, ZOOKY_TEST_SERVER_LISTEN=LISTEN)
        with open(os.path.join(OUT, "server.log"), "ab") as log:
            self.process = subprocess.Popen(
                json.loads(os.environ["ZOOKY_SUITE_SERVER"]), env=env, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=log)
        for line in self.process.stdout:
            if line.startswith(b"serving as "):
                return
        pytest.exit("the server does not start: see %s/server.log" % OUT, returncode=3)

    def stop(self):
        if self.running:
            process, self.process = self.process, None
            process.terminate()
            process.wait()
            process.stdout.close()

    def kill(self):
        if self.running:
            self.process.kill()
        self.stop()

    def destroy(self):
        self.stop()
        shutil.rmtree(self.directory, True)

    reset = destroy


class Cluster:
    """A cluster of one; what describes a Java server is ignored."""

    def __init__(self, **_described):
        self.servers = [Server()]

    def __getitem__(self, number):
        return self.servers[number]

    def __len__(self):
        return len(self.servers)

    def start(self):
        for server in self.servers:
            server.run()

    def stop(self):
        for server in self.servers:
            server.stop()

    def terminate(self):
        for server in self.servers:
            server.destroy()

    reset = terminate

    def get_logs(self):
        return []


def _stand_in():
    # Which zoo.cfg lines the harness would write; the tests ask the running server for its version.
    os.environ["ZOOKEEPER_VERSION"] = "3.8.0"
    os.environ.pop("CI", None)
    module = types.ModuleType("kazoo.testing.common")
    module.ZookeeperCluster = Cluster
    module.ManagedZooKeeper = Server
    sys.modules["kazoo.testing.common"] = module


_stand_in()


def _short(nodeid):
    return re.sub(r"^.*/", "", nodeid)


def pytest_collection_modifyitems(items):
    with open(os.environ["ZOOKY_SUITE_LIST"]) as lines:
        rows = [line.rstrip("\n").split("\t") for line in lines if line.strip() and not line.startswith("#")]
    for item in items:
        for kind, pattern, reason in rows:
            if kind == "n/a" and fnmatch.fnmatch(_short(item.nodeid), pattern):
                item.add_marker(pytest.mark.skip(reason=reason))


_results = {}


def pytest_runtest_logreport(report):
    """A test is what the worst of its three phases is."""
    name = _short(report.nodeid)
    worst = _results.get(name, ("passed", ""))
    if report.outcome == "failed" and worst[0] != "failed":
        crash = getattr(report.longrepr, "reprcrash", None)
        why = crash.message if crash else str(report.longrepr)
        worst = ("failed", "%s: %s" % (report.when, " ".join(why.split())[:300]))
    elif report.outcome == "skipped" and worst[0] == "passed":
        worst = ("skipped", str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr))
    _results[name] = worst


def pytest_collectreport(report):
    if report.outcome == "failed":
        _results[_short(report.nodeid)] = ("failed", "collection: " + " ".join(str(report.longrepr).split())[-300:])


def pytest_sessionfinish():
    if Server.ends_by_itself:
        _results["the server"] = ("failed", "ended by itself %d times" % Server.ends_by_itself)
    with open(os.path.join(OUT, "results.tsv"), "w") as out:
        for name, (outcome, why) in sorted(_results.items()):
            out.write("%s\t%s\t%s\n" % (outcome, name, why))
