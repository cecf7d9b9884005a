# SPDX-License-Identifier: GPL-3.0-or-later
"""STAR files as tables, whatever they hold; an error names the file and the line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Mapping, NoReturn, Optional, Sequence, Tuple, Union

import numpy as np

from ..errors import UsageError
from .rows import Lines, Part, RegularLines, Rows
from .text import FloatArray, check_names, format_numbers, format_rows, pieces_of, read_text

MISSING = ("", "nan", "<na>", "none")
# programs that are read need one of these endings to take a name for an image's
_IMAGE_NAME = re.compile(r"\.(mrcs?|tiff?|map)$", re.IGNORECASE)
# a quoted word ends at a quotation mark before a blank, so that O'Brien is one word
_WORD = re.compile(r"""'(?:[^']|'(?=\S))*'(?=\s|$)|"(?:[^"]|"(?=\S))*"(?=\s|$)|\S+""")

# a text stands in every row
Column = Union[str, Sequence[str], np.ndarray]
Columns = Mapping[str, Column]


@dataclass(frozen=True)
class StarTable:
    """One block of a STAR file.

    Attributes:
        path: of the file.
        block: its name without "data_".
        columns: their names without the underscore.
        rows: with a word for each column.
    """

    path: Path
    block: str
    columns: Tuple[str, ...]
    rows: Rows

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.rows)

    def __contains__(self, column: str) -> bool:
        """Say whether the block has the column."""
        return column in self.columns

    def require(self, columns: Sequence[str]) -> None:
        """Raise a UsageError that names the needed and the found columns if one lacks."""
        if not all(column in self for column in columns):
            raise UsageError(
                f"{self.path}: block data_{self.block} needs the columns {', '.join(columns)}; "
                f"it has {', '.join(self.columns) or 'none'}"
            )

    def words(self, column: str) -> List[str]:
        """Return a column as it is written, without quotation marks."""
        return self.rows.texts(self.columns.index(column))

    def numbers(self, column: str, missing_allowed: bool = False) -> FloatArray:
        """Return a column as (n,) numbers; where allowed, a missing one is NaN.

        Raises:
            UsageError: a value is not a finite number.
        """
        missing = MISSING if missing_allowed else ()
        return self.rows.numbers(self.columns.index(column), column, missing)

    def texts(self, column: str) -> List[str]:
        """Return a column of names.

        Raises:
            UsageError: a name is missing.
        """
        words = self.words(column)
        # far fewer than rows
        missing = {word for word in {*words} if word.lower() in MISSING}
        if missing:
            row = next(row for row, word in enumerate(words) if word in missing)
            self.rows.refuse(row, f"{column} is missing")
        return words

    def place(self, row: int) -> str:
        """Say in which file and line the row stands (0 is the first)."""
        return self.rows.place(row)


def _words(line: str) -> List[str]:
    """Split a line into words, as which a text in quotation marks counts, without these."""
    if "'" not in line and '"' not in line:
        return line.split()
    return [
        word[1:-1] if len(word) > 1 and word[0] == word[-1] and word[0] in "'\"" else word
        for word in _WORD.findall(line)
    ]


def is_blocks(text: str) -> bool:
    """Say whether a text has a block of a STAR file."""
    return text.startswith("data_") or "\ndata_" in text


def read_blocks(path: Path) -> Dict[str, StarTable]:
    """Read all blocks of a STAR file, keyed by their name without "data_".

    Names stay text even if they look like numbers. A file without content has no block.

    Raises:
        UsageError: the file is missing or is not a STAR file that can be read without doubt.
    """
    text = read_text(path)
    reader = _Reader(path)
    number = 1
    for piece in pieces_of(text):
        number += reader.take_regular(number, piece) or reader.take_lines(number, piece)
    if text.strip() and not reader.blocks:
        raise UsageError(f"{path}: is not a STAR file: it has no data_ block")
    return {name: block.table(path) for name, block in reader.blocks.items()}


def _without_comment(line: str) -> str:
    """Cut a line at a # that begins a word outside quotation marks."""
    line = line.strip()
    if "#" not in line:
        return line
    for word in _WORD.finditer(line):
        if word[0].startswith("#"):
            return line[: word.start()].rstrip()
    return line


class _Block:
    """A block while it is read."""

    def __init__(self, name: str, line: int) -> None:
        self.name = name
        self.line = line
        self.is_loop = False
        self.columns: List[str] = []
        self.parts: List[Part] = []
        self.values: List[str] = []
        # those that are not yet in a part
        self.rows: List[str] = []
        self.lines: List[int] = []

    @property
    def has_rows(self) -> bool:
        """Whether a row was taken."""
        return bool(self.rows or self.parts)

    def end_part(self, after: Optional[Part] = None) -> None:
        """Make a part of the rows that are in none yet; another may follow."""
        if self.rows:
            self.parts.append(Lines(self.rows, self.lines, _words))
        self.parts += [] if after is None else [after]
        self.rows, self.lines = [], []

    def table(self, path: Path) -> StarTable:
        """Return what was read."""
        if not self.is_loop and self.columns:
            self.rows, self.lines = [" ".join(self.values)], [self.line]
        self.end_part()
        return StarTable(path, self.name, tuple(self.columns), Rows(path, self.parts))


