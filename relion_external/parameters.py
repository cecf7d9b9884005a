# SPDX-License-Identifier: GPL-3.0-or-later
"""What the jobs can be told: RELION's own arguments, and the parameters of the External form.

Only the standard library is used, so that an error of typing is reported at once.
"""

from __future__ import annotations

import difflib
import math
import textwrap
from dataclasses import dataclass
from typing import Any, Callable, Dict, FrozenSet, Mapping, Optional, Sequence, Tuple

from .errors import JobError
from .versions import VERSIONS

TRAIN, PICK, BOTH = "train", "pick", "both"

PROGRAMS = {
    TRAIN: "relion_external_pupick_train",
    PICK: "relion_external_pupick_pick",
    BOTH: "relion_external_pupick",
}
SUMMARIES = {
    TRAIN: "Train a model on micrographs and a few particles picked by hand.",
    PICK: "Pick particles with a trained model.",
    BOTH: "Train a model on micrographs and a few particles picked by hand, then pick with it.",
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
}
RELION_ARGUMENTS = (*INPUTS, "o", "j", "pipeline_control")


def number(text: str) -> float:
    """Turn text into a finite number."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def positive(text: str) -> float:
    """Turn text into a number above 0."""
    value = number(text)
    if value <= 0:
        raise ValueError(text)
    return value


def whole(text: str) -> int:
    """Turn text into a whole number of 0 or more."""
    value = int(text)
    if value < 0:
        raise ValueError(text)
    return value


def device(text: str) -> str:
    """Turn what RELION's users write for GPUs (0, none, auto) into the engine's device name."""
    name = text.lower()
    if name in ("none", "no", "cpu", "-1"):
        return "cpu"
    if name in ("auto", "cuda"):
        return name
    return f"cuda:{whole(name.replace('cuda:', ''))}"


def relion_version(text: str) -> str:
    """Turn 3.1, 4, 5.0.1... into the version whose files are written."""
    for version in VERSIONS:
        if text.split(".")[0] == version.split(".")[0]:
            return version
    raise ValueError(text)


@dataclass(frozen=True)
class Kind:
    """A kind of value: how its text is read (ValueError if it cannot be), and how it is called."""

    read: Callable[[str], Any]
    name: str


NUMBER = Kind(number, "a number")
POSITIVE = Kind(positive, "a number above 0")
WHOLE = Kind(whole, "a whole number, 0 or more")
TEXT = Kind(str, "a text")
MODEL = Kind(str, "a model file, the folder of a training job, or general")
GPU = Kind(device, "auto, none or a GPU's number")
VERSION = Kind(relion_version, ", ".join(VERSIONS))


@dataclass(frozen=True)
class Parameter:
    """A parameter of the External form: its label, kind of value, meaning, and the jobs it is for.

    `required` parameters have no default.
    """

    name: str
    kind: Kind
    text: str
    jobs: FrozenSet[str]
    required: bool = False


_TRAINING = frozenset({TRAIN, BOTH})
_PICK = frozenset({PICK})
_PICKING = frozenset({PICK, BOTH})
_ALL = _TRAINING | _PICKING

PARAMETERS: Tuple[Parameter, ...] = (
    Parameter("model", MODEL, "to pick with, such as External/job005; default: general", _PICK),
    Parameter("diameter", POSITIVE, "of the particle, Å", _TRAINING, True),
    Parameter("diameter", POSITIVE, "of the particle, Å; default: the model's", _PICK),
    Parameter(
        "particles_per_micrograph",
        POSITIVE,
        "about how many a micrograph holds, picked or not; default: estimated",
        _ALL,
    ),
    Parameter(
        "threshold", NUMBER, "score from which on a peak is picked; default: the model's", _PICKING
    ),
    Parameter(
        "edge",
        NUMBER,
        "picks nearer to the edge are dropped, Å; default: half the diameter",
        _PICKING,
    ),
    Parameter("separation", NUMBER, "least distance of picks, Å; default: 0.4 diameters", _PICKING),
    Parameter("gpu", GPU, "default: auto, a GPU if there is one", _ALL),
    Parameter("pixel_size", POSITIVE, "of the micrographs, Å/px; default: their STAR file's", _ALL),
    Parameter("start", MODEL, "to start from, or none; default: general", _TRAINING),
    Parameter("negatives", TEXT, "file of coordinates that are no particles", _TRAINING),
    Parameter("epochs", WHOLE, "epochs of training", _TRAINING),
    Parameter("steps", WHOLE, "batches an epoch", _TRAINING),
    Parameter("learning_rate", POSITIVE, "of training, at its highest", _TRAINING),
    Parameter("held_out", NUMBER, "share of the labels that choose the best epoch", _TRAINING),
    Parameter("network", TEXT, "conv3, resnet8 or resnet16", _TRAINING),
    Parameter("objective", TEXT, "pn, upu, nnpu, ge-kl or ge-binomial", _TRAINING),
    Parameter("normalisation", TEXT, "micrograph, joint or affine", _TRAINING),
    Parameter("seed", WHOLE, "of every random choice", _TRAINING),
    Parameter("relion_version", VERSION, "whose files to write; default: by job.star", _ALL),
)


@dataclass(frozen=True)
class Options:
    """A job as RELION calls it.

    Attributes:
        job: `TRAIN`, `PICK` or `BOTH`.
        output: the job's folder, as given.
        micrographs: STAR file of micrographs.
        coordinates: list of coordinate files, if one was given.
        particles: STAR file of particles, if one was given.
        threads: of the CPU.
        values: of the parameters that were given, by name.
    """

    job: str
    output: str
    micrographs: str
    coordinates: Optional[str]
    particles: Optional[str]
    threads: int
    values: Mapping[str, Any]


def parameters_of(job: str) -> Dict[str, Parameter]:
    """Return the parameters that a job knows, by name."""
    return {parameter.name: parameter for parameter in PARAMETERS if job in parameter.jobs}


def parse_arguments(job: str, arguments: Sequence[str]) -> Options:
    """Make sense of the command line that RELION has put together.

    A label without a value counts as not given, since that is how RELION passes on a value that
    was left empty. `particles-per-micrograph` is as good as `particles_per_micrograph`.

    Raises:
        JobError: an argument is unknown, makes no sense, or is missing.
    """
    texts = _pair(arguments)
    known = parameters_of(job)
    unknown = [name for name in texts if name not in known and name not in RELION_ARGUMENTS]
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
            for name, parameter in known.items()
            if _is_given(parameter, texts)
        },
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
    known = list(parameters_of(job))
    near = difflib.get_close_matches(name, known, 1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    return f"there is no parameter {name!r}{hint}; the parameters are {', '.join(known)}"


def _check_inputs(job: str, texts: Mapping[str, str]) -> None:
    if not texts.get("in_mics"):
        raise JobError("input micrographs are missing: give a STAR file (--in_mics)")
    for name, what in INPUTS.items():
        if texts.get(name) and name not in USED_INPUTS[job]:
            raise JobError(f"{PROGRAMS[job]} has no use for {what} (--{name}): leave that empty")
    if job != PICK and not (texts.get("in_coords") or texts.get("in_parts")):
        raise JobError(
            "training needs particles picked by hand: give input coordinates (--in_coords) or "
            "particles (--in_parts)"
        )


def _is_given(parameter: Parameter, texts: Mapping[str, str]) -> bool:
    given = bool(texts.get(parameter.name))
    if parameter.required and not given:
        raise JobError(
            f"the parameter {parameter.name} is missing: {parameter.kind.name}, {parameter.text}"
        )
    return given


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
        f"       {PROGRAMS[job]} --setup train|pick|both [--relion_version VERSION]",
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
