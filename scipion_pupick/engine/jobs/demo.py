# SPDX-License-Identifier: GPL-3.0-or-later
"""Show the whole way on real micrographs: train on a few picks, pick others, say how good."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from ..coordinates import read_picks
from ..coordinates.assign_picks import assign_to_micrographs
from ..errors import UsageError
from ..evaluation.evaluate import Evaluation
from ..files.atomic import PathLike
from ..micrographs import find_micrographs
from ..reporting.plots import draw_picks
from ..runs.layout import MODEL
from ..settings import LEAST_SCORE, PickSettings, TrainSettings
from .evaluate import evaluate
from .pick import PickResult, pick
from .report import report
from .train import train

log = logging.getLogger(__name__)

EXAMPLE_DIAMETER = 180.0
PARTICLES_PER_MICROGRAPH = 600.0
TOLERANCE_PX = 10.8
BORDER_PX = 32.0


@dataclass(frozen=True)
class DemoResult:
    """What the demonstration has shown.

    Attributes:
        picked: the picks on micrographs that were not trained on.
        at_threshold: of these against an expert's.
        evaluation: of all peaks, down to the lowest scores, against an expert's.
        picture: file of the picks over a micrograph.
        report: file to look at the picks in.
    """

    picked: PickResult
    at_threshold: Evaluation
    evaluation: Evaluation
    picture: Path
    report: Path


def demo(
    examples: PathLike, output: PathLike, device: str = "auto", threads: int = 0
) -> DemoResult:
    """Train on a hundred picks of the example micrographs, pick the others and compare.

    Args:
        examples: folder with `micrographs/`, `picks_100.star` and `reference.star`.
        output: folder, made where needed.
        device: see `device.choose_device`.
        threads: see `device.set_threads`.

    Raises:
        UsageError: the examples are not there.
    """
    folder, target = Path(examples), Path(output)
    if not (folder / "picks_100.star").is_file():
        raise UsageError(
            f"{folder} does not hold the example micrographs: run in a clone of the project, or "
            "give their folder.",
            setting="examples",
        )
    micrographs = find_micrographs([str(folder / "micrographs")])
    picks, reference = (read_picks(folder / f"{name}.star") for name in ("picks_100", "reference"))
    trained_on, unseen = (
        [m for m in micrographs if m.name in assign_to_micrographs(named, micrographs, "picks")]
        for named in (picks, reference)
    )
    settings = TrainSettings(EXAMPLE_DIAMETER, PARTICLES_PER_MICROGRAPH)
    train(trained_on, picks, target / "train", settings, device=device, threads=threads)
    model = target / "train" / MODEL
    ranked = pick(unseen, model, target / "pick", PickSettings(LEAST_SCORE), device, threads)
    evaluation = evaluate(
        dict(ranked.picks),
        reference,
        TOLERANCE_PX,
        BORDER_PX,
        unseen,
        target / "precision_recall.tsv",
        target / "precision_recall.png",
    )
    picked = pick(unseen, model, target / "pick", device=device, threads=threads)
    at_threshold = evaluate(dict(picked.picks), reference, TOLERANCE_PX, BORDER_PX, unseen)
    picture = target / "picks.png"
    draw_picks(
        unseen[0],
        picked.picks[unseen[0].name],
        EXAMPLE_DIAMETER,
        picture,
        assign_to_micrographs(reference, unseen, "reference particles")[unseen[0].name],
        f"{unseen[0].path.name}: pupick's picks (circles) and an expert's (crosses)",
    )
    page = report(target / "pick", reference=reference, device=device, threads=threads)
    return DemoResult(picked, at_threshold, evaluation, picture, page)
