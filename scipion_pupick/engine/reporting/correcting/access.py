# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may ask: the page that was opened with the token, and nobody else.

Other users of the computer and pages of other sites reach the server as well. Neither knows the
token. It travels in a header that a page of another site cannot send, and not in a cookie, which a
browser would send with any request, and to any server of this computer. A site whose name is made
to lead to this computer (DNS rebinding) gives itself away by that name.
"""

from __future__ import annotations

import hmac
import re
import secrets
from dataclasses import dataclass, field
from email.message import Message
from http import HTTPStatus

TOKEN_HEADER = "X-Pupick-Token"  # noqa: S105
# which life of which server a page knows, and so which run
LIFE_HEADER = "X-Pupick-Life"
_TOKEN_BYTES = 32
# a tunnel may end at another port than the server's
_HOST = re.compile(r"(localhost|127\.0\.0\.1)(:[0-9]{1,5})?")
_SAME_PAGE = ("same-origin", "none")


class RefusalError(Exception):
    """A request that is not answered as asked.

    Attributes:
        status: of HTTP.
    """

    def __init__(self, status: HTTPStatus, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True)
class Gate:
    """Whom a server lets in.

    Attributes:
        token: that the page was opened with.
    """

    token: str = field(default_factory=lambda: secrets.token_urlsafe(_TOKEN_BYTES), repr=False)

    def check_host(self, headers: Message) -> str:
        """Return the host by which a browser knows the server.

        Raises:
            RefusalError: it is none of the names of this computer.
        """
        hosts = headers.get_all("Host") or []
        if len(hosts) != 1 or not _HOST.fullmatch(hosts[0].strip().lower()):
            raise RefusalError(
                HTTPStatus.FORBIDDEN,
                "This server answers as localhost and 127.0.0.1 only: open the address that "
                "pupick serve has printed.",
            )
        return hosts[0].strip().lower()

    def check(self, headers: Message) -> None:
        """Let a request of the page pass.

        Raises:
            RefusalError: it comes from elsewhere, or does not know the token.
        """
        host = self.check_host(headers)
        origins = headers.get_all("Origin") or [f"http://{host}"]
        sites = headers.get_all("Sec-Fetch-Site") or [_SAME_PAGE[0]]
        if origins != [f"http://{host}"] or len(sites) != 1 or sites[0] not in _SAME_PAGE:
            raise RefusalError(HTTPStatus.FORBIDDEN, "The request comes from another page.")
        tokens = headers.get_all(TOKEN_HEADER) or [""]
        known = hmac.compare_digest(tokens[0].encode("utf-8", "replace"), self.token.encode())
        if len(tokens) != 1 or not known:
            raise RefusalError(
                HTTPStatus.UNAUTHORIZED,
                "The token is not that of this server: open the address that pupick serve has "
                "printed last.",
            )
