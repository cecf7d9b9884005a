# SPDX-License-Identifier: GPL-3.0-or-later
"""Means over choices of labels, and paired tests between settings that had the same labels."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import mean, stdev
from typing import Dict, Iterator, List, Sequence

from scipy.stats import ttest_rel

from benchmarks.paper.cells_file import Row
from benchmarks.paper.grid import GE_BINOMIAL, LABELS_OF_PI, OTHERS, PAPERS, PI_FACTORS, Cell

SIGNIFICANT = 0.05
MEASURE = "region_ap"


@dataclass(frozen=True)
class Summary:
    """A figure of one setting over choices of labels; NaN where there are too few.

    Attributes:
        mean: of the choices.
        deviation: standard deviation of a sample.
        choices: how many.
    """

    mean: float
    deviation: float
    choices: int


@dataclass(frozen=True)
class Comparison:
    """Two settings that the paper compares, on the same labels.

    Attributes:
        claim: what the paper says.
        first: setting that the paper says is better, or as good; its choice does not count.
        second: the other.
    """

    claim: str
    first: Cell
    second: Cell


@dataclass(frozen=True)
class Result:
    """A comparison and its outcome.

    Attributes:
        comparison: of which settings.
        choices: of labels that both were measured with.
        first: mean of the first setting.
        second: mean of the second.
        p: of Student's paired t-test, two-sided; NaN with fewer than two choices.
    """

    comparison: Comparison
    choices: int
    first: float
    second: float
    p: float

    @property
    def verdict(self) -> str:
        """What the experiment says, in a word or two."""
        if not self.p < SIGNIFICANT:
            return "no difference shown"
        return "higher" if self.first > self.second else "lower"


def values(rows: Sequence[Row], setting: Cell, measure: str = MEASURE) -> Dict[int, float]:
    """A figure of a setting by choice of labels."""
    return {
        row.choice: float(getattr(row, measure))
        for row in rows
        if replace(row.cell, choice=0) == replace(setting, choice=0)
    }


def summarise(rows: Sequence[Row], setting: Cell, measure: str = MEASURE) -> Summary:
    """Mean and standard deviation of a figure of a setting."""
    found = list(values(rows, setting, measure).values())
    return Summary(
        mean(found) if found else math.nan,
        stdev(found) if len(found) > 1 else math.nan,
        len(found),
    )


def compare(rows: Sequence[Row], comparison: Comparison, measure: str = MEASURE) -> Result:
    """Test two settings on the choices of labels that both have."""
    first, second = (
        values(rows, setting, measure) for setting in (comparison.first, comparison.second)
    )
    common = sorted(first.keys() & second.keys())
    one, two = [first[c] for c in common], [second[c] for c in common]
    p = float(ttest_rel(one, two).pvalue) if len(common) > 1 else math.nan
    if not common:
        return Result(comparison, 0, math.nan, math.nan, p)
    return Result(comparison, len(common), mean(one), mean(two), p)


def comparisons(on: str, labels: Sequence[int]) -> Iterator[Comparison]:
    """What the paper says of its figures 5a, 5b and S3, for one set; and of what is ours."""
    for count in labels:
        binomial = Cell(on, GE_BINOMIAL, count, 0)
        for other in PAPERS[:3]:
            yield Comparison(
                f"GE-binomial is better than {other}", binomial, replace(binomial, method=other)
            )
        for gamma in sorted({10 / count, 1.0}):
            yield Comparison("an autoencoder helps", replace(binomial, gamma=gamma), binomial)
        if count in LABELS_OF_PI:
            for factor in sorted(PI_FACTORS):
                yield Comparison(
                    "a wrong π is as good", replace(binomial, pi_factor=factor), binomial
                )
        ours, unbiased = (replace(binomial, method=method) for method in OTHERS)
        yield Comparison("GE-binomial is better than pupick's form", binomial, ours)
        nnpu = replace(binomial, method="nnpu")
        yield Comparison("non-negative PU is better than the unbiased", nnpu, unbiased)


def results(rows: Sequence[Row]) -> List[Result]:
    """All comparisons for which there are at least two choices of labels."""
    sets = sorted({row.set for row in rows})
    labels = sorted({row.labels for row in rows if row.labels})
    tested = [compare(rows, each) for on in sets for each in comparisons(on, labels)]
    return [result for result in tested if result.choices > 1]
