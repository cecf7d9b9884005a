# SPDX-License-Identifier: GPL-3.0-or-later
"""Which picks a person should look at first: those whose correction would teach most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Mapping, Sequence, Tuple

import numpy as np

from ..calibration.precision_recall_estimate import chance_of
from ..coordinates import Coordinates
from ..errors import MicrographError
from ..picking.peaks_file import MicrographPeaks
from ..preprocessing.scale import WorkingScale, to_working
from ..preprocessing.shrink import shrink
from ..preprocessing.working_image import read_working_image
from ..runs.outliers import Outlier, find_outliers
from ..runs.pick_run import PickRun

# doubtful picks to ask for
MOST_SUGGESTED = 30
_MICROGRAPHS_SHOWN = 6
_ODD_MICROGRAPHS = 2
# as many doubtful picks as this times those wanted are told apart by their looks
_CANDIDATES = 4
_NEIGHBOURS_DIAMETERS = 1.5
_RINGS = 8


@dataclass(frozen=True)
class Suggestion:
    """What to look at in one micrograph.

    Attributes:
        doubtful: picks, and peaks below the threshold, that may be particles or not.
        neighbours: picks next to these, which are seen with them.
        reason: why this micrograph, for people.
        which: indices of the doubtful ones among the peaks of the micrograph.
    """

    doubtful: Coordinates
    neighbours: Coordinates
    reason: str
    which: Tuple[int, ...] = ()


def suggest_picks(
    run: PickRun, peaks: Mapping[str, MicrographPeaks], count: int = MOST_SUGGESTED
) -> Dict[str, Suggestion]:
    """Choose the micrographs and peaks of a run whose correction would teach most.

    A peak teaches most if it may be a particle as well as not, and if it looks unlike others that
    are asked for. Most micrographs are those with most of such peaks; a few are those whose number
    of picks is out of line, where the model may be wrong as a whole.

    Args:
        run: that picked.
        peaks: of the run by micrograph name, as it returns them.
        count: of doubtful picks to ask for, in all micrographs.

    Returns:
        Suggestions by micrograph name, the most doubtful first; nothing where there is no peak.
    """
    doubts = {name: _doubt(kept.coordinates, run.threshold) for name, kept in peaks.items()}
    chosen = _choose_micrographs(run, peaks, doubts)
    share = -(-count // max(1, len(chosen)))
    found: Dict[str, Suggestion] = {}
    for name, reason in chosen.items():
        kept, doubt = peaks[name].coordinates, doubts[name]
        order = np.argsort(-doubt, kind="stable")[: _CANDIDATES * share]
        looks = _looks(run, name, kept.select(order))
        which = order[_unlike(looks, doubt[order], share)]
        near = _neighbours(run, peaks[name], which)
        found[name] = Suggestion(kept.select(which), near, reason, tuple(which.tolist()))
    return found


def _doubt(coordinates: Coordinates, threshold: float) -> np.ndarray:
    """Variance (n,) of whether each peak is a particle: highest at even odds.

    A threshold far from even odds says that the scores are not taken for log-odds.
    """
    probability = chance_of(coordinates.score - min(0.0, threshold))
    return np.asarray(probability * (1 - probability))


def _choose_micrographs(
    run: PickRun, peaks: Mapping[str, MicrographPeaks], doubts: Mapping[str, np.ndarray]
) -> Dict[str, str]:
    """Choose micrographs, each with the reason."""
    names = [name for name in peaks if len(doubts[name])]
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


def _looks(run: PickRun, name: str, places: Coordinates) -> np.ndarray:
    """Return what each place (n) looks like: mean grey and its spread on rings round it, (n, 16).

    The same particle turned round looks the same. All look alike in a micrograph that cannot be
    read.
    """
    micrograph = next(m for m in run.micrographs if m.name == name)
    try:
        # looks are compared within a micrograph, so grey values need no normalising
        working = read_working_image(micrograph, WorkingScale(run.diameter), resample=shrink)
    except MicrographError:
        return np.zeros((len(places), 1))
    shape = (working.image.shape[0], working.image.shape[1])
    xy = to_working(places.xy, working.shape, shape)
    radius = WorkingScale(run.diameter).diameter_px / 2
    return np.array([_rings(working.image, x, y, radius) for x, y in xy])


def _rings(image: np.ndarray, x: float, y: float, radius: float) -> np.ndarray:
    """Return the mean grey on each ring round a point (px), and then its spread on each."""
    top, left = max(0, int(y - radius)), max(0, int(x - radius))
    part = image[top : int(y + radius) + 1, left : int(x + radius) + 1].astype(float)
    rows, columns = np.ogrid[top : top + part.shape[0], left : left + part.shape[1]]
    ring = np.minimum(_RINGS * np.hypot(columns - x, rows - y) / radius, _RINGS).astype(int)
    number, total, squares = (
        np.bincount(ring.ravel(), weights, _RINGS + 1)[:_RINGS]
        for weights in (None, part.ravel(), part.ravel() ** 2)
    )
    mean = total / np.maximum(number, 1)
    variance = squares / np.maximum(number, 1) - mean**2
    return np.concatenate([mean, np.sqrt(np.maximum(variance, 0))])


def _unlike(looks: np.ndarray, doubt: np.ndarray, count: int) -> Sequence[int]:
    """Choose places one by one: doubtful, and unlike all chosen before."""
    chosen = [0] if len(looks) else []
    spread = looks.std(axis=0)
    scaled = looks / np.where(spread > 0, spread, 1)
    while len(chosen) < min(count, len(looks)):
        distance = np.min([np.linalg.norm(scaled - scaled[i], axis=1) for i in chosen], axis=0)
        worth = doubt * (distance + 1e-6)
        worth[chosen] = -1
        chosen.append(int(np.argmax(worth)))
    return chosen


def _neighbours(run: PickRun, peaks: MicrographPeaks, which: np.ndarray) -> Coordinates:
    """Return the picks near some peaks, without these."""
    doubtful = peaks.coordinates.select(which)
    picks = run.cut.choose(peaks)
    apart = np.linalg.norm(picks.xy[:, None] - doubtful.xy[None], axis=2)
    distance = apart.min(axis=1, initial=np.inf)
    reach = _NEIGHBOURS_DIAMETERS * run.diameter / peaks.pixel_size
    return picks.select((distance > 0) & (distance <= reach))
