# SPDX-License-Identifier: GPL-3.0-or-later
"""Which RELION has started a job, and what the versions' files of a project differ in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Dict, Optional

from .errors import JobError

V3, V4, V5 = "3.1", "4.0", "5.0"
VERSIONS = (V3, V4, V5)

_LATEST_FORM = 50000


def detect_version(folder: Path) -> str:
    """Tell the version of RELION by the job.star in a job's folder; without one, the latest.

    The text is searched instead of parsed, for a user's quotation marks can make job.star
    unreadable.
    """
    job = folder / "job.star"
    text = job.read_text(encoding="utf-8", errors="replace") if job.is_file() else ""
    return version_of_text(text) or V5


def version_of_text(text: str) -> Optional[str]:
    """Tell the version that wrote a job.star or default_pipeline.star; None if it does not show."""
    if re.search(r"(?m)^_rln(JobType|PipeLineProcessType)\s", text):
        return V3
    if not re.search(r"(?m)^_rln(JobTypeLabel|PipeLineProcessTypeLabel)\s", text):
        return None
    form = re.search(r"(?m)^# version (\d+)", text)
    return V5 if form and int(form[1]) >= _LATEST_FORM else V4


# what the nodes of a project are called: integers in 3.1, labels that changed between 4 and 5
COORDINATES: Dict[str, str] = {
    V3: "2",
    V4: "MicrographsCoords.star.relion.autopick",
    V5: "MicrographCoordsGroup.star.relion.autopick",
}
MICROGRAPHS: Dict[str, str] = {
    V3: "1",
    V4: "MicrographsData.star.relion",
    V5: "MicrographGroupMetadata.star.relion",
}
LOGFILE: Dict[str, str] = {
    V3: "13",
    V4: "LogFile.pdf.relion.autopick",
    V5: "LogFile.pdf.relion.autopick",
}
# 3.1 has no type for models that other programs read
MODEL: Dict[str, str] = {
    V4: "ProcessData.safetensors.pupick.model",
    V5: "ParamsData.safetensors.pupick.model",
}
NODE_TYPE_COLUMN: Dict[str, str] = {
    V3: "rlnPipeLineNodeType",
    V4: "rlnPipeLineNodeTypeLabel",
    V5: "rlnPipeLineNodeTypeLabel",
}


def project_version(project: Path) -> str:
    """Tell the version of RELION by the files of a project.

    Raises:
        JobError: they do not show it.
    """
    files = [project / "default_pipeline.star", *sorted(project.glob("*/job*/job.star"))]
    for file in files:
        if file.is_file():
            version = version_of_text(file.read_text(encoding="utf-8", errors="replace"))
            if version:
                return version
    raise JobError(
        f"the files in {project.absolute()} do not show RELION's version: start this in the "
        "project's folder, and add --relion_version 3.1, 4.0 or 5.0"
    )
