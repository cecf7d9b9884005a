# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's results as the files that RELION 3.1, 4 and 5 each want."""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path
from typing import Callable, Collection, Dict, List, Mapping, Sequence, Tuple

from scipion_pupick.engine import (
    Coordinates,
    UsageError,
    file_of_micrograph,
    files_of_micrographs,
    write_text,
)
from scipion_pupick.engine.files.star import check_star_names, read_blocks, star_text
from scipion_pupick.engine.picking.cut import Contamination

from .supervisor import OUTPUT_NODES
from .versions import NODE_TYPE_COLUMN, V3

Columns = Dict[str, List[str]]

ENDING = "_autopick.star"
# what the engine keeps of a picking job, in its folder
ENGINE_FOLDER = "pupick"
LISTS = {True: "coords_suffix_autopick.star", False: "autopick.star"}

_JOB_FOLDER = re.compile(r"^.*?/job\d{3}[^/]*/")
_COLUMNS = (
    "rlnCoordinateX",
    "rlnCoordinateY",
    "rlnAutopickFigureOfMerit",
    "rlnClassNumber",
    "rlnAnglePsi",
)
_MICROGRAPH_NAME = "rlnMicrographName"
_SELECTION_COLUMN = "rlnParticleSelectionType"
_SELECTED = 2


def project_path(path: Path) -> Path:
    """Return a path as RELION has it in a project: relative to the current folder, if below it."""
    absolute = Path(os.path.abspath(path))
    here = Path.cwd()
    return absolute.relative_to(here) if here in absolute.parents else absolute


def coordinate_files(names: Sequence[str], folder: Path, version: str) -> Dict[str, Path]:
    """Return the file for the picks of each micrograph.

    RELION 3.1 looks for them in the micrographs' own folders, mirrored below the job's folder
    without the name of the job they come from. RELION 4 and 5 read a list of the files, which may
    lie elsewhere where two micrographs would share one.

    Args:
        names: of the micrographs, as in their STAR file.
        folder: of the job.
        version: of RELION.

    Raises:
        UsageError: RELION 3.1 could not use the picks of a micrograph, or a name cannot be written.
    """
    check_star_names(list(names))
    mirrored = {name: _JOB_FOLDER.sub("", name) for name in names}
    files = {name: file_of_micrograph(tail, folder, ENDING) for name, tail in mirrored.items()}
    if version == V3:
        _check_for_relion_3(mirrored, files)
    if len(set(files.values())) < len(files):
        return files_of_micrographs(names, folder, ENDING)
    return files


def _check_for_relion_3(mirrored: Mapping[str, str], files: Mapping[str, Path]) -> None:
    owners: Dict[Path, str] = {}
    for name, tail in mirrored.items():
        if ".." in tail.split("/"):
            raise UsageError(
                f"micrograph {name}: RELION 3.1 would look for its picks outside the job's "
                "folder: import micrographs by a link inside the project"
            )
        if " " in posixpath.dirname(tail):
            raise UsageError(
                f"micrograph {name}: RELION 3.1 cannot extract particles into folders with "
                "blanks in their names: import micrographs by a link without blanks"
            )
        other = owners.setdefault(files[name], name)
        if other != name:
            raise UsageError(
                f"micrographs {other} and {name}: RELION 3.1 looks for the picks of both in "
                f"{files[name]}: pick them in jobs of their own"
            )


def write_coordinates(coordinates: Coordinates, path: Path, version: str) -> None:
    """Write one micrograph's picks, px, as RELION's own automatic picking does."""
    write_text(path, coordinates_text(coordinates, version))


def coordinates_text(coordinates: Coordinates, version: str) -> str:
    """Return the text of the file with one micrograph's picks; without picks, it is its head only.

    RELION 4 and 5 crash when a pick is added by hand to a file without the type of selection;
    RELION 3.1 does not know that column. Class and psi let RELION's JoinStar take the files.
    """
    columns, end = list(_COLUMNS), ""
    if version != V3:
        columns, end = [*_COLUMNS, _SELECTION_COLUMN], f" {_SELECTED:12d}"
    rows = [
        f"{x:12.6f} {y:12.6f} {score:12.6f} {0:12d} {0:12.6f}{end}"
        for x, y, score in zip(coordinates.x, coordinates.y, coordinates.score)
    ]
    return _table_text("", columns, rows, "\n# version 30001\n\n")


