# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole micrographs: particles and their surroundings through the microscope onto a detector."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Optional, Tuple

import numpy as np
from scipy import fft

from ..errors import UsageError
from ..settings import WORKING_DIAMETER_PX
from .bank import Bank
from .ctf import ctf
from .fields import smooth_field
from .placement import place_particles
from .settings import Crowding, SimulationSettings
from .specimen import make_specimen
from .specimen_map import PROTEIN_POTENTIAL

Shape = Tuple[int, int]

_LEAST_TRANSMISSION = 0.02
_CLUSTER_DIAMETERS = 4.0
_PROJECTIONS_AT_ONCE = 64


@dataclass(frozen=True, eq=False)
class SimulatedMicrograph:
    """A micrograph whose particles are known.

    Attributes:
        image: (ny, nx) float32 detected electrons, or, inverted, twice their mean less these.
        xy: (n, 2) centres x, y of the particles that count, px.
        projections: (n,) which projection of the bank each is.
        hidden: (ny, nx) bool, where particles do not count: carbon, lumps of ice, gold.
        potential: by which the particles' density was multiplied, V.
    """

    image: np.ndarray
    xy: np.ndarray
    projections: np.ndarray
    hidden: np.ndarray
    potential: float


def simulate_micrograph(
    bank: Bank,
    shape: Shape,
    settings: SimulationSettings,
    random: np.random.Generator,
    junk: Optional[Bank] = None,
) -> SimulatedMicrograph:
    """Simulate a micrograph at the pixel size of a bank of projections.

    The specimen is a weak phase object: its contrast is the phase that it adds, filtered by twice
    the CTF (Frank, Three-Dimensional Electron Microscopy, 2006, chapter 2). Detected electrons
    follow a Poisson distribution about the dose times the transmission times 1 + contrast.

    Args:
        bank: projections of the particle.
        shape: (ny, nx), px.
        settings: of the microscope and the specimen.
        random: the source of randomness.
        junk: projections of a small protein, with the pixel size of `bank`; needed where
            `junk_coverage` of the settings is not 0.

    Raises:
        UsageError: junk is asked for and missing, or of another pixel size, or the particles have
            no contrast that could have the signal-to-noise ratio asked for.
        PupickError: so many particles do not fit.
    """
    _check_junk(settings, bank, junk)
    margin = bank.size // 2
    frame = _frame(shape, margin)
    transfer = _transfer(frame, bank.pixel_size, settings)
    potential = _particle_potential(bank, settings)
    xy, projections = _place(frame, bank, settings.crowding, random)
    specimen = make_specimen(frame, bank.pixel_size, settings, random)
    phase = specimen.phase
    strength = potential * settings.microscope.interaction
    _add_projections(phase, bank, xy, projections, strength)
    if junk is not None and settings.crowding.junk_coverage > 0:
        few = Crowding(settings.crowding.junk_coverage, 0.0)
        _add_projections(phase, junk, *_place(frame, junk, few, random), strength)
    noise = random.standard_normal(frame, dtype=np.float32)
    phase += np.float32(_structural_phase(bank.pixel_size, settings)) * specimen.structure * noise
    contrast = fft.irfft2(fft.rfft2(phase) * transfer, s=frame)
    inside = slice(margin, margin + shape[0]), slice(margin, margin + shape[1])
    intensity = specimen.transmission[inside] * np.maximum(
        1 + contrast[inside], _LEAST_TRANSMISSION
    )
    image = _detect(intensity, settings, bank.pixel_size, random)
    hidden = specimen.hidden[inside]
    xy = xy - margin
    counted = _counted(xy, hidden)
    return SimulatedMicrograph(image, xy[counted], projections[counted], hidden, potential)


def _frame(shape: Shape, margin: int) -> Shape:
    """Size of a larger image, quick to transform, whose wrapped edges are cut away."""
    height, width = (fft.next_fast_len(size + 2 * margin, real=True) for size in shape)
    return height, width


def _check_junk(settings: SimulationSettings, bank: Bank, junk: Optional[Bank]) -> None:
    if settings.crowding.junk_coverage > 0 and junk is None:
        raise UsageError(
            "The settings ask for small proteins (junk_coverage): give a bank of them."
        )
    if junk is not None and junk.pixel_size != bank.pixel_size:
        raise UsageError(
            f"The junk has {junk.pixel_size:g} Å/px and the particle {bank.pixel_size:g} Å/px: "
            "make both banks with one pixel size."
        )


def _transfer(shape: Shape, pixel_size: float, settings: SimulationSettings) -> np.ndarray:
    """Contrast by phase, on the grid of `rfft2`."""
    return 2 * ctf(shape, pixel_size, settings.microscope, settings.defocus, settings.b_factor)


