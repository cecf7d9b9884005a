# SPDX-License-Identifier: GPL-3.0-or-later
"""Write micrographs downsampled and normalised, to look at them or to use them elsewhere."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterable, List, Mapping, Sequence, Tuple, Union

from ..coordinates.file_names import files_of_micrographs
from ..device import count_threads
from ..errors import MicrographError, UsageError
from ..files.atomic import PathLike
from ..files.prefetch import prefetch
from ..files.progress import track
from ..micrographs import Micrograph, write_image
from ..preprocessing.scale import WorkingScale
from ..preprocessing.shared_mixture import fit_shared_mixture
from ..preprocessing.working_image import WorkingImage, pixel_method, prepare
from ..runs.preprocess_run import PreprocessRun
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
    overwrite: bool = False,
) -> PreprocessResult:
    """Downsample and normalise micrographs, and write them as MRC files (float32).

    Args:
        micrographs: to read; they stream through, twice for a joint normalisation.
        diameter: of the particle, Å.
        output: folder; the files lie in it in the folders of their micrographs' names.
        diameter_px: width of the particle in the files, px.
        normalisation: see `settings.TrainSettings`.
        threads: for the transforms; 0 for all cores.
        overwrite: replace files in the folder that were not written by preprocessing.

    Returns:
        The files, and the micrographs that could not be used.

    Raises:
        UsageError: the diameter or the normalisation makes no sense, or no micrograph was given, or
            one would be overwritten, or another run is at work in the folder.
        OSError: a file cannot be written.
    """
    if not micrographs:
        raise UsageError("There is no micrograph to preprocess.")
    scale = WorkingScale(diameter, diameter_px)
    method = pixel_method(normalisation)
    workers = count_threads(threads)
    paths = files_of_micrographs([m.name for m in micrographs], Path(output), ".mrc")
    request = {"diameter": diameter, "diameter_px": diameter_px, "normalisation": normalisation}
    run = PreprocessRun(Path(output))
    with run.owned(micrographs, [*paths.values()], request, overwrite):
        joint = normalisation == "joint"
        mixture = fit_shared_mixture(micrographs, scale, workers) if joint else None
        images = prefetch(lambda m: prepare(m, scale, method, mixture, workers), micrographs)
        return _write(track(images, len(micrographs), "micrographs"), paths, scale.pixel_size)


def _write(
    images: Iterable[Tuple[Micrograph, Union[WorkingImage, MicrographError]]],
    paths: Mapping[str, Path],
    pixel_size: float,
) -> PreprocessResult:
    written: List[Path] = []
    failures: Dict[str, str] = {}
    for micrograph, image in images:
        path = paths[micrograph.name]
        if isinstance(image, MicrographError):
            log.warning("%s", image)
            failures[micrograph.name] = str(image)
            path.unlink(missing_ok=True)
            continue
        write_image(path, image.image, pixel_size)
        written.append(path)
    return PreprocessResult(written, failures)
