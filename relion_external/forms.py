# SPDX-License-Identifier: GPL-3.0-or-later
"""Forms of RELION's window, filled in beforehand."""

from __future__ import annotations

import logging
import os
import posixpath
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

from .errors import JobError
from .kinds import relion_version
from .parameters import BOTH, PICK, PROGRAMS, SUGGEST, TRAIN
from .versions import V3, V5, project_version

log = logging.getLogger(__name__)

EXTERNAL_FORM = ".gui_externaljob.star"
MANUALPICK_FORM = ".gui_manualpickjob.star"

# where the slider of RELION's window ends
MOST_THREADS = 16

# of the picture of a micrograph, px
LONGEST_VIEW = 1200
# a low-pass filter leaves the particle's outline: Å at least, and in widths of the particle
LEAST_LOWPASS = 20.0
WIDTHS_PER_LOWPASS = 12

_TYPES = {"external": ("99", "relion.external"), "manualpick": ("3", "relion.manualpick")}
_FORMS = {V3: "30001", "4.0": "30001", V5: "50001"}

_MICROGRAPHS = (
    "*/job*/micrographs_ctf.star",
    "*/job*/corrected_micrographs.star",
    "*/job*/micrographs.star",
)
_COORDINATES = ("*/job*/coords_suffix_manualpick.star", "*/job*/manualpick.star")
_PICKED = ("External/job*/coords_suffix_autopick.star", "External/job*/autopick.star")
_MODELS = ("*/job*/model.safetensors",)

_LABELS: Mapping[str, Tuple[str, ...]] = {
    TRAIN: ("diameter", "particles_per_micrograph", "gpu"),
    PICK: ("model", "diameter", "threshold", "gpu"),
    BOTH: ("diameter", "particles_per_micrograph", "threshold", "gpu"),
    SUGGEST: ("count",),
}

_INPUTS: Mapping[str, Tuple[str, ...]] = {
    TRAIN: _COORDINATES,
    PICK: (),
    BOTH: _COORDINATES,
    SUGGEST: _PICKED,
}


def setup(arguments: Sequence[str]) -> None:
    """Fill in the External form of the project in the current folder: `--setup JOB`.

    Raises:
        JobError: the arguments make no sense, or this is no RELION project.
        OSError: the form cannot be written.
    """
    job, version = _read(arguments)
    project = Path()
    if not (project / "default_pipeline.star").is_file():
        raise JobError(f"{project.absolute()} is no RELION project: start this in its folder")
    version = version or project_version(project)
    options = external_options(project, job)
    path = project / EXTERNAL_FORM
    _write(path, form_text("external", options, version))
    sys.stdout.write(f"{path} is written: open RELION's External tab (again) in this project.\n")


def _read(arguments: Sequence[str]) -> Tuple[str, Optional[str]]:
    usage = "give --setup train, pick, both or suggest, and --relion_version 3.1 if needed"
    pairs = dict(zip(arguments[::2], arguments[1::2]))
    version = pairs.pop("--relion_version", None)
    job = pairs.pop("--setup", "")
    if len(arguments) % 2 or pairs or job not in PROGRAMS:
        raise JobError(usage)
    try:
        return job, None if version is None else relion_version(version)
    except ValueError as error:
        raise JobError(usage) from error


def external_options(project: Path, job: str) -> Dict[str, str]:
    """Fill in what a project shows: its latest micrographs, coordinates and model."""
    values = {"gpu": "auto", "model": posixpath.dirname(_newest(project, _MODELS))}
    options = {
        "fn_exe": PROGRAMS[job],
        "in_mic": _newest(project, _MICROGRAPHS),
        "in_coords": _newest(project, _INPUTS[job]),
        "nr_threads": str(min(MOST_THREADS, len(os.sched_getaffinity(0)))),
    }
    for i, label in enumerate(_LABELS[job], 1):
        options[f"param{i}_label"] = label
        options[f"param{i}_value"] = values.get(label, "")
    return options


