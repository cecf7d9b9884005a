# SPDX-License-Identifier: GPL-3.0-or-later
"""The page's script: the modules of js/ in one, so that the page needs nothing beside itself."""

from __future__ import annotations

import re
from importlib import resources

# a module imports only from those before it
MODULES = (
    "dom",
    "numbers",
    "data",
    "colours",
    "micrograph",
    "viewer",
    "thumbnails",
    "threshold",
    "gallery",
    "frame",
    "score_plots",
    "run_plots",
    "training_plots",
    "list",
    "main",
)
IMPORT = re.compile(r"^import \{[^}]*\} from \"[^\"]*\";\n", re.MULTILINE)
EXPORT = re.compile(r"^export ", re.MULTILINE)


def join_modules() -> str:
    """Return one script that does what the modules do.

    All share one scope, so that a name at the top of a module stands for the same in each.
    """
    text = "\n".join(_without_imports(read_module(name)) for name in MODULES)
    return f'"use strict";\n(() => {{\n{text}}})();\n'


def read_module(name: str) -> str:
    """Return the text of a module of js/."""
    path = resources.files(__package__).joinpath("js").joinpath(f"{name}.js")
    return path.read_text(encoding="utf-8")


def _without_imports(text: str) -> str:
    return EXPORT.sub("", IMPORT.sub("", text))
