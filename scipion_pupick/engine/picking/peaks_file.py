# SPDX-License-Identifier: GPL-3.0-or-later
"""All peaks of a micrograph, kept so that another threshold needs no second scoring."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ..coordinates import Coordinates
from ..files.atomic import PathLike, atomic_write
from ..micrographs import Shape
from ..micrographs.mrc import check_pixel_size

# to be raised whenever the same model finds other peaks than before
PEAKS_VERSION = 1


@dataclass(frozen=True)
class MicrographPeaks:
    """Peaks of one micrograph by descending score.

    Attributes:
        coordinates: all peaks, px of the micrograph.
        shape: (ny, nx) of the micrograph, px.
        pixel_size: of the micrograph, Å/px.
        fingerprint: of the model, the settings and the micrograph's file that they were found
            with; empty for a micrograph that is in memory.
        contrast: see `particle_contrast`; NaN where that is not known.
    """

    coordinates: Coordinates
    shape: Shape
    pixel_size: float
    fingerprint: str = ""
    contrast: float = math.nan


def save_peaks(peaks: MicrographPeaks, path: PathLike) -> None:
    """Write the peaks of one micrograph."""
    tensors = {
        # safetensors writes the memory behind an array, whatever its strides
        "x": np.ascontiguousarray(peaks.coordinates.x),
        "y": np.ascontiguousarray(peaks.coordinates.y),
        "score": np.ascontiguousarray(peaks.coordinates.score),
        "shape": np.array(peaks.shape, np.int64),
        "pixel_size": np.array(peaks.pixel_size, np.float64),
        "contrast": np.array(peaks.contrast, np.float64),
    }
    with atomic_write(path) as temporary:
        temporary.write_bytes(save(tensors, {"fingerprint": peaks.fingerprint}))


def load_peaks(path: PathLike) -> Optional[MicrographPeaks]:
    """Read the peaks of one micrograph; None if there are none, or the file is damaged."""
    if not Path(path).is_file():
        return None
    try:
        with safe_open(path, framework="np") as file:
            fingerprint = (file.metadata() or {})["fingerprint"]
            x, y, score = (file.get_tensor(name) for name in ("x", "y", "score"))
            height, width = file.get_tensor("shape").tolist()
            pixel_size = float(file.get_tensor("pixel_size"))
            # version 0.1 had none
            known = "contrast" in file.keys()  # noqa: SIM118
            contrast = float(file.get_tensor("contrast")) if known else math.nan
        check_pixel_size(pixel_size)
    except (SafetensorError, OSError, LookupError, ValueError, TypeError, AttributeError):
        return None
    if not _are_peaks(x, y, score) or not all(type(n) is int and n > 0 for n in (height, width)):
        return None
    return MicrographPeaks(
        Coordinates(x, y, score), (height, width), pixel_size, fingerprint, contrast
    )


def _are_peaks(*columns: np.ndarray) -> bool:
    return (
        all(
            column.ndim == 1 and column.dtype.kind == "f" and np.isfinite(column).all()
            for column in columns
        )
        and len({len(column) for column in columns}) == 1
    )
