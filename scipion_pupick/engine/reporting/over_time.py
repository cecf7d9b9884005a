# SPDX-License-Identifier: GPL-3.0-or-later
"""How good the picks of each micrograph seem to be, in the order of acquisition, for a report."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence

from ..errors import PupickError
from ..runs.outliers import NEIGHBOURS, Outlier, find_outliers, usual_values
from ..runs.pick_run import PickRun
from ..runs.quality import quality_columns, read_quality
from .packing import pack

# points of the line of what is usual; screens have hardly more
MOST_POINTS = 800


def quality_over_time(run: PickRun, names: Sequence[str]) -> Optional[Dict[str, Any]]:
    """Return the table of a run's quality for the report's script; None where there is none.

    Args:
        run: finished or not.
        names: of the micrographs that have been scored, in the order of acquisition.
    """
    try:
        known = read_quality(run.folder)
    except (PupickError, OSError):
        return None
    # a table that lacks a micrograph is not of these picks
    if not names or not all(name in known for name in names):
        return None
    columns = quality_columns([known[name] for name in names])
    outliers = find_outliers(columns)
    step = max(1, -(-len(names) // MOST_POINTS))
    return {
        "columns": [
            {
                "name": name,
                "values": pack(values, "float32"),
                "usual": pack(usual_values(values)[::step], "float32"),
            }
            for name, values in columns.items()
        ],
        "step": step,
        "neighbours": min(NEIGHBOURS, len(names)),
        "outliers": [[each.index, each.column, each.value, each.usual] for each in outliers],
        "order": oddest(outliers),
        "picks": int(columns["picks"].sum()),
    }


def oddest(outliers: Sequence[Outlier]) -> List[int]:
    """Return the micrographs (indices) with numbers out of line, those farthest from it first."""
    farthest: Dict[int, float] = {}
    for each in outliers:
        farthest[each.index] = max(each.by, farthest.get(each.index, 0.0))
    return sorted(farthest, key=lambda index: -farthest[index])
