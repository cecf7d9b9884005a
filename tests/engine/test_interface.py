# SPDX-License-Identifier: GPL-3.0-or-later
"""The public interface: what is loaded when first used is what mypy is told of."""

import ast
from importlib import import_module
from pathlib import Path

import pytest

from scipion_pupick import engine


def imports_for_mypy():
    """Names by module that only a type checker imports."""
    tree = ast.parse(Path(engine.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    return {node.module: [alias.name for alias in node.names] for node in block.body}


def test_mypy_is_told_of_the_whole_interface():
    told = {(module, name) for module, names in imports_for_mypy().items() for name in names}
    assert {name for _, name in told} == set(engine.__all__)
    for module, name in told:
        home = import_module(f"scipion_pupick.engine.{module}")
        assert getattr(engine, name) is getattr(home, name)


def test_the_old_name_of_settings_still_works_and_is_warned_of():
    with pytest.warns(DeprecationWarning, match="OptimizerSettings"):
        old = engine.TrainingSettings
    assert old is engine.OptimizerSettings
