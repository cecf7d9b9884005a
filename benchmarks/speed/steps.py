# SPDX-License-Identifier: GPL-3.0-or-later
"""The measured commands of both programs, and the names under which their costs are kept."""

from __future__ import annotations

from typing import List

from benchmarks.common.measure import Step
from benchmarks.speed.simulate import DIAMETER, PIXEL_SIZE

DIAMETER_PX = DIAMETER / PIXEL_SIZE
# Topaz's advice: the particle spans about half of the 71 px that the network sees.
RECOMMENDED_SCALE = round(2 * DIAMETER_PX / 71)
# The scale at which pupick works: a diameter of 24 px.
SAME_SCALE = round(DIAMETER_PX / 24)
SCALES = (RECOMMENDED_SCALE, SAME_SCALE)

EXPECTED_PARTICLES = 300  # per micrograph, in both sets; it has no influence on the speed
TOPAZ_MINIBATCH = 256
TOPAZ_ITERATIONS = 40
# Times that the simulated set is repeated in the larger set, where start-up weighs little.
COPIES = 4

TRAIN_SET = "train"
SIMULATED = "simulated"
SIMULATED_MANY = "simulated-many"


def topaz_start(topaz: List[str]) -> Step:
    return Step("topaz/start", [*topaz, "--version"])


def topaz_preprocess(topaz: List[str], files: List[str], scale: int, threads: int) -> Step:
    """Downsample and normalise; two cores are used by two processes of one thread.

    (Two threads in one process cost it many times the CPU and save no time.)
    """
    output = f"topaz-scale{scale}"
    workers = ["-t", str(threads if threads > 1 else 0), "-j", "1"]
    return Step(
        f"topaz/preprocess/scale {scale}, threads {threads}",
        [*topaz, "preprocess", "-s", str(scale), "-d", "-1", *workers, "-o", f"{output}/", *files],
        output=output,
        micrographs=len(files),
    )


def topaz_extract(topaz: List[str], names: List[str], scale: int, threads: int) -> Step:
    """Picks of the packaged resnet8_u32 at the default threshold, in full-size pixels."""
    output = f"topaz-picks-scale{scale}.txt"
    radius = str(round(DIAMETER_PX / scale / 2))
    options = ["-m", "resnet8_u32", "-r", radius, "-x", str(scale), "-d", "-1"]
    files = [f"topaz-scale{scale}/{name}" for name in names]
    return Step(
        f"topaz/extract/scale {scale}, threads {threads}",
        [*topaz, "extract", *options, "-j", str(threads), "-o", output, *files],
        threads,
        output,
        micrographs=len(names),
    )


def topaz_training_set(topaz: List[str], files: List[str]) -> Step:
    """Normalise the training micrographs, whose scale is already the recommended one."""
    output = f"topaz-{TRAIN_SET}"
    options = ["-s", "1", "-d", "-1", "-t", "0", "-j", "1", "-o", f"{output}/"]
    return Step("topaz/training set", [*topaz, "preprocess", *options, *files], output=output)


def topaz_train(topaz: List[str], threads: int) -> Step:
    """A part of Topaz's 10 epochs of 1000 iterations, which all cost the same."""
    output = "topaz-curve.tsv"
    data = ["--train-images", f"topaz-{TRAIN_SET}", "--train-targets", "labels-topaz.txt"]
    network = ["-m", "resnet8", "--units", "32", "-n", str(EXPECTED_PARTICLES)]
    length = ["--minibatch-size", str(TOPAZ_MINIBATCH), "--epoch-size", str(TOPAZ_ITERATIONS)]
    options = ["--num-epochs", "1", "--num-workers", "0", "-d", "-1", "-j", str(threads)]
    return Step(
        f"topaz/train/threads {threads}",
        [*topaz, "train", *data, *network, *length, *options, "-o", output],
        threads,
        output,
        regions=TOPAZ_MINIBATCH * TOPAZ_ITERATIONS,
    )


def pupick_start(pupick: str) -> Step:
    return Step("pupick/start", [pupick, "--version"])


def pupick_preprocess(pupick: str, folder: str, micrographs: int, threads: int) -> Step:
    output = "pupick-preprocessed"
    size = ["--pixel-size", str(PIXEL_SIZE), "--diameter", f"{DIAMETER:g}"]
    options = ["--micrographs", folder, *size, "--output", output, "--threads", str(threads)]
    return Step(
        f"pupick/preprocess/{folder}, threads {threads}",
        [pupick, "preprocess", *options],
        threads,
        output,
        micrographs=micrographs,
    )


def pupick_pick(pupick: str, folder: str, micrographs: int, threads: int) -> Step:
    """With the general model, which is fitted to the micrographs first."""
    output = "pupick-picks"
    size = ["--pixel-size", str(PIXEL_SIZE), "--diameter", f"{DIAMETER:g}"]
    model = ["--model", "general", *size]
    options = ["--micrographs", folder, *model, "--output", output, "--threads", str(threads)]
    return Step(
        f"pupick/pick/{folder}, threads {threads}",
        [pupick, "pick", *options],
        threads,
        output,
        micrographs=micrographs,
    )


def pupick_train(pupick: str, seed: int, threads: int) -> Step:
    """A whole training on the real micrographs, with all that it does by default."""
    data = ["--micrographs", TRAIN_SET, "--picks", "labels.star", "--diameter", f"{DIAMETER:g}"]
    expected = ["--particles-per-micrograph", str(EXPECTED_PARTICLES)]
    output = "pupick-model"
    options = ["--seed", str(seed), "--output", output, "--threads", str(threads)]
    return Step(
        f"pupick/train/threads {threads}",
        [pupick, "train", *data, *expected, *options],
        threads,
        output,
    )
