"""``docs/python.md`` names all that the documents name that zooky began with, and says what is so of it."""

import ast
import importlib
import inspect
import os
import re

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))


def rows():
    with open(os.path.join(HERE, "../../docs/python.md")) as lines:
        cells = [[cell.strip() for cell in line.strip("|\n ").split("|")] for line in lines if line.startswith("| ")]
    table = [row for row in cells if len(row) == 3 and row[0] != "name"]
    assert len(table) >= 70
    return table


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


def quoted(cell):
    return re.findall(r"`([^`]+)`", cell)


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_a_row_names_what_exists_and_a_test_that_does(row):
    (name,), (test,) = quoted(row[1]), quoted(row[2])
    assert resolve(name) is not None
    file, _, function = test.partition("::")
    # With a directory: from the top of the tree.
    with open(os.path.join(HERE, "../.." if "/" in file else "", file)) as source:
        assert f"\ndef {function}(" in source.read()


@pytest.mark.parametrize("row", [row for row in rows() if "(" in row[0] and not row[0].startswith("(new)")], ids=lambda row: row[0])
def test_parameters_defaults_and_results_are_those_of_the_row(row):
    signature = next((text for text in quoted(row[0]) if "(" in text and not text.startswith("with ")), None)
    if signature is None:
        return
    call, _, result = signature.partition(" -> ")
    # As a definition, for Python's own parser: the name's last part, and … for a value that the documents do not write.
    wanted = ast.parse(f"def {call.rpartition('(')[0].rpartition('.')[2]}({call.partition('(')[2].replace('…', '...')}: pass").body[0]
    found = inspect.signature(resolve(quoted(row[1])[0]))
    parameters = [parameter for parameter in found.parameters.values() if parameter.name != "self"]
    named = [argument.arg for argument in wanted.args.args]
    # What comes behind has defaults: whoever calls it as documented is understood.
    assert [parameter.name for parameter in parameters[:len(named)]] == named
    defaults = dict(zip(named[len(named) - len(wanted.args.defaults):], wanted.args.defaults))
    for parameter in parameters:
        if parameter.name not in defaults:
            assert (parameter.default is parameter.empty) == (parameter.name in named), parameter
        elif ast.literal_eval(defaults[parameter.name]) is not ...:
            assert parameter.default == ast.literal_eval(defaults[parameter.name]), parameter
    if result:
        assert found.return_annotation in (result, resolve(f"builtins.{result}"))


def test_everything_that_the_documents_name_has_a_row():
    with open(os.path.join(HERE, "seed_names.txt")) as lines:
        names = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    assert len(names) == len(set(names)) >= 60
    cells = [" ".join(quoted(row[0])) for row in rows()]

    def has_row(name):
        whole = re.compile(rf"(?<![\w.]){re.escape(name)}(?!\w)")
        return any(whole.search(cell) for cell in cells)

    assert [name for name in names if not has_row(name)] == []
