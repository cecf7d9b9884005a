# SPDX-License-Identifier: GPL-3.0-or-later
"""The cells of the paper's experiments, in the order in which they are worth computing.

A group of cells is one comparison of a figure, with all choices of labels. The order of groups
follows what the paper claims, so that what is there after a while answers fewer questions, wholly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Iterator, List, Sequence, Tuple

SETS = ("empiar10017", "rod")
LABELS = (10, 100, 1000)
CHOICES = tuple(range(1, 11))
PAPERS = ("pn", "nnpu", "ge-kl", "ge-binomial")
OTHERS = ("ge-binomial-kl", "upu")
GE_BINOMIAL = "ge-binomial"
PI_FACTORS = (0.5, 1.5, 0.75, 1.25)
LABELS_OF_PI = (100, 1000)


@dataclass(frozen=True)
class Cell:
    """One training and its test.

    Attributes:
        set: its name.
        method: objective.
        labels: how many.
        choice: of labels, and seed of the training.
        gamma: weight of the autoencoder.
        pi_factor: the π that training is told over the true one.
    """

    set: str
    method: str
    labels: int
    choice: int
    gamma: float = 0.0
    pi_factor: float = 1.0


Group = Tuple[str, List[Cell]]


def groups(sets: Sequence[str] = SETS, choices: Sequence[int] = CHOICES) -> Iterator[Group]:
    """Comparisons in order, each with its name; a cell stands in the first group that needs it."""
    given: Dict[Cell, None] = {}
    for name, cells in _all_groups(sets, choices):
        new = [cell for cell in dict.fromkeys(cells) if cell not in given]
        given.update(dict.fromkeys(new))
        yield name, new


def _all_groups(sets: Sequence[str], choices: Sequence[int]) -> Iterator[Group]:
    places = [(on, labels) for labels in LABELS for on in sets]
    for on, labels in places:
        yield f"objectives, {labels} labels, {on}", _objectives(on, labels, PAPERS, choices)
    for on, labels in places:
        gammas = (1.0, 10 / labels)
        cells = [Cell(on, GE_BINOMIAL, labels, c, gamma=g) for c in choices for g in gammas]
        yield f"autoencoder, {labels} labels, {on}", cells
    for on, labels in places:
        if labels in LABELS_OF_PI:
            cells = [
                Cell(on, GE_BINOMIAL, labels, c, pi_factor=f) for c in choices for f in PI_FACTORS
            ]
            yield f"π, {labels} labels, {on}", cells
    for on, labels in places:
        yield f"other objectives, {labels} labels, {on}", _objectives(on, labels, OTHERS, choices)


def _objectives(on: str, labels: int, methods: Sequence[str], choices: Sequence[int]) -> List[Cell]:
    return [Cell(on, method, labels, choice) for choice in choices for method in methods]
