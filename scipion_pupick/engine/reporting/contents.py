# SPDX-License-Identifier: GPL-3.0-or-later
"""What a report says of a run of picking or of training."""

from __future__ import annotations

import math
import shlex
from pathlib import Path
from typing import Any, Collection, Dict, List, Mapping, Optional, Sequence, Tuple

from ..coordinates import Coordinates, Picks
from ..coordinates.assign_picks import join_by_micrograph
from ..coordinates.rescale import rescale_to_micrographs
from ..errors import UsageError
from ..micrographs import Micrograph, match_names
from ..networks.training_record import TrainingRecord
from ..runs.layout import TRAINING_LOG
from ..runs.pick_run import PickRun
from ..runs.suggestion import suggest_picks
from ..runs.training_log import read_training_log
from .over_time import quality_over_time
from .page import Page
from .pictures import MAP_RANGE, Pictures, View, choose_shown, draw
from .tables import ScoreTables, tabulate, threshold_grid

Facts = List[Tuple[str, str]]

TRAINED_ON, KNOWN = "labels", "reference"

# micrographs with numbers out of line that are shown
_MOST_ODD_SHOWN = 3


def pick_page(
    run: PickRun, view: View, reference: Picks, reference_is: str, notices: Sequence[str]
) -> Page:
    """Say and show what a run has picked.

    Args:
        run: finished or not.
        view: how to read and score the micrographs that are shown.
        reference: known particles, px, under any names of their micrographs.
        reference_is: what these are, `TRAINED_ON` or `KNOWN`.
        notices: what has been found amiss already.
    """
    peaks = dict(run.peaks())
    tables, suggestions = tabulate(run, peaks), suggest_picks(run, peaks)
    over_time = quality_over_time(run, tables.names)
    shown = _shown(run, tables, suggestions, over_time)
    reference_by_name, unmatched = _by_name(reference, run.micrographs, reference_is)
    shapes = {name: peaks[name].shape for name in suggestions}
    # those of all others need no memory any more
    peaks = {m.name: peaks[m.name] for m in shown}
    pictures = draw(shown, peaks, reference_by_name, view, tables.grid)
    data = {
        **_common(pictures, run.diameter),
        "tables": tables.as_json(),
        "names": tables.names,
        "look": [
            [name, s.reason, s.which, s.area.shares(shapes[name])]
            for name, s in suggestions.items()
        ],
        "overTime": over_time,
        "run": shlex.quote(str(run.folder.absolute())),
        "chosen": shlex.quote(f"{run.folder.absolute()}-chosen"),
        "referenceIs": reference_is,
        "training": _history(run.model.parent, run.training),
    }
    return Page(
        title=f"Picks of {run.folder}",
        lead=_lead(tables),
        facts=_pick_facts(run),
        notices=[*notices, *unmatched, *_notices(run, tables, pictures)],
        failures=list(run.failures.items()),
        data=data,
    )


def train_page(
    folder: Path,
    training: Optional[TrainingRecord],
    micrographs: Sequence[Micrograph],
    labels: Picks,
    labels_are: str,
    view: View,
    notices: Sequence[str],
) -> Page:
    """Say and show what a model was trained on.

    Args:
        folder: of the training.
        training: how the model came about; None where the training has not ended.
        micrographs: given to the training.
        labels: particles to show, px, under any names of their micrographs.
        labels_are: what these are, `TRAINED_ON` or `KNOWN`.
        view: how to read the micrographs that are shown.
        notices: what has been found amiss already.
    """
    by_name, unmatched = _by_name(labels, micrographs, labels_are)
    labelled = [m for m in micrographs if len(by_name.get(m.name, ()))]
    counts = [len(by_name[m.name]) for m in labelled]
    shown = [labelled[i] for i in choose_shown(counts)]
    pictures = draw(shown, {}, by_name, view, threshold_grid(0.0, 0.0))
    record = training or TrainingRecord()
    data = {
        **_common(pictures, view.scale.diameter),
        "tables": None,
        "names": [],
        "referenceIs": labels_are,
        "training": _history(folder, record),
    }
    return Page(
        title=f"Training of {folder}",
        lead=_training_lead(training),
        facts=_training_facts(record),
        notices=[*notices, *unmatched, *_unseen(pictures)],
        failures=list(record.failed_micrographs.items()),
        data=data,
    )


