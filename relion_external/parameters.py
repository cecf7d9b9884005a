# SPDX-License-Identifier: GPL-3.0-or-later
"""What the jobs can be told: RELION's own arguments, and the parameters of the External form.

Only the standard library is used, and the engine's settings, which use no more themselves: so an
error of typing is reported at once.
"""

from __future__ import annotations

import difflib
import textwrap
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from scipion_pupick.engine import CorrectionSettings, PickSettings, TrainSettings
from scipion_pupick.engine.settings import (
    ADVANCED,
    SUGGESTED_PICKS,
    PicksSettings,
    Setting,
    offered_settings,
)

from .errors import JobError
from .kinds import (
    COUNT,
    GPU,
    MODEL,
    POSITIVE,
    SHARE,
    TEXT,
    VERSION,
    WHOLE,
    YES_OR_NO,
    Kind,
    kind_of,
)

TRAIN, PICK, BOTH, SUGGEST = "train", "pick", "both", "suggest"

PROGRAMS = {
    TRAIN: "relion_external_pupick_train",
    PICK: "relion_external_pupick_pick",
    BOTH: "relion_external_pupick",
    SUGGEST: "relion_external_pupick_suggest",
}
SUMMARIES = {
    TRAIN: "Train a model on micrographs and a few particles picked by hand.",
    PICK: "Pick particles with the general model, which needs no training, or a trained one.",
    BOTH: "Train a model on micrographs and a few particles picked by hand, then pick with it.",
    SUGGEST: "Name the areas to correct first, for the manual picker.",
}

INPUTS = {
    "in_mics": "micrographs",
    "in_coords": "coordinates",
    "in_parts": "particles",
    "in_movies": "movies",
    "in_3dref": "a 3D reference",
    "in_3Dref": "a 3D reference",
    "in_mask": "a mask",
}
USED_INPUTS = {
    TRAIN: ("in_mics", "in_coords", "in_parts"),
    PICK: ("in_mics",),
    BOTH: ("in_mics", "in_coords", "in_parts"),
    SUGGEST: ("in_mics", "in_coords"),
}
RELION_ARGUMENTS = (*INPUTS, "o", "j", "pipeline_control")


@dataclass(frozen=True)
class Parameter:
    """A parameter of the External form.

    Attributes:
        name: as the form has it.
        kind: of its values.
        text: what it means.
        required: whether it has no default.
        label: in forms that have one.
        advanced: whether most users leave it alone.
        old_name: under which old jobs may have it.
    """

    name: str
    kind: Kind
    text: str
    required: bool = False
    label: str = ""
    advanced: bool = False
    old_name: str = ""


MODEL_TO_PICK_WITH = Parameter(
    "model", MODEL, "to pick with, such as External/job005; default: general", label="Model"
)
COMPUTER = Parameter("gpu", GPU, "default: auto, a GPU if there is one", label="GPU")
WORKERS = Parameter(
    "workers",
    WHOLE,
    "processes to pick with, which share the threads; default: one on each GPU",
    label="Processes",
    advanced=True,
)
LEAST_USABLE = Parameter(
    "least_usable",
    SHARE,
    "share of a micrograph free of contamination, below which micrographs.star leaves it out; "
    "default: 0, which lists all",
    label="Least usable share",
    advanced=True,
)
MASKS = Parameter(
    "masks",
    YES_OR_NO,
    "write masks of ice, carbon and dirt (MRC); default: no",
    label="Write masks",
    advanced=True,
)
PIXEL_SIZE = Parameter(
    "pixel_size", POSITIVE, "of the micrographs, Å/px; default: that of their STAR file or headers"
)
START = Parameter(
    "start",
    MODEL,
    "to start from, or none to train from scratch; default: general, or with corrected the model "
    "that had picked",
)
NEGATIVES = Parameter(
    "negatives",
    TEXT,
    "file of coordinates of places without a particle, such as ice or carbon edges",
)
SELECTED_FROM = Parameter(
    "selected_from",
    TEXT,
    "2D classification that the input particles were selected from, such as Class2D/job008, or "
    "auto: particles of rejected classes are negatives",
)
CORRECTED = Parameter(
    "corrected",
    TEXT,
    "picking job of pupick whose picks were corrected, such as External/job006, or job that has "
    "suggested picks: the model learns what was removed and added",
)
TO_SUGGEST = Parameter(
    "count", COUNT, f"picks to look at, in up to six micrographs; default: {SUGGESTED_PICKS}"
)
VERSION_OF_RELION = Parameter(
    "relion_version", VERSION, "whose files to write; default: by job.star"
)
SETTINGS: Mapping[str, Tuple[type, ...]] = {
    TRAIN: (TrainSettings, PicksSettings, CorrectionSettings),
    PICK: (PickSettings,),
    BOTH: (TrainSettings, PickSettings, PicksSettings, CorrectionSettings),
    SUGGEST: (),
}


