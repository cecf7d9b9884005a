# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of tables of text, read column by column.

Lines that are as regular as programs write them are read with NumPy, many at once, which takes a
tenth of the time of splitting each; all others as they always were. What is read is the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, List, NoReturn, Optional, Protocol, Sequence, Tuple

import numpy as np
import numpy.typing as npt

from ..errors import UsageError
from .text import FloatArray, parse_number

# what regular lines may hold: ASCII that is printed, tabs and line feeds
_PLAIN = bytes([*b"\t\n", *range(32, 127)])
_LONGEST_WORD = 255
# of a decimal number: so many make an integer that a float64 holds, divided by a power of ten
# that it holds, too, so that the quotient is the float64 nearest to the number
_MOST_DIGITS = 15
_POWERS = 10.0 ** np.arange(_MOST_DIGITS + 1)

Integers = npt.NDArray[np.int32]


class Part(Protocol):
    """Some rows of a table."""

    def __len__(self) -> int:
        """Return the number of rows."""

    def texts(self, column: int) -> List[str]:
        """Return a column as it is written."""

    def numbers(self, column: int) -> FloatArray:
        """Return a column as numbers (n,); NaN where it has none."""

    def line(self, row: int) -> int:
        """Return the line of the file that a row stands in, from 1."""


@dataclass(frozen=True)
class Lines:
    """Rows one by one.

    Attributes:
        rows: each as `words` takes it.
        lines: the line of the file that each stands in, from 1.
        words: splits a row.
    """

    rows: Sequence[Any]
    lines: Sequence[int]
    words: Callable[[Any], Sequence[str]]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.rows)

    def texts(self, column: int) -> List[str]:
        """Return a column as it is written."""
        return [self.words(row)[column] for row in self.rows]

    def numbers(self, column: int) -> FloatArray:
        """Return a column as numbers (n,); NaN where it has none."""
        return np.array([parse_number(text) for text in self.texts(column)], dtype=np.float64)

    def line(self, row: int) -> int:
        """Return the line of the file that a row stands in, from 1."""
        return self.lines[row]


@dataclass(frozen=True)
class RegularLines:
    """Rows of as many words each, one a line.

    Attributes:
        content: bytes of the lines, with zeros behind them.
        start: (n, k) where each word begins.
        length: (n, k) of each word.
        first_line: the line of the file that the first row stands in, from 1.
    """

    content: npt.NDArray[np.uint8]
    start: Integers
    length: npt.NDArray[np.uint8]
    first_line: int

    @classmethod
    def between_blanks(cls, text: str, columns: int, first_line: int) -> Optional[RegularLines]:
        """Take lines of words between blanks; None if they are not so regular.

        Args:
            text: whole lines.
            columns: number of words in each.
            first_line: the line of the file that the text begins with.
        """
        content = _plain(text)
        if content is None:
            return None
        is_word = content > ord(" ")
        edges = np.flatnonzero(is_word[1:] != is_word[:-1]) + 1
        edges = np.concatenate([[0], edges]) if is_word[0] else edges
        start, stop = edges[0::2], edges[1::2]
        ends = np.flatnonzero(content == ord("\n"))
        if len(start) != len(ends) * columns:
            return None
        # the last word of each line, and the first one of the next
        if (stop[columns - 1 :: columns] > ends).any() or (
            start[columns::columns] < ends[:-1]
        ).any():
            return None
        return cls._of(content, start, stop, columns, first_line)

    @classmethod
    def between_marks(
        cls, text: str, columns: int, first_line: int, mark: str
    ) -> Optional[RegularLines]:
        """Take lines of words with a mark between them; see `between_blanks`."""
        content = _plain(text)
        if content is None:
            return None
        is_mark = content == ord(mark)
        stop = np.flatnonzero(is_mark | (content == ord("\n")))
        if len(stop) % columns:
            return None
        start = np.concatenate([[0], stop[:-1] + 1])
        at_ends = content[stop].reshape(-1, columns)
        if (at_ends[:, -1] != ord("\n")).any() or (at_ends[:, :-1] != ord(mark)).any():
            return None
        # a row of blanks is none
        visible = (content > ord(" ")) & ~is_mark
        if not np.logical_or.reduceat(visible, start[::columns]).all():
            return None
        return cls._of(content, start, stop, columns, first_line)

    @classmethod
    def _of(
        cls,
        content: npt.NDArray[np.uint8],
        start: np.ndarray,
        stop: np.ndarray,
        columns: int,
        first_line: int,
    ) -> Optional[RegularLines]:
        start, length = start.reshape(-1, columns), (stop - start).reshape(-1, columns)
        if length.max(initial=0) > _LONGEST_WORD:
            return None
        content = np.concatenate([content, np.zeros(_LONGEST_WORD, np.uint8)])
        return cls(content, start.astype(np.int32), length.astype(np.uint8), first_line)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.start)

    def _characters(self, column: int) -> npt.NDArray[np.uint8]:
        """Return the words of a column (n, longest), with zeros behind them."""
        length = self.length[:, column]
        width = max(1, int(length.max(initial=0)))
        every = np.lib.stride_tricks.sliding_window_view(self.content, width)
        found = every[self.start[:, column]]
        if (length < width).any():
            found *= np.arange(width, dtype=np.uint8) < length[:, None]
        return found

    def texts(self, column: int) -> List[str]:
        """Return a column as it is written; words that follow on the same are one object."""
        characters = self._characters(column)
        begins = np.append(True, (characters[1:] != characters[:-1]).any(axis=1))
        firsts = np.flatnonzero(begins)
        counts = np.diff(np.append(firsts, len(characters))).tolist()
        texts: List[str] = []
        for word, count in zip(_decoded(characters[firsts]), counts):
            texts += [word] * count
        return texts

    def numbers(self, column: int) -> FloatArray:
        """Return a column as numbers (n,); NaN where it has none."""
        characters = self._characters(column)
        numbers, known = _decimals(characters, self.length[:, column])
        if not known.all():
            numbers[~known] = [parse_number(word) for word in _decoded(characters[~known])]
        return numbers

    def line(self, row: int) -> int:
        """Return the line of the file that a row stands in, from 1."""
        return self.first_line + row


