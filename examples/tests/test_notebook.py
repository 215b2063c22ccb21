"""The notebook: run from the first cell to the last, and what it shows."""

import base64
import io
import json
from itertools import combinations
from pathlib import Path

import matplotlib.image
import matplotlib.pyplot as plt
import nbformat
import pytest
from matplotlib.colors import to_rgb
from nbclient import NotebookClient

from conftest import ROOT

NOTEBOOK = ROOT / "notebooks" / "locks.ipynb"


@pytest.fixture
def run(hosts: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """The notebook with its outputs, and one cell more that tells what was seen."""
    monkeypatch.setenv("ZOOKY_SERVERS", hosts)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell("import json; print(json.dumps(held))"))
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    return notebook


def test_it_runs_and_shows_who_held_the_lock_when(run) -> None:
    held = json.loads(run.cells[-1].outputs[0].text)
    assert len(held) == 9
    assert {name for name, *_ in held} == {"instance 1", "instance 2", "instance 3"}
    for (_, begin, end, _), (_, other_begin, other_end, _) in combinations(held, 2):
        assert end <= other_begin or other_end <= begin
    pictures = [
        output.data["image/png"]
        for cell in run.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert len(pictures) == 1
    check_plot(base64.b64decode(pictures[0]))


def check_plot(png: bytes) -> None:
    """Three colours, and in no column of the picture two of them: nobody held it while somebody else did."""
    picture = matplotlib.image.imread(io.BytesIO(png))[:, :, :3]
    columns = []
    for row in range(3):
        same = abs(picture - to_rgb(f"C{row}")).max(axis=2) < 0.01
        columns.append(same.any(axis=0))
        assert columns[-1].sum() > 20
    assert not (sum(column.astype(int) for column in columns) > 1).any()


def test_the_picture_of_an_overlap_is_noticed() -> None:
    figure, axes = plt.subplots()
    for row, begin in enumerate([0, 1, 1.5]):
        axes.broken_barh([(begin, 1)], (row - 0.35, 0.7), color=f"C{row}")
    png = io.BytesIO()
    figure.savefig(png, format="png")
    with pytest.raises(AssertionError):
        check_plot(png.getvalue())
