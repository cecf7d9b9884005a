# SPDX-License-Identifier: GPL-3.0-or-later
"""`train`: a model under the names that Topaz gives to those of its epochs, and a curve.

The particle's diameter is 8 times Topaz's radius: RELION gives an eighth of the diameter, and 3 px
(Topaz's default) is the radius that pupick trains with where the particle is 24 px wide.
"""

from __future__ import annotations

import argparse
import logging
import math
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Dict, List, Optional, Tuple

from scipion_pupick import engine
from scipion_pupick.engine import (
    LabelSettings,
    Micrograph,
    MicrographError,
    OptimizerSettings,
    Picks,
    TrainSettings,
    UsageError,
    assign_to_micrographs,
    atomic_write,
    image_shape,
    load_model,
    read_model_file,
    read_picks,
    write_text,
)
from scipion_pupick.engine.evaluation.partial_labels import evaluate_by_labels
from scipion_pupick.engine.networks.architectures import Network, make_network
from scipion_pupick.engine.preprocessing.scale import pixels
from scipion_pupick.engine.runs.layout import MODEL, TRAINING_LOG
from scipion_pupick.engine.settings import GENERAL, TOLERANCE_DIAMETERS
from scipion_pupick.engine.training.fit import usual_steps

from .arguments import OBJECTIVES
from .device import device_of_number
from .extract import check_radius, choose_picker, find_particles
from .images import read_image_list
from .pixel_sizes import trained_pixel_size
from .relion_job import (
    NOT_GIVEN,
    NOTE,
    RelionJob,
    find_job,
    stopped_by_abort,
    threshold_advice,
)

log = logging.getLogger(__name__)

RADII_PER_DIAMETER = 8
LEAST_SCORE = -6.0

NETWORKS = {"resnet8": "resnet8", "resnet16": "resnet16", "conv31": "conv3"}
OTHER_NETWORKS = ("resnet6", "conv63", "conv127")
COLUMNS = (
    "epoch",
    "iter",
    "split",
    "loss",
    "ge_penalty",
    "precision",
    "adjusted_precision",
    "tpr",
    "fpr",
    "auprc",
)
UNKNOWN = "-"

Row = Dict[str, Any]


def run(options: argparse.Namespace) -> int:
    """Train a model, and write it with its curve.

    Returns:
        How many images to train on failed.

    Raises:
        UsageError: an argument makes no sense, or the picks fit no image.
        PupickError: no labelled image can be used, or training failed.
        OSError: a result cannot be written.
    """
    if options.describe:
        sys.stdout.write(f"{_described(options.model)}\n")
        return 0
    if not (options.train_images and options.train_targets):
        raise UsageError("give images and picks to train on: --train-images and --train-targets.")
    if bool(options.test_images) != bool(options.test_targets):
        raise UsageError("a test needs images and picks: --test-images and --test-targets.")
    with stopped_by_abort(find_job(options.output)):
        if options.save_prefix is not None:
            return _train(options, Path(f"{options.save_prefix}_training"))
        with TemporaryDirectory() as folder:
            return _train(options, Path(folder))


def _described(name: str) -> Network:
    network, start = _network(name)
    return load_model(start).network if start else make_network(network)


def _train(options: argparse.Namespace, folder: Path) -> int:
    images, picks = _read_set(options.train_images, options.train_targets)
    test = None
    if options.test_images and options.test_targets:
        test = _read_set(options.test_images, options.test_targets)
        _warn_of_common(images, test[0])
    labels = sum(map(len, picks.values()))
    job = find_job(options.output)
    settings, start = read_settings(options, images, labels, test is not None, job)
    device = device_of_number(options.device, options.num_threads)
    model = engine.train(
        images,
        picks,
        folder,
        settings,
        start=start,
        overwrite=True,
        device=str(device),
        threads=max(0, options.num_threads),
        unit=pixels(trained_pixel_size(images, job, options.radius)),
    )
    for path in model_paths(options.save_prefix, options.num_epochs):
        with atomic_write(path) as temporary:
            shutil.copyfile(folder / MODEL, temporary)
    advice = threshold_advice(model.threshold)
    log.info("%s", advice)
    if job is not None:
        job.say(advice, NOTE)
    rows = _training_rows(folder / TRAINING_LOG, model.training.settings["steps"])
    if test is not None:
        model_path = folder / MODEL
        rows += _test_rows(*test, model_path, settings.diameter, rows[-1], options)
    _write_curve(rows, options.output)
    return len(model.training.failed_micrographs)


def _read_set(images: str, targets: str) -> Tuple[List[Micrograph], Picks]:
    micrographs = read_image_list(images)
    picks = assign_to_micrographs(read_picks(targets), micrographs, "picks")
    if not any(len(coordinates) for coordinates in picks.values()):
        raise UsageError(f"{targets} holds no pick in an image of {images}.")
    return micrographs, picks


def _warn_of_common(images: List[Micrograph], test: List[Micrograph]) -> None:
    trained_on = {image.path.resolve() for image in images}
    common = [image.name for image in test if image.path.resolve() in trained_on]
    if common:
        log.warning(
            "%d test images, such as %s, are trained on, too: what is measured in them is better "
            "than it would be in others.",
            len(common),
            common[0],
        )


