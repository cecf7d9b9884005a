# SPDX-License-Identifier: GPL-3.0-or-later
"""The paper's figure 4: 2D classes of RELION at ever lower thresholds, and how many are good.

    cd PROJECT_OF_RELION
    python benchmarks/paper/classes_by_threshold.py --micrographs Select/job003/micrographs.star
        --picks External/job005/picks.star --diameter 180 --output Thresholds

extracts all picks once, classifies those above each threshold (`relion_preprocess`,
`relion_refine` of RELION 3.1 or later have to be there), and writes classes.csv, thresholds.csv and
thresholds.png to the output. Which classes are good says --truth, the particles of a simulated set
(most of the members of a good class lie on one), or --good, a table with the columns threshold and
class that a person makes by looking at the averages in OUTPUT/t*/run_it*_classes.mrcs. Without
either, the columns for this stay empty. What is there is not computed again.
"""

from __future__ import annotations

import argparse
import csv
import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Sequence, Set, Tuple

import numpy as np

# a script sees only its own folder
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.common.picking_sets import TOLERANCE
from benchmarks.common.relion_classes import CLASS, ClassSettings, classify, extract, hits
from scipion_pupick.engine import Picks, find_micrographs, read_picks
from scipion_pupick.engine.coordinates.assign_picks import assign_to_micrographs
from scipion_pupick.engine.files.star import read_blocks
from scipion_pupick.engine.micrographs import require_pixel_size

GOOD_SHARE = 0.5

log = logging.getLogger("classes")


@dataclass(frozen=True)
class ClassCount:
    """A class at a threshold.

    Attributes:
        threshold: least score of its members.
        number: of the class, from 1.
        members: particles in it.
        true: of these that lie on a known particle; None without a truth.
        good: whether the class shows the particle; None where nobody says.
    """

    threshold: float
    number: int
    members: int
    true: Optional[int]
    good: Optional[bool]


