# SPDX-License-Identifier: GPL-3.0-or-later
"""Imports in the engine point one way: from a room only to rooms that data pass through before."""

import ast
from pathlib import Path

import pytest

import scipion_pupick.engine

ENGINE = Path(scipion_pupick.engine.__file__).parent
PACKAGE = "scipion_pupick.engine"
# docs/developing.md says why each stands where it does
ORDER = (
    "errors",
    "settings",
    "device",
    "files",
    "micrographs",
    "coordinates",
    "preprocessing",
    "simulation",
    "networks",
    "picking",
    "calibration",
    "adaptation",
    "picker",
    "evaluation",
    "training",
    "pretraining",
    "runs",
    "reporting",
    "jobs",
    "cli",
    "__main__",
)
# file names of runs are known below, too: picks are read out of the folder of a run
FOUNDATION = ("runs.layout",)


def modules():
    return sorted(path for path in ENGINE.rglob("*.py") if path != ENGINE / "__init__.py")


def room_of(path):
    return path.relative_to(ENGINE).parts[0].removesuffix(".py")


def imported(path):
    """Modules of the engine that a module imports anywhere, below the engine's name."""
    package = [PACKAGE, *path.relative_to(ENGINE).parent.parts]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            names = [f"{module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            if name.startswith(f"{PACKAGE}."):
                yield name[len(PACKAGE) + 1 :]


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ENGINE)))
def test_a_module_imports_only_from_rooms_before_its_own(path):
    assert room_of(path) in ORDER
    for name in imported(path):
        room = name.split(".")[0]
        if room in ORDER and not name.startswith(FOUNDATION):
            assert ORDER.index(room) <= ORDER.index(room_of(path)), f"{name} comes later"


def test_every_room_stands_in_the_order():
    entries = {path.name.removesuffix(".py") for path in ENGINE.iterdir()}
    rooms = {name for name in entries if not name.startswith("__")}
    assert rooms == set(ORDER) - {"__main__"}
    assert len(rooms) <= 20
