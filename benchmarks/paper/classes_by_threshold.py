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
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Sequence, Set, Tuple

import numpy as np

# a script sees only its own folder
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scipion_pupick.engine import Micrograph, Picks, find_micrographs, read_picks, write_text
from scipion_pupick.engine.coordinates.assign_picks import assign_to_micrographs
from scipion_pupick.engine.coordinates.relion import coordinates_text
from scipion_pupick.engine.evaluation.matching import match_points
from scipion_pupick.engine.files.star import StarTable, read_blocks, star_text
from scipion_pupick.engine.micrographs import image_shape, require_pixel_size

BOX_DIAMETERS = 1.5
SUFFIX = "_pick.star"
SCORE = "rlnAutopickFigureOfMerit"
TOLERANCE = 0.4
GOOD_SHARE = 0.5
ROUNDING = 1e-5  # of scores in files of RELION

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


def extract(options: argparse.Namespace, picks: Picks, micrographs: Sequence[Micrograph]) -> Path:
    """Cut all picks out of the micrographs, and return the STAR file of particles."""
    particles: Path = options.output / "particles.star"
    if particles.exists():
        return particles
    folder = options.output / "coordinates"
    for micrograph in micrographs:
        here = picks.get(micrograph.name)
        if here is None:
            continue
        height, width = image_shape(micrograph.path)
        inside = (here.x >= 0) & (here.y >= 0) & (here.x < width) & (here.y < height)
        path = folder / Path(micrograph.name).with_suffix("")
        text = coordinates_text(here.select(inside), with_scores=True)
        write_text(path.with_name(path.name + SUFFIX), text)
    pixel_size = require_pixel_size(micrographs[0])
    box = options.box or 2 * round(BOX_DIAMETERS * options.diameter / pixel_size / 2)
    scale = min(box, options.scale or 64)
    radius = int(options.diameter / pixel_size * scale / box / 2)
    command = ["relion_preprocess", "--i", options.micrographs, "--coord_dir", f"{folder}/"]
    command += ["--coord_suffix", SUFFIX, "--part_star", f"{particles}"]
    command += ["--part_dir", f"{options.output}/", "--extract", "--extract_size", f"{box}"]
    command += ["--scale", f"{scale}", "--norm", "--bg_radius", f"{min(radius, scale // 2 - 1)}"]
    command += ["--white_dust", "-1", "--black_dust", "-1"]
    run(command + ([] if options.bright else ["--invert_contrast"]), options.output)
    return particles


def run(command: Sequence[str], folder: Path) -> None:
    """Run a program of RELION, its output to log.txt.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log.info("%s", " ".join(command))
    with (folder / "log.txt").open("ab") as said:
        subprocess.run(command, check=True, stdout=said, stderr=subprocess.STDOUT)


def classify(particles: Path, threshold: float, options: argparse.Namespace, folder: Path) -> Path:
    """Classify the particles from a score on, and return the STAR file with their classes."""
    result = folder / f"run_it{options.iterations:03d}_data.star"
    if result.exists():
        return result
    blocks = read_blocks(particles)
    table = blocks["particles"]
    write_text(
        folder / "particles.star",
        star_text(
            {
                "optics": columns(blocks["optics"]),
                "particles": columns(table, table.numbers(SCORE) >= threshold - ROUNDING),
            }
        ),
    )
    command = ["relion_refine", "--i", f"{folder / 'particles.star'}", "--o", f"{folder / 'run'}"]
    command += ["--iter", f"{options.iterations}", "--K", f"{options.classes}"]
    command += ["--particle_diameter", f"{1.2 * options.diameter:g}", "--tau2_fudge", "2"]
    command += ["--psi_step", "12", "--offset_range", "5", "--offset_step", "2"]
    command += ["--oversampling", "1", "--pad", "2", "--pool", "30", "--norm", "--scale"]
    command += ["--flatten_solvent", "--zero_mask", "--dont_combine_weights_via_disc"]
    command += ["--random_seed", "1", "--j", f"{options.threads}"]
    run(command + (["--ctf"] if options.ctf else []), folder)
    return result


def columns(table: StarTable, kept: Optional[np.ndarray] = None) -> Dict[str, List[str]]:
    """All columns of a table as words, of all rows or of some."""
    chosen = range(len(table)) if kept is None else np.flatnonzero(kept)
    words = {name: table.words(name) for name in table.columns}
    return {name: [column[i] for i in chosen] for name, column in words.items()}


def hits(table: StarTable, truth: Picks, tolerance: float) -> np.ndarray:
    """Which particles (n,) lie on a known one, each of these at most once, best score first."""
    names = np.array(table.texts("rlnMicrographName"))
    xy = np.stack([table.numbers("rlnCoordinateX"), table.numbers("rlnCoordinateY")], axis=1)
    scores, hit = table.numbers(SCORE), np.zeros(len(table), bool)
    for name in np.unique(names):
        here = names == name
        known = truth.get(str(name))
        if known is not None:
            hit[here] = match_points(xy[here], known.xy, tolerance, scores[here]) >= 0
    return hit


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
    numbers = table.numbers("rlnClassNumber").astype(int)
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
    particles = extract(options, picks, micrographs)
    for threshold in choose_thresholds(picks, options.thresholds, options.numbers):
        data = classify(particles, threshold, options, options.output / f"t{threshold:+.4f}")
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
