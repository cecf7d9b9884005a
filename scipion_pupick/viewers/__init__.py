# SPDX-License-Identifier: GPL-3.0-or-later
"""What "Analyze results" shows of the protocols' results."""

from .viewer_evaluate import PUPickEvaluationViewer
from .viewer_picks import PUPickPicksViewer
from .viewer_train import PUPickTrainingViewer

__all__ = ["PUPickEvaluationViewer", "PUPickPicksViewer", "PUPickTrainingViewer"]
