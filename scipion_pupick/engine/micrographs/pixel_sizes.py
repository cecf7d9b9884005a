# SPDX-License-Identifier: GPL-3.0-or-later
"""Which pixel size each micrograph has, where that comes from, and what speaks against it."""

from __future__ import annotations

import logging
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ..errors import MicrographError
from .micrograph import CS_FILE, GIVEN, STAR_FILE, Micrograph, usable_pixel_size
from .read import image_shape, read_pixel_size, read_pixel_sizes_of

log = logging.getLogger(__name__)

HEADER = "header"
# of the larger of two: programs round them
_SAME_WITHIN = 0.01
# Å/px that programs write which do not know it
_UNKNOWN = 1.0
# Å/px below which no microscope works with particles, and below which a small field is doubtful
_SURELY_TOO_SMALL, _MAYBE_TOO_SMALL = 0.25, 0.5
_LEAST_FIELD = 1000.0  # Å
_SOURCES = {
    GIVEN: "as given",
    STAR_FILE: "from the STAR file",
    CS_FILE: "from the .cs file",
    HEADER: "from the header",
}


@dataclass(frozen=True)
class PixelSize:
    """The pixel size of one micrograph.

    Attributes:
        value: that is used, Å/px.
        source: `GIVEN`, `STAR_FILE`, `CS_FILE` or `HEADER`.
        header: what the file's header says, Å/px; None where it says nothing that could be true.
        doubt: why the header cannot be trusted; empty if nothing speaks against it.
    """

    value: float
    source: str
    header: Optional[float]
    doubt: str

    @property
    def contradicts_header(self) -> bool:
        """Whether a header that may be right says something else."""
        if self.header is None or self.doubt:
            return False
        return not same_pixel_size(self.value, self.header)


def same_pixel_size(first: float, second: float) -> bool:
    """Whether two pixel sizes (Å/px) are one, but for rounding: they differ by at most 1 %."""
    return abs(first - second) <= _SAME_WITHIN * max(first, second)


def pixel_size_of(micrograph: Micrograph) -> Optional[PixelSize]:
    """Return the pixel size of a micrograph; None if the file cannot be read or has none."""
    try:
        return _judge(micrograph, read_pixel_size(micrograph.path))
    except MicrographError:
        return None


def _judge(micrograph: Micrograph, header: Optional[float]) -> PixelSize:
    """Return the pixel size of a micrograph, given what its header says (Å/px).

    Raises:
        MicrographError: nothing says it, or the file cannot be read.
    """
    stated = micrograph.pixel_size
    value = usable_pixel_size(header if stated is None else stated, micrograph.name)
    doubt = "" if header is None else _doubt(header, micrograph)
    source = HEADER if micrograph.pixel_size is None else micrograph.pixel_size_from or GIVEN
    return PixelSize(value, source, header, doubt)


def _doubt(header: float, micrograph: Micrograph) -> str:
    """Say why the pixel size in a header (Å/px) may be none."""
    if header == _UNKNOWN:
        return "exactly 1 Å/px is also what programs write that do not know the pixel size"
    is_small = header < _SURELY_TOO_SMALL
    if not is_small and header < _MAYBE_TOO_SMALL:
        is_small = max(image_shape(micrograph.path)) * header < _LEAST_FIELD
    return f"{header:.4g} Å/px may be {header * 10:.4g}, written in nm" if is_small else ""


@dataclass(frozen=True)
class PixelSizes:
    """The pixel sizes of a set of micrographs.

    Attributes:
        of: by name, of those whose pixel size is known.
    """

    of: Mapping[str, PixelSize]

    def groups(self) -> List[Tuple[float, str, int]]:
        """List each pixel size (Å/px), its source and its number of micrographs, most first."""
        counted = Counter((f"{size.value:.4g}", size.source) for size in self.of.values())
        return [(float(text), source, n) for (text, source), n in counted.most_common()]

    def record(self) -> List[Dict[str, Any]]:
        """Return the groups as they stand in the records of runs."""
        keys = ("pixel_size", "from", "micrographs")
        return [dict(zip(keys, group)) for group in self.groups()]

    def say(self) -> None:
        """Write to the log which pixel sizes are used, and warn of what speaks against them."""
        groups = self.groups()
        if len(groups) == 1:
            value, source, _ = groups[0]
            log.info("Pixel size: %g Å/px, %s.", value, _SOURCES[source])
        elif groups:
            listed = [f"{v:g} Å/px {_SOURCES[s]} ({n} micrographs)" for v, s, n in groups]
            log.info("Pixel sizes: %s.", ", ".join(listed))
        self._warn_of_doubts()
        self._warn_of_contradictions()
        self._warn_of_odd_ones()

    def _warn_of_doubts(self) -> None:
        doubtful = [n for n, size in self.of.items() if size.source == HEADER and size.doubt]
        if doubtful:
            log.warning(
                "The pixel size in the header of %d micrographs, such as %s, may be wrong: %s. "
                "Check it, and give the pixel size (Å/px) if it is.",
                len(doubtful),
                doubtful[0],
                self.of[doubtful[0]].doubt,
            )

    def contradiction(self) -> str:
        """Say which headers contradict the pixel size that is used; empty if none does."""
        names = [name for name, size in self.of.items() if size.contradicts_header]
        if not names:
            return ""
        first = self.of[names[0]]
        return (
            f"The header of {len(names)} micrographs, such as {names[0]}, says {first.header:.4g} "
            f"Å/px; {first.value:.4g} Å/px {_SOURCES[first.source]} is used. Check which is right, "
            "and give that pixel size (Å/px)."
        )

    def _warn_of_contradictions(self) -> None:
        text = self.contradiction()
        if text:
            log.warning("%s", text)

    def _warn_of_odd_ones(self) -> None:
        groups = self.groups()
        usual = groups[0][0] if groups else 0.0
        odd = [name for name, size in self.of.items() if not same_pixel_size(size.value, usual)]
        if odd:
            log.warning(
                "%d of %d micrographs, such as %s with %.4g Å/px, have another pixel size than "
                "the most, %g Å/px: check whether they belong to this set.",
                len(odd),
                len(self.of),
                odd[0],
                self.of[odd[0]].value,
                usual,
            )


def read_pixel_sizes(micrographs: Sequence[Micrograph]) -> PixelSizes:
    """Read the headers of all micrographs, for their pixel sizes."""
    found: Dict[str, PixelSize] = {}
    headers = read_pixel_sizes_of([micrograph.path for micrograph in micrographs])
    for micrograph, header in zip(micrographs, headers):
        if not isinstance(header, MicrographError):
            with suppress(MicrographError):
                found[micrograph.name] = _judge(micrograph, header)
    return PixelSizes(found)


def say_pixel_sizes(micrographs: Sequence[Micrograph]) -> PixelSizes:
    """Read the pixel sizes of micrographs, and write to the log what a user should know."""
    sizes = read_pixel_sizes(micrographs)
    sizes.say()
    return sizes