def _plain(text: str) -> Optional[npt.NDArray[np.uint8]]:
    """Return the bytes of lines with an end of the last one; None if they have odd ones."""
    if not text or not text.isascii():
        return None
    content = text.encode("ascii")
    if content.translate(None, _PLAIN):
        return None
    return np.frombuffer(content if content.endswith(b"\n") else content + b"\n", np.uint8)


def _decoded(characters: npt.NDArray[np.uint8]) -> List[str]:
    """Return words (n, longest), with zeros behind them, as texts."""
    words = characters.view(f"S{characters.shape[1]}").ravel().tolist()
    return [word.decode("ascii") for word in words]


def _decimals(
    characters: npt.NDArray[np.uint8], length: npt.NDArray[np.uint8]
) -> Tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Read decimal numbers without an exponent, exactly as `float` does.

    Args:
        characters: (n, longest) of each word, with zeros behind it.
        length: (n,) of each word.

    Returns:
        (n,) numbers, and for which words (n,) they hold: others are no such number.
    """
    count = len(characters)
    mantissa, digits = np.zeros(count, np.int64), np.zeros(count, np.uint8)
    dots, behind = np.zeros(count, np.uint8), np.zeros(count, np.uint8)
    for column in np.ascontiguousarray(characters.T):
        digit = column - np.uint8(ord("0"))
        is_digit = digit < 10
        mantissa = np.where(is_digit, mantissa * 10 + digit, mantissa)
        digits += is_digit
        behind += is_digit & (dots > 0)
        dots += column == ord(".")
    is_negative = characters[:, 0] == ord("-")
    others = length - digits - dots - (is_negative | (characters[:, 0] == ord("+")))
    known = (others == 0) & (dots <= 1) & (digits > 0) & (digits <= _MOST_DIGITS)
    numbers = mantissa / _POWERS[np.minimum(behind, _MOST_DIGITS)]
    return np.where(is_negative, -numbers, numbers), known


@dataclass(frozen=True)
class Rows:
    """All rows of a table.

    Attributes:
        path: of the file.
        parts: of the rows, one after the other.
    """

    path: Path
    parts: Sequence[Part]

    def __len__(self) -> int:
        """Return the number of rows."""
        return sum(map(len, self.parts))

    def texts(self, column: int) -> List[str]:
        """Return a column as it is written."""
        texts: List[str] = []
        for part in self.parts:
            texts += part.texts(column)
        return texts

    def numbers(self, column: int, what: str, missing: Sequence[str] = ()) -> FloatArray:
        """Return a column as (n,) numbers.

        Args:
            column: its place.
            what: the numbers are, for the error.
            missing: texts in small letters that stand for a missing number, which is NaN.

        Raises:
            UsageError: a text is not a finite number; the text names the file and the line.
        """
        numbers = np.concatenate([np.empty(0), *(part.numbers(column) for part in self.parts)])
        accepted = np.isfinite(numbers)
        if accepted.all():
            return numbers
        texts = self.texts(column)
        for row in np.flatnonzero(~accepted).tolist():
            if texts[row].strip().lower() not in missing:
                self.refuse(row, f"{what} is {texts[row]!r}, not a number")
        return numbers

    def refuse(self, row: int, what: str) -> NoReturn:
        """Raise a UsageError that names the file and the line of a row."""
        raise UsageError(f"{self.place(row)}: {what}")

    def place(self, row: int) -> str:
        """Say in which file and line a row stands (0 is the first)."""
        for part in self.parts:
            if row < len(part):
                return f"{self.path}, line {part.line(row)}"
            row -= len(part)
        raise IndexError(row)
