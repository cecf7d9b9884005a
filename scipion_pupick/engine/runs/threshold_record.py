# SPDX-License-Identifier: GPL-3.0-or-later
"""What the folder of picks says of the threshold that was applied to the peaks of a run."""

from __future__ import annotations

from typing import Iterable, List, Mapping, Sequence, Set

from ..coordinates import Picks
from ..coordinates.formatted_picks import FormattedPicks
from ..coordinates.relion import PARTICLES_END, particles_head
from ..errors import PupickError, UsageError
from ..files.atomic import write_text
from ..picking.cut import Contamination
from .applied_threshold import read_threshold_record
from .edited_files import edited_files, refuse_edited, refuse_unseen
from .layout import PICKS, THRESHOLD_RECORD
from .lists import write_micrographs
from .pick_run import PickRun, holds_pick_run, read_pick_run


def is_same(first: PickRun, second: PickRun) -> bool:
    """Whether two runs are one folder."""
    return first.folder.resolve() == second.folder.resolve()


def refuse_to_replace(output: PickRun, run: PickRun, threshold: float) -> None:
    """Refuse to replace picks of another run, or those that people have looked at by lower ones.

    Args:
        output: where the picks go.
        run: that they are of.
        threshold: least log-odds of them.

    Raises:
        UsageError: there are such.
        PupickError: the file of corrections is damaged.
    """
    if is_same(output, run):
        refuse_unseen(run, threshold)
    elif holds_pick_run(output.folder):
        raise UsageError(
            f"{output.folder} holds the picks of another run, which would be replaced: give "
            "another folder.",
            setting="output",
        )


def names_before(output: PickRun) -> Set[str]:
    """Names of the micrographs of the run whose picks an earlier threshold has put here."""
    try:
        return writable_names(read_pick_run(read_threshold_record(output)["run"]))
    except (PupickError, OSError, KeyError, TypeError):
        return set()


def writable_names(run: PickRun) -> Set[str]:
    """Names of the micrographs of a run whose picks can be written."""
    names = [m.name for m in run.micrographs]
    return {*names} - run.unwritable(names).keys()


def write_contamination(run: PickRun, contamination: Mapping[str, Contamination]) -> None:
    """Write how much of each micrograph of a run is usable, and which picks that has cost."""
    write_micrographs(run.micrographs, run.folder, contamination=contamination)


def forget_other_coordinates(output: PickRun, names: Iterable[str], of: Iterable[str]) -> None:
    """Remove the picks that an earlier threshold has left of micrographs other than these.

    Args:
        output: folder of the picks.
        names: of the micrographs to keep.
        of: names of all micrographs whose picks may lie here.
    """
    if not (output.folder / THRESHOLD_RECORD).is_file() or holds_pick_run(output.folder):
        return
    for name in {*of} - {*names}:
        output.forget_coordinates(name)


def refuse_if_edited(output: PickRun, names: Iterable[str]) -> None:
    """Refuse to write over files of some micrographs that people have changed.

    Raises:
        UsageError: there are some.
    """
    refuse_edited(output, edited_files(output, output.read_index(), names))


def write_all_coordinates(output: PickRun, picks: Picks) -> List[str]:
    """Write the picks of each micrograph, and return their rows for the list of all.

    Raises:
        UsageError: a micrograph's name cannot be written.
    """
    rows = []
    for name, coordinates in picks.items():
        formatted = FormattedPicks.of(coordinates, with_scores=True)
        rows.append(formatted.particle_rows(name))
        write_text(output.coordinates_file(name), formatted.coordinates_text())
    return rows


def write_picks(output: PickRun, rows: Sequence[str]) -> None:
    """Write the list of all picks, whose rows `write_all_coordinates` has returned."""
    write_text(output.folder / PICKS, "".join([particles_head(True), *rows, PARTICLES_END]))
