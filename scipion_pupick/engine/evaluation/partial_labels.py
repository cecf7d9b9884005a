# SPDX-License-Identifier: GPL-3.0-or-later
"""Picks judged by labels of only some of the particles, such as those picked by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List

import numpy as np

from ..coordinates import Picks
from .curves import estimated_average_precision
from .matching import match_points


@dataclass(frozen=True)
class PartialEvaluation:
    """What labels of some particles tell of picks; other picks may be right, too.

    Attributes:
        average_precision: estimated.
        precision: estimated, of the picks from a threshold on.
        recall: share of the labels that these picks have found.
    """

    average_precision: float
    precision: float
    recall: float


def evaluate_by_labels(
    picks: Picks,
    labels: Picks,
    tolerance: float,
    particles: float,
    threshold: float,
) -> PartialEvaluation:
    """Judge scored picks by labels, which are taken for a random sample of the particles.

    Args:
        picks: by micrograph, up to its edges, down to scores that hardly any particle has.
        labels: by micrograph, of the same micrographs.
        tolerance: largest distance of a pick from its particle, px.
        particles: expected in a micrograph, labelled or not.
        threshold: score from which on precision and recall count.

    Raises:
        UsageError: there is no label.
    """
    of_labels: List[np.ndarray] = [np.empty(0)]
    of_picks: List[np.ndarray] = [np.empty(0)]
    expected = 0.0
    for name, found in picks.items():
        if name not in labels:
            continue
        of_labels.append(label_scores(found.xy, found.score, labels[name].xy, tolerance))
        of_picks.append(found.score)
        expected += particles
    label_score, pick_score = np.concatenate(of_labels), np.concatenate(of_picks)
    average = estimated_average_precision(label_score, pick_score, expected)
    recall = float((label_score >= threshold).mean())
    taken = max(1, int((pick_score >= threshold).sum()))
    return PartialEvaluation(average, min(1.0, recall * expected / taken), recall)


def label_scores(
    xy: np.ndarray, score: np.ndarray, labels: np.ndarray, tolerance: float
) -> np.ndarray:
    """Score (n,) of the peak that matches each label; -inf for a label without one.

    Args:
        xy: (m, 2) of peaks, px.
        score: (m,) of the peaks.
        labels: (n, 2), px of the same image.
        tolerance: largest distance of a peak from its label, px.
    """
    scores = np.full(len(labels), -np.inf)
    assigned = match_points(xy, labels, tolerance, score)
    scores[assigned[assigned >= 0]] = score[assigned >= 0]
    return scores
