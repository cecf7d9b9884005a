# SPDX-License-Identifier: GPL-3.0-or-later
"""Write micrographs downsampled and normalised, to look at them or to use them elsewhere."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Sequence

from ..coordinates.file_names import files_of_micrographs
from ..device import usable_cores
from ..errors import MicrographError, UsageError
from ..files.atomic import PathLike, make_folder, refuse_overwriting
from ..files.prefetch import prefetch
from ..files.progress import track
from ..micrographs import Micrograph, write_image
from ..preprocessing.scale import WorkingScale
from ..preprocessing.shared_mixture import fit_shared_mixture
from ..preprocessing.working_image import pixel_method, prepare
from ..settings import WORKING_DIAMETER_PX

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PreprocessResult:
    """What was written.

    Attributes:
        written: files, in the order of the micrographs.
        failures: reason by micrograph name.
    """

    written: List[Path]
    failures: Dict[str, str]


def preprocess(
    micrographs: Sequence[Micrograph],
    diameter: float,
    output: PathLike,
    diameter_px: float = WORKING_DIAMETER_PX,
    normalisation: str = "micrograph",
    threads: int = 0,
) -> PreprocessResult:
    """Downsample and normalise micrographs, and write them as MRC files (float32).

    Args:
        micrographs: to read; they stream through, twice for a joint normalisation.
        diameter: of the particle, Å.
        output: folder; the files lie in it in the folders of their micrographs' names.
        diameter_px: width of the particle in the files, px.
        normalisation: see `jobs.train.TrainSettings`.
        threads: for the transforms; 0 for all cores.

    Returns:
        The files, and the micrographs that could not be used.

    Raises:
        UsageError: the diameter or the normalisation makes no sense, or no micrograph was given, or
            one would be overwritten.
        OSError: a file cannot be written.
    """
    if not micrographs:
        raise UsageError("There is no micrograph to preprocess.")
    scale = WorkingScale(diameter, diameter_px)
    method = pixel_method(normalisation)
    if threads < 0:
        raise UsageError(f"{threads} threads were asked for: give 1 or more, or 0 for all cores.")
    workers = threads or usable_cores()
    paths = files_of_micrographs([m.name for m in micrographs], Path(output), ".mrc")
    refuse_overwriting([m.path for m in micrographs], paths.values())
    make_folder(output)
    mixture = fit_shared_mixture(micrographs, scale, workers) if normalisation == "joint" else None
    written: List[Path] = []
    failures: Dict[str, str] = {}
    stream = prefetch(lambda m: prepare(m, scale, method, mixture, workers), micrographs)
    for micrograph, image in track(stream, len(micrographs), "micrographs"):
        path = paths[micrograph.name]
        if isinstance(image, MicrographError):
            log.warning("%s", image)
            failures[micrograph.name] = str(image)
            path.unlink(missing_ok=True)
            continue
        write_image(path, image.image, scale.pixel_size)
        written.append(path)
    return PreprocessResult(written, failures)
