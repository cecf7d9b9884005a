# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of text with a header (TSV)."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any, Dict, List, Sequence

from .atomic import write_text


def write_table(path: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Write a table, whole or not at all."""
    text = io.StringIO()
    csv.writer(text, delimiter="\t", lineterminator="\n").writerows([header, *rows])
    write_text(path, text.getvalue())


def read_table(path: Path) -> List[Dict[str, str]]:
    """Read the rows of a table, each by column; none where there is no file."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))