def parse(arguments: Optional[List[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--micrographs", required=True, help="STAR file of RELION")
    parser.add_argument("--picks", required=True, help="with scores, in any format of pupick")
    parser.add_argument("--diameter", type=float, required=True, help="of the particle, Å")
    parser.add_argument("--output", type=Path, required=True, help="folder in the project")
    parser.add_argument("--thresholds", help="scores, with commas between; default: by numbers")
    parser.add_argument(
        "--numbers", type=int, default=6, help="of thresholds, equal steps of picks"
    )
    parser.add_argument("--classes", type=int, default=10, help="as in the paper")
    parser.add_argument("--iterations", type=int, default=25)
    parser.add_argument("--box", type=int, help="px of the micrographs; default: 1.5 diameters")
    parser.add_argument("--scale", type=int, help="px of the box after rescaling; default: 64")
    parser.add_argument("--ctf", action="store_true", help="correct it; micrographs must have one")
    parser.add_argument("--bright", action="store_true", help="particles are bright")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--truth", help="known particles, in any format of pupick")
    parser.add_argument("--good", type=Path, help="table (CSV): threshold,class of the good ones")
    return parser.parse_args(arguments)


def choose_thresholds(picks: Picks, given: Optional[str], number: int) -> List[float]:
    """Scores from high to low: those given, or such that each takes as many more picks."""
    if given:
        return sorted(map(float, given.split(",")), reverse=True)
    scores = np.sort(np.concatenate([each.score for each in picks.values()]))[::-1]
    places = np.linspace(0, len(scores), number + 1)[1:].round().astype(int) - 1
    return [float(score) for score in scores[places]]


def count_classes(
    data: Path,
    threshold: float,
    classes: int,
    truth: Optional[Picks],
    tolerance: float,
    good: Set[Tuple[float, int]],
) -> List[ClassCount]:
    """Members of each class, and whether it is good."""
    table = read_blocks(data)["particles"]
    numbers = table.numbers(CLASS).astype(int)
    hit = None if truth is None else hits(table, truth, tolerance)
    counted = []
    for number in range(1, classes + 1):
        members = int(np.count_nonzero(numbers == number))
        true = None if hit is None else int(np.count_nonzero(hit[numbers == number]))
        is_good = (round(threshold, 4), number) in good if good else None
        if true is not None:
            is_good = members > 0 and true > GOOD_SHARE * members
        counted.append(ClassCount(threshold, number, members, true, is_good))
    return counted


def read_good(path: Optional[Path]) -> Set[Tuple[float, int]]:
    """Thresholds and numbers of classes that a person has found good."""
    if path is None:
        return set()
    with path.open(encoding="utf-8", newline="") as file:
        return {(round(float(r["threshold"]), 4), int(r["class"])) for r in csv.DictReader(file)}


def summary(counts: Sequence[ClassCount]) -> Dict[str, str]:
    """One line on a threshold: particles, classes that are good, particles in these."""
    filled = [each for each in counts if each.members]
    members = sum(each.members for each in filled)
    known = all(each.good is not None for each in filled)
    in_good = sum(each.members for each in filled if each.good)
    true = None if filled[0].true is None else sum(each.true or 0 for each in filled)
    return {
        "threshold": f"{counts[0].threshold:.4f}",
        "particles": f"{members}",
        "classes": f"{len(filled)}",
        "good_classes": f"{sum(bool(each.good) for each in filled)}" if known else "",
        "share_in_good_classes": f"{in_good / members:.3f}" if known else "",
        "share_on_known_particles": "" if true is None else f"{true / members:.3f}",
    }


def write_csv(path: Path, lines: Sequence[Mapping[str, str]]) -> None:
    """Write lines of the same columns."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)


def draw(lines: Sequence[Mapping[str, str]], path: Path) -> None:
    """Fig. 4b: stacked bars of particles in good and in other classes at each threshold."""
    from scipion_pupick.engine.reporting.plots import COLOURS, make_figure, save_figure

    figure = make_figure((5.5, 4.0))
    axes = figure.add_subplot(xlabel="threshold (score)", ylabel="particles")
    places = range(len(lines))
    good = [int(x["particles"]) * float(x["share_in_good_classes"]) for x in lines]
    other = [int(x["particles"]) - g for x, g in zip(lines, good)]
    axes.bar(places, good, color=COLOURS[0], label="in good classes")
    axes.bar(places, other, bottom=good, color=COLOURS[1], label="in others")
    axes.set_xticks(list(places), [f"{float(x['threshold']):.2f}" for x in lines])
    axes.legend(frameon=False)
    save_figure(figure, path)


def main(arguments: Optional[List[str]] = None) -> None:
    options = parse(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options.output.mkdir(parents=True, exist_ok=True)
    micrographs = find_micrographs([options.micrographs])
    picks = assign_to_micrographs(read_picks(options.picks), micrographs, "picks")
    truth = options.truth and assign_to_micrographs(
        read_picks(options.truth), micrographs, "known particles"
    )
    tolerance = TOLERANCE * options.diameter / require_pixel_size(micrographs[0])
    good, counts, lines = read_good(options.good), [], []
    names = ("diameter", "classes", "iterations", "box", "scale", "ctf", "bright", "threads")
    settings = ClassSettings(**{name: getattr(options, name) for name in names})
    output = options.output
    particles = extract(options.micrographs, micrographs, picks, output, settings)
    for threshold in choose_thresholds(picks, options.thresholds, options.numbers):
        data = classify(particles, output / f"t{threshold:+.4f}", settings, threshold)
        of_classes = count_classes(data, threshold, options.classes, truth, tolerance, good)
        counts += of_classes
        lines.append(summary(of_classes))
        log.info("%s", lines[-1])
    write_csv(
        options.output / "classes.csv",
        [
            {
                "threshold": f"{each.threshold:.4f}",
                "class": f"{each.number}",
                "members": f"{each.members}",
                "on_known_particles": "" if each.true is None else f"{each.true}",
                "good": "" if each.good is None else ("yes" if each.good else "no"),
            }
            for each in counts
        ],
    )
    write_csv(options.output / "thresholds.csv", lines)
    if all(line["share_in_good_classes"] for line in lines):
        draw(lines, options.output / "thresholds.png")


if __name__ == "__main__":
    main()