def write_list(
    files: Mapping[str, Path], micrographs_star: str, folder: Path, version: str
) -> Path:
    """Write the file that stands for all picks of a job, and give its path.

    Args:
        files: of picks, by micrograph name.
        micrographs_star: that the micrographs come from.
        folder: of the job.
        version: of RELION.
    """
    path = folder / LISTS[version == V3]
    if version == V3:
        write_text(path, micrographs_star + "\n")
        return path
    rows = [f"{_word(name)} {_word(str(project_path(file)))}" for name, file in files.items()]
    columns = (_MICROGRAPH_NAME, "rlnMicrographCoordinates")
    write_text(path, _table_text("coordinate_files", columns, rows, "\n# version 30001\n\n"))
    return path


def write_micrographs(
    source: str,
    contamination: Mapping[str, Contamination],
    masks: Mapping[str, Path],
    path: Path,
) -> None:
    """Write the micrographs of a STAR file again, with what is known of their contamination.

    RELION keeps columns that it does not know, but selects by none of them.

    Args:
        source: the STAR file.
        contamination: by name; the other micrographs are left out.
        masks: of the contamination, by name; no column where there are none.
        path: of the file to write.

    Raises:
        UsageError: the STAR file cannot be read.
    """

    def chosen(columns: Columns) -> Columns:
        return _with_contamination(columns, contamination, masks)

    _write_again(source, path, chosen)


def write_chosen_micrographs(source: str, names: Collection[str], path: Path) -> None:
    """Write some of the micrographs of a STAR file again.

    Args:
        source: the STAR file.
        names: of the micrographs.
        path: of the file to write.

    Raises:
        UsageError: the STAR file cannot be read, or lacks one of the micrographs.
    """

    def chosen(columns: Columns) -> Columns:
        listed = columns[_MICROGRAPH_NAME]
        missing = sorted(set(names) - set(listed))
        if missing:
            raise UsageError(
                f"{source}: does not list {missing[0]}: give the micrographs that were picked"
            )
        return _rows(columns, [row for row, name in enumerate(listed) if name in names])

    _write_again(source, path, chosen)


def _write_again(source: str, path: Path, chosen: Callable[[Columns], Columns]) -> None:
    """Write the tables of a STAR file again, that of micrographs with other rows or columns."""
    blocks = read_blocks(Path(source))
    head = "\n# version 30001\n" if "optics" in blocks else ""
    texts = []
    for block, table in blocks.items():
        columns = {column: table.words(column) for column in table.columns}
        if _MICROGRAPH_NAME in table:
            columns = chosen(columns)
        texts.append(head + star_text({block: columns}))
    write_text(path, "".join(texts))


def _rows(columns: Columns, rows: Sequence[int]) -> Columns:
    return {column: [words[row] for row in rows] for column, words in columns.items()}


def _with_contamination(
    columns: Columns,
    contamination: Mapping[str, Contamination],
    masks: Mapping[str, Path],
) -> Columns:
    names = columns[_MICROGRAPH_NAME]
    rows = [row for row, name in enumerate(names) if name in contamination]
    chosen = _rows(columns, rows)
    known = [contamination[names[row]] for row in rows]
    chosen["pupickUsableShare"] = [f"{of_one.usable:.4f}" for of_one in known]
    chosen["pupickOnContamination"] = [str(of_one.dropped) for of_one in known]
    if masks:
        chosen["pupickMask"] = [str(project_path(masks[names[row]])) for row in rows]
    return chosen


def write_nodes(
    nodes: Sequence[Tuple[Path, Mapping[str, str]]], folder: Path, version: str
) -> None:
    """Tell RELION which files of the job its other jobs and its window may use.

    Args:
        nodes: files, each with its type by version; those without one for this version, and files
            that are not there, are left out.
        folder: of the job.
        version: of RELION.
    """
    rows = [
        f"{_word(str(project_path(path)))} {types[version]}"
        for path, types in nodes
        if version in types and path.is_file()
    ]
    columns = ("rlnPipeLineNodeName", NODE_TYPE_COLUMN[version])
    write_text(folder / OUTPUT_NODES, _table_text("output_nodes", columns, rows))


def _table_text(name: str, columns: Sequence[str], rows: Sequence[str], before: str = "") -> str:
    head: List[str] = [f"{before}data_{name}", "", "loop_"]
    head += [f"_{column} #{i}" for i, column in enumerate(columns, 1)]
    return "\n".join([*head, *rows, "", ""])


def _word(text: str) -> str:
    """Quote a name with blanks."""
    return f'"{text}"' if " " in text else text
