# SPDX-License-Identifier: GPL-3.0-or-later
"""Particles extracted and classified in 2D by RELION's own programs (3.1 or later).

Both write into a folder of a project, and do nothing where their result is there already.
"""

from __future__ import annotations

import logging
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Sequence

import numpy as np

from scipion_pupick.engine import Micrograph, Picks, write_text
from scipion_pupick.engine.coordinates.relion import coordinates_text
from scipion_pupick.engine.evaluation.matching import match_points
from scipion_pupick.engine.files.star import StarTable, read_blocks, star_text
from scipion_pupick.engine.micrographs import image_shape, require_pixel_size

BOX_DIAMETERS = 1.5
MASK_DIAMETERS = 1.2
LARGEST_SCALE = 64  # px
SUFFIX = "_pick.star"
SCORE = "rlnAutopickFigureOfMerit"
CLASS = "rlnClassNumber"
ROUNDING = 1e-5  # of scores in files of RELION

log = logging.getLogger("classes")


@dataclass(frozen=True)
class ClassSettings:
    """How particles are extracted and classified.

    Attributes:
        diameter: of the particle, Å.
        classes: their number.
        iterations: of expectation maximisation.
        box: px of the micrographs; None for 1.5 diameters.
        scale: px of the box after rescaling; None for 64 at most.
        ctf: whether it is corrected; micrographs must have one.
        bright: whether particles are bright.
        psi_step: coarse step of the rotation, degrees.
        shift: largest shift, px of the rescaled box.
        threads: of the classification.
        most_poses: of a particle that are looked at closely; None for all that are likely.
    """

    diameter: float
    classes: int = 10
    iterations: int = 25
    box: Optional[int] = None
    scale: Optional[int] = None
    ctf: bool = False
    bright: bool = False
    psi_step: float = 12.0
    shift: int = 5
    threads: int = 1
    most_poses: Optional[int] = None


def extract(
    source: str,
    micrographs: Sequence[Micrograph],
    picks: Picks,
    folder: Path,
    settings: ClassSettings,
    project: Path = Path(),
) -> Path:
    """Cut all picks out of the micrographs, and return the STAR file of particles.

    Args:
        source: STAR file of the micrographs, as RELION finds it in the project.
        micrographs: the same, named as there.
        picks: by micrograph name, px.
        folder: in the project, for all that is written.
        settings: of the box.
        project: folder that the programs run in.
    """
    particles = folder / "particles.star"
    if (project / particles).exists():
        return project / particles
    coordinates = folder / "coordinates"
    for micrograph in micrographs:
        here = picks.get(micrograph.name)
        if here is None:
            continue
        height, width = image_shape(micrograph.path)
        inside = (here.x >= 0) & (here.y >= 0) & (here.x < width) & (here.y < height)
        path = project / coordinates / Path(micrograph.name).with_suffix("")
        text = coordinates_text(here.select(inside), with_scores=True)
        write_text(path.with_name(path.name + SUFFIX), text)
    pixel_size = require_pixel_size(micrographs[0])
    box = settings.box or 2 * round(BOX_DIAMETERS * settings.diameter / pixel_size / 2)
    scale = min(box, settings.scale or LARGEST_SCALE)
    radius = int(settings.diameter / pixel_size * scale / box / 2)
    command = ["relion_preprocess", "--i", source, "--coord_dir", f"{coordinates}/"]
    command += ["--coord_suffix", SUFFIX, "--part_star", f"{particles}"]
    command += ["--part_dir", f"{folder}/", "--extract", "--extract_size", f"{box}"]
    command += ["--scale", f"{scale}", "--norm", "--bg_radius", f"{min(radius, scale // 2 - 1)}"]
    command += ["--white_dust", "-1", "--black_dust", "-1"]
    run(command + ([] if settings.bright else ["--invert_contrast"]), folder, project)
    return project / particles


def classify(
    particles: Path,
    folder: Path,
    settings: ClassSettings,
    threshold: Optional[float] = None,
    project: Path = Path(),
) -> Path:
    """Classify particles, and return the STAR file with their classes.

    Args:
        particles: STAR file that `extract` has returned.
        folder: in the project, for all that is written.
        settings: of the classification.
        threshold: least score of the particles; None for all.
        project: folder that the programs run in.
    """
    result = project / folder / f"run_it{settings.iterations:03d}_data.star"
    if result.exists():
        return result
    blocks = read_blocks(particles)
    table = blocks["particles"]
    kept = None if threshold is None else table.numbers(SCORE) >= threshold - ROUNDING
    tables = {"optics": columns(blocks["optics"]), "particles": columns(table, kept)}
    chosen = folder / "particles.star"
    write_text(project / chosen, star_text(tables))
    command = ["relion_refine", "--i", f"{chosen}", "--o", f"{folder / 'run'}"]
    command += ["--iter", f"{settings.iterations}", "--K", f"{settings.classes}"]
    command += ["--particle_diameter", f"{MASK_DIAMETERS * settings.diameter:g}"]
    command += ["--tau2_fudge", "2", "--psi_step", f"{settings.psi_step:g}"]
    command += ["--offset_range", f"{settings.shift}", "--offset_step", "2"]
    command += ["--oversampling", "1", "--pad", "2", "--pool", "30", "--norm", "--scale"]
    command += ["--flatten_solvent", "--zero_mask", "--dont_combine_weights_via_disc"]
    command += ["--random_seed", "1", "--j", f"{settings.threads}"]
    if settings.most_poses is not None:
        command += ["--maxsig", f"{settings.most_poses}"]
    run(command + (["--ctf"] if settings.ctf else []), folder, project)
    return result


def run(command: Sequence[str], folder: Path, project: Path) -> None:
    """Run a program of RELION in a project, its output to log.txt in a folder of it.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    (project / folder).mkdir(parents=True, exist_ok=True)
    log.info("%s", " ".join(command))
    with (project / folder / "log.txt").open("ab") as said:
        subprocess.run(command, check=True, stdout=said, stderr=subprocess.STDOUT, cwd=project)


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
