"""``docs/python.md`` names what is there."""

import importlib
import os
import re

HERE = os.path.dirname(os.path.abspath(__file__))


def rows():
    with open(os.path.join(HERE, "../../docs/python.md")) as lines:
        cells = [[cell.strip() for cell in line.strip("|\n ").split("|")] for line in lines if line.startswith("|")]
    return [row for row in cells if row[0] != "name" and not row[0].startswith("---")]


def resolve(name):
    """What a dotted name stands for, modules on the way imported."""
    first, *rest = name.split(".")
    found, path = importlib.import_module(first), first
    for part in rest:
        path += "." + part
        if not hasattr(found, part):
            importlib.import_module(path)
        found = getattr(found, part)
    return found


def test_every_row_names_what_exists_and_a_test_that_does():
    table = rows()
    assert len(table) >= 25
    for row in table:
        assert len(row) == 3, row
        name, test = (re.fullmatch(r"`([^`]+)`", cell) for cell in row[1:])
        assert name and test, row
        assert resolve(name.group(1)) is not None
        file, _, function = test.group(1).partition("::")
        with open(os.path.join(HERE, file)) as source:
            assert f"\ndef {function}(" in source.read(), row
