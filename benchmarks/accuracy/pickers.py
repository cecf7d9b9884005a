# SPDX-License-Identifier: GPL-3.0-or-later
"""One training and one picking with each program, as its users run it, on a set of micrographs."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import List, Optional, Tuple

import numpy as np

from benchmarks.common.cells import Row, figures, score
from benchmarks.common.measure import Step, run
from benchmarks.common.picking_sets import PickingSet
from scipion_pupick.engine import Picks, group_picks, read_picks, write_picks
from scipion_pupick.engine.settings import LEAST_SCORE

TOPAZ_FIELD = 71  # px
TOPAZ_LEAST_SCORE = -12.0
TOPAZ_THRESHOLD = -6.0  # its default


@dataclass(frozen=True)
class Cost:
    """CPU seconds of training and of picking, and the commands."""

    train: float
    pick: float
    commands: Tuple[str, ...]

    def row(self) -> Row:
        """What is kept of it."""
        return {"train_cpu": self.train, "pick_cpu": self.pick, "commands": list(self.commands)}


def link_micrographs(picking_set: PickingSet, work: Path) -> None:
    """Folders train and test in `work` with links to the micrographs."""
    for folder, paths in (("train", picking_set.train), ("test", picking_set.test)):
        (work / folder).mkdir(parents=True, exist_ok=True)
        for path in paths:
            link = work / folder / path.name
            if not link.exists():
                link.symlink_to(path.resolve())


def run_pupick(
    picking_set: PickingSet,
    work: Path,
    labels: Optional[Picks],
    seed: int,
    diameter_factor: float = 1.0,
    counted: bool = True,
) -> Row:
    """Train on the labels, or take the general model without any, and pick.

    Args:
        picking_set: the set.
        work: folder for all that is written.
        labels: to train on; None for the general model.
        seed: of the training.
        diameter_factor: by which the diameter given is wrong.
        counted: whether it is known how many particles a micrograph holds.
    """
    link_micrographs(picking_set, work)
    pupick = str(Path(sys.executable).with_name("pupick"))
    pixels = ["--pixel-size", f"{picking_set.pixel_size:.6g}", "--threads", "1"]
    diameter = ["--diameter", f"{picking_set.diameter * diameter_factor:.1f}"]
    expected: List[str] = []
    if counted:
        expected = ["--particles-per-micrograph", str(picking_set.particles_per_micrograph)]
    commands: List[List[str]] = []
    train_cpu, model = 0.0, ["--model", "general", *diameter, *expected]
    if labels is not None:
        write_picks(labels, work / "labels.star")
        data = ["--micrographs", "train", "--picks", "labels.star", *pixels, *diameter]
        options = ["--seed", str(seed), "--output", "model"]
        commands.append([pupick, "train", *data, *expected, *options])
        train_cpu = run(Step("pupick train", commands[-1], output="model"), work).cpu_s
        model = ["--model", "model/model.safetensors"]
    commands.append([pupick, "pick", "--micrographs", "test", *pixels, *model, "--output", "picks"])
    pick_cpu = run(Step("pupick pick", commands[-1], output="picks"), work).cpu_s
    own = score(picking_set, read_picks(work / "picks" / "picks.star"))
    # The scores are kept: this only applies another threshold.
    everything = [*commands[-1], "--threshold", f"{LEAST_SCORE:g}"]
    run(Step("pupick pick, all", everything), work)
    row = figures(score(picking_set, read_picks(work / "picks" / "picks.star")))
    row["own_f1"] = own.curve.of_all[2]
    row["own_precision"], row["own_recall"] = own.curve.of_all[:2]
    words = tuple(" ".join(["pupick", *command[1:]]) for command in [*commands, everything])
    return {**row, **Cost(train_cpu, pick_cpu, words).row()}


@dataclass(frozen=True)
class Topaz:
    """Topaz on one set, whose micrographs are preprocessed once.

    Attributes:
        command: how to start it.
        picking_set: the set.
        work: folder for all that is written.
        steps: of its training, of 256 regions each.
    """

    command: List[str]
    picking_set: PickingSet
    work: Path
    steps: int

    @property
    def scale(self) -> int:
        """Downsampling at which the particle spans about half of what the network sees."""
        return max(1, round(2 * self.picking_set.diameter_px / TOPAZ_FIELD))

    def run(self, labels: Optional[Picks], model: str, folder: Path) -> Row:
        """Train on the labels, or take a packaged model without any, and pick.

        Args:
            labels: to train on; None for the packaged model.
            model: packaged model to pick with, or the network to train.
            folder: for what this run writes.
        """
        folder.mkdir(parents=True, exist_ok=True)
        costs, commands = [0.0, self._preprocess("test")], []
        if labels is not None:
            write_topaz_table(folder / "labels.txt", labels, self.scale)
            costs[0] = self._preprocess("train")
            commands.append(self._train_command(model, folder))
            train = run(Step("topaz train", commands[-1], output="curve.tsv"), folder)
            costs[0] += train.cpu_s
            model = str(folder / "model_epoch1.sav")
        commands.append(self._extract_command(model))
        costs[1] += run(Step("topaz extract", commands[-1], output="picks.txt"), folder).cpu_s
        picks = read_topaz_table(folder / "picks.txt")
        row = figures(score(self.picking_set, picks))
        default = {name: rows.select(rows.score >= TOPAZ_THRESHOLD) for name, rows in picks.items()}
        own = score(self.picking_set, default).curve
        row["own_f1"] = own.of_all[2]
        row["own_precision"], row["own_recall"] = own.of_all[:2]
        first = len(self.command)
        words = tuple(" ".join(["topaz", *command[first:]]) for command in commands)
        return {**row, **Cost(costs[0], costs[1], words).row(), "steps": self.steps}

    def _preprocess(self, half: str) -> float:
        """Downsample and normalise a half of the set where that is not done; its CPU seconds."""
        output, cost = self.work / f"topaz-{half}", self.work / f"topaz-{half}.json"
        if not cost.exists():
            files = [str(path) for path in getattr(self.picking_set, half)]
            options = ["-s", str(self.scale), "-d", "-1", "-t", "0", "-j", "1"]
            command = [*self.command, "preprocess", *options, "-o", f"{output}/", *files]
            self.work.mkdir(parents=True, exist_ok=True)
            step = Step("topaz preprocess", command, output=output.name)
            cost.write_text(json.dumps(run(step, self.work).cpu_s), encoding="utf-8")
        return float(json.loads(cost.read_text(encoding="utf-8")))

    def _train_command(self, network: str, folder: Path) -> List[str]:
        """Topaz's own defaults in all but the length, which would take hours."""
        data = ["--train-images", str(self.work / "topaz-train"), "--train-targets", "labels.txt"]
        expected = ["-n", str(self.picking_set.particles_per_micrograph)]
        length = ["--num-epochs", "1", "--epoch-size", str(self.steps)]
        options = ["--num-workers", "0", "-d", "-1", "-j", "1"]
        output = ["--save-prefix", str(folder / "model"), "-o", "curve.tsv"]
        return [*self.command, "train", *data, *expected, "-m", network, *length, *options, *output]

    def _extract_command(self, model: str) -> List[str]:
        files = [str(self.work / "topaz-test" / path.name) for path in self.picking_set.test]
        radius = str(round(self.picking_set.diameter_px / self.scale / 2))
        least = ["-t", f"{TOPAZ_LEAST_SCORE:g}", "-x", str(self.scale)]
        options = ["-m", model, "-r", radius, *least, "-d", "-1", "-j", "1", "-o", "picks.txt"]
        return [*self.command, "extract", *options, *files]


def write_topaz_table(path: Path, labels: Picks, scale: int) -> None:
    """Names without suffix, whole pixels of the preprocessed micrographs."""
    rows = [
        f"{Path(name).stem}\t{round(x / scale)}\t{round(y / scale)}\n"
        for name, particles in labels.items()
        for x, y in zip(particles.x, particles.y)
    ]
    path.write_text("image_name\tx_coord\ty_coord\n" + "".join(rows), encoding="utf-8")


def read_topaz_table(path: Path) -> Picks:
    """Picks by the micrographs' file names."""
    lines = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()[1:]]
    rows = np.array([line[1:4] for line in lines], float).reshape(-1, 3)
    return group_picks([f"{line[0]}.mrc" for line in lines], rows[:, 0], rows[:, 1], rows[:, 2])
