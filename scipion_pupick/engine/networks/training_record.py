# SPDX-License-Identifier: GPL-3.0-or-later
"""What a model says of how it came about: by simulation, by fitting or by training on picks."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Dict, FrozenSet, Mapping, Optional, Sequence, Tuple

# attributes whose keys in files are older than their names
_KEYS = {"finetuned_fraction": "trained_share"}
# in files, a general model says first that it is one
_GENERAL_ORDER = (
    *("general", "simulated_particles", "learned_from", "epochs", "best_epoch"),
    "held_out_average_precision",
    *("score_uncertainty", "settings", "bright_particles", "adapted", "fitted_to", "micrographs"),
    "particles_per_micrograph",
)
# Python's types of values that JSON may give an attribute, by what its annotation has in it
_KINDS: Mapping[str, Tuple[type, ...]] = {
    "Mapping": (dict,),
    "bool": (bool,),
    "int": (int,),
    "float": (int, float),
}


@dataclass(frozen=True)
class TrainingRecord:
    """What a model says of how it came about; None or empty where it does not say.

    Attributes:
        labels: particles trained on.
        held_out_labels: particles that only chose the best epoch.
        negatives: places trained on that are no particle.
        micrographs: trained on, or, of a general model, fitted to.
        bright_particles: whether the model takes particles to be brighter than what is round them.
        held_out_micrographs: that only chose the best epoch.
        failed_micrographs: reason by name of those that could not be used.
        particles_per_micrograph: about how many, as given or estimated.
        particles_estimated: whether that number was estimated.
        pi: fraction of positive regions assumed among the unlabelled.
        score_uncertainty: standard error that all scores share, log-odds.
        best_epoch: counted from 1.
        epochs: trained.
        finetuned_fraction: of what training found in the average with what it started from.
        held_out_average_precision: of the model; None also where nothing was held out.
        settings: of the optimiser.
        general: whether the model is for particles of any kind.
        simulated_particles: that it has learned from.
        learned_from: number of labelled particles by the sets of real micrographs that it has
            learned from, too.
        adapted: what fitting a general model to micrographs was asked for.
        fitted_to: pixel size, size and time of change of each micrograph's file, by name.
        extra: what a newer version of pupick has written besides.
    """

    labels: Optional[int] = None
    held_out_labels: Optional[int] = None
    negatives: Optional[int] = None
    micrographs: Optional[int] = None
    bright_particles: Optional[bool] = None
    held_out_micrographs: Optional[int] = None
    failed_micrographs: Mapping[str, str] = field(default_factory=dict)
    particles_per_micrograph: Optional[float] = None
    particles_estimated: Optional[bool] = None
    pi: Optional[float] = None
    score_uncertainty: Optional[float] = None
    best_epoch: Optional[int] = None
    epochs: Optional[int] = None
    finetuned_fraction: Optional[float] = None
    held_out_average_precision: Optional[float] = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    general: Optional[bool] = None
    simulated_particles: Optional[int] = None
    learned_from: Mapping[str, Any] = field(default_factory=dict)
    adapted: Mapping[str, Any] = field(default_factory=dict)
    fitted_to: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> TrainingRecord:
        """Read the record in a file.

        Raises:
            TypeError: it is not one.
            ValueError: a value is not of its kind.
        """
        if not isinstance(record, Mapping):
            raise TypeError("what it says of the training is not a JSON object")
        names = {_KEYS.get(name, name): name for name in _names()}
        values = {names[key]: value for key, value in record.items() if key in names}
        for name, value in values.items():
            _check(name, value)
        extra = {key: value for key, value in record.items() if key not in names}
        return cls(**values, extra=extra)

    def to_dict(self) -> Dict[str, Any]:
        """Return the record as it stands in files."""
        order = _GENERAL_ORDER if self.general else ()
        names = [*order, *(name for name in _names() if name not in order)]
        written = {
            _KEYS.get(name, name): getattr(self, name)
            for name in names
            if getattr(self, name) not in (None, {}) or name in self._said_if_empty
        }
        return {**written, **self.extra}

    @property
    def _said_if_empty(self) -> FrozenSet[str]:
        """Attributes that stand in files of this kind of model even where there is none."""
        if self.held_out_labels is not None:
            return frozenset({"held_out_average_precision", "failed_micrographs"})
        if self.adapted:
            return frozenset({"particles_per_micrograph", "fitted_to"})
        return frozenset()

    @property
    def objective(self) -> str:
        """Name of the objective; what version 0.1 called ge-binomial has another name now."""
        name = str(self.settings.get("objective", ""))
        is_of_version_01 = "units" not in self.settings
        return "ge-binomial-kl" if name == "ge-binomial" and is_of_version_01 else name

    @property
    def all_labels(self) -> int:
        """Labelled particles, those that were held out too."""
        return (self.labels or 0) + (self.held_out_labels or 0)

    @property
    def all_micrographs(self) -> int:
        """Micrographs used, those that were held out too."""
        return (self.micrographs or 0) + (self.held_out_micrographs or 0)


def _check(name: str, value: Any) -> None:
    """Refuse a value that the attribute of this name cannot have."""
    kinds = _KINDS[next(kind for kind in _KINDS if kind in _types()[name])]
    is_flag = isinstance(value, bool) and bool not in kinds
    if value is not None and (is_flag or not isinstance(value, kinds)):
        raise ValueError(f"{name} is {str(value)[:30]!r}")


def _types() -> Mapping[str, str]:
    return {column.name: str(column.type) for column in fields(TrainingRecord)}


def _names() -> Sequence[str]:
    return [column.name for column in fields(TrainingRecord) if column.name != "extra"]
