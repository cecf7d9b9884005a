# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTML page: data and words into the template."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, Dict, List, Tuple

from jinja2 import Environment, StrictUndefined

from .plots import REFERENCE_COLOUR, SCORE_COLOURS
from .script import join_modules

MOST_FAILURES = 200


@dataclass(frozen=True)
class Page:
    """What a report says and shows.

    Attributes:
        title: of the page.
        lead: the most important sentence.
        facts: what about, and in words.
        notices: what the reader must know before trusting the rest.
        failures: (micrograph, reason).
        data: for the script.
    """

    title: str
    lead: str
    facts: List[Tuple[str, str]]
    notices: List[str]
    failures: List[Tuple[str, str]]
    data: Dict[str, Any] = field(default_factory=dict)


def render(page: Page) -> str:
    """Write the page as HTML that needs nothing beside itself."""
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    template = environment.from_string(read_part("template.html"))
    colours = {"scoreColours": SCORE_COLOURS, "referenceColour": REFERENCE_COLOUR}
    return template.render(
        page=page,
        failures=page.failures[:MOST_FAILURES],
        more_failures=max(0, len(page.failures) - MOST_FAILURES),
        style=read_part("base.css") + read_part("report.css"),
        script=join_modules(),
        look_known=bool(page.data.get("look")),
        usable_known=bool((page.data.get("tables") or {}).get("usable")),
        data=to_json({**page.data, **colours}),
    )


def read_part(name: str) -> str:
    """Return the text of a file that pages are made of."""
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def to_json(value: Any) -> str:
    """Write JSON that may stand inside a script element, whatever the texts in it; NaN is null."""
    text = json.dumps(_finite(value), allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value
