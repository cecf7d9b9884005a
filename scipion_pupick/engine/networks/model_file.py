# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a model file: its metadata, and its weights as plain arrays, without PyTorch.

PyTorch takes a second to import, which is longer than a single micrograph takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Mapping, Optional

import numpy as np
from safetensors import SafetensorError, safe_open

import scipion_pupick

from ..errors import UsageError
from ..files.atomic import PathLike
from ..files.json_files import parse_object
from ..files.reading import read_part
from ..preprocessing.mixture import Mixture
from ..preprocessing.scale import ANGSTROM, PIXELS, LengthUnit, ModelScale, pixels
from ..settings import EARLIER_GENERAL, GENERAL, UNITS
from .training_record import TrainingRecord

FORMAT = 1
METADATA_KEY = "pupick"
PICKLES = (b"PK\x03\x04", b"\x80")


@dataclass(frozen=True)
class ModelFile:
    """What a model file holds.

    Attributes:
        path: of the file.
        network_name: of the architecture that the weights are for.
        units: filters of its first layer.
        stride: px of the working image from one score to the next.
        field: width of the region that one score depends on, px of the working image.
        scale: particle diameter (Å; None for a general model) and its working width (px).
        threshold: log-odds from which on a peak is picked, unless the user says otherwise.
        normalisation: method of `normalise.normalise`.
        mixture: shared mixture of a joint normalisation; None where each micrograph has its own.
        training: how the model came about.
        weights: finite arrays by their names in the network.
    """

    path: Path
    network_name: str
    units: int
    stride: int
    field: int
    scale: ModelScale
    threshold: float
    normalisation: str
    mixture: Optional[Mixture]
    training: TrainingRecord
    weights: Dict[str, np.ndarray]


def model_path(model: PathLike) -> Path:
    """Find the file of a model: a path, or the name of one that comes with pupick.

    These are `general`, and `general-0.1` for what version 0.1 has begun.
    """
    if str(model) in (GENERAL, EARLIER_GENERAL) and not Path(model).is_file():
        return Path(__file__).parent / f"{model}.safetensors"
    return Path(model)


def read_model_file(path: PathLike) -> ModelFile:
    """Read a model file.

    Args:
        path: of the file, or `general`.

    Raises:
        UsageError: no such file, or not a model that this version of pupick can use; says why.
    """
    path = model_path(path)
    metadata = show_model(path)
    weights = _read_weights(path)
    try:
        mixture = metadata["mixture"]
        return ModelFile(
            path=path,
            network_name=str(metadata["network"]),
            units=_units(metadata, weights),
            stride=int(metadata["stride"]),
            field=int(metadata["field"]),
            scale=ModelScale(
                _number(metadata["diameter"]),
                float(metadata["diameter_px"]),
                _unit_of_dict(metadata),
            ),
            threshold=float(metadata["threshold"]),
            normalisation=metadata["normalisation"],
            mixture=None if mixture is None else Mixture.from_dict(mixture),
            training=TrainingRecord.from_dict(metadata["training"]),
            weights=weights,
        )
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise UsageError(
            f"{path}: the metadata of this model cannot be used: {error!r}."
        ) from error


def show_model(path: PathLike) -> Dict[str, Any]:
    """Read what a model file says of itself, without its weights.

    Args:
        path: of the file, or `general`.

    Raises:
        UsageError: no such file, or not a pupick model; says why.
    """
    path = model_path(path)
    _refuse_pickle(path)
    try:
        with safe_open(path, framework="np") as file:
            text = (file.metadata() or {}).get(METADATA_KEY)
    except (SafetensorError, OSError) as error:
        raise UsageError(f"{path} is not a safetensors file: {error}.") from error
    if text is None:
        raise UsageError(
            f"{path} holds weights of some other software: pupick picks with models that "
            "`pupick train` has written."
        )
    metadata = _parse(text, path)
    if metadata.get("format") != FORMAT:
        raise UsageError(
            f"{path} has model format {metadata.get('format')!r}; this version of pupick "
            f"({scipion_pupick.__version__}) reads format {FORMAT}."
        )
    return metadata


def unit_to_dict(unit: Optional[LengthUnit]) -> Dict[str, Any]:
    """Return what a model file says of the unit of its diameter; nothing where it is not known."""
    if unit is None:
        return {}
    pixel_size = {"pixel_size": unit.angstrom} if unit.name == PIXELS else {}
    return {"diameter_unit": unit.name, **pixel_size}


def _unit_of_dict(metadata: Mapping[str, Any]) -> Optional[LengthUnit]:
    """Read the unit of a model's diameter; None where an older version has not said it."""
    name = metadata.get("diameter_unit")
    if name == PIXELS:
        return pixels(_number(metadata.get("pixel_size")))
    if name not in (None, ANGSTROM.name):
        raise ValueError(f"diameter_unit is {str(name)[:30]!r}")
    return None if name is None else ANGSTROM


def _units(metadata: Mapping[str, Any], weights: Mapping[str, np.ndarray]) -> int:
    """Filters of the first layer; files say it only where it is not the usual number."""
    if "units" not in metadata:
        return UNITS
    units = metadata["units"]
    if units != len(weights["features.0.weight"]) or isinstance(units, bool) or units % 4:
        raise ValueError(f"units is {str(units)[:30]!r}")
    return int(units)


def _number(value: Optional[float]) -> Optional[float]:
    return None if value is None else float(value)


def _parse(text: str, path: PathLike) -> Dict[str, Any]:
    try:
        return parse_object(text)
    except ValueError as error:
        raise UsageError(f"{path}: the metadata are damaged: {error}.") from error


def _refuse_pickle(path: PathLike) -> None:
    try:
        start = read_part(Path(path), 0, 9)
    except OSError as error:
        raise UsageError(f"{path}: the model cannot be read: {error.strerror}.") from error
    # A safetensors file opens with a number of any bytes, and then a brace.
    if start.startswith(PICKLES) and start[8:] != b"{":
        raise UsageError(
            f"{path} is a pickled PyTorch file (.sav, .pt, .pth): loading one runs whatever code "
            "it holds, so pupick does not. Give a .safetensors model that `pupick train` wrote."
        )


def _read_weights(path: PathLike) -> Dict[str, np.ndarray]:
    try:
        with safe_open(path, framework="np") as file:
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, TypeError, AttributeError) as error:
        raise UsageError(f"{path}: the weights cannot be read: {error}.") from error
    for name, values in weights.items():
        if not np.isfinite(values).all():
            raise UsageError(f"{path}: weights {name!r} hold NaN or infinite values.")
    return weights