def _common(pictures: Pictures, diameter: float) -> Dict[str, Any]:
    return {
        "shown": pictures.micrographs,
        "gallery": pictures.gallery,
        "mapRange": MAP_RANGE,
        "diameter": diameter,
        "look": [],
        "overTime": None,
    }


def _shown(
    run: PickRun,
    tables: ScoreTables,
    suggestions: Collection[str],
    over_time: Optional[Mapping[str, Any]],
) -> List[Micrograph]:
    by_name = {m.name: m for m in run.micrographs}
    oddest = over_time["order"][:_MOST_ODD_SHOWN] if over_time else []
    wanted = {*(i for i, name in enumerate(tables.names) if name in suggestions), *oddest}
    chosen = choose_shown(tables.own_counts.tolist(), wanted=wanted)
    return [by_name[tables.names[i]] for i in chosen]


def _by_name(
    picks: Picks, micrographs: Sequence[Micrograph], what: str
) -> Tuple[Dict[str, Coordinates], List[str]]:
    """Find the picks of each micrograph, px of it; where there are none, say why."""
    try:
        matched = match_names(picks, micrographs)
    except UsageError as error:
        return {}, [f"Not shown: {what}. {error}."]
    if what == KNOWN and not matched:
        return {}, [f"Not shown: {what}. {_why_none(picks)}"]
    many = "labels" if what == TRAINED_ON else "reference particles"
    return join_by_micrograph(rescale_to_micrographs(picks, matched, many), matched), []


def _why_none(picks: Picks) -> str:
    if not picks:
        return "It holds no particle."
    number = _number(len(picks), "micrograph")
    return f"It is of {number}, such as {next(iter(picks))}, and this run has none of these names."


def _history(folder: Path, training: TrainingRecord) -> Optional[Dict[str, Any]]:
    """Return the epochs that lie in a folder, if they are of the same training."""
    history = read_training_log(folder / TRAINING_LOG)
    if not history or training.epochs not in (None, len(history["epoch"])):
        return None
    return {
        "best": training.best_epoch,
        **{name: values.tolist() for name, values in history.items()},
    }


def _lead(tables: ScoreTables) -> str:
    picks = int(tables.own_counts.sum())
    if not tables.names:
        return "No micrograph has been picked."
    # halves up, as JavaScript rounds the page's other numbers
    mean = math.floor(picks / len(tables.names) + 0.5)
    text = (
        f"{_number(picks, 'particle')} picked in {_number(len(tables.names), 'micrograph')}, "
        f"{mean:,} in each on average."
    )
    return text if picks else f"No particle picked in {_number(len(tables.names), 'micrograph')}."


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}" + ("" if count == 1 else "s")


def _notices(run: PickRun, tables: ScoreTables, pictures: Pictures) -> List[str]:
    notices = []
    done = {*tables.names, *run.failures}
    waiting = sum(m.name not in done for m in run.micrographs)
    if not run.finished:
        notices.append(
            f"This run has not ended: {_number(waiting, 'micrograph')} of "
            f"{len(run.micrographs):,} not picked yet. Call the same command again to continue."
        )
    elif waiting:
        notices.append(
            f"The scores of {_number(waiting, 'micrograph')} are no longer in {run.folder}."
        )
    if not run.is_calibrated:
        notices.append(
            "The model does not say how well its scores are calibrated: take the estimated "
            "precision and recall as a rough guide."
        )
    if run.training.general:
        notices.append(
            "The general model has seen none of your particles: the estimated precision and recall "
            "can be off by more than their intervals. Look at the micrographs and the cut-outs; "
            "training on some picks of your own makes both picks and estimates better."
        )
    if tables.names and not tables.counts[0]:
        notices.append(
            "There is no peak at all, at whatever threshold: check the diameter, the border and "
            "the model."
        )
    elif tables.names and not tables.own_counts.sum():
        notices.append(
            f"No score reaches the threshold of {run.threshold:.2f}; lower scores are there. Move "
            "the threshold down to see what comes next, and check the diameter and the model."
        )
    return notices + _unseen(pictures)


