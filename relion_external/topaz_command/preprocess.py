# SPDX-License-Identifier: GPL-3.0-or-later
"""`preprocess` and `normalize`: images downsampled by a whole number and normalised."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import List

import numpy as np

from scipion_pupick.engine.downsample import downsample
from scipion_pupick.engine.errors import MicrographError, UsageError
from scipion_pupick.engine.files import make_folder
from scipion_pupick.engine.micrograph import (
    Micrograph,
    find_micrographs,
    read_image,
    read_pixel_size,
    write_image,
)
from scipion_pupick.engine.normalise import normalise

from .images import PIXEL_SIZE, stems

log = logging.getLogger(__name__)


def run(options: argparse.Namespace) -> int:
    """Write images downsampled and normalised, as MRC files (float32) of the same names.

    An image that cannot be used is reported, and the others are written.

    Returns:
        How many images failed.

    Raises:
        UsageError: an argument makes no sense, or an image would be overwritten.
        OSError: a result cannot be written.
    """
    if options.scale < 1:
        raise UsageError(f"-s {options.scale}: give a whole number from 1 on.")
    images = find_micrographs(options.files)
    folder = Path(options.destdir)
    paths = {name: folder / f"{stem}.mrc" for name, stem in stems(images).items()}
    _refuse_overwriting(images, [*paths.values()])
    make_folder(folder)
    failures = 0
    for image in images:
        try:
            pixels = read_normalised(image.path, options)
            pixel_size = read_pixel_size(image.path) or PIXEL_SIZE
        except MicrographError as error:
            log.warning("%s", error)
            failures += 1
            continue
        write_image(paths[image.name], pixels, pixel_size * options.scale)
        if options.verbose:
            log.info("%s written", paths[image.name])
    return failures


def read_normalised(path: Path, options: argparse.Namespace) -> np.ndarray:
    """Read an image (ny, nx), downsampled to (ny // scale, nx // scale) as by Topaz, normalised.

    Raises:
        MicrographError: it cannot be used; the text names the file and says why.
    """
    image, scale = read_image(path), options.scale
    height, width = image.shape
    if min(height, width) < scale:
        raise MicrographError(f"{path}: {width} x {height} px are too few to divide by {scale}")
    try:
        if scale > 1:
            shape = (height // scale, width // scale)
            image = downsample(image, shape, max(1, options.num_threads))
        return normalise(image, "affine" if options.affine else "gmm")
    except MicrographError as error:
        raise MicrographError(f"{path}: {error}") from error


def _refuse_overwriting(images: List[Micrograph], paths: List[Path]) -> None:
    sources = {image.path.resolve() for image in images}
    for path in paths:
        if path.resolve() in sources:
            raise UsageError(f"{path} would overwrite an image: give another folder (-o).")
