# SPDX-License-Identifier: GPL-3.0-or-later
"""All peaks of a micrograph, kept so that another threshold needs no second scoring."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any, Mapping, Optional

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from ..coordinates import Coordinates
from ..files.atomic import PathLike, atomic_write
from ..micrographs import Shape
from ..micrographs.mrc import check_pixel_size
from .contamination import ContaminationMask

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
        contamination: (n,) probabilities that the peaks lie on contamination; None for a model
            that knows none.
        mask: where contamination lies; None for such a model.
        contrast: see `particle_contrast`; NaN where that is not known.
    """

    coordinates: Coordinates
    shape: Shape
    pixel_size: float
    fingerprint: str = ""
    contamination: Optional[np.ndarray] = None
    mask: Optional[ContaminationMask] = None
    contrast: float = math.nan

    @property
    def usable(self) -> Optional[float]:
        """Share of the micrograph without contamination; None for a model that knows none."""
        return None if self.mask is None else self.mask.usable


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
    if peaks.contamination is not None and peaks.mask is not None:
        tensors["contamination"] = np.ascontiguousarray(peaks.contamination)
        tensors["mask"] = peaks.mask.packed()
        tensors["working_shape"] = np.array(peaks.mask.shape, np.int64)
    with atomic_write(path) as temporary:
        temporary.write_bytes(save(tensors, {"fingerprint": peaks.fingerprint}))


def load_peaks(path: PathLike) -> Optional[MicrographPeaks]:
    """Read the peaks of one micrograph; None if there are none, or the file is damaged."""
    try:
        with open(path, "rb") as file:
            content = file.read()
        tensors = load(content)
        fingerprint = _metadata(content)["fingerprint"]
        x, y, score = (tensors[name] for name in ("x", "y", "score"))
        height, width = tensors["shape"].tolist()
        pixel_size = float(tensors["pixel_size"])
        contamination = tensors.get("contamination")
        mask = None if contamination is None else _read_mask(tensors)
        # version 0.1 had none
        contrast = float(tensors.get("contrast", math.nan))
        check_pixel_size(pixel_size)
    except (SafetensorError, OSError, LookupError, ValueError, TypeError, AttributeError):
        return None
    columns = (x, y, score) if contamination is None else (x, y, score, contamination)
    if not _are_peaks(*columns) or not all(type(n) is int and n > 0 for n in (height, width)):
        return None
    return MicrographPeaks(
        Coordinates(x, y, score),
        (height, width),
        pixel_size,
        fingerprint,
        contamination,
        mask,
        contrast,
    )


def _metadata(content: bytes) -> Mapping[str, Any]:
    """Return the metadata of a safetensors file, which has been checked; it leaves them out."""
    size = int.from_bytes(content[:8], "little")
    return dict(json.loads(content[8 : 8 + size]).get("__metadata__", {}))


def _read_mask(tensors: Mapping[str, np.ndarray]) -> ContaminationMask:
    height, width = tensors["working_shape"].tolist()
    return ContaminationMask.unpacked(tensors["mask"], (height, width))


def _are_peaks(*columns: np.ndarray) -> bool:
    return (
        all(
            column.ndim == 1 and column.dtype.kind == "f" and np.isfinite(column).all()
            for column in columns
        )
        and len({len(column) for column in columns}) == 1
    )
