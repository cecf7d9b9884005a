# SPDX-License-Identifier: GPL-3.0-or-later
"""The rounds of a training: what each has learned from, and whether that is still the same."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Optional

from ..convert import places
from ..engine import Picks, PupickError, read_picks, write_picks, write_text
from ..engine.coordinates.corrections import VERDICTS, Corrections, read_corrections
from ..engine.runs.layout import PICKS

# of arguments.json; that of version 0.1 has no number, and other words
RECORD_VERSION = 2
WORDS_OF_VERSION_01 = {"--autoencoder": "--autoencoder-per-pixel", "ge-binomial": "ge-binomial-kl"}
NEGATIVES = "negatives.star"
# file of a round that says that it had all picks of its sets
COMPLETE = "complete.txt"
# file of a round with the digest of what was said of picks that were corrected
SAID = "said.txt"


def in_words_of_now(record: Dict[str, Any]) -> Dict[str, Any]:
    """Return what arguments.json says, in the words that arguments have now."""
    if "version" in record:
        return record
    arguments = [WORDS_OF_VERSION_01.get(word, word) for word in record["arguments"]]
    return {**record, "arguments": arguments, "version": RECORD_VERSION}


@dataclass(frozen=True)
class Said:
    """What people have said of picks.

    Attributes:
        before: the picks, as they were before they were corrected, px.
        done: which micrographs are done, as the engine calls it.
        file: of corrections in the browser; None where the corrected picks are a set of their own.
    """

    before: Picks
    done: str
    file: Optional[Path] = None

    @property
    def changed(self) -> int:
        """When something was said in the browser last, ns; 0 where nothing was."""
        if self.file is None or not self.file.exists():
            return 0
        return self.file.stat().st_mtime_ns

    @property
    def in_browser(self) -> Corrections:
        """What was said in the browser."""
        found = read_corrections(self.file) if self.changed and self.file is not None else {}
        return {name: correction for name, correction in found.items() if not correction.is_empty}

    @property
    def was_taken_back(self) -> bool:
        """Whether nothing is left of what was said in the browser."""
        return bool(self.changed) and not self.in_browser

    @property
    def digest(self) -> str:
        """Digest of all that."""
        in_browser = {
            name: [places({verdict: getattr(said, verdict) for verdict in VERDICTS}), said.done]
            for name, said in self.in_browser.items()
        }
        text = json.dumps([places(self.before), self.done, in_browser], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Lesson:
    """What a model learns from, beside its micrographs.

    Attributes:
        picks: by micrograph, px.
        negatives: places without a particle, in the same form; None where the form names none.
        said: of picks that were corrected; None where the form names none.
    """

    picks: Picks
    negatives: Optional[Picks]
    said: Optional[Said]


@dataclass(frozen=True)
class TrainingRound:
    """One training of a protocol.

    Attributes:
        folder: of its input and of its model.
    """

    folder: Path

    @property
    def is_complete(self) -> bool:
        """Whether it had all picks of its sets."""
        return (self.folder / COMPLETE).exists()

    def write(self, lesson: Lesson, complete: bool) -> None:
        """Write what is learned from, and whether the sets were complete."""
        if lesson.negatives is not None:
            write_picks(lesson.negatives, self.folder / NEGATIVES)
        if lesson.said is not None:
            write_text(self.folder / SAID, lesson.said.digest)
        if complete:
            write_text(self.folder / COMPLETE, "")
        # last, for its presence says that the input is complete
        write_picks(lesson.picks, self.folder / PICKS)

    def is_outdated(self, lesson: Lesson) -> bool:
        """Whether it has learned from something else.

        Raises:
            PupickError: it has, but there is nothing any more that could be learned in its place.
        """
        if self._has_learned(lesson):
            return False
        if lesson.said is not None and lesson.said.was_taken_back:
            raise PupickError("No pick is corrected any more: correct some, or copy this protocol.")
        return True

    def _has_learned(self, lesson: Lesson) -> bool:
        negatives = self.folder / NEGATIVES
        before = read_picks(negatives) if negatives.exists() else {}
        return (
            places(lesson.picks) == places(read_picks(self.folder / PICKS))
            and places(lesson.negatives or {}) == places(before)
            and (lesson.said is None or self._has_heard(lesson.said))
        )

    def _has_heard(self, said: Said) -> bool:
        record = self.folder / SAID
        if record.exists():
            return record.read_text(encoding="utf-8") == said.digest
        # one that an earlier version has begun noted nothing: it knows what was there by then
        return said.changed <= (self.folder / PICKS).stat().st_mtime_ns
