# SPDX-License-Identifier: GPL-3.0-or-later
"""pupick: a particle picker for cryo-EM that learns from a few picks and no negatives.

The package is a plugin of Scipion. Its engine needs no Scipion, so `Plugin` is only loaded when
Scipion asks for it.
"""

from typing import Any

__version__ = "0.1.0"

_logo = "pupick_logo.png"
_references = ["Bepler2019"]


def __getattr__(name: str) -> Any:
    if name != "Plugin":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .plugin import Plugin

    return Plugin
