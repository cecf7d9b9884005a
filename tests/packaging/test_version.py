# SPDX-License-Identifier: GPL-3.0-or-later
"""The version is that of `scipion_pupick.__version__`, wherever it stands."""

import re
from pathlib import Path

import scipion_pupick

ROOT = Path(__file__).parents[2]


def test_the_citation_is_of_this_version():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^version: (.+)$", citation, re.MULTILINE)[1] == scipion_pupick.__version__


def test_the_newest_entry_of_the_changelog_is_of_this_version():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"^## (\S+)", changelog, re.MULTILINE)[1] == scipion_pupick.__version__


def test_no_other_file_of_the_package_names_it():
    texts = {
        name: (ROOT / name).read_text(encoding="utf-8") for name in ("setup.py", "pyproject.toml")
    }
    assert [name for name, text in texts.items() if scipion_pupick.__version__ in text] == []
