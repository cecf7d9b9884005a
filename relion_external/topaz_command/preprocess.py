# SPDX-License-Identifier: GPL-3.0-or-later
"""`preprocess` and `normalize`: images downsampled by a whole number and normalised."""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Dict

import numpy as np

from scipion_pupick.engine import (
    MicrographError,
    UsageError,
    downsample,
    find_micrographs,
    read_image,
    read_pixel_size,
    write_text,
)
from scipion_pupick.engine.files.atomic import make_folder, refuse_overwriting
from scipion_pupick.engine.preprocessing.histogram import histogram
from scipion_pupick.engine.preprocessing.mixture import fit_mixture
from scipion_pupick.engine.preprocessing.normalise import normalise

from .image_formats import check_formats, write_any
from .images import PIXEL_SIZE, stems

log = logging.getLogger(__name__)


def run(options: argparse.Namespace) -> int:
    """Write images downsampled and normalised, under the same names.

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
    paths = {
        name: [folder / f"{stem}.{ending}" for ending in options.format]
        for name, stem in stems(images).items()
    }
    written = [path for several in paths.values() for path in several]
    refuse_overwriting([image.path for image in images], written)
    check_formats(options.format)
    make_folder(folder)
    failures = 0
    for image in images:
        try:
            normalised = read_normalised(image.path, options)
            pixel_size = read_pixel_size(image.path)
        except MicrographError as error:
            log.warning("%s", error)
            failures += 1
            continue
        for path in paths[image.name]:
            known = PIXEL_SIZE if pixel_size is None else pixel_size * options.scale
            write_any(path, normalised.pixels, known)
            if options.verbose:
                log.info("%s written", path)
        if options.metadata:
            text = json.dumps(normalised.grey_values, indent=4)
            write_text(folder / f"{image.path.stem}.metadata.json", text)
    return failures


@dataclass(frozen=True)
class Normalised:
    """A normalised image.

    Attributes:
        pixels: (ny, nx) float32.
        grey_values: mean and deviation that became 0 and 1, and the share of the pixels that they
            were taken from, as Topaz calls them: mu, std and pi.
    """

    pixels: np.ndarray
    grey_values: Dict[str, float]


def read_normalised(path: Path, options: argparse.Namespace) -> Normalised:
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
        pixels = normalise(image, "affine" if options.affine else "gmm")
        return Normalised(pixels, _grey_values(image, options) if options.metadata else {})
    except MicrographError as error:
        raise MicrographError(f"{path}: {error}") from error


def _grey_values(image: np.ndarray, options: argparse.Namespace) -> Dict[str, float]:
    if options.affine:
        return {"mu": float(image.mean()), "std": float(image.std()), "pi": 1.0}
    mixture, _ = fit_mixture([histogram(image)])
    mean, deviation = mixture.dominant
    return {"mu": mean, "std": deviation, "pi": max(mixture.rho, 1 - mixture.rho)}