def parameters_from(*kinds: type) -> List[Parameter]:
    """Make parameters from all settings of dataclasses that users are offered."""
    return [_parameter(setting) for kind in kinds for setting in offered_settings(kind)]


def _parameter(setting: Setting) -> Parameter:
    label = f"{setting.label} ({setting.unit})" if setting.unit else setting.label
    advanced = setting.level == ADVANCED
    return Parameter(
        setting.name,
        kind_of(setting),
        setting.sentence,
        setting.required,
        label,
        advanced,
        setting.old_name,
    )


@dataclass(frozen=True)
class Options:
    """A job as RELION calls it.

    Attributes:
        job: `TRAIN`, `PICK`, `BOTH` or `SUGGEST`.
        output: the job's folder, as given.
        micrographs: STAR file of micrographs.
        coordinates: list of coordinate files, if one was given.
        particles: STAR file of particles, if one was given.
        threads: of the CPU.
        values: of the parameters that were given, by name.
        renamed: the names that parameters have now, by the old ones that were given.
    """

    job: str
    output: str
    micrographs: str
    coordinates: Optional[str]
    particles: Optional[str]
    threads: int
    values: Mapping[str, Any]
    renamed: Mapping[str, str]


def parameters_of(job: str) -> Dict[str, Parameter]:
    """Return the parameters that a job knows, by name, the advanced ones last."""
    if job == SUGGEST:
        return {parameter.name: parameter for parameter in (TO_SUGGEST, VERSION_OF_RELION)}
    settings = parameters_from(*SETTINGS[job])
    parameters = [
        *([MODEL_TO_PICK_WITH] if job == PICK else []),
        *(parameter for parameter in settings if not parameter.advanced),
        COMPUTER,
        PIXEL_SIZE,
        *([] if job == PICK else [START, NEGATIVES, SELECTED_FROM, CORRECTED]),
        *(parameter for parameter in settings if parameter.advanced),
        *([] if job == TRAIN else [LEAST_USABLE, MASKS, WORKERS]),
        VERSION_OF_RELION,
    ]
    by_name: Dict[str, Parameter] = {}
    for parameter in parameters:
        # of a setting of both steps, such as the diameter, the training's counts
        by_name.setdefault(parameter.name, parameter)
    return by_name


def parse_arguments(job: str, arguments: Sequence[str]) -> Options:
    """Make sense of the command line that RELION has put together.

    A label without a value counts as not given, since that is how RELION passes on a value that
    was left empty. `particles-per-micrograph` is as good as `particles_per_micrograph`.

    Raises:
        JobError: an argument is unknown, makes no sense, or is missing.
    """
    parameters = parameters_of(job)
    pairs = _pair(arguments)
    new_names = {p.old_name: name for name, p in parameters.items() if p.old_name}
    texts = {new_names.get(name, name): text for name, text in pairs.items()}
    unknown = [name for name in texts if name not in parameters and name not in RELION_ARGUMENTS]
    if unknown:
        raise JobError(_unknown_text(unknown[0], job))
    _check_inputs(job, texts)
    return Options(
        job=job,
        output=texts["o"],
        micrographs=texts["in_mics"],
        coordinates=texts.get("in_coords"),
        particles=texts.get("in_parts"),
        threads=_read("j", WHOLE, texts.get("j", "1")),
        values={
            name: _read(name, parameter.kind, texts[name])
            for name, parameter in parameters.items()
            if _is_given(parameter, texts)
        },
        renamed={old: name for old, name in new_names.items() if pairs.get(old)},
    )


