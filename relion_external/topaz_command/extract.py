# SPDX-License-Identifier: GPL-3.0-or-later
"""`extract`: picks as Topaz's table, or as a file for each image."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Optional, Sequence, Tuple, Union

import numpy as np

from scipion_pupick.engine.coordinates import Coordinates
from scipion_pupick.engine.coordinates.boxes import box_text
from scipion_pupick.engine.coordinates.relion import coordinates_text
from scipion_pupick.engine.downsample import to_original
from scipion_pupick.engine.errors import MicrographError, UsageError
from scipion_pupick.engine.files import write_text
from scipion_pupick.engine.micrograph import Micrograph, find_micrographs
from scipion_pupick.engine.model_file import ModelFile, read_model_file
from scipion_pupick.engine.numpy_scoring import STEPS, make_numpy_scorer
from scipion_pupick.engine.peaks import find_peaks
from scipion_pupick.engine.prepare import WorkingImage, prepare
from scipion_pupick.engine.stream import prepared_ahead

from .images import PIXEL_SIZE, stems

log = logging.getLogger(__name__)

Scorer = Callable[[np.ndarray], np.ndarray]

HEADER = "image_name\tx_coord\ty_coord\tscore\n"
# beyond, PyTorch has made up for the time that its import takes
MOST_WITHOUT_PYTORCH = 4
PACKAGED_MODELS = ("resnet8", "resnet8_u32", "resnet8_u64", "resnet16", "resnet16_u32",
                   "resnet16_u64")  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Pick in images, and write the picks.

    An image that cannot be used is reported, and the picks of the others are written.

    Returns:
        How many images failed.

    Raises:
        UsageError: an argument makes no sense, or the model cannot be used.
        OSError: a result cannot be written.
    """
    scale = _scale(options)
    images = find_micrographs(options.paths or _listed(sys.stdin), PIXEL_SIZE)
    names = stems(images)
    model = open_model(options.model)
    radius = model.scale.diameter / 2 if options.radius is None else options.radius
    check_radius(radius)
    scorer = choose_scorer(model, len(images), options.device, options.num_threads)
    picks: Dict[str, Coordinates] = {}
    for image, found in find_particles(images, model, scorer, radius, options.threshold):
        if isinstance(found, MicrographError):
            log.warning("%s", found)
            continue
        picks[image.name] = found.scaled(scale)
        if options.verbose:
            log.info("%d particles in %s", len(found), image.name)
    if options.per_micrograph:
        _write_files(picks, images, radius * scale, options)
    else:
        _write_table({names[name]: found for name, found in picks.items()}, options.output)
    return len(images) - len(picks)


def _scale(options: argparse.Namespace) -> float:
    for name in ("up_scale", "down_scale"):
        if not getattr(options, name) > 0:
            raise UsageError(f"--{name.replace('_', '-')} must be a positive number.")
    return float(options.up_scale / options.down_scale)


def _listed(lines: Iterator[str]) -> List[str]:
    return [line.strip() for line in lines if line.strip()]


def open_model(name: str) -> ModelFile:
    """Read the model that `-m` names.

    Raises:
        UsageError: a model file that cannot be used, or one of Topaz's own models.
    """
    if not Path(name).exists() and name in PACKAGED_MODELS:
        raise UsageError(
            f"-m {name} is a general model of Topaz, and pupick has no general model yet: train "
            "one (in RELION: Auto-picking, Topaz training) and give its file."
        )
    return read_model_file(name)


def check_radius(radius: float) -> None:
    """Refuse a radius (px) that is not positive, as RELION gives it where no diameter is set.

    Raises:
        UsageError: it is not.
    """
    if not radius > 0:
        raise UsageError(
            f"-r {radius:g}: the radius must be a positive number of pixels. In RELION, give the "
            "particle diameter (Å) on the Topaz tab."
        )


def choose_scorer(model: ModelFile, images: int, device: int, threads: int) -> Scorer:
    """Prepare for scoring with what is quickest: NumPy for a few images, or else PyTorch."""
    if images <= MOST_WITHOUT_PYTORCH and model.network_name in STEPS:
        return make_numpy_scorer(model)
    from scipion_pupick.engine.model import network_of_file
    from scipion_pupick.engine.scoring import make_scorer

    from .device import device_of_number

    return make_scorer(network_of_file(model), device_of_number(device, threads))


def find_particles(
    images: Sequence[Micrograph],
    model: ModelFile,
    scorer: Scorer,
    radius: float,
    threshold: float,
) -> Iterator[Tuple[Micrograph, Union[Coordinates, MicrographError]]]:
    """Find particles.

    Args:
        images: to pick in.
        model: that the scorer is of.
        scorer: from working images to log-odds.
        radius: least distance of two picks, and of a pick from the edge, px of the images.
        threshold: log-odds from which on a peak is picked.

    Yields:
        Each image with its picks in px of it, or with the reason why it cannot be used.
    """

    def prepared(image: Micrograph) -> WorkingImage:
        return prepare(image, model.scale, model.normalisation, model.mixture)

    for image, working in prepared_ahead(prepared, images):
        if isinstance(working, MicrographError):
            yield image, working
            continue
        separation = radius / model.scale.pixel_size / model.stride
        peaks = find_peaks(scorer(working.image[None])[0], separation)
        xy = to_original(peaks.xy * model.stride, working.shape, working.image.shape)
        last = np.array(working.shape[::-1]) - 1
        inside = ((xy >= radius) & (xy <= last - radius)).all(axis=1)
        found = Coordinates(xy[:, 0], xy[:, 1], peaks.score)
        yield image, found.select(inside & (peaks.score >= threshold))


def _write_table(picks: Dict[str, Coordinates], output: Optional[str]) -> None:
    text = table_text(picks)
    if output is None:
        sys.stdout.write(text)
    elif Path(output).is_dir():
        write_text(Path(output) / "extracted_particles.txt", text)
    else:
        write_text(output, text)


def table_text(picks: Dict[str, Coordinates]) -> str:
    """Write picks as the text of Topaz's table: whole px, and the header even without a pick."""
    rows = [
        f"{name}\t{x:.0f}\t{y:.0f}\t{score:.9g}\n"
        for name, found in picks.items()
        for x, y, score in zip(found.x, found.y, found.score)
    ]
    return HEADER + "".join(rows)


def _write_files(
    picks: Dict[str, Coordinates],
    images: Sequence[Micrograph],
    radius: float,
    options: argparse.Namespace,
) -> None:
    """Write a file for each image that has not failed; boxes are as wide as particles."""
    for image in images:
        if image.name not in picks:
            continue
        found, stem = picks[image.name], image.path.stem
        if options.format == "coord":
            text = table_text({stem: found})
        elif options.format == "star":
            text = coordinates_text(found, with_scores=True)
        else:
            text = box_text(found, 2 * radius)
        folder = image.path.parent if options.output is None else Path(options.output)
        write_text(folder / f"{stem}{options.suffix}.{options.format}", text)