class _Reader:
    """Sorts the lines of a STAR file into blocks, and refuses what fits nowhere."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.blocks: Dict[str, _Block] = {}
        self.block = _Block("", 0)

    def take_regular(self, number: int, piece: str) -> int:
        """Take a piece of a text at once, if it is of rows that are alike, and nothing else.

        Args:
            number: of its first line.
            piece: whole lines.

        Returns:
            The number of its lines; 0 if it must be taken line by line.
        """
        block = self.block
        # quotation marks and comments need a closer look, and so does a row of one word
        if not block.has_rows or len(block.columns) < 2 or any(mark in piece for mark in "'\"#"):
            return 0
        rows = piece.rstrip("\n")
        part = RegularLines.between_blanks(rows, len(block.columns), number)
        if part is None:
            return 0
        block.end_part(part)
        return piece.count("\n")

    def take_lines(self, number: int, piece: str) -> int:
        """Take a piece of a text line by line, and return the number of its lines."""
        # str.splitlines would also split at signs that may stand in names
        lines = re.split(r"\r\n|\r|\n", piece)
        for i, line in enumerate(lines, number):
            content = _without_comment(line)
            if content:
                self.take(i, content)
        return len(lines) - 1

    def take(self, number: int, line: str) -> None:
        """Take the next line that is not blank; comments are cut off."""
        words = line.split() if "'" not in line and '"' not in line else _WORD.findall(line)
        block = self.block
        if block.is_loop and self._is_row(words):
            self._check_quotes(number, words)
            block.rows.append(line)
            block.lines.append(number)
        elif words[0].startswith("data_"):
            self._begin(number, words)
        elif not self.blocks:
            self._refuse(number, "the file is not a STAR file: it does not begin with data_")
        elif words == ["loop_"]:
            self._begin_loop(number)
        elif words[0].startswith("_") and not block.has_rows:
            self._name_column(number, words)
        else:
            self._refuse_row(number, words)

    def _is_row(self, words: Sequence[str]) -> bool:
        """Whether a line of a loop is a row; names may begin as blocks and columns do."""
        alone = len(words) == 1 and words[0].startswith(("data_", "_", "loop_"))
        return len(words) == len(self.block.columns) and not alone

    def _begin(self, number: int, words: Sequence[str]) -> None:
        name = words[0][len("data_") :]
        if len(words) > 1 or _IMAGE_NAME.search(name):
            self._refuse(
                number,
                f"{' '.join(words)!r} is neither a block nor a whole row: a row that begins with "
                "data_ needs a value for each column; if there is but one, put it in quotation "
                "marks",
            )
        if name in self.blocks:
            self._refuse(
                number,
                f"block data_{name} stands there for a second time (first in line "
                f"{self.blocks[name].line}): give the files that were joined here one by one",
            )
        self.block = self.blocks[name] = _Block(name, number)

    def _begin_loop(self, number: int) -> None:
        if self.block.is_loop or self.block.columns:
            self._refuse(number, f"block data_{self.block.name} has a second table")
        self.block.is_loop = True

    def _name_column(self, number: int, words: Sequence[str]) -> None:
        block, name = self.block, words[0][1:]
        if len(words) != (1 if block.is_loop else 2):
            self._refuse(
                number,
                f"{' '.join(words)!r} is neither the name of a column nor a row of "
                f"{len(block.columns)} values",
            )
        if name in block.columns:
            self._refuse(
                number, f"column {name} of block data_{block.name} stands there for a second time"
            )
        self._check_quotes(number, words)
        block.columns.append(name)
        block.values += words[1:]

    def _refuse_row(self, number: int, words: Sequence[str]) -> None:
        self._check_quotes(number, words)
        count, columns = len(words), len(self.block.columns)
        if not self.block.is_loop:
            text = " ".join(words)
            self._refuse(number, f"{text[:60]!r} is neither a block, a column nor part of a table")
        advice = "; put a name with blanks in quotation marks" if count > columns else ""
        self._refuse(
            number,
            f"the row has {count} values where block data_{self.block.name} has {columns} "
            f"columns{advice}",
        )

    def _check_quotes(self, number: int, words: Sequence[str]) -> None:
        for word in words:
            if word[0] in "'\"" and (len(word) == 1 or word[-1] != word[0]):
                self._refuse(number, f"a quotation mark ({word}) is never closed")

    def _refuse(self, number: int, reason: str) -> NoReturn:
        raise UsageError(f"{self.path}, line {number}: {reason}")


def star_text(blocks: Mapping[str, Columns]) -> str:
    """Write blocks of equally long columns (numbers or names) as the text of a STAR file.

    Numbers have nine significant digits, which hold any float32. Names with blanks are quoted.
    """
    loops = [_loop_text(name, columns) for name, columns in blocks.items()]
    return "\n" + "\n\n\n".join(loops) + "\n\n"


def _loop_text(name: str, columns: Columns) -> str:
    return loop_head(name, list(columns)) + loop_rows(columns)


def loop_head(name: str, columns: Sequence[str]) -> str:
    """Write what stands above the rows of a block, without an end of the last line."""
    head = [f"data_{name}", "", "loop_"]
    head += [f"_{column} #{i}" for i, column in enumerate(columns, 1)]
    return "\n".join(head)


def loop_rows(columns: Columns) -> str:
    """Write rows of columns, of which one is no text; each begins with the line's end before."""
    forms = [_form_and_values(column) for column in columns.values()]
    form = "\n" + "\t".join(form for form, _ in forms)
    return format_rows(form, [values for _, values in forms if values is not None])


def _form_and_values(column: Column) -> Tuple[str, Optional[Sequence[Union[str, float]]]]:
    """Return how a value of a column is formatted, and the values; None if all are the same."""
    if isinstance(column, str):
        return quoted(column).replace("%", "%%"), None
    if not isinstance(column, np.ndarray):
        return "%s", [quoted(value) for value in column]
    if column.dtype.kind != "f":
        return "%s", column.tolist()
    if np.isnan(column).any():
        return "%s", format_numbers(column, missing="<NA>")
    return "%.9g", column.tolist()


def quoted(value: str) -> str:
    """Return a name as it stands in a row."""
    return f'"{value}"' if " " in value or not value else value


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
