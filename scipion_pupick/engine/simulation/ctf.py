# SPDX-License-Identifier: GPL-3.0-or-later
"""The contrast transfer function of the microscope."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Tuple

import numpy as np
from scipy import fft

from ..errors import UsageError

Shape = Tuple[int, int]

_ELECTRON_REST_ENERGY = 510998.95  # eV
_HIGHEST_VOLTAGE = 3000.0  # kV; the highest of any microscope
_PLANCK_TIMES_LIGHT = 12398.42  # eV Å


@dataclass(frozen=True)
class Microscope:
    """The microscope.

    Attributes:
        voltage: kV.
        cs: spherical aberration, mm.
        amplitude_contrast: share of the contrast, from 0 to 1.
    """

    voltage: float = 300.0
    cs: float = 2.7
    amplitude_contrast: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.voltage <= _HIGHEST_VOLTAGE:
            raise UsageError(
                f"The voltage is {self.voltage:g} kV: it must be positive, and at most "
                f"{_HIGHEST_VOLTAGE:g}, in kV."
            )
        if not 0 <= self.amplitude_contrast <= 1:
            raise UsageError(
                f"The amplitude contrast is {self.amplitude_contrast:g}: it lies between 0 and 1."
            )

    @property
    def wavelength(self) -> float:
        """Relativistic wavelength of the electrons, Å."""
        energy = 1000 * self.voltage
        return _PLANCK_TIMES_LIGHT / math.sqrt(energy * (energy + 2 * _ELECTRON_REST_ENERGY))

    @property
    def interaction(self) -> float:
        """Phase shift by potential and length, rad/(V Å).

        The constant σ of Kirkland, Advanced Computing in Electron Microscopy (2010), chapter 5.
        """
        energy = 1000 * self.voltage
        relativity = (_ELECTRON_REST_ENERGY + energy) / (2 * _ELECTRON_REST_ENERGY + energy)
        return 2 * math.pi / (self.wavelength * energy) * relativity


@dataclass(frozen=True)
class Defocus:
    """Defocus, positive below focus.

    Attributes:
        u: along the axis of astigmatism, Å.
        v: across that axis, Å.
        angle: from the x axis to the axis of astigmatism, towards y, degrees.
    """

    u: float = 15000.0
    v: float = 15000.0
    angle: float = 0.0


def ctf(
    shape: Shape,
    pixel_size: float,
    microscope: Microscope,
    defocus: Defocus,
    b_factor: float = 0.0,
) -> np.ndarray:
    """Return the contrast transfer function on the grid of `scipy.fft.rfft2`.

    It is -sin χ exp(-B k²/4) with χ(k) = π λ k² (Δf(α) - λ² k² Cs / 2) + arcsin A, where
    Δf(α) = (u + v + (u - v) cos 2(α - angle)) / 2 (Rohou and Grigorieff, J. Struct. Biol. 192,
    216, 2015, equations 2 and 3). Its sign makes protein dark.

    Args:
        shape: (ny, nx) of the image, px.
        pixel_size: Å/px.
        microscope: voltage, spherical aberration and amplitude contrast.
        defocus: with astigmatism.
        b_factor: of the envelope, Å².

    Returns:
        (ny, nx // 2 + 1) float32.
    """
    ky = fft.fftfreq(shape[0], pixel_size)[:, None]
    kx = fft.rfftfreq(shape[1], pixel_size)[None, :]
    squared = kx * kx + ky * ky
    wavelength = microscope.wavelength
    # k² Δf(α), in terms of kx and ky so that no angle need be taken
    twice = 2 * math.radians(defocus.angle)
    astigmatic = (kx * kx - ky * ky) * math.cos(twice) + 2 * kx * ky * math.sin(twice)
    focus = 0.5 * ((defocus.u + defocus.v) * squared + (defocus.u - defocus.v) * astigmatic)
    spherical = 0.5e7 * microscope.cs * wavelength**2 * squared * squared
    phase = math.pi * wavelength * (focus - spherical)
    phase += math.asin(microscope.amplitude_contrast)
    return np.asarray(-np.sin(phase) * np.exp(-b_factor / 4 * squared), np.float32)
