# SPDX-License-Identifier: GPL-3.0-or-later
"""What docs/developing.md promises of the code's shape."""

import ast
import pkgutil
import re
import statistics
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

import pytest

import relion_external
import scipion_pupick.engine
from scipion_pupick.engine.runs import layout

ENGINE = Path(scipion_pupick.engine.__file__).parent
PLUGIN = ENGINE.parent
RELION = Path(next(iter(relion_external.__path__)))
MOST_LINES_OF_A_MODULE = 400
MOST_LINES_OF_A_FUNCTION = 60
MOST_MEDIAN_LINES = 10
# a job asks few others: names that it imports from the engine
MOST_IMPORTED_BY_A_JOB = 16
# such as `device.set_threads`, and not `report.html`
DOTTED_NAME = re.compile(
    r"`([a-z_]\w*(?:\.\w+)*\.(?!(?:csv|html|json|safetensors|star|tsv)`)\w+)(?:\(\))?`"
)
# a word of the command line
NO_CODE = {"ice.thickness"}
FILE_NAMES = {
    value
    for name, value in vars(layout).items()
    if name.isupper() and isinstance(value, str) and "." in value.strip(".")
}


def parsed(*roots):
    for root in roots:
        for path in sorted(root.rglob("*.py")):
            yield path, ast.parse(path.read_text(encoding="utf-8"))


def functions(*roots):
    for path, tree in parsed(*roots):
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield f"{path}:{node.lineno} {node.name}", node.end_lineno - node.lineno + 1


def docstrings(tree):
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(
            node
        ):
            yield node.body[0].value


def test_functions_are_short():
    lengths = dict(functions(PLUGIN, RELION))
    assert [where for where, lines in lengths.items() if lines > MOST_LINES_OF_A_FUNCTION] == []
    assert statistics.median(lengths.values()) <= MOST_MEDIAN_LINES


def test_modules_are_short():
    lines = {
        path: path.read_text(encoding="utf-8").count("\n") for path, _ in parsed(PLUGIN, RELION)
    }
    assert [path for path, count in lines.items() if count > MOST_LINES_OF_A_MODULE] == []


@pytest.mark.parametrize("path", sorted((ENGINE / "jobs").glob("*.py")), ids=lambda p: p.name)
def test_a_job_asks_few_others(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = [
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level
        for alias in node.names
    ]
    assert len(names) <= MOST_IMPORTED_BY_A_JOB


def test_files_of_a_run_are_named_in_one_place():
    elsewhere = []
    for path, tree in parsed(PLUGIN, RELION):
        words = {id(node) for node in docstrings(tree)}
        elsewhere += [
            f"{path}:{node.lineno} {node.value}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant)
            and node.value in FILE_NAMES
            and id(node) not in words
            and path != Path(layout.__file__)
        ]
    assert elsewhere == []


def test_a_constant_has_one_meaning():
    homes = defaultdict(set)
    for path, tree in parsed(ENGINE):
        for node in tree.body:
            targets = node.targets if isinstance(node, ast.Assign) else []
            targets = [node.target] if isinstance(node, ast.AnnAssign) else targets
            for target in targets:
                for name in ast.walk(target):
                    if isinstance(name, ast.Name) and name.id.isupper():
                        homes[name.id].add(path)
    assert {name: paths for name, paths in homes.items() if len(paths) > 1} == {}


def is_there(name, homes):
    for home in homes:
        with suppress(ImportError, AttributeError):
            pkgutil.resolve_name(f"{home}{name}")
            return True
    return False


def test_what_docstrings_point_to_is_there():
    packages = [path.parent.relative_to(PLUGIN.parent) for path in ENGINE.rglob("__init__.py")]
    homes = [*(f"{'.'.join(package.parts)}." for package in packages), "builtins.", ""]
    names = {
        name: path
        for path, tree in parsed(ENGINE)
        for node in docstrings(tree)
        for name in DOTTED_NAME.findall(node.value)
    }
    assert len(names) > 30
    gone = {name: path for name, path in names.items() if not is_there(name, homes)}
    assert gone.keys() == NO_CODE
