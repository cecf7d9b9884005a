# SPDX-License-Identifier: GPL-3.0-or-later
"""The model file: weights and everything that picking with them needs, in one safetensors file."""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Optional

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

import scipion_pupick

from .downsample import WorkingScale
from .errors import UsageError
from .files import PathLike, atomic_write
from .networks import NETWORKS, STRIDE, Network, make_network
from .normalise import Mixture

FORMAT = 1
KEY = "pupick"
PICKLES = (b"PK\x03\x04", b"\x80")


@dataclass(frozen=True)
class Model:
    """A trained picker.

    Attributes:
        network: in evaluation mode.
        network_name: in `networks.NETWORKS`.
        scale: particle diameter (Å) and its width at the working scale (px).
        normalisation: method of `normalise.normalise`.
        mixture: shared mixture of a joint normalisation; None where each micrograph has its own.
        threshold: log-odds from which on a peak is picked, unless the user says otherwise.
        training: summary for people: labels, π, objective, epochs, held-out average precision...
    """

    network: Network
    network_name: str
    scale: WorkingScale
    threshold: float
    normalisation: str = "gmm"
    mixture: Optional[Mixture] = None
    training: Dict[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Digest of all that scores depend on."""
        digest = hashlib.sha256(
            repr((self.network_name, self.scale, self.normalisation, self.mixture)).encode()
        )
        for name, value in sorted(self.network.state_dict().items()):
            digest.update(name.encode() + value.cpu().numpy().tobytes())
        return digest.hexdigest()


def save_model(model: Model, path: PathLike) -> None:
    """Write a model file.

    The metadata hold one JSON object under the key `pupick`; `show_model` prints it.
    """
    metadata = {
        "format": FORMAT,
        "network": model.network_name,
        "stride": STRIDE,
        "field": model.network.field,
        "diameter": model.scale.diameter,
        "diameter_px": model.scale.diameter_px,
        "normalisation": model.normalisation,
        "mixture": None if model.mixture is None else model.mixture.to_dict(),
        "threshold": model.threshold,
        "training": model.training,
        "versions": versions(),
    }
    tensors = {name: value.contiguous() for name, value in model.network.state_dict().items()}
    with atomic_write(path) as temporary:
        temporary.write_bytes(save(tensors, {KEY: json.dumps(metadata)}))


def versions() -> Dict[str, str]:
    """Versions of pupick and what it computes with."""
    return {
        "pupick": scipion_pupick.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }


def load_model(path: PathLike) -> Model:
    """Read a model file.

    Raises:
        UsageError: no such file, or not a model that this version of pupick can use; says why.
    """
    metadata = show_model(path)
    try:
        network = make_network(metadata["network"])
        scale = WorkingScale(float(metadata["diameter"]), float(metadata["diameter_px"]))
        mixture = metadata["mixture"]
        model = Model(
            network=network,
            network_name=metadata["network"],
            scale=scale,
            threshold=float(metadata["threshold"]),
            normalisation=metadata["normalisation"],
            mixture=None if mixture is None else Mixture.from_dict(mixture),
            training=metadata["training"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"{path}: the metadata of this model cannot be used: {error!r}."
        ) from error
    _load_weights(network, path)
    network.eval()
    return model


def show_model(path: PathLike) -> Dict[str, Any]:
    """Read what a model file says of itself, without its weights.

    Raises:
        UsageError: no such file, or not a pupick model; says why.
    """
    _refuse_pickle(path)
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(KEY)
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
    if metadata.get("network") not in [*NETWORKS]:
        raise UsageError(
            f"{path} holds a network {metadata.get('network')!r} that this version of pupick "
            f"({scipion_pupick.__version__}) does not know."
        )
    return metadata


def _parse(text: str, path: PathLike) -> Dict[str, Any]:
    try:
        metadata = json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(f"{path}: the metadata are damaged: {error}.") from error
    if not isinstance(metadata, dict):
        raise UsageError(f"{path}: the metadata are damaged: not a JSON object.")
    return metadata


def _refuse_pickle(path: PathLike) -> None:
    try:
        with Path(path).open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise UsageError(f"{path}: the model cannot be read: {error.strerror}.") from error
    # A safetensors file opens with a number of any bytes, and then a brace.
    if start.startswith(PICKLES) and start[8:] != b"{":
        raise UsageError(
            f"{path} is a pickled PyTorch file (.sav, .pt, .pth): loading one runs whatever code "
            "it holds, so pupick does not. Give a .safetensors model that `pupick train` wrote."
        )


def _load_weights(network: Network, path: PathLike) -> None:
    expected = network.state_dict()
    with safe_open(path, framework="pt") as file:
        names = set(file.keys())
        if names != set(expected):
            odd = sorted(names ^ set(expected))[:3]
            raise UsageError(f"{path}: weights are missing or unknown: {', '.join(odd)}.")
        tensors = {name: file.get_tensor(name) for name in names}
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape or tensor.dtype != expected[name].dtype:
            raise UsageError(
                f"{path}: weights {name!r} are {tuple(tensor.shape)} {tensor.dtype}, not "
                f"{tuple(expected[name].shape)} {expected[name].dtype}."
            )
        if not torch.isfinite(tensor).all():
            raise UsageError(f"{path}: weights {name!r} hold NaN or infinite values.")
    network.load_state_dict(tensors)
