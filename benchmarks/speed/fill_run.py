# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the peaks that a run would have found, made up: for `many.py`, which calls this.

python benchmarks/speed/fill_run.py FOLDER MICROGRAPHS
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

# a script sees only its own folder
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

if TYPE_CHECKING:
    import numpy as np

    from scipion_pupick.engine import MicrographPeaks

SIDE, PIXEL_SIZE = 512, 5.0
PEAKS, PICKS = 400, 200
NAMES, RUN, MODEL = "names", "run", "model.safetensors"


def fill_run(work: Path, count: int) -> None:
    """Write peaks of the first micrographs, so many of them picks."""
    import numpy as np

    from scipion_pupick.engine import PickRun, PickSettings, find_micrographs
    from scipion_pupick.engine.networks.model import load_model
    from scipion_pupick.engine.picker import Picker
    from scipion_pupick.engine.runs.score_micrographs import fingerprint_of

    # names of micrographs are as the measured commands see them
    os.chdir(work)
    model = load_model(MODEL)
    picker = Picker.of_judge(model, lambda images: (images, None), PickSettings())
    run = PickRun(Path(RUN))
    random = np.random.default_rng(0)
    for micrograph in find_micrographs([NAMES])[:count]:
        peaks = made_up(random, model.threshold)
        fingerprint = fingerprint_of(micrograph, model.digest, picker)
        run.write_peaks(replace(peaks, fingerprint=fingerprint), micrograph.name)


def made_up(random: np.random.Generator, threshold: float) -> MicrographPeaks:
    """Return peaks of which so many reach a threshold."""
    import numpy as np

    from scipion_pupick.engine import Coordinates, MicrographPeaks

    xy = random.uniform(30, SIDE - 30, (PEAKS, 2))
    above = np.sort(random.exponential(2.0, PICKS))[::-1]
    below = -np.sort(random.exponential(2.0, PEAKS - PICKS)) - 0.01
    score = threshold + np.concatenate([above, below])
    return MicrographPeaks(Coordinates(xy[:, 0], xy[:, 1], score), (SIDE, SIDE), PIXEL_SIZE)


if __name__ == "__main__":
    fill_run(Path(sys.argv[1]), int(sys.argv[2]))
