# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of preprocessed micrographs: who may write to it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterable, Iterator, Mapping, Sequence

from ..errors import UsageError
from ..files.atomic import make_folder, refuse_overwriting, remove_leftovers
from ..files.json_files import write_json
from ..files.lock import only_owner
from ..micrographs import Micrograph
from .layout import PREPROCESS_RECORD


@dataclass(frozen=True)
class PreprocessRun:
    """What lies in a folder of preprocessed micrographs.

    Attributes:
        folder: of the files.
    """

    folder: Path

    @contextmanager
    def owned(
        self,
        micrographs: Iterable[Micrograph],
        files: Sequence[Path],
        request: Mapping[str, Any],
        overwrite: bool,
    ) -> Iterator[None]:
        """Own the folder while the block runs, and note what its files are made with.

        Args:
            micrographs: to be read.
            files: to be written.
            request: what they are made with, for the note.
            overwrite: whether files that are not pupick's own may be replaced.

        Raises:
            UsageError: another run is at work in the folder, or a file that would be replaced is
                a micrograph, or not pupick's own.
            OSError: the note cannot be written.
        """
        refuse_overwriting([micrograph.path for micrograph in micrographs], files)
        make_folder(self.folder)
        with only_owner(self.folder, "pupick preprocess"):
            note = self.folder / PREPROCESS_RECORD
            if not note.is_file() and not overwrite:
                _refuse_other_files(files)
            remove_leftovers(self.folder, recursively=True)
            write_json(note, request)
            yield


def _refuse_other_files(files: Iterable[Path]) -> None:
    for path in files:
        if path.exists():
            raise UsageError(
                f"{path} was not written by pupick preprocess and would be overwritten: give "
                "another folder, or allow to overwrite it.",
                setting="overwrite",
            )