def read_settings(
    options: argparse.Namespace,
    images: List[Micrograph],
    labels: int,
    has_test: bool,
    job: Optional[RelionJob] = None,
) -> Tuple[TrainSettings, Optional[Path]]:
    """Turn Topaz's options into settings, and the model to start from.

    There are as many steps as in pupick's own training, in as many epochs as the caller wants.
    Nothing is held out to choose the best epoch by where the caller has already put some of the
    picks aside for a test.

    Raises:
        UsageError: an argument makes no sense.
    """
    check_radius(options.radius)
    if options.num_epochs < 1:
        raise UsageError(f"--num-epochs {options.num_epochs}: give 1 or more.")
    diameter = options.diameter
    if diameter is None:
        diameter = RADII_PER_DIAMETER * options.radius
    elif not diameter > 0:
        raise UsageError(f"--diameter {diameter:g}: give a positive number of pixels.")
    network, start = _network(options.model)
    if start is None and options.pretrained and network == OptimizerSettings.network:
        start = Path(GENERAL)
    training = OptimizerSettings(
        network=network,
        objective=OBJECTIVES[options.method],
        slack=None if options.slack < 0 else options.slack,
        epochs=options.num_epochs,
        steps=math.ceil(all_steps(labels, start is not None) / options.num_epochs),
    )
    settings = TrainSettings(
        diameter=diameter,
        particles_per_micrograph=_particles(options, images, job),
        held_out=0.0 if has_test else None,
        training=training,
        # Topaz's callers have no way to say that their picks are right
        labels=LabelSettings(check_picks="warn"),
    )
    return settings, start


def all_steps(labels: int, trained_before: bool) -> int:
    """Batches of pupick's own training, in all epochs together."""
    return OptimizerSettings.epochs * usual_steps(labels, trained_before)


def _network(name: str) -> Tuple[str, Optional[Path]]:
    """Return the network that a name of Topaz's stands for, and the model file that it is."""
    if name in NETWORKS:
        return NETWORKS[name], None
    if name in OTHER_NETWORKS:
        log.warning("There is no network %s here: resnet8 is trained.", name)
        return "resnet8", None
    return "resnet8", Path(name)


def _particles(
    options: argparse.Namespace, images: List[Micrograph], job: Optional[RelionJob]
) -> Optional[float]:
    """Particles an image holds, by their number or by their share of its pixels."""
    if options.num_particles == NOT_GIVEN and job is not None and job.knows_no_number:
        log.info(
            "The form has no number of particles, for which RELION gives %d: it is estimated.",
            NOT_GIVEN,
        )
        return None
    if options.num_particles > 0:
        return float(options.num_particles)
    if options.pi is None:
        return None
    if not 0 < options.pi < 1:
        raise UsageError(f"--pi {options.pi:g}: give a share between 0 and 1.")
    try:
        height, width = image_shape(images[0].path)
    except MicrographError as error:
        raise UsageError(f"--pi needs the size of the images: {error}.") from error
    return float(options.pi * height * width / (math.pi * options.radius**2))


def model_paths(prefix: Optional[str], epochs: int) -> List[Path]:
    """Name the models of all epochs as Topaz does: callers look for the last, or for the best."""
    if prefix is None:
        return []
    digits = math.ceil(math.log10(epochs))
    return [Path(f"{prefix}_epoch{epoch:0{digits}d}.sav") for epoch in range(1, epochs + 1)]


def _training_rows(log_path: Path, steps: int) -> List[Row]:
    """Rows of the curve from pupick's log: one for an epoch, and one for what it held out."""
    header, *lines = [
        line.split("\t") for line in log_path.read_text(encoding="utf-8").splitlines()
    ]
    rows: List[Row] = []
    for line in lines:
        epoch = dict(zip(header, line))
        place = {"epoch": epoch["epoch"], "iter": int(epoch["epoch"]) * steps}
        parts = {"loss": epoch["loss"], "ge_penalty": epoch["penalty"]}
        rows.append({**place, "split": "train", **parts})
        if epoch["held_out_ap"] != "nan":
            rows.append({**place, "split": "test", "auprc": epoch["held_out_ap"]})
    return rows


def _test_rows(
    images: List[Micrograph],
    targets: Picks,
    model_path: Path,
    diameter: float,
    last: Row,
    options: argparse.Namespace,
) -> List[Row]:
    """Row of the curve for the trained model: its picks in test images against their targets.

    Precision and recall (tpr) are those at the model's own threshold. The targets may be some of
    the particles only, as in training.
    """
    model = read_model_file(model_path)
    radius = diameter / 2
    picker = choose_picker(model, images, diameter, radius, options.device, options.num_threads)
    picks: Picks = {}
    cut = replace(picker.cut, threshold=LEAST_SCORE, border=0.0)
    for image, picked in find_particles(images, replace(picker, cut=cut)):
        if isinstance(picked, MicrographError):
            log.warning("%s", picked)
        else:
            picks[image.name] = picked
    particles = model.training.particles_per_micrograph or 0.0
    tolerance = TOLERANCE_DIAMETERS * diameter
    try:
        found = evaluate_by_labels(picks, targets, tolerance, particles, model.threshold)
    except UsageError as error:
        log.warning("The test images are of no use: %s", error)
        return []
    log.info(
        "Average precision on the test images: %.3f, estimated for about %.0f particles an image, "
        "labelled or not.",
        found.average_precision,
        particles,
    )
    measures = {
        "precision": found.precision,
        "tpr": found.recall,
        "auprc": found.average_precision,
    }
    row = {"epoch": last["epoch"], "iter": last["iter"], "split": "test"}
    return [{**row, **{name: f"{value:.6g}" for name, value in measures.items()}}]


def _write_curve(rows: List[Row], output: Optional[str]) -> None:
    lines = [COLUMNS, *([row.get(column, UNKNOWN) for column in COLUMNS] for row in rows)]
    text = "".join("\t".join(map(str, line)) + "\n" for line in lines)
    if output is None:
        sys.stdout.write(text)
    else:
        write_text(output, text)
