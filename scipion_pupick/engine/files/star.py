# SPDX-License-Identifier: GPL-3.0-or-later
"""STAR files as tables, whatever they hold; an error names the file and the line.

starfile and pandas are imported where they are used: loading them takes longer than picking in a
micrograph, and many commands touch no STAR file.
"""

from __future__ import annotations

import linecache
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Dict, List, Mapping, Sequence, Union

import numpy as np

from ..errors import UsageError
from .text import FloatArray, check_names, read_text

if TYPE_CHECKING:
    import pandas as pd

MISSING = ("", "nan", "<na>", "none")
TEXT_COLUMNS = ["rlnMicrographName", "rlnMicrographCoordinates"]

Column = Union[Sequence[str], np.ndarray]
Columns = Mapping[str, Column]


@dataclass(frozen=True)
class StarTable:
    """One block of a STAR file: `frame` is its pandas table, `path` and `block` say where."""

    path: Path
    block: str
    frame: pd.DataFrame

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.frame)

    def __contains__(self, column: str) -> bool:
        """Say whether the block has the column."""
        return column in self.frame.columns

    def require(self, columns: Sequence[str]) -> None:
        """Raise a UsageError that names the needed and the found columns if one lacks."""
        if not all(column in self for column in columns):
            raise UsageError(
                f"{self.path}: block data_{self.block} needs the columns {', '.join(columns)}; "
                f"it has {', '.join(map(str, self.frame.columns)) or 'none'}"
            )

    def numbers(self, column: str, missing_allowed: bool = False) -> FloatArray:
        """Return a column as (n,) numbers; where allowed, a missing one is NaN.

        Raises:
            UsageError: a value is not a finite number.
        """
        import pandas as pd

        values = self.frame[column]
        numbers = np.array(pd.to_numeric(values, errors="coerce"), dtype=np.float64)
        accepted = np.isfinite(numbers)
        if missing_allowed:
            accepted |= np.array([str(value).lower() in MISSING for value in values], dtype=bool)
        if not accepted.all():
            row = int(np.argmin(accepted))
            value = str(values.iloc[row])
            raise UsageError(f"{self.place(row)}: {column} is {value!r}, not a number")
        return numbers

    def texts(self, column: str) -> List[str]:
        """Return a column of names.

        Raises:
            UsageError: a name is missing or has an open quotation mark.
        """
        values = self.frame[column]
        missing = values.isna().to_numpy(dtype=bool)
        if missing.any():
            raise UsageError(f"{self.place(int(np.argmax(missing)))}: {column} is missing")
        # a quote without its partner makes several rows one
        if any("\n" in str(value) for value in values):
            raise UsageError(f"{self.path}: {column} has a quotation mark that is never closed")
        # starfile turns each apostrophe into a double quote before it parses
        return [str(value).replace('"', "'") for value in values]

    def place(self, row: int) -> str:
        """Say in which file and line the row stands (0 is the first)."""
        inside, seen = False, -1
        for number, line in enumerate(read_text(self.path).splitlines(), 1):
            word = line.split()[0] if line.strip() else "#"
            if word.startswith("data_"):
                inside = line.strip() == f"data_{self.block}"
            elif inside and word != "loop_" and word[0] not in "_#":
                seen += 1
                if seen == row:
                    return f"{self.path}, line {number}"
        return str(self.path)


def is_blocks(text: str) -> bool:
    """Say whether a text has a block of a STAR file."""
    return re.search(r"(?m)^data_", text) is not None


def read_blocks(path: Path) -> Dict[str, StarTable]:
    """Read all blocks of a STAR file, keyed by their name without "data_".

    Names stay text even if they look like numbers. A file without content has no block.

    Raises:
        UsageError: the file is missing or is not a STAR file that can be read without doubt.
    """
    import starfile

    text = read_text(path)
    if not text.strip():
        return {}
    _refuse_hash(path, text)
    try:
        blocks = starfile.read(path, always_dict=True, parse_as_string=TEXT_COLUMNS)
    except (ValueError, TypeError) as error:
        raise UsageError(f"{path}: is not a readable STAR file ({error})") from error
    finally:
        # starfile leaves the lines of a file it failed on in this cache, for the next reading
        linecache.clearcache()
    if not blocks:
        raise UsageError(f"{path}: is not a STAR file: it has no data_ block")
    return {name: _table(path, name, block) for name, block in blocks.items()}


def _refuse_hash(path: Path, text: str) -> None:
    """Refuse rows with a # inside a word, where starfile would cut the row off."""
    found = (
        re.search(r"(?m)^[ \t]*(?![_#]|data_|loop_)(?=\S).*?[^\s#]#", text) if "#" in text else None
    )
    if found:
        line = text.count("\n", 0, found.start()) + 1
        raise UsageError(f"{path}, line {line}: a name with a # cannot be read: rename it")


def _table(path: Path, name: str, block: Union[pd.DataFrame, Dict[str, object]]) -> StarTable:
    import pandas as pd

    if len(name.split()) > 1:
        raise UsageError(f"{path}: a row may not begin with data_ (data_{name})")
    frame = pd.DataFrame([block]) if isinstance(block, dict) else block
    if not frame.columns.is_unique:
        raise UsageError(f"{path}: a column of block data_{name} stands there twice")
    return StarTable(path, name, frame)


def star_text(blocks: Mapping[str, Columns]) -> str:
    """Write blocks of equally long columns (numbers or names) as the text of a STAR file.

    Numbers have nine significant digits, which hold any float32. Names with blanks are quoted.
    """
    loops = [_loop_text(name, columns) for name, columns in blocks.items()]
    return "\n" + "\n\n\n".join(loops) + "\n\n"


def _loop_text(name: str, columns: Columns) -> str:
    head = [f"data_{name}", "", "loop_"]
    head += [f"_{column} #{i}" for i, column in enumerate(columns, 1)]
    rows = map("\t".join, zip(*map(_texts, columns.values())))
    return "\n".join([*head, *rows])


def _texts(values: Column) -> List[str]:
    """Write each value of a column as one word."""
    if not isinstance(values, np.ndarray):
        return [f'"{value}"' if " " in value or not value else value for value in values]
    if values.dtype.kind != "f":
        return list(map(str, values.tolist()))
    # one formatting of all is several times faster than one of each
    words = ("%.9g " * len(values) % tuple(values.tolist())).split()
    return ["<NA>" if word == "nan" else word for word in words]


def check_star_names(names: Sequence[str]) -> None:
    """Refuse names of micrographs that a STAR file cannot give back as they are.

    Raises:
        UsageError: a name is empty, unprintable, means "missing", or has a # or quotes that no
            STAR reader could tell from its own.
    """
    check_names(names)
    for name in names:
        unclear_quotes = '"' in name or name.startswith("'") or ("'" in name and " " in name)
        if unclear_quotes or "#" in name or name.lower() in MISSING:
            raise UsageError(
                f"the micrograph's name {name!r} cannot be written to a STAR file: rename it, or "
                "write another format"
            )