def _structural_phase(pixel_size: float, settings: SimulationSettings) -> float:
    """Standard deviation of the structural noise in a pixel, rad.

    Shot noise has a variance of 1 / (dose pixel_size²) in contrast; the factor 2 of the transfer
    is taken out, so that the ratio of the spectral densities is `structure` where |CTF| is 1.
    """
    return math.sqrt(settings.ice.structure / settings.dose) / (2 * pixel_size)


def _particle_potential(bank: Bank, settings: SimulationSettings) -> float:
    """Choose the potential, V, that gives the signal-to-noise ratio asked for.

    Raises:
        UsageError: the microscope shows nothing of the particle.
    """
    if settings.snr is None:
        return PROTEIN_POTENTIAL
    transfer = _transfer((bank.size, bank.size), bank.pixel_size, settings)
    spectra = fft.rfft2(bank.images) * (transfer * settings.microscope.interaction)
    signal = np.square(fft.irfft2(spectra, s=bank.images.shape[1:])).sum() / len(bank.images)
    signal /= math.pi / 4 * (bank.diameter / bank.pixel_size) ** 2
    if not signal > 0:
        raise UsageError(
            f"Particles have no contrast with these settings, so none has a signal-to-noise ratio "
            f"of {settings.snr:g}: set a defocus, an amplitude contrast or a smaller b_factor."
        )
    return math.sqrt(settings.snr * _noise_power(bank.diameter, settings) / float(signal))


def _noise_power(diameter: float, settings: SimulationSettings) -> float:
    """Variance of the contrast of all noise in pixels of 1/24 of the diameter."""
    pixel_size = diameter / WORKING_DIAMETER_PX
    size = 64
    transfer = ctf(
        (size, size), pixel_size, settings.microscope, settings.defocus, settings.b_factor
    )
    passed = float(np.square(transfer[:, :-1]).mean())
    return (1 + settings.ice.structure * passed) / (settings.dose * pixel_size**2)


def _place(
    shape: Shape, bank: Bank, crowding: Crowding, random: np.random.Generator
) -> Tuple[np.ndarray, np.ndarray]:
    """Choose centres (n, 2) in px and a projection (n,) for each."""
    diameter = bank.diameter / bank.pixel_size
    count = round(crowding.coverage * shape[0] * shape[1] / (math.pi / 4 * diameter**2))
    preference = None
    if crowding.clustering > 0:
        field = smooth_field(shape, _CLUSTER_DIAMETERS * diameter, random)
        preference = np.exp(crowding.clustering * (field - field.max()))
    xy = place_particles(shape, count, crowding.separation * diameter, random, preference)
    return xy, random.integers(len(bank.images), size=count)


def _add_projections(
    image: np.ndarray, bank: Bank, xy: np.ndarray, projections: np.ndarray, factor: float
) -> None:
    """Add projections, shifted by parts of pixels in Fourier space, at points (n, 2) of x, y."""
    corners = np.round(xy).astype(int) - bank.size // 2
    parts = xy - np.round(xy)
    frequencies = fft.fftfreq(bank.size)[:, None], fft.rfftfreq(bank.size)[None, :]
    for start in range(0, len(xy), _PROJECTIONS_AT_ONCE):
        batch = slice(start, start + _PROJECTIONS_AT_ONCE)
        dx, dy = parts[batch].T[:, :, None, None]
        shift = np.exp(-2j * math.pi * (frequencies[0] * dy + frequencies[1] * dx))
        spectra = fft.rfft2(bank.images[projections[batch]]) * shift.astype(np.complex64)
        shifted = fft.irfft2(spectra, s=bank.images.shape[1:]) * np.float32(factor)
        for projection, (left, top) in zip(shifted, corners[batch]):
            _add_clipped(image, projection, top, left)


def _add_clipped(image: np.ndarray, patch: np.ndarray, top: int, left: int) -> None:
    """Add a patch with its corner at (top, left), leaving out what lies outside the image."""
    bottom = min(image.shape[0], top + patch.shape[0])
    right = min(image.shape[1], left + patch.shape[1])
    y, x = max(0, top), max(0, left)
    if y < bottom and x < right:
        image[y:bottom, x:right] += patch[y - top : bottom - top, x - left : right - left]


def _detect(
    intensity: np.ndarray,
    settings: SimulationSettings,
    pixel_size: float,
    random: np.random.Generator,
) -> np.ndarray:
    """Count electrons in each pixel: float32."""
    counts = random.poisson(intensity * (settings.dose * pixel_size**2)).astype(np.float32)
    return 2 * counts.mean() - counts if settings.invert else counts


def _counted(xy: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """Tell which points lie inside the image and on no hidden pixel: (n,) bool."""
    columns, rows = np.round(xy).astype(int).T
    inside = (columns >= 0) & (rows >= 0) & (columns < hidden.shape[1]) & (rows < hidden.shape[0])
    inside[inside] = ~hidden[rows[inside], columns[inside]]
    return inside
