# SPDX-License-Identifier: GPL-3.0-or-later
"""The page itself, which knows nothing of the run: its script asks for that with the token."""

from __future__ import annotations

import secrets
from importlib import resources
from typing import Tuple

from jinja2 import Environment, StrictUndefined

from ..page import read_part, to_json
from ..plots import SCORE_COLOURS
from ..script import CORRECTING_MODULES, join_modules
from .access import LIFE_HEADER, TOKEN_HEADER
from .edits import MOST_EDITS, STEPS_PER_PX

_NONCE_BYTES = 18
_CONSTANTS = {
    "tokenHeader": TOKEN_HEADER,
    "lifeHeader": LIFE_HEADER,
    "stepsPerPx": STEPS_PER_PX,
    "mostEdits": MOST_EDITS,
    "scoreColours": SCORE_COLOURS,
}


def render_page() -> Tuple[str, str]:
    """Return the page as HTML, and the policy that lets its own script run and no other."""
    nonce = secrets.token_urlsafe(_NONCE_BYTES)
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    html = environment.from_string(_read("page.html")).render(
        nonce=nonce,
        style=read_part("base.css") + _read("page.css"),
        script=join_modules(CORRECTING_MODULES),
        constants=to_json(_CONSTANTS),
    )
    return html, _policy(nonce)


def _policy(nonce: str) -> str:
    return (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; "
        "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )


def _read(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