def _newest(project: Path, patterns: Sequence[str]) -> str:
    """Return the newest file that fits the first pattern that any fits; nothing if none."""
    for pattern in patterns:
        found = [path for path in project.glob(pattern) if not _is_suggested(path)]
        files = sorted(found, key=lambda path: path.stat().st_mtime)
        if files:
            return files[-1].relative_to(project).as_posix()
    return ""


def _is_suggested(path: Path) -> bool:
    """Whether a list is of the few micrographs that a job has suggested to look at."""
    form = path.parent / "job.star"
    return form.is_file() and PROGRAMS[SUGGEST] in form.read_text(errors="replace")


@dataclass(frozen=True)
class PicksView:
    """How RELION's window is to show the picks of a job.

    Attributes:
        diameter: of the circles, Å.
        pixel_size: of the micrographs, Å/px.
        longest_side: of the micrographs, px.
        scores: the lowest and the highest that circles differ in colour by.
    """

    diameter: float
    pixel_size: float
    longest_side: int
    scores: Tuple[float, float]

    def options(self) -> Dict[str, str]:
        """Return the fields of the form of Manual picking, by RELION's own names.

        Without the pixel size, RELION 4 and 5 take 1 Å/px for picks that a list names.
        """
        lowpass = max(LEAST_LOWPASS, self.diameter / WIDTHS_PER_LOWPASS, 3 * self.pixel_size)
        return {
            "diameter": f"{self.diameter:g}",
            "angpix": f"{self.pixel_size:.6g}",
            "micscale": f"{min(1.0, LONGEST_VIEW / self.longest_side):.2g}",
            "lowpass": f"{lowpass:.0f}",
            "sigma_contrast": "3",
            "do_color": "Yes",
            "color_label": "rlnAutopickFigureOfMerit",
            "blue_value": f"{self.scores[0]:.2f}",
            "red_value": f"{self.scores[1]:.2f}",
        }


def write_manualpick_form(project: Path, view: PicksView, version: str) -> None:
    """Let RELION's window show picks as circles of the particle's diameter, blue to red by score.

    RELION 3.1 shows none before the form of its Manual picking was filled in once; a form that is
    there stays as it is.
    """
    path = project / MANUALPICK_FORM
    if not (project / "default_pipeline.star").is_file():
        return
    if not path.exists():
        _write(path, form_text("manualpick", view.options(), version))
    elif version != V3 and not _has_pixel_size(path):
        log.info(
            "Display draws circles by the form of Manual picking, in which Pixel size (A) is not "
            "set: give it %.4g there, or the circles and the low-pass filter are of another size.",
            view.pixel_size,
        )


def _has_pixel_size(form: Path) -> bool:
    """Whether a form of Manual picking has a pixel size (Å/px), which is -1 where it is not set."""
    text = form.read_text(encoding="utf-8", errors="replace")
    return re.search(r'(?m)^\s*angpix\s+"?[\d.]*[1-9]', text) is not None


def _write(path: Path, text: str) -> None:
    """Write a form whole or not at all; the supervisor does this without the engine."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        if temporary.exists():
            temporary.unlink()


def form_text(job_type: str, options: Mapping[str, str], version: str) -> str:
    """Return the text of a form; what it does not name, RELION fills in with its defaults.

    Args:
        job_type: `external` or `manualpick`.
        options: values by RELION's own names.
        version: of RELION.
    """
    number, label = _TYPES[job_type]
    lines: List[str] = ["", f"# version {_FORMS[version]}", "", "data_job", ""]
    if version == V3:
        lines += [f"_rlnJobType {number}", "_rlnJobIsContinue 0"]
    else:
        lines += [f"_rlnJobTypeLabel {label}", "_rlnJobIsContinue 0", "_rlnJobIsTomo 0"]
    lines += ["", f"# version {_FORMS[version]}", "", "data_joboptions_values", "", "loop_"]
    lines += ["_rlnJobOptionVariable #1", "_rlnJobOptionValue #2"]
    lines += [f'{name} "{value}"' for name, value in sorted(options.items())]
    return "\n".join([*lines, "", ""])
