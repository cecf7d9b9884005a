# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person selects of RELION's 2D classes, whose choice is simulated class by class."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Dict, List, Sequence, Tuple

import numpy as np

from benchmarks.common.picking_sets import PickingSet
from benchmarks.common.relion_classes import (
    CLASS,
    ClassSettings,
    classify,
    columns,
    extract,
    hits,
)
from scipion_pupick.engine import Micrograph, Picks, read_picks, read_rejected, write_text
from scipion_pupick.engine.files.star import Columns, read_blocks, star_text

GOOD_SHARE, CLEARLY_GOOD_SHARE = 0.5, 0.7
CLEARLY_BAD_SHARE = 0.25
MICROGRAPHS = "micrographs"
DEFOCUS = ("rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle")
OPTICS: Columns = {
    "rlnOpticsGroupName": ["opticsGroup1"],
    "rlnOpticsGroup": np.ones(1, int),
    "rlnVoltage": np.array([300.0]),
    "rlnSphericalAberration": np.array([2.7]),
    "rlnAmplitudeContrast": np.array([0.1]),
}


@dataclass(frozen=True)
class SelectedClasses:
    """What has come of looking at 2D classes.

    Attributes:
        selected: particles of the classes that were selected, by micrograph name, px.
        rejected: those of the others, as `pupick train --selected-from` takes them.
        clearly_good: those of the selected classes that are clearly good.
        clearly_bad: those of the classes that are clearly bad, as a second selection gives them.
        looked_at: classes that were not empty.
        shares: of each of these, the share of particles that is right, and its size.
    """

    selected: Picks
    rejected: Picks
    clearly_good: Picks
    clearly_bad: Picks
    looked_at: int
    shares: Tuple[Tuple[float, int], ...]


def select_classes(
    picking_set: PickingSet, picks: Picks, project: Path, settings: ClassSettings
) -> SelectedClasses:
    """Extract and classify picks, and select the classes most of whose members are particles.

    Args:
        picking_set: that knows the truth.
        picks: of its micrographs to train on.
        project: folder for all that RELION writes.
        settings: of the classification.
    """
    listed = link_micrographs(picking_set, project)
    named = {f"{MICROGRAPHS}/{name}": here for name, here in picks.items()}
    source = "micrographs.star"
    particles = extract(source, listed, named, Path("Extract"), settings, project)
    data = classify(particles, Path("Class2D"), settings, project=project)
    blocks = read_blocks(data)
    table = blocks["particles"]
    truth = {f"{MICROGRAPHS}/{name}": here for name, here in picking_set.particles.items()}
    right = hits(table, truth, picking_set.tolerance)
    numbers = table.numbers(CLASS).astype(int)
    shares = {n: (float(right[numbers == n].mean()), int((numbers == n).sum())) for n in numbers}
    chosen = {
        "Select": [n for n, (share, _) in shares.items() if share > GOOD_SHARE],
        "SelectGood": [n for n, (share, _) in shares.items() if share > CLEARLY_GOOD_SHARE],
        "SelectBad": [n for n, (share, _) in shares.items() if share < CLEARLY_BAD_SHARE],
    }
    files = {name: project / name / "particles.star" for name in chosen}
    for name, of_classes in chosen.items():
        kept = columns(table, np.isin(numbers, of_classes))
        parts = {"optics": columns(blocks["optics"]), "particles": kept}
        write_text(files[name], star_text(parts))
    selected, clearly_good, clearly_bad = (
        read_picks(path, pixel_size=picking_set.pixel_size) for path in files.values()
    )
    rejected = read_rejected([files["Select"]], [data], picking_set.pixel_size)
    return SelectedClasses(
        without_folder(selected),
        without_folder(rejected),
        without_folder(clearly_good),
        without_folder(clearly_bad),
        len(shares),
        tuple(sorted(shares.values(), reverse=True)),
    )


def link_micrographs(picking_set: PickingSet, project: Path) -> Sequence[Micrograph]:
    """List the micrographs to train on in micrographs.star, linked to from the project."""
    folder = project / MICROGRAPHS
    folder.mkdir(parents=True, exist_ok=True)
    listed: List[Micrograph] = []
    for path in picking_set.train:
        link = folder / path.name
        if not link.is_symlink():
            link.symlink_to(path.resolve())
        listed.append(Micrograph(link, f"{MICROGRAPHS}/{path.name}", picking_set.pixel_size))
    names = [micrograph.name for micrograph in listed]
    sizes = {"rlnMicrographPixelSize": np.array([picking_set.pixel_size])}
    groups = np.ones(len(names), int)
    table: Columns = {"rlnMicrographName": names, "rlnOpticsGroup": groups}
    if picking_set.defocus:
        defocus = [astuple(picking_set.defocus[path.name]) for path in picking_set.train]
        table = {**table, **dict(zip(DEFOCUS, np.array(defocus).T))}
    tables: Dict[str, Columns] = {"optics": {**OPTICS, **sizes}, "micrographs": table}
    write_text(project / "micrographs.star", star_text(tables))
    return listed


def without_folder(picks: Picks) -> Picks:
    """Name micrographs as the set does."""
    return {Path(name).name: here for name, here in picks.items()}
