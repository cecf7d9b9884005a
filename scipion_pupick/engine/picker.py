# SPDX-License-Identifier: GPL-3.0-or-later
"""`Picker`: the one way from the grey values of a micrograph to scored coordinates."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, List, Optional, Sequence, Tuple, Union

import numpy as np

from .coordinates import Coordinates
from .errors import UsageError
from .files.atomic import PathLike
from .micrographs import AnyMicrograph, MicrographInMemory
from .networks.model_file import ModelFile
from .picking.contamination import ContaminationMap, Judge
from .picking.contrast import particle_contrast
from .picking.cut import Cut
from .picking.detector import SHARPNESS_OF_TRAINED, Detector
from .picking.peaks_file import MicrographPeaks
from .picking.score_places import ScorePlaces
from .preprocessing.fourier_crop import Resample, downsample
from .preprocessing.mixture import Mixture
from .preprocessing.scale import ANGSTROM, LengthUnit, WorkingScale, to_original
from .preprocessing.working_image import WorkingImage, prepare
from .settings import GENERAL, LEAST_SCORE, PickSettings, usual_border, usual_min_distance

if TYPE_CHECKING:
    import torch

    from .networks.model import Model


@dataclass(frozen=True)
class Picker:
    """Finds particles in micrographs, with a model and nothing left to be derived.

    Attributes:
        scale: at which the model sees particles.
        judge: from working images (b, h, w) to the log-odds of particles (b, ceil(h/4),
            ceil(w/4)), of a fine network twice as many rows and columns, and to those of
            contamination (b, ceil(h/4), ceil(w/4)), or None.
        cut: which peaks are picked.
        min_distance: least distance between two picks, Å.
        sharpness: see `Detector`.
        normalisation: method of `normalise.normalise`.
        mixture: shared mixture of a joint normalisation; None where each micrograph has its own.
        resample: downsamples micrographs, as `fourier_crop.downsample`.
        general: the general model and where it is computed, as long as it is not fitted to
            micrographs.
    """

    scale: WorkingScale
    judge: Judge
    cut: Cut
    min_distance: float
    sharpness: float = 0.0
    normalisation: str = "gmm"
    mixture: Optional[Mixture] = None
    resample: Resample = downsample
    general: Optional[UnfittedModel] = None

    @classmethod
    def load(
        cls,
        model: PathLike = GENERAL,
        diameter: Optional[float] = None,
        particles_per_micrograph: Optional[float] = None,
        threshold: Optional[float] = None,
        border: Optional[float] = None,
        min_distance: Optional[float] = None,
        device: str = "auto",
    ) -> Picker:
        """Load a model to pick with.

        Args:
            model: path of a model file, or `general`.
            diameter: of the particle, Å; None for the one that the model was trained on.
            particles_per_micrograph: about how many a micrograph holds, which betters the threshold
                of the general model when it is fitted; None if that is not known.
            threshold: log-odds from which on a peak is picked; None for the model's own.
            border: picks nearer to the edges are dropped, Å; None for half the diameter.
            min_distance: least distance between two picks, Å; None for 0.4 diameters.
            device: see `device.choose_device`.

        Raises:
            UsageError: the model or the device cannot be used, a value makes no sense, or the
                general model is not told the diameter.
        """
        from .device import choose_device
        from .networks.model import load_model

        settings = PickSettings(
            threshold=threshold,
            border=border,
            min_distance=min_distance,
            diameter=diameter,
            particles_per_micrograph=particles_per_micrograph,
        )
        return cls.of_model(load_model(model), settings, choose_device(device))

    @classmethod
    def of_model(cls, model: Model, settings: PickSettings, device: torch.device) -> Picker:
        """Return the picker of a model, scored with PyTorch.

        Args:
            model: to pick with.
            settings: what they leave open follows from the model and the diameter.
            device: to compute on.

        Raises:
            UsageError: the general model is not told the diameter.
        """
        from .networks.scoring import make_picking_judge

        picker = cls.of_judge(model, make_picking_judge(model.network, device), settings)
        if device.type != "cpu":
            from .preprocessing.fourier_crop_torch import downsample_on

            picker = replace(picker, resample=downsample_on(device))
        if model.scale.diameter is not None:
            return picker
        return replace(picker, general=UnfittedModel(model, settings, device))

    @classmethod
    def of_judge(
        cls,
        model: Union[Model, ModelFile],
        judge: Judge,
        settings: PickSettings,
        unit: LengthUnit = ANGSTROM,
    ) -> Picker:
        """Return the picker of a model whose network is already prepared for scoring.

        Args:
            model: to pick with.
            judge: of its network.
            settings: what they leave open follows from the model and the diameter.
            unit: of the lengths in the settings, and of the pixel sizes of micrographs.

        Raises:
            UsageError: the general model is not told the diameter, or that of a model is not known
                in this unit.
        """
        scale = model.scale.of(settings.diameter, unit)
        diameter = scale.diameter
        return cls(
            scale=scale,
            judge=judge,
            cut=Cut(
                threshold=_either(settings.threshold, model.threshold),
                border=_either(settings.border, usual_border(diameter)),
                contamination=settings.contamination,
            ),
            min_distance=_either(settings.min_distance, usual_min_distance(diameter)),
            sharpness=SHARPNESS_OF_TRAINED if model.training.all_labels else 0.0,
            normalisation=model.normalisation,
            mixture=model.mixture,
        )

    @property
    def threshold(self) -> float:
        """Log-odds from which on a peak is picked."""
        return self.cut.threshold

    @property
    def diameter(self) -> float:
        """Of the particle, Å."""
        return self.scale.diameter

    def pick(self, image: Any, pixel_size: float) -> Coordinates:
        """Pick the particles of one micrograph.

        The general model works as it is, with the threshold that suits simulated micrographs;
        `pick_many` and `fit` fit it first.

        Args:
            image: (ny, nx) grey values, as a NumPy array or a Torch tensor.
            pixel_size: Å/px.

        Returns:
            Picks by descending score (log-odds), px of the image.

        Raises:
            UsageError: it is no image.
            MicrographError: the image cannot be used: it is blank, has pixels that are not finite,
                or the particle does not fit in it.
        """
        (peaks,) = self.find_peaks([self.prepare(_in_memory(image, pixel_size))])
        return self.choose(peaks)

    def pick_many(
        self, images: Sequence[Any], pixel_size: Union[float, Sequence[float]]
    ) -> List[Coordinates]:
        """Pick the particles of several micrographs; the general model is first fitted to them.

        Args:
            images: (ny, nx) grey values each, as NumPy arrays or Torch tensors.
            pixel_size: Å/px, of all or of each.

        Returns:
            Picks of each image, as from `pick`.

        Raises:
            UsageError: one is no image, or there are not as many pixel sizes as images.
            MicrographError: an image cannot be used.
        """
        micrographs = _all_in_memory(images, pixel_size)
        picker = self._fit(micrographs)
        return [picker.choose(*picker.find_peaks([picker.prepare(m)])) for m in micrographs]

    def fit(self, images: Sequence[Any], pixel_size: Union[float, Sequence[float]]) -> Picker:
        """Fit the general model to micrographs: its contrast, its scale and what scores mean.

        Of many micrographs at most twelve are looked at; those that cannot be used are left out.
        The picker of a trained model, or of a fitted one, stays as it is.

        Args:
            images: (ny, nx) grey values each, as NumPy arrays or Torch tensors.
            pixel_size: Å/px, of all or of each.

        Raises:
            UsageError: one is no image, or there are not as many pixel sizes as images.
        """
        return self._fit(_all_in_memory(images, pixel_size))

    def score_map(self, image: Any, pixel_size: float) -> np.ndarray:
        """Score every second (or fourth) pixel of a micrograph's working image.

        Arguments and errors as in `pick`.

        Returns:
            (rows, columns) log-odds, not blurred as where peaks are found; `score_places` says
            which places of the image they belong to.
        """
        return self.scores(self.prepare(_in_memory(image, pixel_size)).image[None])[0]

    def score_places(
        self, score_map: np.ndarray, image: Any, pixel_size: float
    ) -> Tuple[np.ndarray, np.ndarray]:
        """Return which places of an image the scores of its map belong to.

        Args:
            score_map: (rows, columns), from `score_map`.
            image: that was scored.
            pixel_size: Å/px.

        Returns:
            x (columns,) and y (rows,), px of the image.
        """
        shape, working = np.shape(image), self.working_shape(image, pixel_size)
        places = ScorePlaces.of_map(score_map.shape, working)
        y, x = (places.along(size) * n / size for n, size in zip(shape, working))
        return x, y

    def scores(self, images: np.ndarray) -> np.ndarray:
        """Return the score maps of working images (b, h, w), see `judge`."""
        return self.judge(images)[0]

    def working_shape(self, image: Any, pixel_size: float) -> tuple[int, int]:
        """Return the shape (h, w) of an image in which particles have the model's width, px."""
        return self.scale.shape(np.shape(image), pixel_size)

    def prepare(self, micrograph: AnyMicrograph) -> WorkingImage:
        """Read a micrograph, downsample and normalise it.

        Raises:
            MicrographError: it cannot be used; says why.
        """
        return prepare(
            micrograph, self.scale, self.normalisation, self.mixture, resample=self.resample
        )

    def find_peaks(self, images: Sequence[WorkingImage]) -> List[MicrographPeaks]:
        """Find all peaks of working images of one shape, the doubtful ones too.

        Returns:
            The peaks of each, px of its micrograph, down to a score of -8 or to the threshold.
        """
        distance = self.min_distance / self.scale.pixel_size
        detector = Detector(distance, sharpness=self.sharpness)
        least = min(LEAST_SCORE, self.threshold)
        score_maps, dirty = self.judge(np.stack([working.image for working in images]))
        peaks_of_images = []
        for i, working in enumerate(images):
            shape = working.working_shape
            peaks = detector.find_in_map(score_maps[i], shape, least)
            xy = to_original(peaks.xy, working.shape, shape)
            coordinates = Coordinates(xy[:, 0], xy[:, 1], peaks.score)
            contrast = particle_contrast(working.image, peaks, self.scale.diameter_px)
            found = MicrographPeaks(coordinates, working.shape, working.pixel_size)
            found = replace(found, contrast=contrast)
            if dirty is not None:
                dirt = ContaminationMap(dirty[i])
                found = replace(found, contamination=dirt.at(peaks.xy), mask=dirt.mask(shape))
            peaks_of_images.append(found)
        return peaks_of_images

    def choose(self, peaks: MicrographPeaks) -> Coordinates:
        """Return the peaks of a micrograph that are picks."""
        return self.cut.choose(peaks)

    def _fit(self, micrographs: Sequence[AnyMicrograph]) -> Picker:
        if self.general is None:
            return self
        from .adaptation.fit import fit_general_model

        unfitted = self.general
        number = unfitted.settings.particles_per_micrograph
        model = fit_general_model(unfitted.model, self.scale, micrographs, number, unfitted.device)
        return Picker.of_model(model, unfitted.settings, unfitted.device)


