# SPDX-License-Identifier: GPL-3.0-or-later
"""What forms say of their inputs."""

from __future__ import annotations

from typing import Any

import pyworkflow.protocol.params as params


def add_reason_for_grey(form: Any, name: str, wanted: str, condition: str = "") -> None:
    """Add a line that is there as long as an input is missing, which makes Scipion's button grey.

    Args:
        form: to add it to.
        name: of the parameter of the input.
        wanted: what has to be chosen.
        condition: on which the input is needed, to be followed by another one.
    """
    form.addParam(
        f"{name}Missing",
        params.LabelParam,
        condition=f"{condition}{name} is None",
        label=f"Choose {wanted}: Execute is grey until then.",
        help="The result of a protocol that has yet to run can be chosen as well: the button then "
        "says Schedule.",
    )


def define_coordinates(form: Any, label: str, help: str) -> None:
    """Add the coordinates that a protocol works on, and the line that is there without them."""
    form.addParam(
        "inputCoordinates",
        params.PointerParam,
        pointerClass="SetOfCoordinates",
        important=True,
        label=label,
        help=help,
    )
    add_reason_for_grey(form, "inputCoordinates", f"the {label[0].lower()}{label[1:]}")


def define_other_micrographs(form: Any, usual: str) -> None:
    """Add the micrographs that coordinates are of, where they do not know them themselves.

    Args:
        form: to add to.
        usual: micrographs that are taken where none are given.
    """
    form.addParam(
        "inputMicrographs",
        params.PointerParam,
        pointerClass="SetOfMicrographs",
        allowsNull=True,
        expertLevel=params.LEVEL_ADVANCED,
        label="Micrographs (optional)",
        help=f"Empty: {usual}. Coordinates that were joined know only the micrographs of the first "
        "of their sets: join the sets of micrographs as well, and give them here.",
    )
