# SPDX-License-Identifier: GPL-3.0-or-later
"""Types of arguments that commands check before any work starts."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..micrographs.micrograph import IMAGE_EXTENSIONS


def text_file(path: str) -> str:
    """Take the name of a table or text to write; a forgotten name must not cost a micrograph.

    Raises:
        ArgumentTypeError: it is the name of an image.
    """
    if Path(path).suffix.lower() in IMAGE_EXTENSIONS:
        raise argparse.ArgumentTypeError(f"{path} is the name of an image: give one of a text file")
    return path


def single_file(path: str) -> str:
    """Take the name of a text that is written last, so that work is not lost for want of it.

    Raises:
        ArgumentTypeError: it is the name of an image, or of a folder that is there.
    """
    if Path(path).is_dir():
        raise argparse.ArgumentTypeError(f"{path} is a folder: give the name of a file")
    return text_file(path)
