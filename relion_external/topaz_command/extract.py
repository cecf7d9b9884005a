# SPDX-License-Identifier: GPL-3.0-or-later
"""`extract`: picks as Topaz's table, or as a file for each image."""

from __future__ import annotations

import argparse
import logging
import math
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Sequence, Tuple, Union

from scipion_pupick.engine import (
    Coordinates,
    Cut,
    Micrograph,
    MicrographError,
    ModelFile,
    Picker,
    PickSettings,
    UsageError,
    WorkingScale,
    find_micrographs,
    image_shape,
    read_model_file,
    write_text,
)
from scipion_pupick.engine.files.prefetch import prefetch
from scipion_pupick.engine.networks.numpy_scoring import STEPS, make_numpy_judge
from scipion_pupick.engine.preprocessing.scale import pixels
from scipion_pupick.engine.settings import GENERAL

from .images import PIXEL_SIZE, stems
from .pixel_sizes import picked_pixel_size
from .relion_job import (
    BEST_F1,
    GENERAL_CHOICE,
    NOTE,
    OUTPUT,
    find_job,
    threshold_advice,
)
from .tables import WRITERS, table_text

log = logging.getLogger(__name__)

# px of working images; beyond, PyTorch has made up for the time that its import takes
MOST_WITHOUT_PYTORCH = 2**22
# by which the diameters of a model and of a caller differ only if their units do
UNLIKELY = 2.5
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
    _refuse_filaments(options)
    enlargement = _enlargement(options)
    if not math.isfinite(options.threshold):
        raise UsageError(f"-t {options.threshold:g}: the threshold must be a number.")
    images = find_micrographs(options.paths or _listed(sys.stdin), PIXEL_SIZE)
    names = stems(images)
    name = model_name(options.model)
    model = read_model_file(name)
    own = None
    if name != GENERAL and options.diameter is None:
        unit = pixels(picked_pixel_size(images, enlargement))
        own = model.scale.of(None, unit).diameter
    diameter = choose_diameter(own, options.diameter, options.radius)
    if name != GENERAL and model.scale.unit is None:
        _doubt_unit(diameter, options.radius)
    radius = diameter / 2 if options.radius is None else options.radius
    picker = choose_picker(model, images, diameter, radius, options.device, options.num_threads)
    cut = Cut(options.threshold, radius, options.contamination)
    picker = replace(picker, cut=cut)
    _say_threshold(model, options)
    picks: Dict[str, Coordinates] = {}
    for image, picked in find_particles(images, picker):
        if isinstance(picked, MicrographError):
            log.warning("%s", picked)
            continue
        picks[image.name] = picked.scaled(enlargement)
        if options.verbose:
            log.info("%d particles in %s", len(picked), image.name)
    if options.per_micrograph:
        _write_files(picks, images, round(2 * radius * enlargement), options)
    else:
        _write_table({names[name]: picked for name, picked in picks.items()}, options.output)
    return len(images) - len(picks)


def _refuse_filaments(options: argparse.Namespace) -> None:
    if options.filaments or options.filaments_plot or options.filaments_length is not None:
        raise UsageError(
            "pupick does not pick filaments: in RELION's Auto-picking, set 'Pick filaments?' "
            "(RELION 4: 'Pick 2D helical segments?') to No, or give RELION's own Topaz "
            "(relion_python_topaz) as Topaz executable in this job."
        )


def _say_threshold(model: ModelFile, options: argparse.Namespace) -> None:
    """Say in RELION's job which of the picks, of which nearly all are kept, are good ones."""
    job = find_job(options.output)
    if job is not None and options.threshold < model.threshold:
        with suppress(OSError):
            reason = GENERAL_CHOICE if model.scale.diameter is None else BEST_F1
            job.say(threshold_advice(model.threshold, reason), OUTPUT, NOTE)


def _doubt_unit(diameter: float, radius: Optional[float]) -> None:
    """Say so where the diameter (px) of a model of unknown unit is far from twice the radius."""
    if radius is not None and not 1 / UNLIKELY < diameter / (2 * radius) < UNLIKELY:
        log.warning(
            "The particle is %g wide by the model, which does not say whether these are px or Å, "
            "and %g px by the radius. If few picks are right, give --diameter (px of the images).",
            diameter,
            2 * radius,
        )


