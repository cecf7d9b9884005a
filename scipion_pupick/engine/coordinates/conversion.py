# SPDX-License-Identifier: GPL-3.0-or-later
"""From one format of picks to another."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Dict, Optional, Sequence

from ..errors import UsageError
from ..files.atomic import PathLike
from ..micrographs import Micrograph, find_micrographs, image_shape, match_names
from ..micrographs.cryosparc import Exposure, is_exposures, read_exposures
from ..runs.layout import COORDINATES, PICKS, holds_own_picks
from ..settings import ALL_PICKS, PicksSettings
from .read import Sources, read_picks
from .rescale import rescale_to_micrographs
from .table import Picks
from .write import write_picks, write_picks_folder

log = logging.getLogger(__name__)


def convert(
    sources: Sources,
    output: PathLike,
    to: Optional[str] = None,
    from_: str = "auto",
    box_size: Optional[float] = None,
    per_micrograph: bool = False,
    scale: float = 1.0,
    pixel_size: Optional[float] = None,
    micrographs: Sequence[str] = (),
    settings: PicksSettings = ALL_PICKS,
) -> Picks:
    """Read picks, scale them if asked, and write them in another format.

    Args:
        sources: files, patterns or folders, as `read_picks` takes them.
        output: the file to write, or the folder if `per_micrograph`.
        to: the format to write; None to go by the extension of `output` (STAR for a folder).
        from_: the format to read, or "auto".
        box_size: side of the boxes in px of the *written* coordinates, for box and cbox.
        per_micrograph: write one file a micrograph.
        scale: what x and y are multiplied by, such as 4 for picks on micrographs binned by 4 that
            are wanted on the unbinned ones, without an offset (see `Coordinates.scaled`).
        pixel_size: Å/px of the micrographs that the sources are of, see `read_picks`.
        micrographs: of the *written* coordinates, whose sizes cs needs: what `find_micrographs`
            takes, or cryoSPARC's .cs files of exposures. Picks whose file states another pixel size
            than such images have are converted to theirs.
        settings: which picks to leave out by their score, and what to drop from names.

    Returns:
        The picks as written.

    Raises:
        UsageError: see `read_picks`, `Coordinates.scaled`, `write_picks`, `write_picks_folder`.
        OSError: a file cannot be written.
    """
    found = read_picks(sources, from_, pixel_size, settings)
    return convert_picks(found, output, to, box_size, per_micrograph, scale, micrographs)


def convert_picks(
    found: Picks,
    output: PathLike,
    to: Optional[str] = None,
    box_size: Optional[float] = None,
    per_micrograph: bool = False,
    scale: float = 1.0,
    micrographs: Sequence[str] = (),
) -> Picks:
    """Scale picks if asked, and write them in some format.

    Args:
        found: centres, px, by micrograph name.
        output: see `convert`, as for all that follow.
        to: the format to write.
        box_size: side of the boxes, px.
        per_micrograph: write one file a micrograph.
        scale: what x and y are multiplied by.
        micrographs: of the written coordinates.

    Returns:
        The picks as written.

    Raises:
        UsageError: see `Coordinates.scaled`, `write_picks`, `write_picks_folder`.
        OSError: a file cannot be written.
    """
    _refuse_run_files(Path(output), per_micrograph)
    picks = {name: coordinates.scaled(scale) for name, coordinates in found.items()}
    images = [source for source in micrographs if not is_exposures(source)]
    given = find_micrographs(images) if images else []
    matched = match_names(picks, given)
    others = [name for name in picks if name not in matched]
    if given and others:
        log.warning(
            "%d micrographs with picks, such as %s, are not among those given: their coordinates "
            "are not compared with the pixels of any.",
            len(others),
            others[0],
        )
    picks.update(rescale_to_micrographs(picks, matched, "picks"))
    exposures = exposures_of(picks, given, [s for s in micrographs if is_exposures(s)])
    if per_micrograph:
        write_picks_folder(picks, output, to or "star", box_size=box_size, exposures=exposures)
    else:
        write_picks(picks, output, to, box_size, exposures)
    return picks


def _refuse_run_files(output: Path, per_micrograph: bool) -> None:
    """Refuse to write over the picks of a run, which would then contradict its other files."""
    own = COORDINATES if per_micrograph else PICKS
    if output.name == own and holds_own_picks(output.parent):
        raise UsageError(
            f"{output} is what a picking run has found, and would be replaced: give another "
            "file or folder.",
            setting="output",
        )


def exposures_of(
    picks: Picks, micrographs: Sequence[Micrograph], listed: Sequence[str]
) -> Dict[str, Exposure]:
    """Find the micrograph of each name in picks, as cryoSPARC's files describe it.

    Args:
        picks: by the names that micrographs are wanted for.
        micrographs: they may belong to.
        listed: cryoSPARC's .cs files of exposures, of others that they may belong to.
    """
    of_cryosparc = {e.path: e for source in listed for e in read_exposures(Path(source))}
    found = [*micrographs, *(Micrograph(Path(path), path) for path in of_cryosparc)]
    return {
        name: of_cryosparc.get(m.name) or Exposure.of_file(m.name, image_shape(m.path))
        for name, m in match_names(picks, found).items()
    }
