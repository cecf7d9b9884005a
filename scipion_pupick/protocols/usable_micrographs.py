# SPDX-License-Identifier: GPL-3.0-or-later
"""What a picking tells of its micrographs: how much of each is free of contamination."""

from __future__ import annotations

from typing import Any, Iterable, List, Sequence

import pyworkflow.object as pwobj
import pyworkflow.protocol.params as params
from pwem.objects import Micrograph, SetOfMicrographs

from ..constants import MASK, ON_CONTAMINATION, USABLE
from ..engine import Cut, PickRun
from .picking_with_model import PickingWithModel


def define_usable(form: Any) -> None:
    """Add which micrographs are handed on, and whether masks are written."""
    form.addParam(
        "leastUsable",
        params.FloatParam,
        default=0.0,
        expertLevel=params.LEVEL_ADVANCED,
        validators=[params.Range(0, 1, error="must be a share from 0 to 1, such as 0.3 for 30 %.")],
        label="Least usable share (0 to 1)",
        help="A model that knows contamination also gives a set of the micrographs, with the "
        "share of each that is free of it; those with less than this are left out there. Their "
        "coordinates stay. 0 leaves none out.",
    )
    form.addParam(
        "writeMasks",
        params.BooleanParam,
        default=False,
        expertLevel=params.LEVEL_ADVANCED,
        label="Write masks",
        help="Write where ice, carbon and dirt lie in each micrograph, as an image (MRC) that is "
        "1 there and 0 elsewhere; the set of micrographs names it.",
    )


class UsableMicrographs(PickingWithModel):
    """A picking that gives its micrographs, with their usable shares, when it ends."""

    def _askedOfMicrographs(self) -> List[Any]:
        return [self.leastUsable.get(), self.writeMasks.get()]

    def _fillMicrographs(self, micrographs: Sequence[Micrograph]) -> None:
        """Make the set of micrographs, or fill it anew, if the model knows contamination."""
        run = self._wholeRun()
        output = getattr(self, "outputMicrographs", None)
        if output is None and "usable" not in run.record:
            return
        if output is None:
            output = self._createSetOfMicrographs()
            output.copyInfo(self.getInputMicrographs())
            is_new = True
        else:
            output.enableAppend()
            output.clear()
            is_new = False
        _append_usable(micrographs, run, self._cut(), self.leastUsable.get(), output)
        self._updateOutputSet("outputMicrographs", output, SetOfMicrographs.STREAM_CLOSED)
        if is_new:
            self._defineTransformRelation(self.getInputMicrographsPointer(), output)

    def _usableLines(self) -> List[str]:
        """Say how much is usable, for the summary."""
        record = self._wholeRun().record
        if "usable" not in record:
            return []
        lines = [
            f"{100 * record['usable']:.0f} % of the area is usable; {record['on_contamination']} "
            "picks on contamination were dropped."
        ]
        output = getattr(self, "outputMicrographs", None)
        if output is not None and self.leastUsable.get() > 0:
            lines.append(
                f"{output.getSize()} of {record['micrographs']} micrographs have a usable share of "
                f"{self.leastUsable.get():g} or more."
            )
        return lines


def _append_usable(
    micrographs: Iterable[Micrograph],
    run: PickRun,
    cut: Cut,
    least: float,
    output: SetOfMicrographs,
) -> None:
    """Add the micrographs of which enough is free of contamination to a set.

    Each is given its usable share, how many picks were dropped, and the mask if there is one.

    Args:
        micrographs: of the run; those of which nothing is known are left out.
        run: that has picked in them.
        cut: by which picks were dropped.
        least: usable share.
        output: set to add to.
    """
    for micrograph in micrographs:
        peaks = run.kept_peaks(micrograph.getFileName())
        known = None if peaks is None else cut.contamination_of(peaks)
        if known is None or known.usable < least:
            continue
        usable = micrograph.clone()
        mask = run.mask_path(micrograph.getFileName())
        setattr(usable, USABLE, pwobj.Float(known.usable))
        setattr(usable, ON_CONTAMINATION, pwobj.Integer(known.dropped))
        setattr(usable, MASK, pwobj.String(str(mask) if mask.exists() else None))
        output.append(usable)
