# SPDX-License-Identifier: GPL-3.0-or-later
"""Picking in rounds while micrographs come in."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Set

from ..coordinates.file_names import names_a_file, names_with_files_of_others
from ..errors import FolderInUseError, PupickError
from ..files.atomic import file_status, make_folder
from ..files.lock import only_owner
from ..micrographs import Micrograph
from .layout import WATCH_LOCK
from .pick_result import PickResult
from .pick_run import PickRun

log = logging.getLogger(__name__)

PickIn = Callable[[Sequence[Micrograph]], PickResult]

# at once, so that lists grow while many are waiting
ROUND = 500
# of the time, at most, for reports while micrographs come in
SHARE_FOR_REPORTS = 0.1


@dataclass
class Rounds:
    """What a watch has done so far.

    Attributes:
        run: that it picks into.
        needed: micrographs that the first round waits for.
        result: of the last round.
        has_more: whether micrographs are waiting for the next round.
        has_begun: whether a round has.
    """

    run: PickRun
    needed: int
    result: Optional[PickResult] = None
    has_more: bool = False
    has_begun: bool = False
    _listed: Dict[str, Micrograph] = field(default_factory=dict)
    _picked: Dict[str, List[Any]] = field(default_factory=dict)
    _seen: Dict[str, List[Any]] = field(default_factory=dict)
    _left_out: Set[str] = field(default_factory=set)
    _stale: bool = False
    _next_report: float = 0.0

    @contextmanager
    def owned(self) -> Iterator[None]:
        """Keep other watches out of the run while the block runs; others may work between rounds.

        Raises:
            FolderInUseError: another watch is at work there; says which.
            OSError: nothing can be written there.
        """
        make_folder(self.run.folder)
        with only_owner(self.run.folder, "pupick watch", WATCH_LOCK):
            yield

    def look(self, there: Sequence[Micrograph], pick_in: PickIn, all_of_them: bool) -> bool:
        """Pick micrographs that are new, as many as suit a round.

        Those that were picked and are gone since stay in the lists. In the end, those that failed
        are tried once more.

        Returns:
            Whether anything has come or changed since the last look, or was picked.
        """
        there = self._with_own_files(there)
        status = {m.name: [m.pixel_size, *file_status(m.path)] for m in there}
        has_changed, self._seen = status != self._seen, status
        failed = self.result.failures if self.result and all_of_them else {}
        new = [n for n, now in status.items() if self._picked.get(n) != now or n in failed]
        self.has_more = False
        if not new or (not self._picked and len(there) < self.needed and not all_of_them):
            return has_changed
        listed = self._listed or self._listed_before()
        fresh = [name for name in new if name not in listed]
        most = len(fresh) if all_of_them else ROUND
        wanted = {*listed, *fresh[:most]}
        gone = [m for m in listed.values() if m.name not in status and not file_status(m.path)]
        given = [*gone, *(m for m in there if m.name in wanted)]
        self.has_begun = True
        try:
            self.result = pick_in(given)
        except FolderInUseError as error:
            if all_of_them:
                raise
            log.warning("%s It is tried again.", error)
            return has_changed
        self.has_more = len(fresh) > most
        self._listed = {m.name: m for m in given}
        self._picked = {name: now for name, now in status.items() if name in wanted}
        self._stale = True
        return True

    def _with_own_files(self, there: Sequence[Micrograph]) -> List[Micrograph]:
        """Leave out micrographs whose picks would have the file of another that came before."""
        names = [*(self._listed or self._listed_before()), *(m.name for m in there)]
        others = names_with_files_of_others(filter(names_a_file, names))
        for name in others.keys() - self._left_out:
            log.warning(
                "%s is left out: its picks would be written to the file of %s.", name, others[name]
            )
        self._left_out.update(others)
        return [m for m in there if m.name not in others]

    def _listed_before(self) -> Dict[str, Micrograph]:
        """Return the micrographs that an earlier call has picked in."""
        try:
            return {micrograph.name: micrograph for micrograph in self.run.micrographs}
        except PupickError:
            # the list is damaged, and about to be written anew
            return {}

    def report_is_due(self, over: bool) -> bool:
        """Whether the report is behind what was picked, and it is time to renew it."""
        return self._stale and (over or time.monotonic() >= self._next_report)

    def write_report(self, write: Callable[[Path], object]) -> None:
        """Renew the report by a function of the run's folder."""
        begun = time.monotonic()
        write(self.run.folder)
        took = time.monotonic() - begun
        self._stale, self._next_report = False, begun + took / SHARE_FOR_REPORTS