def _enlargement(options: argparse.Namespace) -> float:
    for name in ("up_scale", "down_scale"):
        if not getattr(options, name) > 0:
            raise UsageError(f"--{name.replace('_', '-')} must be a positive number.")
    return float(options.up_scale / options.down_scale)


def _listed(lines: Iterator[str]) -> List[str]:
    return [line.strip() for line in lines if line.strip()]


def model_name(name: str) -> str:
    """Return the model that `-m` means: Topaz's general models stand for pupick's own."""
    return GENERAL if name in PACKAGED_MODELS and not Path(name).is_file() else name


def choose_diameter(own: Optional[float], given: Optional[float], radius: Optional[float]) -> float:
    """Choose the particle's diameter, px of the images.

    RELION's Auto-picking gives half the diameter as the radius, rounded, and nothing else that
    tells of the particle's size.

    Args:
        own: diameter of the model; None for the general one.
        given: by `--diameter`.
        radius: given by `-r`.

    Raises:
        UsageError: one of these is not positive, or none is known.
    """
    if radius is not None:
        check_radius(radius)
    if given is not None and not given > 0:
        raise UsageError(f"--diameter {given:g}: give a positive number of pixels.")
    if given is None and own is None and radius is None:
        raise UsageError("The general model needs the size of the particle: give -r or --diameter.")
    return given or own or 2 * (radius or 0)


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


def choose_picker(
    model: ModelFile,
    images: Sequence[Micrograph],
    diameter: float,
    radius: float,
    device: int,
    threads: int,
) -> Picker:
    """Prepare for picking with what scores quickest: NumPy for a few images, or else PyTorch.

    Args:
        model: to pick with.
        images: to pick in; an image's px count as Å.
        diameter: of the particle, px of the images.
        radius: least distance of two picks, and of a pick from the edge, px of the images.
        device: number of a GPU; the CPU if it is negative.
        threads: of the CPU.
    """
    settings = PickSettings(border=radius, min_distance=radius, diameter=diameter)
    unit = pixels(None)
    scale = model.scale.of(diameter, unit)
    if model.network_name in STEPS and _are_few(images, scale):
        return Picker.of_judge(model, make_numpy_judge(model), settings, unit)
    from scipion_pupick.engine import memory_errors_explained
    from scipion_pupick.engine.networks.model import network_of_file
    from scipion_pupick.engine.networks.scoring import make_judge

    from .device import device_of_number

    judge = make_judge(network_of_file(model), device_of_number(device, threads))
    return Picker.of_judge(model, memory_errors_explained()(judge), settings, unit)


def _are_few(images: Sequence[Micrograph], scale: WorkingScale) -> bool:
    """Whether the working images have few pixels together; the smaller particles are, the more."""
    pixels = 0
    for image in images:
        # an image that cannot be used is reported when it comes to be picked
        with suppress(MicrographError):
            height, width = scale.shape(image_shape(image.path), PIXEL_SIZE)
            pixels += height * width
        if pixels > MOST_WITHOUT_PYTORCH:
            return False
    return True


def find_particles(
    images: Sequence[Micrograph], picker: Picker
) -> Iterator[Tuple[Micrograph, Union[Coordinates, MicrographError]]]:
    """Find particles.

    Yields:
        Each image with its picks in px of it, or with the reason why it cannot be used.
    """
    for image, working in prefetch(picker.prepare, images):
        if isinstance(working, MicrographError):
            yield image, working
        else:
            yield image, picker.choose(*picker.find_peaks([working]))


def _write_table(picks: Dict[str, Coordinates], output: Optional[str]) -> None:
    text = table_text(picks)
    if output is None:
        sys.stdout.write(text)
    elif Path(output).is_dir():
        write_text(Path(output) / "extracted_particles.txt", text)
    else:
        write_text(output, text)


def _write_files(
    picks: Dict[str, Coordinates],
    images: Sequence[Micrograph],
    width: int,
    options: argparse.Namespace,
) -> None:
    """Write a file for each image that has not failed; boxes are as wide as particles."""
    for image in images:
        if image.name not in picks:
            continue
        text = WRITERS[options.format](image.path.name, picks[image.name], width)
        folder = image.path.parent if options.output is None else Path(options.output)
        write_text(folder / f"{image.path.stem}{options.suffix}.{options.format}", text)
