# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a person should correct picks first: areas of micrographs that the model doubts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Mapping, Tuple

import numpy as np

from ..calibration.precision_recall_estimate import chance_of
from ..coordinates import Coordinates
from ..coordinates.area import Area
from ..picking.peaks_file import MicrographPeaks
from ..settings import SUGGESTED_PICKS
from .outliers import Outlier, find_outliers
from .pick_run import PickRun

_MICROGRAPHS_SHOWN = 6
_ODD_MICROGRAPHS = 2
# half the side of the smallest area, diameters
_LEAST_REACH = 1.0
# areas of a micrograph that are compared
_MOST_CENTRES = 200


@dataclass(frozen=True)
class Suggestion:
    """An area of one micrograph in which all is to be looked at.

    Attributes:
        area: where, px of the micrograph.
        picks: in it, those in most doubt first; the best peaks where nothing was picked.
        reason: why this micrograph, for people.
        which: indices of these among the peaks of the micrograph.
    """

    area: Area
    picks: Coordinates
    reason: str
    which: Tuple[int, ...]


def suggest_picks(
    run: PickRun, peaks: Mapping[str, MicrographPeaks], count: int = SUGGESTED_PICKS
) -> Dict[str, Suggestion]:
    """Choose micrographs of a run in which the model is in most doubt, and an area in each.

    All of an area is looked at: scattered picks that the model doubts taught less than as many
    random labels. Most micrographs are those with most peaks that may be particles as well as not;
    a few are those whose number of picks is out of line, where the model may be wrong as a whole.
    In each, the area is one of median doubt among those with as many picks, so that what is found
    there holds for the rest, too: which share of the picks is right, and how many are missed
    (docs/decisions/039-areas-that-stand-for-the-rest.md).

    Args:
        run: that picked.
        peaks: of the run by micrograph name, as it returns them.
        count: of picks to look at, in all micrographs.

    Returns:
        Suggestions by micrograph name, the most doubtful first; nothing where there is no peak.
    """
    doubts = {name: _doubt(run, kept) for name, kept in peaks.items()}
    chosen = _choose_micrographs(run, peaks, doubts)
    share = -(-count // max(1, len(chosen)))
    return {
        name: _suggest(run, peaks[name], doubts[name], share, reason)
        for name, reason in chosen.items()
    }


def _doubt(run: PickRun, peaks: MicrographPeaks) -> np.ndarray:
    """Variance (n,) of whether each peak is a particle: highest at even odds.

    Of what no threshold makes a pick, as in the border, there is no doubt. A threshold far from
    even odds says that the scores are not taken for log-odds.
    """
    probability = chance_of(peaks.coordinates.score - min(0.0, run.threshold))
    return np.where(run.cut.of_all_scores.admits(peaks), probability * (1 - probability), 0.0)


def _choose_micrographs(
    run: PickRun, peaks: Mapping[str, MicrographPeaks], doubts: Mapping[str, np.ndarray]
) -> Dict[str, str]:
    """Choose micrographs, each with the reason."""
    names = [name for name, kept in peaks.items() if run.cut.of_all_scores.admits(kept).any()]
    doubtful = sorted(names, key=lambda name: -float(doubts[name].sum()))
    # what the run admits lies apart from the threshold in these peaks already
    counts = np.array([(peaks[name].coordinates.score >= run.threshold).sum() for name in names])
    odd = sorted(find_outliers({"picks": counts.astype(float)}), key=lambda each: -each.by)
    others = {names[each.index]: _say_count(each) for each in odd[:_ODD_MICROGRAPHS]}
    most = [name for name in doubtful if name not in others][: _MICROGRAPHS_SHOWN - len(others)]
    return {**dict.fromkeys(most, "many doubtful picks"), **others}


def _say_count(odd: Outlier) -> str:
    more = "more" if odd.value > odd.usual else "fewer"
    return f"{more} picks than usual: {odd.value:.0f}, not {odd.usual:.0f}"


def _suggest(
    run: PickRun, peaks: MicrographPeaks, doubt: np.ndarray, share: int, reason: str
) -> Suggestion:
    """Choose the area of median doubt of those that hold so many picks."""
    xy, picks = peaks.coordinates.xy, _picks_or_best(run, peaks, share)
    centres = xy[picks[:: -(-len(picks) // _MOST_CENTRES)]]
    least, border = _LEAST_REACH * run.diameter, run.cut.border
    reaches = [_reach(share, centre, xy[picks], least / peaks.pixel_size) for centre in centres]
    areas = [
        Area.around((float(x), float(y)), reach, peaks.shape, border / peaks.pixel_size)
        for (x, y), reach in zip(centres, reaches)
    ]
    by_doubt = sorted(areas, key=lambda each: float(doubt[each.holds(xy)].sum()))
    area = by_doubt[len(by_doubt) // 2]
    shown = picks[area.holds(xy[picks])]
    which = shown[np.argsort(-doubt[shown], kind="stable")]
    return Suggestion(area, peaks.coordinates.select(which), reason, tuple(which.tolist()))


def _picks_or_best(run: PickRun, peaks: MicrographPeaks, least: int) -> np.ndarray:
    """Return the indices of the picks; of the best peaks, where there are fewer picks."""
    picks = np.flatnonzero(run.cut.admits(peaks))
    best = np.flatnonzero(run.cut.of_all_scores.admits(peaks))[:least]
    return picks if len(picks) >= len(best) else best


def _reach(count: int, centre: np.ndarray, places: np.ndarray, least: float) -> float:
    """Return how far a square reaches from a point that holds so many places, if there are (px)."""
    apart = np.sort(np.abs(places - centre).max(axis=1))
    return max(least, float(apart[min(count, len(apart)) - 1]))
