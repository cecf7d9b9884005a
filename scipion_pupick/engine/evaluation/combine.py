# SPDX-License-Identifier: GPL-3.0-or-later
"""One set of picks out of several: what all pickers found, what any did, what only one did."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Dict, List, Mapping, Sequence, Tuple

import numpy as np

from ..coordinates import Coordinates, Picks
from ..coordinates.assign_picks import report_other_names
from ..coordinates.rescale import same_image
from ..errors import UsageError
from ..micrographs import Micrograph, match_names
from .matching import match_points

log = logging.getLogger(__name__)

# a probability of 0 or 1 has no finite log-odds
_LEAST_PROBABILITY = 1e-4


@dataclass(frozen=True)
class PickSet:
    """The picks of one picker.

    Attributes:
        name: of the picker, for what is said.
        picks: by micrograph name, px; empty for a micrograph in which the picker found nothing, and
            none for one that it has not seen, as far as that is known.
        calibrated: whether the scores are known to be log-odds.
    """

    name: str
    picks: Picks
    calibrated: bool = False

    @property
    def scores(self) -> np.ndarray:
        """Scores (n,) of all picks; NaN where there is none."""
        return np.concatenate([np.empty(0), *(c.score for c in self.picks.values())])

    @property
    def has_probabilities(self) -> bool:
        """Whether all picks have scores from 0 to 1, as crYOLO's and REPIC's; so it is of none."""
        scores = self.scores
        return bool(((scores >= 0) & (scores <= 1)).all())

    def in_log_odds(self) -> PickSet:
        """Return the same picks with log-odds for probabilities."""
        if self.calibrated or not self.has_probabilities:
            return self
        picks = {name: with_scores(c, _log_odds(c.score)) for name, c in self.picks.items()}
        return PickSet(self.name, picks, True)


@dataclass(frozen=True)
class Combination:
    """Particles that several pickers found.

    Attributes:
        picks: particles by micrograph name, px.
        votes: (n,) by micrograph name, how many pickers found each.
        comparable: whether all scores are log-odds, so that the highest counts.
    """

    picks: Picks
    votes: Mapping[str, np.ndarray]
    comparable: bool


def combine_picks(sets: Sequence[PickSet], tolerance: float, least: int, most: int) -> Combination:
    """Take the particles that some of several pickers found.

    Picks of different pickers that are nearer than the tolerance are of one particle, each picker's
    at most once, the nearest to the particle's first one. Where all scores are log-odds, place and
    score are those of the pick with the highest; else those of the first picker that found it.

    Args:
        sets: of two or more pickers; micrographs may have different names in each.
        tolerance: largest distance of two picks of one particle, px.
        least: of the pickers, this many or more have to have found a particle.
        most: and no more than this many. Where it is 1, only those of the first picker are taken.

    Raises:
        UsageError: the tolerance or the number of pickers makes no sense.
    """
    if not 1 <= least <= most <= len(sets):
        raise UsageError(f"{least} of {len(sets)} pickers cannot be asked for.", setting="vote")
    converted = [one.in_log_odds() for one in sets]
    comparable = all(one.calibrated for one in converted)
    if not comparable:
        log.warning(
            "The scores of %s are no log-odds, so they do not compare: a particle has the score of "
            "the first picker that found it.",
            ", ".join(one.name for one in converted if not one.calibrated),
        )
    found: Picks = {}
    votes: Dict[str, np.ndarray] = {}
    for name, parts in by_micrograph(converted).items():
        particles, which = _particles(parts, tolerance, comparable)
        counts = which.sum(axis=1)
        wanted = (counts >= least) & (counts <= most)
        if most == 1:
            wanted &= which[:, 0]
        found[name], votes[name] = particles.select(wanted), counts[wanted]
    return Combination(found, votes, comparable)


def by_micrograph(sets: Sequence[PickSet]) -> Dict[str, List[Coordinates]]:
    """Return the picks of each picker by the name that a micrograph has where it comes first.

    Where a picker has not seen a micrograph it counts as having found nothing, and that is said.

    Raises:
        UsageError: two names of one picker fit the same micrograph, or picks of one micrograph are
            px of images with different pixel sizes.
    """
    known: Dict[str, Dict[int, Coordinates]] = {}
    for number, one in enumerate(sets):
        others = [Micrograph(Path(name), name) for name in known]
        matched = match_names(one.picks, others)
        report_other_names(matched, others, "picks")
        _say_other_folders(matched)
        for given, coordinates in one.picks.items():
            name = matched[given].name if given in matched else given
            parts = known.setdefault(name, {})
            if len(parts.get(number, ())) and len(coordinates):
                raise UsageError(f"{given}: two names of one picker fit the micrograph {name}.")
            _refuse_other_pixels(name, [*parts.values()], coordinates)
            if len(coordinates) or number not in parts:
                parts[number] = coordinates
    _say_unseen(sets, known)
    pickers = range(len(sets))
    return {
        name: [parts.get(number, Coordinates.empty()) for number in pickers]
        for name, parts in known.items()
    }


def _say_unseen(sets: Sequence[PickSet], known: Mapping[str, Mapping[int, Coordinates]]) -> None:
    for number, one in enumerate(sets):
        unseen = [name for name, parts in known.items() if number not in parts]
        if unseen:
            log.warning(
                "%s does not name %d of the %d micrographs, such as %s: it counts as having found "
                "nothing there. If it has not picked in them, leave out what the others found.",
                one.name,
                len(unseen),
                len(known),
                unseen[0],
            )


def _refuse_other_pixels(name: str, parts: Sequence[Coordinates], more: Coordinates) -> None:
    other = next((p for p in parts if not same_image(p.pixel_size, more.pixel_size)), None)
    if other is not None:
        raise UsageError(
            f"{name}: picks of one file are of images with {other.pixel_size:g} Å/px, and those of "
            f"another with {more.pixel_size:g} Å/px: give the micrographs' pixel size.",
            setting="pixel_size",
        )


def _say_other_folders(matched: Mapping[str, Micrograph]) -> None:
    """Say where names of two folders were tied, since these may hold different micrographs."""
    other = [name for name, m in matched.items() if _in_other_folder(name, m.name)]
    if other:
        log.warning(
            "The picks of %d micrographs are tied to those in other folders, such as %s to %s: if "
            "these are different micrographs, rename them.",
            len(other),
            other[0],
            matched[other[0]].name,
        )


def _in_other_folder(name: str, other: str) -> bool:
    """Whether the folders of two names differ, as far as both are said."""
    folders = Path(name).parent.parts, Path(other).parent.parts
    said = min(map(len, folders))
    return said > 0 and folders[0][-said:] != folders[1][-said:]


def _particles(
    parts: Sequence[Coordinates], tolerance: float, comparable: bool
) -> Tuple[Coordinates, np.ndarray]:
    """Return the particles (n) of one micrograph, and which pickers found each, (n, pickers)."""
    first = np.empty((0, 2))
    best = np.empty((0, 3))
    which = np.zeros((0, len(parts)), bool)
    for number, picks in enumerate(parts):
        rows = np.column_stack([picks.x, picks.y, picks.score])
        match = match_points(picks.xy, first, tolerance, picks.score)
        known = match >= 0
        which[match[known], number] = True
        if comparable:
            higher = known & (rows[:, 2] > best[match, 2]) if len(best) else known
            best[match[higher]] = rows[higher]
        new = np.zeros((int((~known).sum()), len(parts)), bool)
        new[:, number] = True
        which = np.concatenate([which, new])
        first, best = (
            np.concatenate([first, rows[~known, :2]]),
            np.concatenate([best, rows[~known]]),
        )
    return Coordinates(*best.T), which


def with_scores(coordinates: Coordinates, score: np.ndarray) -> Coordinates:
    """Return the same picks with other scores (n,)."""
    return replace(coordinates, score=score)


def _log_odds(probability: np.ndarray) -> np.ndarray:
    inside = np.clip(probability, _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
    return np.log(inside / (1 - inside))


def probabilities(coordinates: Coordinates) -> Coordinates:
    """Return the same picks with probabilities for log-odds."""
    return with_scores(coordinates, 1 / (1 + np.exp(-coordinates.score)))
