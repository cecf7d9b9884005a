# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be asked for. Micrographs are numbers; no name or path comes from a browser."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any, Callable, Dict, Tuple

from ...errors import MicrographError, UsageError
from ...files.json_files import parse_object
from ...runs.pick_run import PickRun
from ...runs.suggestion import suggest_picks
from ..tables import tabulate
from .access import LIFE_HEADER, Gate, RefusalError
from .desk import Desk
from .drawing import SMOOTHING, Drawings
from .edits import parse_edits
from .of_run import OfRun
from .page import render_page
from .server import JSON, Answer, Request
from .training import Training

_ONE_MICROGRAPH = r"/micrographs/([0-9]{1,7})"
_HTML, _PNG = "text/html; charset=utf-8", "image/png"
_ACTIONS = ("start", "stop")
# these say which run is served
_TELLING = ("/run", "/changes")
_TABLES = ("grid", "own", "counts", "quality", "levels", "perMicrograph")


class CorrectionPage:
    """Answers to a page in which the picks of a run are corrected."""

    def __init__(self, gate: Gate, desk: Desk, training: Training) -> None:
        """Prepare the answers.

        Args:
            gate: whom to let in.
            desk: the run and its corrections.
            training: on these.
        """
        self._gate, self._desk, self._training = gate, desk, training
        self._drawings = Drawings()
        self._tables = OfRun(_tables)
        self._suggestions = OfRun(_suggestions)
        self._routes: Tuple[Tuple[str, str, Callable[..., Answer]], ...] = (
            ("GET", r"/run", self._overview),
            ("GET", r"/tables", self._scores),
            ("GET", r"/suggestions", self._suggest),
            ("GET", r"/changes\?since=([0-9]{1,12})", self._changes),
            ("GET", _ONE_MICROGRAPH, self._picks),
            ("GET", _ONE_MICROGRAPH + r"/picture\?smoothing=([0-9])", self._picture),
            ("POST", _ONE_MICROGRAPH, self._edit),
            ("GET", r"/training", self._training_state),
            ("POST", r"/training", self._train),
        )

    def __call__(self, request: Request) -> Answer:
        """Answer a request.

        Raises:
            RefusalError: it is not allowed, or makes no sense.
            PupickError: a file is damaged.
            OSError: a file cannot be read or written.
        """
        self._gate.check_host(request.headers)
        if request.method == "GET" and request.path.partition("?")[0] == "/":
            return _page()
        self._gate.check(request.headers)
        for method, pattern, answer in self._routes:
            match = re.fullmatch(pattern, request.path, re.ASCII)
            if match and method == request.method:
                self._check_life(request)
                numbers = [int(group) for group in match.groups()]
                body = [_parse(request)] if method == "POST" else []
                return _answer(answer, *numbers, *body)
        raise RefusalError(HTTPStatus.NOT_FOUND, "There is nothing here.")

    def _check_life(self, request: Request) -> None:
        """Refuse a page that was opened for another run, or knows other numbers of micrographs."""
        given = request.headers.get_all(LIFE_HEADER) or []
        may_ask = request.method == "GET" and not given
        is_told = request.method == "GET" and request.path.partition("?")[0] in _TELLING
        if not (may_ask or is_told or given == [self._desk.life]):
            raise RefusalError(
                HTTPStatus.CONFLICT,
                f"The server was started after this page was opened. It serves {self._desk.served} "
                "now. If this does not go away, reload the page.",
            )

    def _overview(self) -> Answer:
        return Answer.of(self._desk.overview())

    def _scores(self) -> Answer:
        return Answer.of(self._tables.get(self._desk.run))

    def _suggest(self) -> Answer:
        found = self._suggestions.get(self._desk.run)
        return Answer.of({"suggested": self._desk.numbered(found)})

    def _changes(self, since: int) -> Answer:
        return Answer.of(self._desk.changes(since))

    def _picks(self, number: int) -> Answer:
        return Answer.of(self._desk.picks(number))

    def _picture(self, number: int, smoothing: int) -> Answer:
        if smoothing >= len(SMOOTHING):
            raise UsageError("There is no such smoothing.")
        micrograph, diameter = self._desk.micrograph(number), self._desk.run.diameter
        return Answer(self._drawings.of(micrograph, diameter, smoothing), _PNG)

    def _edit(self, number: int, record: Dict[str, Any]) -> Answer:
        # a server that was started again may have others under the numbers
        if record.get("micrograph") != self._desk.micrograph(number).name:
            raise RefusalError(HTTPStatus.CONFLICT, "The list of micrographs has changed.")
        saved = self._desk.edit(number, parse_edits(record))
        return Answer.of({"refused": saved.refused, **saved.state})

    def _training_state(self) -> Answer:
        return Answer.of(self._training.state())

    def _train(self, record: Dict[str, Any]) -> Answer:
        action = record.get("action")
        if action not in _ACTIONS:
            raise UsageError("A training can be started and stopped.")
        if action == "start":
            self._training.start()
        else:
            self._training.stop()
        return self._training_state()


def _tables(run: PickRun) -> Dict[str, Any]:
    table = tabulate(run, dict(run.peaks()))
    known = table.as_json()
    return {"names": table.names, **{name: known[name] for name in _TABLES}}


def _suggestions(run: PickRun) -> Dict[str, Any]:
    """Return why micrographs are worth a look, and where, by name, the best first."""
    found = suggest_picks(run, dict(run.peaks()))
    return {
        name: {"reason": each.reason, "area": each.area.corners} for name, each in found.items()
    }


def _page() -> Answer:
    html, policy = render_page()
    return Answer(html.encode(), _HTML, headers={"Content-Security-Policy": policy})


def _parse(request: Request) -> Dict[str, Any]:
    kinds = request.headers.get_all("Content-Type") or []
    if [kind.partition(";")[0].strip().lower() for kind in kinds] != [JSON]:
        raise RefusalError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Only JSON is read.")
    try:
        return parse_object(request.body.decode())
    except ValueError as error:
        raise RefusalError(HTTPStatus.BAD_REQUEST, f"The request is damaged: {error}") from error


def _answer(answer: Callable[..., Answer], *arguments: Any) -> Answer:
    try:
        return answer(*arguments)
    except (UsageError, MicrographError) as error:
        raise RefusalError(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from error
