"""The command in the wheel: by its console script and as ``python -m zooky``, and beside the one that Cargo builds."""

import os
import signal
import socket
import subprocess
import sys

import pytest

import zooky
from conftest import eventually
from zooky.zktools import ZkWriteLock

SCRIPT = [os.path.join(os.path.dirname(sys.executable), "zooky")]
MODULE = [sys.executable, "-m", "zooky"]
#: python/check builds it.
NATIVE = [os.environ.get("ZOOKY_TEST_NATIVE", "")]

pytestmark = pytest.mark.timeout(60)


def run(command, *args, **env):
    """Code, output and errors of a command that ends by itself, in an environment with nothing of the caller's."""
    done = subprocess.run(
        [*command, *args], env={"PATH": os.environ["PATH"], **env}, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("args", [
    ["--version"], ["--help"], ["run", "--help"], [], ["--no-such-option"], ["run", "no-command"], ["no-such-verb"],
], ids=" ".join)
def test_what_it_says_without_a_server_is_what_the_native_one_says(args):
    native = run(NATIVE, *args)
    assert run(SCRIPT, *args) == native
    assert run(MODULE, *args) == native
    assert native[0] in (0, 64) and native[1] + native[2]


@pytest.mark.parametrize("args", [
    ["run", "NAME", "--", "true"],
    ["run", "NAME", "--", "sh", "-c", "echo out; echo err >&2; exit 7"],
    ["run", "NAME", "--", "sh", "-c", "kill -9 $$"],
    ["run", "NAME", "--", "sh", "-c", "kill -PIPE $$"],
    ["run", "NAME", "--", "grep", "Sig[IB][gl][nk]:", "/proc/self/status"],
    ["run", "NAME", "--", "no-such-command"],
    ["run", "NAME", "--", "/etc/passwd"],
    ["run", "-n", "busy", "--", "true"],
    ["run", "-n", "-E", "9", "busy", "--", "true"],
    ["run", "-w", "0.05", "busy", "--", "true"],
    ["run", "-s", "NAME", "--", "sh", "-c", "echo $ZOOKY_LOCK"],
    ["run", "/bad//name", "--", "true"],
    ["show", "nobody"],
], ids=" ".join)
def test_what_it_does_is_what_the_native_one_does(server, client, path, args):
    args = ["--servers", server.hosts, *(arg.replace("NAME", path) for arg in args)]
    with client.Lock("/locks/busy"):
        native = run(NATIVE, *args)
        assert run(SCRIPT, *args) == native
        assert run(MODULE, *args) == native


@pytest.mark.parametrize("command", [SCRIPT, MODULE], ids=["script", "module"])
class TestSignals:
    def start(self, command, *args):
        return subprocess.Popen([*command, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    @pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
    def test_a_signal_is_passed_on(self, server, path, command, which):
        body = f"trap 'echo caught; exit 3' {which.value}; echo on; while :; do sleep 0.01; done"
        with self.start(command, "--servers", server.hosts, "run", path, "--", "sh", "-c", body) as running:
            assert running.stdout.readline() == "on\n"
            running.send_signal(which)
            # What the shell says of its sleep, which the signal ended, is the shell's.
            assert running.communicate()[0] == "caught\n" and running.returncode == 3

    @pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGINT])
    def test_a_signal_ends_the_wait_and_leaves_no_node(self, server, client, path, command, which):
        with client.Lock(path) as lock:
            with self.start(command, "--servers", server.hosts, "run", path, "--", "true") as waiting:
                eventually(lambda: len(lock.contenders()) == 2)
                waiting.send_signal(which)
                waiting.communicate()
                assert waiting.returncode == 128 + which
            assert len(lock.contenders()) == 1

    def test_ctrl_c_ends_a_verb_that_waits_for_a_server(self, command):
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            hosts = "127.0.0.1:%d" % silent.getsockname()[1]
            with self.start(command, "--servers", hosts, "list") as waiting:
                # It has connected: Python's own start is over.
                silent.accept()
                waiting.send_signal(signal.SIGINT)
                assert waiting.communicate() == ("", "") and waiting.returncode == -signal.SIGINT

    def test_the_command_ends_when_its_lock_is_lost(self, brief, path, command):
        # Long enough that a busy machine does not lose it before it is on.
        args = ["--servers", brief.hosts, "--session-timeout", "5", "run", path, "--", "sh", "-c", "echo on; exec sleep 1000"]
        with self.start(command, *args) as running:
            assert running.stdout.readline() == "on\n"
            brief.stop()
            running.communicate()
            assert running.returncode == 70

    def test_the_command_ends_when_run_is_killed(self, server, client, path, command):
        read, write = os.pipe()
        args = ["--servers", server.hosts, "run", path, "--", "sh", "-c", "echo on; exec sleep 1000"]
        with subprocess.Popen([*command, *args], stdout=write) as running:
            os.close(write)
            with os.fdopen(read) as out:
                assert out.readline() == "on\n"
                running.kill()
                # The command's end closes it.
                assert out.read() == ""

    def test_a_server_in_the_foreground(self, command, tmp_path):
        with self.start(command, "server", "--listen", "127.0.0.1:0", "--data-dir", str(tmp_path / "data")) as serving:
            where = next(word for word in serving.stderr.readline().split() if word.startswith("127.0.0.1:"))
            with zooky.Client(hosts=where.rstrip(",;.")) as client:
                client.create("/a")
            serving.send_signal(signal.SIGTERM)
            serving.communicate()
            assert serving.returncode == 0


@pytest.mark.parametrize("command", [SCRIPT, MODULE], ids=["script", "module"])
def test_demo(server, command):
    code, out, errors = run(command, "--servers", server.hosts, "demo", "--delay-ms", "1")
    assert (code, errors) == (0, "")
    assert "3 of 3 held the lock, overlaps: 0, stale writes: 0 (30 numbers" in out


def test_list_and_show(server, client):
    """As zktools' document shows them."""
    zktools = ["--host", server.hosts, "--lock_root", "/ZktoolsLocks"]
    with ZkWriteLock(client, "fred") as fred:
        code, out, errors = run(SCRIPT, *zktools, "list")
        assert (code, errors) == (0, "")
        head, *locks = out.splitlines()
        assert head.split() == ["LOCK", "STATUS"] and ["fred", "Locked"] in [line.split() for line in locks]
        code, out, errors = run(SCRIPT, *zktools, "show", "fred")
        assert (code, errors) == (0, "")
        head, holder = out.splitlines()
        (name,) = client.get_children(fred.lock_path)
        assert head.split() == ["LOCK", "HOLDER", "DATA", "INFO"] and holder.split()[:2] == [name, "0"]
        assert "'created_ago'" in holder and "'modified_ago'" in holder
    assert "Free" in run(SCRIPT, *zktools, "list")[1]


def test_remove(server, client):
    """An empty lock is removed, one that is held is not."""
    zktools = ["--host", server.hosts, "--lock_root", "/ZktoolsLocks"]
    with ZkWriteLock(client, "barney") as barney:
        code, out, errors = run(SCRIPT, *zktools, "remove", "barney")
        assert code == 1 and client.exists(barney.lock_path), (out, errors)
    assert run(SCRIPT, *zktools, "remove", "barney")[0] == 0
    assert not client.exists(barney.lock_path)


def test_a_server_in_the_background(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {"XDG_STATE_HOME": str(tmp_path), "ZOOKY_DEFAULT_ADDR": f"localhost:{port}"}
    try:
        code, out, errors = run(SCRIPT, "run", "backup", "--", "echo", "done", **env)
        assert (code, out) == (0, "done\n") and "for this machine only" in errors
        assert run(MODULE, "run", "backup", "--", "true", **env) == (0, "", "")
    finally:
        assert run(SCRIPT, "server", "stop", **env)[0] == 0


def test_helpers_start_in_any_directory_and_environment(server, path, tmp_path):
    """Also where modules lie about that are called like Python's own."""
    for name in ("os", "signal", "typing", "zooky", "_zooky"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('this is somebody else')")
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": "/nowhere", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([*SCRIPT, "--servers", server.hosts, "run", path, "--", "pwd"], cwd=tmp_path, env=env, stdout=subprocess.PIPE, text=True)
    assert (done.returncode, done.stdout) == (0, f"{tmp_path}\n")


def test_helpers_import_nothing_but_the_extension_module():
    import zooky._command

    code = "import runpy, sys; runpy.run_path(sys.argv[1], run_name='helper'); print([name for name in sys.modules if 'zooky' in name])"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code, zooky._command.__file__], capture_output=True, text=True)
    assert done.stdout == "['_zooky']\n", done.stderr
