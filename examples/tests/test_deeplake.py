"""The stories of examples/deeplake: what breaks without locks, and that with them nothing does."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT

HERE = ROOT / "examples" / "deeplake"
#: The two Deep Lakes cannot be in one environment: the other's name begins with `stories-deeplake4` instead of `stories`.
DEEPLAKE4 = ROOT / ".peers" / Path(sys.prefix).name.replace("stories", "stories-deeplake4") / "bin" / "python"

KINDS = ["vectors", "dataset", "langchain"]
ROWS = ["row0", "row1", "row2", "row3"]


def run(script: str, *arguments: str, python: str = sys.executable) -> dict:
    done = subprocess.run([python, str(HERE / script), *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("kind", KINDS)
def test_with_locks_every_row_is_there_and_every_read_whole(kind: str, server: str) -> None:
    told = run("story.py", "--kind", kind, "--hosts", server)
    assert (told["rows"], told["written"], told["readable afterwards"], told["twice"]) == (200, 200, 200, 0)
    assert (told["searches"], told["whole"]) == (100, 100)


@pytest.mark.parametrize("kind", KINDS)
def test_without_locks_a_row_is_lost_and_a_read_torn(kind: str) -> None:
    told = run("interleaved.py", "--kind", kind)
    assert told["two writers"] == [
        ["one", "has opened it"],
        ["two", "has opened it"],
        ["one", "has written"],
        ["two", "has written"],
        ["two", "has left"],
        ["one", "has left"],
    ]
    # Both writes were acknowledged. The dataset has one of them; in the vector store nothing is found any more.
    assert told["rows after two writers"] == (["A", *ROWS] if kind == "dataset" else [])
    assert told["reader and writer"][:2] == [["one", "has read one tensor"], ["two", "has written"]]
    assert told["reader and writer"][2][1]["error"].startswith("Torn: ")


@pytest.mark.parametrize("kind", KINDS)
def test_with_locks_the_same_order_cannot_be_had(kind: str, server: str) -> None:
    told = run("interleaved.py", "--kind", kind, "--hosts", server)
    assert [who for who, _ in told["two writers"]] == ["one", "one", "one", "two", "two", "two"]
    assert told["rows after two writers"] == ["A", "B", *ROWS]
    assert told["reader and writer"][:2] == [["one", "has read one tensor"], ["one", ROWS]]
    assert [who for who, _ in told["reader and writer"]] == ["one", "one", "one", "two", "two"]
    assert told["rows after reader and writer"] == ROWS


def test_deep_lake_4_counts_right_beside_appends(hosts: str) -> None:
    told = run("deeplake4.py", "--hosts", hosts, "--rows", "50", python=str(DEEPLAKE4))
    assert told == {"locks": True, "counted": 200, "appended": 200, "wanted": 200}


def test_deep_lake_4_loses_a_count_without_a_lock() -> None:
    told = run("deeplake4.py", "--without-locks", python=str(DEEPLAKE4))
    assert told == {"locks": False, "counted": 1, "wanted": 2}


@pytest.mark.parametrize("script", ["two_lines.py", "tutorial.py"])
def test_the_snippets_run(script: str, hosts: str, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZOOKY_SERVERS", hosts)
    # A second time the store is there already.
    for rows in (1, 2):
        done = subprocess.run([sys.executable, str(HERE / script)], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.splitlines()[-1] == f"{rows} found: ['Deep Lake']"
