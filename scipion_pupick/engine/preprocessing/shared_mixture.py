# SPDX-License-Identifier: GPL-3.0-or-later
"""The mixture of a joint normalisation, fitted to all micrographs of a set."""

from __future__ import annotations

from typing import Optional, Sequence

from ..errors import MicrographError
from ..files.prefetch import prefetch
from ..files.progress import track
from ..micrographs import Micrograph
from .histogram import histogram
from .mixture import Mixture, fit_mixture
from .scale import WorkingScale
from .working_image import read_working_image


def fit_shared_mixture(
    micrographs: Sequence[Micrograph], scale: WorkingScale, threads: int = 1
) -> Optional[Mixture]:
    """Fit one mixture to the working images of all micrographs that can be read.

    Args:
        micrographs: they stream through, whatever their number.
        scale: working scale.
        threads: for the transforms.

    Returns:
        The mixture; None where no micrograph can be read.
    """
    histograms_or_errors = prefetch(
        lambda micrograph: histogram(read_working_image(micrograph, scale, threads).image),
        micrographs,
    )
    histograms = [
        result
        for _, result in track(histograms_or_errors, len(micrographs), "micrographs read")
        if not isinstance(result, MicrographError)
    ]
    return fit_mixture(histograms)[0] if histograms else None
