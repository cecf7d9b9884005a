# SPDX-License-Identifier: GPL-3.0-or-later
"""Kinds of values of parameters: how their texts are read, and what people call them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Callable

from scipion_pupick.engine.settings import Setting

from .versions import VERSIONS


def positive(text: str) -> float:
    """Turn text into a finite number above 0."""
    value = float(text)
    if not 0 < value < math.inf:
        raise ValueError(text)
    return value


def whole(text: str) -> int:
    """Turn text into a whole number of 0 or more."""
    value = int(text)
    if value < 0:
        raise ValueError(text)
    return value


def counting(text: str) -> int:
    """Turn text into a whole number above 0."""
    value = int(text)
    if value < 1:
        raise ValueError(text)
    return value


def devices(text: str) -> str:
    """Turn what RELION's users write for GPUs (0, 0:1, 0,1, all, none) into the engine's devices.

    RELION separates the GPUs of processes by a colon and those of threads by a comma; here each is
    one process's.
    """
    name = text.lower().replace("cuda:", "")
    if name in ("none", "no", "cpu", "-1"):
        return "cpu"
    if name in ("auto", "cuda", "all"):
        return name
    numbers = [whole(number) for number in name.replace(":", ",").split(",")]
    return ",".join(f"cuda:{number}" for number in dict.fromkeys(numbers))


def relion_version(text: str) -> str:
    """Turn 3.1, 4, 5.0.1... into the version whose files are written."""
    for version in VERSIONS:
        if text.split(".")[0] == version.split(".")[0]:
            return version
    raise ValueError(text)


def share(text: str) -> float:
    """Turn text into a number from 0 to 1."""
    value = float(text)
    if not 0 <= value <= 1:
        raise ValueError(text)
    return value


def yes_or_no(text: str) -> bool:
    """Turn yes or no, as RELION's forms write them, into a truth value."""
    if text.lower() not in ("yes", "no"):
        raise ValueError(text)
    return text.lower() == "yes"


@dataclass(frozen=True)
class Kind:
    """A kind of value: how its text is read (ValueError if it cannot be), and how it is called."""

    read: Callable[[str], Any]
    name: str


POSITIVE = Kind(positive, "a number above 0")
WHOLE = Kind(whole, "a whole number, 0 or more")
COUNT = Kind(counting, "a whole number above 0")
SHARE = Kind(share, "a number from 0 to 1")
YES_OR_NO = Kind(yes_or_no, "yes or no")
TEXT = Kind(str, "a text")
MODEL = Kind(str, "a model file, the folder of a training job, or general")
GPU = Kind(devices, "auto, none, all or numbers of GPUs such as 0 or 0,1")
VERSION = Kind(relion_version, ", ".join(VERSIONS))


def kind_of(setting: Setting) -> Kind:
    """Return how the values of one of the engine's settings are read."""

    def read(text: str) -> Any:
        value = setting.kind(text)
        if not setting.allows(value):
            raise ValueError(text)
        return value

    return Kind(read, setting.wanted)