def _unseen(pictures: Pictures) -> List[str]:
    if not pictures.failures:
        return []
    reason = next(iter(pictures.failures.values()))
    number = _number(len(pictures.failures), "micrograph")
    return [f"{number} chosen to be shown here cannot be read any more: {reason}"]


def _pick_facts(run: PickRun) -> Facts:
    record = run.record
    facts = [
        ("Micrographs", f"{len(run.micrographs):,}, of which {len(run.failures):,} failed"),
        ("Model", _model(run)),
        ("Particle", f"{run.diameter:g} Å wide; picks at least {_angstrom(record)} apart"),
        ("Threshold", f"{run.threshold:.2f} (log-odds that a peak is a particle)"),
    ]
    if "usable" in record:
        facts.append(
            (
                "Contamination",
                f"{100 * record['usable']:.0f} % of the area is usable; "
                f"{_number(record['on_contamination'], 'pick')} on contamination dropped",
            )
        )
    if run.finished:
        facts.append(("Time", _time(record)))
    return [*facts, *_training_facts(run.training), *_versions(record)]


def _model(run: PickRun) -> str:
    path, simulated = str(run.model), run.training.simulated_particles
    if not run.training.general:
        return path
    about = f", trained on simulations of {_number(simulated, 'particle')}" if simulated else ""
    if run.training.learned_from:
        about += f" and on {_number(len(run.training.learned_from), 'real set')}"
    return f"the general model{about}, fitted to these micrographs: {path}"


def _angstrom(summary: Mapping[str, Any]) -> str:
    return f"{float(summary.get('separation', 0)):g} Å"


def _time(summary: Mapping[str, Any]) -> str:
    seconds, reused = float(summary["seconds"]), int(summary.get("reused", 0))
    length = f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
    text = f"{length} on {summary.get('device', 'this computer')}"
    kept = f"; kept scores of {_number(reused, 'micrograph')} were used again"
    return text + (kept if reused else "")


def _versions(summary: Mapping[str, Any]) -> Facts:
    versions = summary.get("versions", {})
    text = ", ".join(f"{name} {version}" for name, version in versions.items())
    return [("Versions", text)] if text else []


def _training_lead(training: Optional[TrainingRecord]) -> str:
    if training is None:
        return "This training has not ended."
    if training.labels is None:
        return "A model that does not say what it was trained on."
    held_out = training.held_out_labels or 0
    text = (
        f"A model trained on {_number(training.labels, 'label')} in "
        f"{_number(training.micrographs or 0, 'micrograph')}"
    )
    more = f", and {held_out:,} more held out to choose the best epoch by." if held_out else "."
    return text + more


def _training_facts(training: TrainingRecord) -> Facts:
    """Say what a model was trained on, as far as it says so itself."""
    facts: Facts = []
    if training.bright_particles:
        facts = [("Contrast", "the particles look bright: the model sees negatives")]
    if training.labels is None:
        return facts
    facts += [
        (
            "Trained on",
            f"{_number(training.labels, 'label')}, {training.held_out_labels or 0:,} more held out",
        ),
        (
            "Expected",
            f"{training.particles_per_micrograph:g} particles per micrograph"
            + (" (estimated)" if training.particles_estimated else "")
            + f"; π = {training.pi:.3g} of the unlabelled regions hold one",
        ),
        ("Best epoch", f"{training.best_epoch} of {training.epochs}"),
    ]
    precision = training.held_out_average_precision
    if precision is not None:
        facts.append(("Held-out labels", f"average precision {precision:.3f}"))
    return facts