def _pair(arguments: Sequence[str]) -> Dict[str, str]:
    """Put labels and values together; labels without a value are left out, the last one counts.

    argparse would take the value -1e-3 for a label.
    """
    texts: Dict[str, str] = {}
    label: Optional[str] = None
    for argument in arguments:
        if argument.startswith("--") and len(argument) > 2:
            label, equals, value = argument[2:].partition("=")
            label = label if label in RELION_ARGUMENTS else label.replace("-", "_")
            texts[label] = value if equals else ""
        elif label is None or texts[label]:
            raise JobError(
                f"there is no use for {argument!r}: neither a value nor a path may have blanks"
            )
        else:
            texts[label] = argument
    return texts


def _unknown_text(name: str, job: str) -> str:
    names = list(parameters_of(job))
    near = difflib.get_close_matches(name, names, 1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    return f"there is no parameter {name!r}{hint}; the parameters are {', '.join(names)}"


def _check_inputs(job: str, texts: Mapping[str, str]) -> None:
    if not texts.get("in_mics"):
        raise JobError("input micrographs are missing: give a STAR file (--in_mics)")
    for name, what in INPUTS.items():
        if texts.get(name) and name not in USED_INPUTS[job]:
            raise JobError(f"{PROGRAMS[job]} has no use for {what} (--{name}): leave that empty")
    if job == SUGGEST and not texts.get("in_coords"):
        raise JobError("the picks are missing: give the coordinates of a picking job (--in_coords)")
    usual = CorrectionSettings().done
    if (texts.get("done") or usual) != usual and not texts.get(CORRECTED.name):
        raise JobError(
            "done says which micrographs of corrected picks are done: name the job that had picked "
            "them (corrected), or leave it empty"
        )
    sources = ("in_coords", "in_parts", CORRECTED.name)
    if job in (TRAIN, BOTH) and not any(texts.get(name) for name in sources):
        raise JobError(
            "training needs particles picked by hand: give input coordinates (--in_coords) or "
            "particles (--in_parts), or a job whose picks were corrected (corrected)"
        )


def _is_given(parameter: Parameter, texts: Mapping[str, str]) -> bool:
    value = bool(texts.get(parameter.name))
    # a job whose picks were corrected has a diameter
    if parameter.required and not (value or texts.get(CORRECTED.name)):
        raise JobError(
            f"the parameter {parameter.name} is missing: {parameter.kind.name}, {parameter.text}"
        )
    return value


def _read(name: str, kind: Kind, text: str) -> Any:
    try:
        return kind.read(text)
    except ValueError as error:
        raise JobError(f"{name} is {text!r}: give {kind.name}") from error


def help_text(job: str) -> str:
    """Say how a job is used."""
    about = (
        f"{SUMMARIES[job]} RELION's External job type starts this program. --setup fills in the "
        "External form of the RELION project in the current folder."
    )
    lines = [
        f"usage: {PROGRAMS[job]} --o FOLDER --in_mics STAR ... [--PARAMETER VALUE]",
        f"       {PROGRAMS[job]} --setup train|pick|both|suggest [--relion_version VERSION]",
        "",
        *textwrap.wrap(about, 96),
        "",
        "parameters (the labels Param1, Param2... of the form):",
    ]
    for parameter in parameters_of(job).values():
        text = parameter.text + ("" if not parameter.required else " (required)")
        lines += textwrap.wrap(
            f"{parameter.name}: {parameter.kind.name}; {text}",
            96,
            initial_indent="  ",
            subsequent_indent="      ",
        )
    return "\n".join(lines) + "\n"
