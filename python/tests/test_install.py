"""``pip install ./python`` in a fresh environment, with nothing of this one."""

import json
import os
import subprocess
import sys
import tarfile

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


def test_the_source_distribution_has_all_that_it_is_built_from(tmp_path):
    build = [sys.executable, "-m", "maturin", "sdist", "--manifest-path", os.path.join(PACKAGE, "Cargo.toml"), "--out", tmp_path]
    subprocess.run(build, check=True)
    (packed,) = tmp_path.glob("zooky-*.tar.gz")
    with tarfile.open(packed) as archive:
        archive.extractall(tmp_path)
    (top,) = (entry for entry in tmp_path.iterdir() if entry.is_dir())
    with open(os.path.join(PACKAGE, "../LICENSE-MIT")) as licence:
        assert (top / "LICENSE-MIT").read_text() == licence.read()
    assert (top / "LICENSE-APACHE").is_file() and (top / "zooky/py.typed").is_file()
    # Every crate of ours that it needs is in it, and the versions of the others are those of the repository.
    ask = ["cargo", "metadata", "--offline", "--locked", "--format-version", "1"]
    metadata = json.loads(subprocess.run(ask, cwd=top, check=True, stdout=subprocess.PIPE).stdout)
    ours = {package["name"]: package["manifest_path"] for package in metadata["packages"] if package["source"] is None}
    assert {"zooky-python", "zooky-cli", "zooky-server", "zooky", "zooky-client", "zooky-wire"} <= set(ours)
    assert all(path.startswith(str(top)) for path in ours.values())
