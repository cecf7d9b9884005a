# SPDX-License-Identifier: GPL-3.0-or-later
"""Which micrographs are unlike those that were acquired before and after them.

A number is compared with the running median of the micrographs round it, so that what changes in
the course of a session (ice, drift, another grid square) is not taken for an accident, nor do the
accidents themselves move what is usual.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Mapping

import numpy as np

# micrographs in a running median, half of them before and half after
NEIGHBOURS = 51
# fewer do not say what is usual
_LEAST_KNOWN = 10
# deviations, as the median distance from what is usual tells them, that are out of line
MOST_USUAL_DEVIATIONS = 5.0
_DEVIATION_OF_MEDIAN = 1.4826
# what is nearer to the usual value is never out of line, however alike the others are: a number,
# and a share of the usual value
_LEAST: Mapping[str, float] = {
    "picks": 5.0,
    "precision": 0.1,
    "recall": 0.1,
    "crowding": 0.1,
    "contrast": 0.0,
    "score": 0.5,
    "usable": 0.1,
}
_LEAST_SHARE: Mapping[str, float] = {"picks": 0.25, "contrast": 0.25}


@dataclass(frozen=True)
class Outlier:
    """A number of a micrograph that is out of line.

    Attributes:
        index: of the micrograph, in the order of acquisition.
        column: what the number is.
        value: the number.
        usual: of the micrographs round this one.
        by: how far it is from the usual, in those distances that are just in line.
    """

    index: int
    column: str
    value: float
    usual: float
    by: float

    def describe(self) -> str:
        """Return the column, and whether the number is high or low."""
        return f"{self.column} {'high' if self.value > self.usual else 'low'}"


def find_outliers(table: Mapping[str, np.ndarray]) -> List[Outlier]:
    """Find the numbers that are out of line.

    A number is if it is farther from the running median of its column than five deviations, each
    1.4826 times the median of all such distances, and farther than a least distance.

    Args:
        table: numbers (n,) of micrographs by column, in the order of acquisition; NaN where one is
            not known. Columns are those of `Picked`.

    Returns:
        By micrograph, and then by column.
    """
    found: List[Outlier] = []
    for column, values in table.items():
        if np.isfinite(values).sum() < _LEAST_KNOWN:
            continue
        usual = usual_values(values)
        by = np.abs(values - usual) / _most_usual(column, values, usual)
        found += [
            Outlier(int(i), column, float(values[i]), float(usual[i]), float(by[i]))
            for i in np.flatnonzero(by > 1)
        ]
    return sorted(found, key=lambda outlier: outlier.index)


def usual_values(values: np.ndarray) -> np.ndarray:
    """Return the median of the known numbers round each of n, (n,); NaN where it is not known."""
    usual = np.full(len(values), np.nan)
    known = np.flatnonzero(np.isfinite(values))
    if len(known):
        width = min(NEIGHBOURS, len(known))
        windows = np.lib.stride_tricks.sliding_window_view(values[known], width)
        first = np.clip(np.arange(len(known)) - width // 2, 0, len(windows) - 1)
        usual[known] = np.median(windows, axis=1)[first]
    return usual


def _most_usual(column: str, values: np.ndarray, usual: np.ndarray) -> np.ndarray:
    """Return how far each number may lie from the usual one, (n,)."""
    deviation = _DEVIATION_OF_MEDIAN * float(np.nanmedian(np.abs(values - usual)))
    share = _LEAST_SHARE.get(column, 0.0) * np.abs(usual)
    least = np.maximum(_LEAST[column], share)
    # a column whose numbers are all alike, and zero
    return np.maximum(np.maximum(MOST_USUAL_DEVIATIONS * deviation, least), 1e-9)
