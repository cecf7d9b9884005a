# SPDX-License-Identifier: GPL-3.0-or-later
"""The scripts of pages: modules in one, so that a page needs nothing beside itself."""

from __future__ import annotations

import re
from importlib import resources
from typing import Sequence

# of the report; a module imports only from those before it
MODULES = (
    "dom",
    "numbers",
    "packed",
    "palette",
    "data",
    "colours",
    "micrograph",
    "viewer",
    "thumbnails",
    "threshold",
    "gallery",
    "look",
    "frame",
    "score_plots",
    "run_plots",
    "list",
    "quality_plots",
    "training_plots",
    "main",
)
# of the page to correct picks in, which has some of its own
CORRECTING = "correcting"
SHARED_MODULES = ("dom", "numbers", "packed", "palette")
CORRECTING_MODULES = (
    *SHARED_MODULES,
    *(
        f"{CORRECTING}/{name}"
        for name in (
            "constants",
            "server",
            "messages",
            "run",
            "scores",
            "sheet",
            "unsaved",
            "edits",
            "paint",
            "stage",
            "micrographs",
            "actions",
            "pointer",
            "keys",
            "training",
            "start",
        )
    ),
)
IMPORT = re.compile(r"^import \{[^}]*\} from \"[^\"]*\";\n", re.MULTILINE)
EXPORT = re.compile(r"^export ", re.MULTILINE)


def join_modules(modules: Sequence[str] = MODULES) -> str:
    """Return one script that does what the modules do.

    All share one scope, so that a name at the top of a module stands for the same in each.
    """
    text = "\n".join(_without_imports(read_module(name)) for name in modules)
    return f'"use strict";\n(() => {{\n{text}}})();\n'


def read_module(name: str) -> str:
    """Return the text of a module: of js/, or of that folder of a part of this room."""
    *part, name = name.split("/")
    path = resources.files(__package__).joinpath("/".join([*part, "js", f"{name}.js"]))
    return path.read_text(encoding="utf-8")


def _without_imports(text: str) -> str:
    return EXPORT.sub("", IMPORT.sub("", text))
