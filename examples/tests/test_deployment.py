"""The compose file and the Dockerfiles, as far as they can be checked where nothing runs containers."""

import json
import re
import shlex
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Dict, List

import pytest
import yaml
from dockerfile_parse import DockerfileParser

from conftest import ROOT

COMPOSE = ROOT / "examples" / "counting" / "compose.yaml"
DOCKERFILES = [ROOT / "Dockerfile", *sorted(COMPOSE.parent.glob("Dockerfile-*"))]


def instructions(dockerfile: Path) -> List[dict]:
    with dockerfile.open("rb") as file:
        return DockerfileParser(fileobj=file).structure


@pytest.fixture(scope="module")
def services() -> Dict[str, dict]:
    """The services as docker-compose understands them."""
    shown = subprocess.run(["docker-compose", "-f", str(COMPOSE), "config"], capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    return yaml.safe_load(shown.stdout)["services"]


def test_docker_compose_takes_the_file(services: Dict[str, dict]) -> None:
    assert sorted(services) == ["app", "jupyter", "zookeeper1", "zookeeper2", "zookeeper3"]
    assert services["jupyter"]["container_name"] == "jupyter-notebook"


def test_three_servers_know_each_other_and_have_ports_of_their_own(services: Dict[str, dict]) -> None:
    servers = {name: services[name] for name in ("zookeeper1", "zookeeper2", "zookeeper3")}
    lists = {server["environment"]["ZOO_SERVERS"] for server in servers.values()}
    assert len(lists) == 1
    entries = lists.pop().split()
    for number, (name, server) in enumerate(servers.items(), start=1):
        assert server["hostname"] == name
        assert int(server["environment"]["ZOO_MY_ID"]) == number
        assert entries[number - 1] == f"server.{number}={name}:2888:3888;2181"
    published = [port for service in services.values() for port in service.get("ports", [])]
    outside = [str(port["published"] if isinstance(port, dict) else port.split(":")[-2]) for port in published]
    assert sorted(outside) == ["2181", "2182", "2183", "8888"]


def test_what_uses_the_servers_is_told_where_they_are(services: Dict[str, dict]) -> None:
    for name in ("app", "jupyter"):
        hosts = services[name]["environment"]["ZOOKY_SERVERS"].split(",")
        assert hosts == [f"{server}:2181" for server in sorted(services[name]["depends_on"])]
        assert set(services[name]["networks"]) == set(services["zookeeper1"]["networks"])
        build = services[name]["build"]
        assert Path(build["context"]) == ROOT and (ROOT / build["dockerfile"]).is_file()


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_hadolint_finds_nothing(dockerfile: Path) -> None:
    # DL3008: a Debian package's version is withdrawn as soon as there is a newer one.
    command = [str(Path(sys.executable).with_name("hadolint")), "--ignore", "DL3008", "--format", "json"]
    found = subprocess.run([*command, str(dockerfile)], capture_output=True, text=True)
    assert json.loads(found.stdout) == [], found.stderr


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_what_is_copied_is_there(dockerfile: Path) -> None:
    ignored = [line for line in (ROOT / ".dockerignore").read_text().split()]
    stages: List[str] = []
    copies = 0
    for instruction in instructions(dockerfile):
        if instruction["instruction"] == "FROM":
            stages += re.findall(r"(?i) as (\S+)", instruction["value"])
        if instruction["instruction"] != "COPY":
            continue
        words = shlex.split(instruction["value"])
        stage = next((word.partition("=")[2] for word in words if word.startswith("--from=")), None)
        sources = [word for word in words if not word.startswith("--")][:-1]
        copies += 1
        if stage is not None:
            assert stage in stages, instruction
            continue
        for source in sources:
            assert (ROOT / source).exists(), instruction
            assert not any(fnmatch(source, pattern) for pattern in ignored), instruction
    assert copies >= 2


def test_the_server_s_image_has_every_member_of_the_workspace() -> None:
    members = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["members"]
    copied = [
        source
        for instruction in instructions(ROOT / "Dockerfile")
        if instruction["instruction"] == "COPY" and "--from" not in instruction["value"]
        for source in instruction["value"].split()[:-1]
    ]
    for member in members:
        assert any(member == source or member.startswith(source + "/") for source in copied), member


#: What the images that these are built from bring along.
PROGRAMS = {"apt-get", "cargo", "cd", "install", "pip", "python", "rm"}
#: And what a step before installs.
INSTALLED = {"maturin": "maturin==", "zooky": "/usr/local/bin/zooky"}


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_what_is_run_is_there(dockerfile: Path) -> None:
    text = dockerfile.read_text()
    programs = []
    for instruction in instructions(dockerfile):
        if instruction["instruction"] in ("CMD", "ENTRYPOINT"):
            words = json.loads(instruction["value"])
            programs.append(words[0])
            # What it is given is copied into the image.
            assert all(re.search(rf"(?m)^COPY .*/{re.escape(word)} ", text) for word in words if word.endswith(".py"))
        if instruction["instruction"] == "RUN":
            programs += [shlex.split(step)[0] for step in instruction["value"].split("&&")]
    assert programs
    for program in programs:
        assert program in PROGRAMS or INSTALLED[program] in text, program