@dataclass(frozen=True)
class UnfittedModel:
    """The general model before it is fitted, and what it takes to fit it.

    Attributes:
        model: the general one.
        settings: how to pick.
        device: to compute on.
    """

    model: Model
    settings: PickSettings
    device: torch.device


def _either(value: Optional[float], otherwise: float) -> float:
    return otherwise if value is None else value


def _in_memory(image: Any, pixel_size: float, name: str = "the image") -> MicrographInMemory:
    # Torch tensors may lie on a GPU or wait for a gradient
    tensor = image.detach().cpu() if hasattr(image, "detach") else None
    # NumPy has no bfloat16
    if tensor is not None and str(tensor.dtype) == "torch.bfloat16":
        tensor = tensor.float()
    array = np.asarray(image) if tensor is None else tensor.numpy()
    if array.ndim != 2 or array.dtype.kind not in "biuf":
        raise UsageError(
            f"An image must be a (ny, nx) array of real numbers, not of shape {array.shape} and "
            f"type {array.dtype}."
        )
    return MicrographInMemory(array, name, float(pixel_size))


def _all_in_memory(
    images: Sequence[Any], pixel_size: Union[float, Sequence[float]]
) -> List[MicrographInMemory]:
    sizes = np.asarray(pixel_size, np.float64)
    if sizes.ndim and len(sizes) != len(images):
        raise UsageError(
            f"{len(sizes)} pixel sizes were given for {len(images)} images: give one of all, or "
            "one of each."
        )
    pixel_sizes = np.broadcast_to(sizes, len(images)).tolist()
    return [
        _in_memory(image, size, f"image {number}")
        for number, (image, size) in enumerate(zip(images, pixel_sizes))
    ]
