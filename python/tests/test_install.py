"""``pip install ./python`` in a fresh environment, with nothing of this one."""

import os
import subprocess
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
PACKAGE = os.path.dirname(HERE)

PROGRAM = """
import importlib.metadata as metadata
import zooky

with zooky.Server() as server, zooky.Client(hosts=server.hosts) as client:
    with client.WriteLock("/deeplake") as lock:
        assert lock.fencing_token > 0
groups = {entry.group: entry.value for entry in metadata.distribution("zooky").entry_points}
assert groups == {"console_scripts": "zooky.__main__:main", "pytest11": "zooky.pytest_plugin"}, groups
print(sorted(str(file).rpartition("/")[2] for file in metadata.files("zooky") if "licenses" in str(file)))
"""


@pytest.mark.timeout(900)
def test_pip_install_in_a_fresh_environment(tmp_path):
    python, script = tmp_path / "venv/bin/python", tmp_path / "venv/bin/zooky"
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    # Built as it was for these tests, so that what was compiled serves again; pip fetches maturin itself.
    env = dict(os.environ, MATURIN_PEP517_ARGS="--profile dev")
    pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", PACKAGE]
    subprocess.run(pip, check=True, env=env, cwd=tmp_path)
    done = subprocess.run([python, "-c", PROGRAM], check=True, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert done.stdout == "['LICENSE-APACHE', 'LICENSE-MIT']\n"
    version = subprocess.run([script, "--version"], check=True, stdout=subprocess.PIPE, text=True).stdout
    assert version.startswith("zooky ")
