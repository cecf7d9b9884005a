# SPDX-License-Identifier: GPL-3.0-or-later
"""Real proteins as particles, from places of their atoms."""

from __future__ import annotations

import math
import zipfile
from dataclasses import dataclass
from typing import Sequence

import numpy as np
from scipy import fft, ndimage

from ..errors import UsageError
from ..files.atomic import PathLike
from .density import Density, centre_density
from .phantom import VOXELS_PER_DIAMETER

# standard deviation, Å, of an atom: a resolution of about 9 Å
_ATOM = 3.0
_LEAST_VOXEL = 0.5  # Å
_LEAST_ATOMS = 2


@dataclass(frozen=True)
class Protein:
    """Where the residues of a protein are.

    Attributes:
        name: of the protein.
        xyz: (n, 3) of one atom of each residue, Å.
    """

    name: str
    xyz: np.ndarray

    def density(self, enlarged: float = 1.0) -> Density:
        """Return its density, all lengths multiplied by a number."""
        xyz = enlarged * (self.xyz - self.xyz.mean(axis=0))
        width = 2 * float(np.linalg.norm(xyz, axis=1).max())
        voxel = max(width / VOXELS_PER_DIAMETER, _LEAST_VOXEL)
        blur = _ATOM * enlarged / voxel
        side = 2 * fft.next_fast_len(math.ceil(np.abs(xyz / voxel).max() + 4 * blur + 1))
        edges = [np.arange(side + 1) - side / 2 - 0.5] * 3
        counts, _ = np.histogramdd(xyz[:, ::-1] / voxel, edges)
        values = ndimage.gaussian_filter(counts.astype(np.float32), blur)
        return centre_density(values, voxel, name=self.name)


def read_proteins(path: PathLike) -> Sequence[Protein]:
    """Read proteins from a NumPy archive (.npz).

    Args:
        path: of arrays `names` (n,), `xyz` (m, 3) in Å and `offsets` (n + 1,): the atoms of the
            protein i are `xyz[offsets[i]:offsets[i + 1]]`.

    Raises:
        UsageError: the file is missing or holds something else.
    """
    try:
        with open(path, "rb") as file:
            if not zipfile.is_zipfile(file):
                raise ValueError("it is no archive, or is cut off")
            with np.load(file, allow_pickle=False) as arrays:
                names, offsets = arrays["names"], arrays["offsets"]
                xyz = np.asarray(arrays["xyz"], np.float32)
        _check(names, offsets, xyz)
    except (OSError, EOFError, ValueError, LookupError, zipfile.BadZipFile) as error:
        raise UsageError(
            f"{path}: cannot be read as proteins: {error}. It must be a NumPy archive of names, "
            "offsets and xyz.",
            setting="proteins",
        ) from error
    return [
        Protein(str(name), xyz[first:last])
        for name, first, last in zip(names, offsets, offsets[1:])
    ]


def _check(names: np.ndarray, offsets: np.ndarray, xyz: np.ndarray) -> None:
    """Refuse arrays that are no proteins, before any particle is made of them.

    Raises:
        ValueError: they are none; says why.
    """
    if xyz.ndim != 2 or xyz.shape[1] != 3:
        raise ValueError(f"xyz has the shape {xyz.shape} instead of (number of atoms, 3)")
    if offsets.ndim != 1 or offsets.dtype.kind not in "iu":
        raise ValueError("offsets are no list of whole numbers")
    if names.ndim != 1 or not len(names) or len(offsets) != len(names) + 1:
        raise ValueError(f"{names.size} names and {len(offsets)} offsets do not go together")
    bounds = offsets.astype(np.int64)
    few = np.flatnonzero(np.diff(bounds) < _LEAST_ATOMS)
    if len(few):
        raise ValueError(f"{names[few[0]]} has fewer than {_LEAST_ATOMS} atoms by its offsets")
    if bounds[0] < 0 or bounds[-1] > len(xyz):
        raise ValueError(f"the offsets go from {bounds[0]} to {bounds[-1]} of {len(xyz)} atoms")
    # infinite are also those that were too large for the half precision of a file
    wrong = int((~np.isfinite(xyz)).any(axis=1).sum())
    if wrong:
        raise ValueError(f"{wrong} of {len(xyz)} atoms have no finite place")
