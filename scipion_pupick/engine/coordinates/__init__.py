# SPDX-License-Identifier: GPL-3.0-or-later
"""Picks and the files that hold them, in the formats of other programs."""

from .conversion import convert
from .formats import FORMATS, detect_format
from .read import read_picks
from .table import Coordinates, Picks
from .write import write_picks, write_picks_folder

__all__ = [
    "FORMATS",
    "Coordinates",
    "Picks",
    "convert",
    "detect_format",
    "read_picks",
    "write_picks",
    "write_picks_folder",
]
