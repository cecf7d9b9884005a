# SPDX-License-Identifier: GPL-3.0-or-later
"""The model file: weights and everything that picking with them needs, in one safetensors file."""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import dataclass
from typing import Dict, Optional

import numpy as np
import torch
from safetensors.torch import save

import scipion_pupick

from ..errors import UsageError
from ..files.atomic import PathLike, atomic_write
from ..preprocessing.mixture import Mixture
from ..preprocessing.scale import ModelScale
from ..settings import UNITS
from .architectures import ARCHITECTURES, Network, make_network
from .model_file import FORMAT, METADATA_KEY, ModelFile, read_model_file, unit_to_dict
from .training_record import TrainingRecord


@dataclass(frozen=True)
class Model:
    """A trained picker.

    Attributes:
        network: in evaluation mode.
        network_name: in `settings.NETWORKS`.
        scale: particle diameter (Å; None for a general model) and its working width (px).
        normalisation: method of `normalise.normalise`.
        mixture: shared mixture of a joint normalisation; None where each micrograph has its own.
        threshold: log-odds from which on a peak is picked, unless the user says otherwise.
        training: how it came about.
    """

    network: Network
    network_name: str
    scale: ModelScale
    threshold: float
    normalisation: str = "gmm"
    mixture: Optional[Mixture] = None
    training: TrainingRecord = TrainingRecord()

    @property
    def knows_contamination(self) -> bool:
        """Whether it tells where contamination lies."""
        return self.network.contamination is not None

    @property
    def units(self) -> int:
        """Filters of the network's first layer."""
        return self.network.latent // 4

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
        **({} if model.units == UNITS else {"units": model.units}),
        "stride": model.network.step,
        "field": model.network.field,
        "diameter": model.scale.diameter,
        "diameter_px": model.scale.diameter_px,
        **unit_to_dict(model.scale.unit),
        "normalisation": model.normalisation,
        "mixture": None if model.mixture is None else model.mixture.to_dict(),
        "threshold": model.threshold,
        "training": model.training.to_dict(),
        "versions": versions(),
    }
    tensors = {name: value.contiguous() for name, value in model.network.state_dict().items()}
    with atomic_write(path) as temporary:
        temporary.write_bytes(save(tensors, {METADATA_KEY: json.dumps(metadata)}))


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
    file = read_model_file(path)
    return Model(
        network=network_of_file(file),
        network_name=file.network_name,
        scale=file.scale,
        threshold=file.threshold,
        normalisation=file.normalisation,
        mixture=file.mixture,
        training=file.training,
    )


def network_of_file(file: ModelFile) -> Network:
    """Make the network of a model file, in evaluation mode.

    Raises:
        UsageError: no network of that name, or weights of something else; the text names the file.
    """
    if file.network_name not in ARCHITECTURES:
        raise UsageError(
            f"{file.path} holds a network {file.network_name!r} that this version of pupick "
            f"({scipion_pupick.__version__}) does not know."
        )
    network = make_network(file.network_name, file.units)
    _load_weights(network, file)
    return network.eval()


def _load_weights(network: Network, file: ModelFile) -> None:
    expected = network.state_dict()
    odd = sorted(set(file.weights) ^ set(expected))[:3]
    if odd:
        raise UsageError(f"{file.path}: weights are missing or unknown: {', '.join(odd)}.")
    tensors = {name: torch.from_numpy(array) for name, array in file.weights.items()}
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape or tensor.dtype != expected[name].dtype:
            raise UsageError(
                f"{file.path}: weights {name!r} are {tuple(tensor.shape)} {tensor.dtype}, not "
                f"{tuple(expected[name].shape)} {expected[name].dtype}."
            )
    network.load_state_dict(tensors)
