# SPDX-License-Identifier: GPL-3.0-or-later
"""Micrographs that still come in: which of them are there, and whole."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

from ..errors import MicrographError, UsageError
from ..files.atomic import file_status
from .find import find_micrographs
from .micrograph import Micrograph
from .read import image_shape

log = logging.getLogger(__name__)

# s without a change after which a file is whole, and after which one that looks broken is broken
SETTLED = 5.0
BROKEN = 300.0
# s since its last change by its own time, which the clock of another computer may have set
SURELY_OLD = 600.0


@dataclass
class Arrivals:
    """The micrographs of sources that grow, such as a folder or a STAR file.

    A file is whole when it has not changed for some seconds and is as long as its header says.

    Attributes:
        sources: as for `find_micrographs`, but that they may be empty, or not there yet.
        pixel_size: as for `find_micrographs`.
        settled: s without a change.
    """

    sources: Sequence[str]
    pixel_size: Optional[float] = None
    settled: float = SETTLED
    _whole: Dict[Path, List[int]] = field(default_factory=dict)
    _changed: Dict[Path, Tuple[List[int], float]] = field(default_factory=dict)
    _complaint: str = ""

    def found(self) -> List[Micrograph]:
        """Return all micrographs that the sources name, whole or not."""
        try:
            return find_micrographs(self.sources, self.pixel_size)
        except (UsageError, OSError) as error:
            # a list may be half written, and a folder empty
            if str(error) != self._complaint:
                self._complaint = str(error)
                log.info("Nothing to pick in yet: %s", error)
            return []

    def whole(self) -> List[Micrograph]:
        """Return the micrographs whose files are whole."""
        return [micrograph for micrograph in self.found() if self._is_whole(micrograph.path)]

    def _is_whole(self, path: Path) -> bool:
        status, now = file_status(path), time.monotonic()
        if not status:
            return False
        if self._whole.get(path) == status:
            return True
        before, since = self._changed.get(path, ([], now))
        if before != status:
            self._changed[path] = status, now
            since = now - SURELY_OLD if _age(status) > SURELY_OLD else now
        unchanged = now - since
        if unchanged < self.settled or not (unchanged >= BROKEN or _looks_good(path)):
            return False
        # one that changes again is another micrograph, to be waited for anew
        self._whole[path] = status
        del self._changed[path]
        return True


def _age(status: Sequence[int]) -> float:
    return time.time() - status[1] / 1e9


def _looks_good(path: Path) -> bool:
    try:
        image_shape(path)
    except (MicrographError, OSError):
        return False
    return True
