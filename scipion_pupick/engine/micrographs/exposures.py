# SPDX-License-Identifier: GPL-3.0-or-later
"""Several images of one exposure, as motion correction leaves them: which is the micrograph.

MotionCor2 writes X.mrc (all frames alike), X_DW.mrc (weighted by dose) and X_DWS.mrc; RELION writes
X.mrc (weighted), X_noDW.mrc, X_PS.mrc (power spectrum), X_EVN.mrc and X_ODD.mrc (half sums).
"""

from __future__ import annotations

import os
import re
from typing import Dict, List, Sequence, Set, Tuple

# the first is the best to pick in; those of one group are equals
_IMAGES_OF_EXPOSURE: Tuple[Tuple[str, ...], ...] = (
    ("_dw",),
    ("",),
    ("_nodw",),
    ("_dws",),
    ("_evn", "_odd", "_even"),
    ("_ps",),
)
_RANKS = {suffix: rank for rank, group in enumerate(_IMAGES_OF_EXPOSURE) for suffix in group}
_FILE_NAME = re.compile(
    r"(?P<exposure>.+?)(?P<kind>_dw|_nodw|_dws|_evn|_odd|_even|_ps)?(?P<extension>\.[a-z0-9.]+)",
    re.IGNORECASE,
)


def other_images(paths: Sequence[str]) -> Set[str]:
    """Return those of the paths that are another image of an exposure whose micrograph is there."""
    exposures: Dict[str, List[Tuple[int, str]]] = {}
    for path in paths:
        exposure, rank = _split(path)
        exposures.setdefault(exposure, []).append((rank, path))
    return {path for images in exposures.values() for rank, path in images if rank > min(images)[0]}


def _split(path: str) -> Tuple[str, int]:
    """Return folder and name of the exposure, and how far its image is from the best."""
    folder, file = os.path.split(path)
    match = _FILE_NAME.fullmatch(file)
    if match is None:
        return path, 0
    kind = (match["kind"] or "").lower()
    return os.path.join(folder, match["exposure"] + match["extension"].lower()), _RANKS[kind]
