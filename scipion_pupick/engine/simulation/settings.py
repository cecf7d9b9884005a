# SPDX-License-Identifier: GPL-3.0-or-later
"""What a simulated micrograph is like, and random choices of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, is_dataclass, replace
from typing import Any, Callable, Dict, Mapping, Optional, Tuple

import numpy as np

from ..errors import UsageError
from .ctf import Defocus, Microscope
from .random_numbers import log_uniform

# coverage of discs set down at random; they jam at 0.547 (Feder, J. Theor. Biol. 87, 237, 1980)
DENSEST = 0.45
# electrons/Å²; hardly more can be counted in a pixel, and there is no noise left
_HIGHEST_DOSE = 1e12


@dataclass(frozen=True)
class Ice:
    """The vitreous ice.

    Attributes:
        thickness: mean, Å.
        slope: change of thickness by distance along a random direction, Å/Å.
        roughness: standard deviation of slow changes of thickness, as a share of the mean.
        structure: spectral density of its structural noise, before the CTF, relative to that of
            the shot noise. This noise is what shows Thon rings.
    """

    thickness: float = 400.0
    slope: float = 0.0
    roughness: float = 0.0
    structure: float = 0.3

    def __post_init__(self) -> None:
        if not self.thickness > 0:
            raise UsageError(f"The ice is {self.thickness:g} Å thick: it must be positive.")
        for name in ("roughness", "structure"):
            if not getattr(self, name) >= 0:
                raise UsageError(f"{name} is {getattr(self, name):g}: it cannot be negative.")


@dataclass(frozen=True)
class Crowding:
    """How particles lie.

    Attributes:
        coverage: area of the discs of all particles' diameters, as a share of the micrograph.
        separation: least distance of two centres, in diameters; below 1 projections may overlap.
        clustering: standard deviation of the logarithm of the particles' density over the
            micrograph; 0 for an even one.
        junk_coverage: as `coverage`, of small proteins that are not in the truth.
    """

    coverage: float = 0.15
    separation: float = 0.8
    clustering: float = 0.0
    junk_coverage: float = 0.0

    def __post_init__(self) -> None:
        for name in ("coverage", "separation", "clustering", "junk_coverage"):
            if not getattr(self, name) >= 0:
                raise UsageError(f"{name} is {getattr(self, name):g}: it cannot be negative.")
        if self.coverage * self.separation**2 > DENSEST:
            raise UsageError(
                f"Particles with a coverage of {self.coverage:g} cannot all be {self.separation:g} "
                f"diameters apart: coverage times separation squared must be at most {DENSEST:g}."
            )


@dataclass(frozen=True)
class Contamination:
    """What else is there; particles are not counted where it is.

    Attributes:
        carbon: share of the micrograph's width that carbon film covers.
        crystals: number of ice crystals and other lumps of ice.
        gold: number of gold beads.
        rim: thickness of what gathers at the edge of the carbon, Å.
        rough: number of patches of crystalline ice.
        thin: number of bright places, where ice is missing.
        filaments: number of filaments.
        clumps: number of aggregates of protein.
        micelles: number of empty micelles, which hide no particle.
        denatured: standard deviation of the thickness of denatured protein, Å, all over.
        beam_edge: share of the width that the beam leaves dark.
    """

    carbon: float = 0.0
    crystals: int = 0
    gold: int = 0
    rim: float = 0.0
    rough: int = 0
    thin: int = 0
    filaments: int = 0
    clumps: int = 0
    micelles: int = 0
    denatured: float = 0.0
    beam_edge: float = 0.0

    def __post_init__(self) -> None:
        for name in ("carbon", "beam_edge"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(
                    f"{name} is {getattr(self, name):g}: it is a share between 0 and 1."
                )
        for name in ("rim", "denatured"):
            if not getattr(self, name) >= 0:
                raise UsageError(f"{name} is {getattr(self, name):g} Å: it cannot be negative.")
        for name in ("crystals", "gold", "rough", "thin", "filaments", "clumps", "micelles"):
            if not getattr(self, name) >= 0:
                raise UsageError(f"{name} is {getattr(self, name)}: it is a number of things.")


@dataclass(frozen=True)
class SimulationSettings:
    """What a simulated micrograph is like.

    Attributes:
        microscope: voltage, spherical aberration and amplitude contrast.
        defocus: with astigmatism.
        b_factor: of the envelope, Å².
        dose: electrons/Å² that would be detected without a specimen.
        snr: power of the particles relative to that of the noise; None for the physical contrast
            of protein in ice. The power of the particles is the mean square of their contrast,
            after the CTF, over discs of their diameter. That of the noise, structural and shot
            noise together, is taken in pixels of 1/24 of the diameter, whatever the pixel size,
            in ice of the mean thickness, whose own absorption is left out.
        ice: thickness and noise.
        crowding: density of particles and junk.
        contamination: carbon, crystals and gold.
        invert: protein bright instead of dark.
    """

    microscope: Microscope = Microscope()
    defocus: Defocus = Defocus()
    b_factor: float = 80.0
    dose: float = 40.0
    snr: Optional[float] = None
    ice: Ice = Ice()
    crowding: Crowding = Crowding()
    contamination: Contamination = Contamination()
    invert: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.dose <= _HIGHEST_DOSE:
            raise UsageError(
                f"The dose is {self.dose:g} electrons/Å²: it must be positive, and at most "
                f"{_HIGHEST_DOSE:g}."
            )
        if not self.b_factor >= 0:
            raise UsageError(f"The b_factor is {self.b_factor:g} Å²: it cannot be negative.")
        if self.snr is not None and not self.snr > 0:
            raise UsageError(f"The signal-to-noise ratio is {self.snr:g}: it must be positive.")


def random_settings(random: np.random.Generator) -> SimulationSettings:
    """Draw what micrographs from common microscopes and grids are like.

    Args:
        random: the source of randomness.
    """
    defocus = random.uniform(5000, 30000)
    astigmatism = random.uniform(0, 0.05) * defocus
    return SimulationSettings(
        microscope=Microscope(
            voltage=float(random.choice([200.0, 300.0])),
            cs=float(random.choice([0.01, 2.0, 2.7])),
            amplitude_contrast=random.uniform(0.07, 0.2),
        ),
        defocus=Defocus(defocus, defocus - astigmatism, random.uniform(0, 180)),
        b_factor=log_uniform(random, 50, 1500),
        dose=random.uniform(20, 60),
        snr=log_uniform(random, 0.05, 2.0),
        ice=_random_ice(random),
        crowding=_random_crowding(random),
        contamination=_random_contamination(random),
    )


def hard_settings(settings: SimulationSettings, random: np.random.Generator) -> SimulationSettings:
    """Make some micrographs crowded, some faint and half of them dirty.

    Args:
        settings: drawn by `random_settings`.
        random: the source of randomness.
    """
    crowding = settings.crowding
    if random.random() < 0.2:
        coverage = random.uniform(0.2, 0.8)
        room = math.sqrt(0.95 * DENSEST / coverage)
        separation = min(random.uniform(0.3, 1.0), room)
        crowding = replace(crowding, coverage=coverage, separation=separation, clustering=0.0)
    snr = log_uniform(random, 0.02, 0.15) if random.random() < 0.3 else settings.snr
    contamination = settings.contamination
    if random.random() < 0.5:
        contamination = _hard_contamination(contamination, random)
    return replace(settings, snr=snr, crowding=crowding, contamination=contamination)


def _hard_contamination(contamination: Contamination, random: np.random.Generator) -> Contamination:
    def some(share: float, most: int) -> int:
        return int(random.integers(1, most + 1)) if random.random() < share else 0

    return replace(
        contamination,
        rim=log_uniform(random, 30, 400) if random.random() < 0.5 else 0.0,
        crystals=contamination.crystals + some(0.4, 12),
        rough=some(0.35, 5),
        thin=some(0.2, 4),
        filaments=some(0.15, 3),
        clumps=some(0.35, 10),
        micelles=some(0.2, 60),
        denatured=log_uniform(random, 2, 15) if random.random() < 0.3 else 0.0,
        beam_edge=random.uniform(0.03, 0.25) if random.random() < 0.05 else 0.0,
    )


def fixed_names() -> Tuple[str, ...]:
    """Names that `with_fixed` knows, such as `dose` and `ice.thickness`."""
    names = ["defocus"]
    for group, value in vars(SimulationSettings()).items():
        names += [f"{group}.{part}" for part in vars(value)] if is_dataclass(value) else [group]
    return tuple(names)


def with_fixed(settings: SimulationSettings, fixed: Mapping[str, float]) -> SimulationSettings:
    """Replace some settings.

    Args:
        settings: drawn at random, say.
        fixed: values by the names of `fixed_names`; `defocus` (Å) means no astigmatism. Of a
            coverage and a separation for which there is no room together, the one that is not
            fixed gets smaller.

    Raises:
        UsageError: an unknown name, or a value that makes no sense.
    """
    changes: Dict[str, Any] = {}
    parts: Dict[str, Dict[str, Any]] = {}
    for name, value in fixed.items():
        if name not in fixed_names():
            raise UsageError(f"There is no {name!r} to set: there are {', '.join(fixed_names())}.")
        group, _, part = name.rpartition(".")
        if group:
            kind = type(getattr(getattr(settings, group), part))
            parts.setdefault(group, {})[part] = _as_kind(kind, name, value)
        elif name == "defocus":
            value = _as_kind(float, name, value)
            changes[name] = Defocus(value, value, 0.0)
        else:
            changes[name] = _as_kind(bool if name == "invert" else float, name, value)
    for group, values in parts.items():
        before = changes.get(group, getattr(settings, group))
        if group == "crowding":
            values = _with_room(values, before)
        changes[group] = replace(before, **values)
    return replace(settings, **changes)


def _as_kind(kind: Callable[[float], Any], name: str, value: float) -> Any:
    """Return a number as a float, an int or a bool.

    Raises:
        UsageError: it is none.
    """
    if not math.isfinite(value):
        raise UsageError(f"{name} is {value:g}: it must be finite.")
    if kind is bool and value not in (0, 1):
        raise UsageError(f"{name} is {value:g}: it is 1 or 0.")
    if kind is int and not float(value).is_integer():
        raise UsageError(f"{name} is {value:g}: it is a whole number.")
    return kind(value)


def _with_room(fixed: Dict[str, float], drawn: Crowding) -> Dict[str, float]:
    """Have the drawn one of coverage and separation give way to the other, if that is fixed."""
    coverage, separation = fixed.get("coverage"), fixed.get("separation")
    if separation is None and coverage is not None and coverage > 0:
        return {**fixed, "separation": min(drawn.separation, math.sqrt(DENSEST / coverage))}
    if coverage is None and separation is not None and separation > 0:
        return {**fixed, "coverage": min(drawn.coverage, DENSEST / separation**2)}
    return fixed


def _random_ice(random: np.random.Generator) -> Ice:
    return Ice(
        thickness=random.uniform(200, 1000),
        slope=0.1 * random.uniform() ** 2,
        roughness=0.15 * random.uniform() ** 2,
        structure=log_uniform(random, 0.1, 5.0),
    )


def _random_crowding(random: np.random.Generator) -> Crowding:
    separation = random.uniform(0.5, 1.0)
    coverage = log_uniform(random, 0.005, 0.35)
    # where particles are packed there is no room for clusters
    room = 1 - coverage * separation**2 / DENSEST
    return Crowding(
        coverage=coverage,
        separation=separation,
        clustering=float(random.choice([0, random.uniform(0, room)])),
        junk_coverage=float(random.choice([0, log_uniform(random, 0.002, 0.08)])),
    )


def _random_contamination(random: np.random.Generator) -> Contamination:
    return Contamination(
        carbon=random.uniform(0.05, 0.5) if random.random() < 0.2 else 0.0,
        crystals=int(random.integers(1, 9)) if random.random() < 0.4 else 0,
        gold=int(random.integers(1, 13)) if random.random() < 0.1 else 0,
    )
