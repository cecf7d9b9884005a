# SPDX-License-Identifier: GPL-3.0-or-later
"""The server: requests in, answers out; what is too large, too slow or too much is refused."""

from __future__ import annotations

import json
import logging
import socket
import socketserver
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from typing import Any, Callable, Dict, Mapping, Sequence

from ...errors import UNFORESEEN, PupickError
from .access import Gate, RefusalError

HOST = "127.0.0.1"
JSON = "application/json"
# of one request: corrections of a whole micrograph are far less
MOST_BODY_BYTES = 4 * 2**20
# for all of a request to arrive, and for a piece of an answer to be taken
REQUEST_SECONDS = 15.0
MOST_CONNECTIONS = 64
_ALWAYS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_NOTHING = "default-src 'none'; frame-ancestors 'none'"
_POLICY = "Content-Security-Policy"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """What a browser asks for.

    Attributes:
        method: GET or POST.
        path: with its query.
        headers: as they came.
        body: empty unless it is a POST.
    """

    method: str
    path: str
    headers: Any
    body: bytes = b""


@dataclass(frozen=True)
class Answer:
    """What a browser gets.

    Attributes:
        body: content.
        kind: its media type.
        status: of HTTP.
        headers: beside those of every answer.
    """

    body: bytes
    kind: str = JSON
    status: HTTPStatus = HTTPStatus.OK
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, value: Mapping[str, Any], status: HTTPStatus = HTTPStatus.OK) -> Answer:
        """Return an answer of JSON."""
        return cls(json.dumps(value, separators=(",", ":")).encode(), status=status)


Answering = Callable[[Request], Answer]


class PageServer(ThreadingHTTPServer):
    """A server for browsers on this computer.

    Attributes:
        gate: whom it lets in.
        answering: how requests are answered.
    """

    daemon_threads = True
    allow_reuse_address = True
    # else a second server could listen at the same port
    allow_reuse_port = False
    request_queue_size = MOST_CONNECTIONS

    def __init__(self, port: int, gate: Gate, answering: Answering) -> None:
        """Listen at a port of this computer; 0 for any that is free.

        Raises:
            OSError: the port is in use.
        """
        self.gate, self.answering = gate, answering
        self._free = threading.BoundedSemaphore(MOST_CONNECTIONS)
        self._arriving: Dict[socket.socket, float] = {}
        super().__init__((HOST, port), _Handler)

    def server_bind(self) -> None:
        """Listen; names of computers are not looked up, which can take long."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, self.server_address[1]

    @property
    def address(self) -> str:
        """Where to open the page. What follows # is not sent, and stays in the browser."""
        return f"http://{HOST}:{self.server_port}/#token={self.gate.token}"

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread of its own, unless there are too many."""
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        self._arriving[request] = time.monotonic()
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, and make room for another."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.has_arrived(request)
            self._free.release()

    def has_arrived(self, connection: socket.socket) -> None:
        """Note that all of a request has been read."""
        self._arriving.pop(connection, None)

    def service_actions(self) -> None:
        """Cut connections off whose requests do not arrive; the server calls it all the time."""
        now = time.monotonic()
        for connection, since in list(self._arriving.items()):
            if now - since > REQUEST_SECONDS:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Note a connection that broke; others go on."""
        log.debug("A connection broke: %r", sys.exc_info()[1])


class _Handler(BaseHTTPRequestHandler):
    """One request."""

    server: HTTPServer
    server_version = "pupick"
    sys_version = ""
    timeout = REQUEST_SECONDS

    def do_GET(self) -> None:  # noqa: N802
        self._handle()

    def do_POST(self) -> None:  # noqa: N802
        self._handle()

    def _handle(self) -> None:
        server = self.server
        assert isinstance(server, PageServer)
        try:
            body = self._read_body() if self.command == "POST" else b""
            server.has_arrived(self.connection)
            answer = server.answering(Request(self.command, self.path, self.headers, body))
        except RefusalError as refusal:
            answer = Answer.of({"error": str(refusal)}, refusal.status)
        except ConnectionError:
            raise
        except UNFORESEEN as error:
            answer = Answer.of({"error": _words(error)}, _status(error))
        self._send(answer)

    def _read_body(self) -> bytes:
        lengths = self.headers.get_all("Content-Length") or []
        if len(lengths) != 1 or "Transfer-Encoding" in self.headers:
            raise RefusalError(HTTPStatus.LENGTH_REQUIRED, "The request has no length.")
        text = lengths[0].strip()
        if not (text.isascii() and text.isdigit() and len(text) < 16):
            raise RefusalError(HTTPStatus.BAD_REQUEST, "The length of the request is no number.")
        if int(text) > MOST_BODY_BYTES:
            raise RefusalError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The request is too long.")
        body = self.rfile.read(int(text))
        if len(body) < int(text):
            raise ConnectionAbortedError("the request has ended too early")
        return body

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in {_POLICY: _NOTHING, **answer.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def end_headers(self) -> None:
        """End the headers with those that every answer has, errors of the protocol too."""
        for name, value in _ALWAYS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet: a log on a terminal can be abused, and what is asked for is no news."""
        log.debug("%r", args)


def _status(error: BaseException) -> HTTPStatus:
    if isinstance(error, OSError):
        return HTTPStatus.INSUFFICIENT_STORAGE
    return HTTPStatus.INTERNAL_SERVER_ERROR


def _words(error: BaseException) -> str:
    known = isinstance(error, (PupickError, OSError))
    if not known:
        log.error("A request has failed.", exc_info=error)
    return str(error) if known else f"The server has failed: {error!r}"


def listen(ports: Sequence[int], gate: Gate, answering: Answering) -> PageServer:
    """Listen at the first of some ports that is free.

    Raises:
        OSError: none of them is.
    """
    for port in ports[:-1]:
        with suppress(OSError):
            return PageServer(port, gate, answering)
    return PageServer(ports[-1], gate, answering)
