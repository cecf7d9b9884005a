# SPDX-License-Identifier: GPL-3.0-or-later
"""Which settings of a run count for picking with another model, too."""

from __future__ import annotations

import math
from typing import Dict

from ..settings import PickSettings, usual_border, usual_min_distance
from .pick_run import PickRun


def kept_settings(run: PickRun) -> Dict[str, float]:
    """Return what a person has set otherwise than follows from the diameter, by the setting's name.

    The threshold is left out: it is in log-odds of the run's model, and another one has its own.
    The diameter is that which the other model was trained on.

    Args:
        run: whose record says what was used; those of older versions say less.

    Raises:
        PupickError: the record is damaged.
    """
    usual = {
        "border": usual_border(run.diameter),
        "min_distance": usual_min_distance(run.diameter),
        "contamination": PickSettings().contamination,
    }
    keys = {"border": "edge", "min_distance": "separation"}
    used = {name: run.record.get(keys.get(name, name), value) for name, value in usual.items()}
    return {
        name: float(value) for name, value in used.items() if not math.isclose(value, usual[name])
    }
