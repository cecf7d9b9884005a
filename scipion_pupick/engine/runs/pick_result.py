# SPDX-License-Identifier: GPL-3.0-or-later
"""What a picking run has found, for those who asked for it, for its record and for the log."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from statistics import mean
from typing import Any, Callable, Collection, Dict, Iterator, Mapping, Sequence

from ..coordinates import Coordinates
from ..picking.cut import Contamination

log = logging.getLogger(__name__)

_NOTHING_FOUND = (
    "No particle was found in any of %d micrographs. Check the pixel size, which is said above, "
    "the diameter (%g Å) and the threshold (%.2f)."
)
_FEW_FOUND = (
    "There are fewer particles than micrographs: %d in %d. Check the pixel size, which is said "
    "above, the diameter (%g Å) and the threshold (%.2f)."
)


def contamination_record(contamination: Collection[Contamination]) -> Dict[str, Any]:
    """Return what the record of a run says of contamination; nothing where none is known."""
    if not contamination:
        return {}
    return {
        "usable": round(mean(of_one.usable for of_one in contamination), 4),
        "on_contamination": sum(of_one.dropped for of_one in contamination),
    }


def say_contamination(contamination: Collection[Contamination]) -> str:
    """Say how much is usable, to be added to a sentence; nothing where that is not known."""
    if not contamination:
        return ""
    record = contamination_record(contamination)
    return (
        f"; {100 * record['usable']:.0f} % of the area is usable, and "
        f"{record['on_contamination']} picks on contamination were dropped"
    )


class KeptPicks(Mapping[str, Coordinates]):
    """Picks by micrograph, read from the folder of a run when they are asked for.

    Those of many thousand micrographs need not be in memory together.
    """

    def __init__(self, names: Sequence[str], read: Callable[[str], Coordinates]) -> None:
        """Take the names of the micrographs, and what reads the picks of one."""
        self._names = dict.fromkeys(names)
        self._read = read

    def __getitem__(self, name: str) -> Coordinates:
        """Read the picks of a micrograph."""
        if name not in self._names:
            raise KeyError(name)
        return self._read(name)

    def __iter__(self) -> Iterator[str]:
        """Go through the names of the micrographs."""
        return iter(self._names)

    def __len__(self) -> int:
        """Return the number of micrographs."""
        return len(self._names)


@dataclass(frozen=True)
class PickResult:
    """What picking has found.

    Attributes:
        picks: by micrograph name, px of the micrographs; read when they are asked for.
        failures: reason by micrograph name.
        reused: micrographs whose kept scores could be used again.
        threshold: log-odds that was applied.
        seconds: wall time.
        count: number of picks.
        estimate: expected true and false picks, precision and recall with the ends of their 95 %
            intervals; empty for a model whose scores are not calibrated.
        contamination: by micrograph name; empty for a model that knows none.
    """

    picks: Mapping[str, Coordinates]
    failures: Dict[str, str]
    reused: int
    threshold: float
    seconds: float
    count: int
    estimate: Dict[str, float] = field(default_factory=dict)
    contamination: Dict[str, Contamination] = field(default_factory=dict)

    def summary(self) -> str:
        """Say in one line what was found."""
        text = (
            f"{self.count} particles in {len(self.picks)} micrographs "
            f"(log-odds {self.threshold:.2f} or more) in {self.seconds:.1f} s"
        )
        if self.estimate and self.count:
            text += (
                f"; about {100 * self.estimate['precision']:.0f} % of them are right "
                f"({100 * self.estimate['precision_low']:.0f} to "
                f"{100 * self.estimate['precision_high']:.0f} %), and they are about "
                f"{100 * self.estimate['recall']:.0f} % of all particles "
                f"({100 * self.estimate['recall_low']:.0f} to "
                f"{100 * self.estimate['recall_high']:.0f} %)"
            )
        text += say_contamination(self.contamination.values())
        if self.reused:
            text += f"; kept scores of {self.reused} micrographs used again"
        return text + (f"; {len(self.failures)} micrographs failed" if self.failures else "")

    def findings(self) -> Dict[str, Any]:
        """Return what the record of the run says of it."""
        return {
            "micrographs": len(self.picks),
            "failed": len(self.failures),
            "picks": self.count,
            "reused": self.reused,
            "estimate": self.estimate,
            **contamination_record(self.contamination.values()),
            "seconds": round(self.seconds, 2),
        }

    def doubt_if_few(self, diameter: float) -> None:
        """Say what to check where hardly anything was found at a diameter (Å)."""
        micrographs = len(self.picks)
        if micrographs and not self.count:
            log.warning(_NOTHING_FOUND, micrographs, diameter, self.threshold)
        elif self.count < micrographs:
            log.warning(_FEW_FOUND, self.count, micrographs, diameter, self.threshold)
