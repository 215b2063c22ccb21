"""``pip install ./python`` in a fresh environment, with nothing of this one."""

import json
import os
import pathlib
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
    install_and_try(PACKAGE, tmp_path)


@pytest.mark.timeout(900)
def test_the_source_distribution_has_all_that_it_is_built_from(tmp_path):
    build = [sys.executable, "-m", "maturin", "sdist", "--manifest-path", os.path.join(PACKAGE, "Cargo.toml"), "--out", tmp_path]
    subprocess.run(build, check=True)
    (packed,) = tmp_path.glob("zooky-*.tar.gz")
    # In one place, where what was compiled serves the next time.
    target = target_directory()
    top = unpack(packed, target / "sdist")
    with open(os.path.join(PACKAGE, "../LICENSE-MIT")) as licence:
        assert (top / "LICENSE-MIT").read_text() == licence.read()
    assert (top / "LICENSE-APACHE").is_file() and (top / "zooky/py.typed").is_file()
    # Every crate of ours that it needs is in it, and the versions of the others are those of the repository.
    ask = ["cargo", "metadata", "--offline", "--locked", "--format-version", "1"]
    metadata = json.loads(subprocess.run(ask, cwd=top, check=True, stdout=subprocess.PIPE).stdout)
    ours = {package["name"]: package["manifest_path"] for package in metadata["packages"] if package["source"] is None}
    assert {"zooky-python", "zooky-cli", "zooky-server", "zooky", "zooky-client", "zooky-wire"} <= set(ours)
    assert all(path.startswith(str(top)) for path in ours.values())
    install_and_try(top, tmp_path, CARGO_TARGET_DIR=str(target))


def install_and_try(source, place, **env):
    """Has pip install it in an environment with nothing else, and uses what came of it."""
    python, script = place / "venv/bin/python", place / "venv/bin/zooky"
    subprocess.run([sys.executable, "-m", "venv", place / "venv"], check=True)
    # Built as it was for these tests, so that what was compiled serves again; pip fetches maturin itself.
    env = dict(os.environ, MATURIN_PEP517_ARGS="--profile dev", **env)
    pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", source]
    subprocess.run(pip, check=True, env=env, cwd=place)
    done = subprocess.run([python, "-c", PROGRAM], check=True, cwd=place, stdout=subprocess.PIPE, text=True)
    assert done.stdout == "['LICENSE-APACHE', 'LICENSE-MIT']\n"
    version = subprocess.run([script, "--version"], check=True, stdout=subprocess.PIPE, text=True).stdout
    assert version.startswith("zooky ")


def target_directory():
    """Where Cargo keeps what it builds of this package."""
    ask = ["cargo", "metadata", "--offline", "--no-deps", "--format-version", "1"]
    metadata = subprocess.run(ask, cwd=PACKAGE, check=True, stdout=subprocess.PIPE).stdout
    return pathlib.Path(json.loads(metadata)["target_directory"])


def unpack(packed, place):
    """Its top directory in `place`, which has no other files then; those that are as they should be are not touched."""
    wanted = {}
    with tarfile.open(packed) as archive:
        for member in archive.getmembers():
            assert member.isfile(), member.name
            wanted[place / member.name] = archive.extractfile(member).read()
    for file in set(place.rglob("*")) - set(wanted):
        if not file.is_dir():
            file.unlink()
    for file, data in wanted.items():
        if not file.is_file() or file.read_bytes() != data:
            file.parent.mkdir(parents=True, exist_ok=True)
            # As of now, not as old as the archive says: Cargo looks at the time to see what has changed.
            file.write_bytes(data)
    (top,) = {file.relative_to(place).parts[0] for file in wanted}
    return place / top
