# SPDX-License-Identifier: GPL-3.0-or-later
"""The version is that of `scipion_pupick.__version__`, wherever it stands."""

import re
from pathlib import Path

import scipion_pupick


def test_the_citation_is_of_this_version():
    citation = (Path(__file__).parents[2] / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^version: (.+)$", citation, re.MULTILINE)[1] == scipion_pupick.__version__
