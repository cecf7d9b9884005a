# SPDX-License-Identifier: GPL-3.0-or-later
"""The form that "Analyze results" opens, with a button for each thing that can be looked at."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Any, List, Optional

import pyworkflow.protocol.params as params
from pyworkflow.protocol import Protocol
from pyworkflow.viewer import ProtocolViewer, View

from ..engine.runs.layout import REPORT


class ResultsViewer(ProtocolViewer):
    """A form of results, of a protocol or of one of its outputs.

    Attributes:
        shown: the protocol or the output that it was opened for.
    """

    @classmethod
    def getName(cls) -> str:
        """Return the name for a list of viewers of all plugins."""
        return f"pupick: {cls._label}"

    def setProtocol(self, shown: Any) -> None:
        """Take what is to be shown; its protocol is found in the project."""
        self.shown = shown
        is_output = not isinstance(shown, Protocol)
        super().setProtocol(
            self.getProject().getProtocol(shown.getObjParentId()) if is_output else shown
        )

    def defineReport(self, form: Any) -> None:
        """Add a button for the report of the run, if there is one."""
        if report_of(self.protocol) is not None:
            form.addParam(
                "showReport",
                params.LabelParam,
                label="Report",
                help="Of the run, as a page in the web browser.",
            )

    def openReport(self, name: str) -> List[View]:
        """Open the report in the web browser."""
        report = report_of(self.protocol)
        if report is None:
            return [self.errorMessage("The report has been deleted.", "Report")]
        webbrowser.open(report.absolute().as_uri())
        return []


def report_of(protocol: Protocol) -> Optional[Path]:
    """Return the newest report among the files of a run; None without any."""
    reports = Path(protocol._getExtraPath()).rglob(REPORT)
    return max(reports, key=lambda path: path.stat().st_mtime, default=None)
