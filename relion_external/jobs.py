# SPDX-License-Identifier: GPL-3.0-or-later
"""The jobs: RELION's files in, one function of the engine for each step, RELION's files out."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence

import numpy as np

from scipion_pupick import engine
from scipion_pupick.engine import (
    Micrograph,
    PickResult,
    PickRun,
    Picks,
    PickSettings,
    PupickError,
    TrainSettings,
    assign_to_micrographs,
    image_shape,
    make_settings,
    read_json,
    read_model_file,
    require_pixel_size,
    write_json,
    write_text,
)
from scipion_pupick.engine.errors import UNFORESEEN
from scipion_pupick.engine.files.atomic import file_status, holds
from scipion_pupick.engine.networks.training_record import TrainingRecord
from scipion_pupick.engine.runs import train_folder
from scipion_pupick.engine.runs.layout import MODEL, TRAINING_LOG
from scipion_pupick.engine.settings import GENERAL

from . import forms, versions, written
from .inputs import find_model, read_micrographs
from .outputs import (
    ENGINE_FOLDER,
    coordinate_files,
    coordinates_text,
    project_path,
    write_list,
    write_micrographs,
    write_nodes,
)
from .parameters import PICK, SUGGEST, TRAIN, Options, parameters_of
from .report import Report, kept_scores, write_report
from .suggesting import suggest
from .training_inputs import TrainingInputs, read_training_inputs

log = logging.getLogger(__name__)

LOGFILE = "logfile.pdf"
MICROGRAPHS = "micrographs.star"
TRAINING_RECORD = "training_job.json"
# of the picks, those with the best scores have one colour
BEST_COLOUR = 0.95
LEAST_SCORE_RANGE = 1.0


def run_job(options: Options) -> None:
    """Run a job and write all its files but the exit file.

    Called again in the same folder, only what is new or changed is done.

    Raises:
        PupickError: the job cannot be done; the text says what to change.
        OSError: a file cannot be written.
    """
    if options.job == SUGGEST:
        suggest(options)
        return
    job = PickJob.plan(options)
    if options.job == TRAIN:
        job.finish_training(job.train())
    else:
        files = coordinate_files([m.name for m in job.micrographs], job.folder, job.version)
        name = options.values.get("model", GENERAL)
        model = find_model(name) if options.job == PICK else job.train()
        job.pick(model, files)


@dataclass(frozen=True)
class PickJob:
    """A job with its micrographs, its folder and the version of RELION."""

    options: Options
    folder: Path
    version: str
    micrographs: List[Micrograph]

    @classmethod
    def plan(cls, options: Options) -> PickJob:
        """Find out what there is to work on."""
        folder = project_path(Path(options.output))
        version = options.values.get("relion_version") or versions.detect_version(folder)
        micrographs = read_micrographs(options.micrographs, options.values.get("pixel_size"))
        log.info("%d micrographs; files for RELION %s", len(micrographs), version)
        return cls(options, folder, version, micrographs)

    @property
    def computer(self) -> Dict[str, Any]:
        """What to compute on, as arguments of the engine."""
        return {
            "device": self.options.values.get("gpu", "auto"),
            "threads": self.options.threads,
        }

    @property
    def one_device(self) -> Dict[str, Any]:
        """The same for what uses one device: the first."""
        device = self.computer["device"].split(",")[0]
        return {**self.computer, "device": "auto" if device == "all" else device}

    def train(self) -> Path:
        """Train a model unless the folder holds it, and give its path.

        Micrographs that were added since do not make another training necessary; other labels,
        negatives or parameters do.
        """
        inputs = read_training_inputs(self.options, self.micrographs)
        path, record = self.folder / MODEL, self.folder / TRAINING_RECORD
        stored = read_json(record) if record.is_file() else {}
        request = self._request(inputs)
        if path.is_file() and _is_same(stored, request):
            log.info("The model has been trained on these particles: it is used as it is.")
            return path
        record.unlink(missing_ok=True)
        engine.train(
            self.micrographs,
            inputs.picks,
            self.folder,
            make_settings(TrainSettings, inputs.settings),
            negatives=inputs.negatives,
            start=inputs.start,
            overwrite=True,
            **self.one_device,
        )
        write_json(record, request)
        return path

    def _request(self, inputs: TrainingInputs) -> Dict[str, Any]:
        """Describe a training, so that it is known again."""
        # what does not change the model
        elsewhere = ("gpu", "workers", "relion_version", "check_picks")
        parameters = {
            name: self.options.values.get(name)
            for name in parameters_of(TRAIN)
            if name not in elsewhere
        }
        negatives, start = inputs.negatives, inputs.start
        return {
            "parameters": parameters,
            "labels": _digest(inputs.picks),
            "negatives": None if negatives is None else _digest(negatives),
            "start": None if start is None else file_status(start),
        }

    def finish_training(self, model: Path) -> None:
        """Write what RELION and people look at after a training."""
        # where they were trained on, which settings may have changed
        labels = train_folder.read_labels(self.folder)
        self._report(
            Report(
                title=f"Training of {model}",
                facts=_training_facts(engine.show_model(model)),
                picks=assign_to_micrographs(labels, self.micrographs, "labels"),
                diameter=read_model_file(model).scale.of(None).diameter,
                history=model.parent / TRAINING_LOG,
            )
        )
        nodes = [(model, versions.MODEL), (self.folder / LOGFILE, versions.LOGFILE)]
        write_nodes(nodes, self.folder, self.version)
        log.info("To pick with this model, give a picking job the parameter model = %s", model)

    def pick(self, model: Path, files: Mapping[str, Path]) -> None:
        """Pick, and write the coordinates and what RELION and people look at."""
        output = self.folder / ENGINE_FOLDER
        settings = pick_settings(self.options)
        values = self.options.values
        result = engine.pick(
            self.micrographs,
            model,
            output,
            settings,
            workers=values.get("workers", 0),
            masks=values.get("masks", False),
            **self.computer,
        )
        for name in result.failures:
            files[name].unlink(missing_ok=True)
        if not result.picks:
            raise PupickError("no micrograph could be used; the reasons stand above")
        self._write_coordinates(result, settings, files)
        self._finish_picking(model, result, {name: files[name] for name in result.picks})
        if result.failures:
            log.warning(
                "%d of %d micrographs failed and have no picks; Continue tries them again.",
                len(result.failures),
                len(self.micrographs),
            )

    def _write_coordinates(
        self, result: PickResult, settings: PickSettings, files: Mapping[str, Path]
    ) -> None:
        """Write the coordinates that are new, and leave others to what users have made of them.

        RELION's manual picker changes these files, and Continue must not undo that.
        """
        request = {"threshold": result.threshold, "edge": settings.border, "version": self.version}
        if result.contamination:
            request["contamination"] = settings.contamination
        stored, digests = written.read_request(self.folder), written.read_digests(self.folder)
        other = not _asks_for_the_same(stored, request)
        if other:
            written.forget_request(self.folder)
        run = PickRun(self.folder / ENGINE_FOLDER)
        edited: List[Path] = []
        for name, coordinates in result.picks.items():
            file = files[name]
            if not other and not _is_older(file, run.peaks_path(name)):
                continue
            text = coordinates_text(coordinates, self.version)
            if written.is_edited(file, digests) and not holds(file, text.encode()):
                edited.append(file)
                if not other:
                    continue
                written.set_aside(file)
            write_text(file, text)
            digests[str(file)] = written.digest_of(text)
        written.write_request(self.folder, request, digests)
        _say_edited(edited, replaced=other)

    def _finish_picking(self, model: Path, result: PickResult, files: Mapping[str, Path]) -> None:
        """Write what RELION and people look at after picking."""
        given = self.options.values.get("diameter")
        diameter = read_model_file(model).scale.of(given).diameter
        self._report(
            Report(
                title=f"Picks of {self.folder}",
                facts={"model": str(model), "result": result.summary()},
                picks=dict(result.picks),
                diameter=diameter,
                history=model.parent / TRAINING_LOG,
                scores=kept_scores(self.folder / ENGINE_FOLDER),
                threshold=result.threshold,
            )
        )
        listed = write_list(files, self.options.micrographs, self.folder, self.version)
        self._write_micrographs(result)
        nodes = [
            (listed, versions.COORDINATES),
            (self.folder / MICROGRAPHS, versions.MICROGRAPHS),
            (self.folder / LOGFILE, versions.LOGFILE),
        ]
        write_nodes(nodes, self.folder, self.version)
        view = self._view(result, diameter)
        if view is not None:
            forms.write_manualpick_form(Path(), view, self.version)
        log.info("%s", result.summary())

    def _write_micrographs(self, result: PickResult) -> None:
        """List the micrographs with their usable shares, if the model knows contamination."""
        path = self.folder / MICROGRAPHS
        if not result.contamination:
            given = {"least_usable", "contamination"} & self.options.values.keys()
            if given or path.is_file():
                log.warning(
                    "The model knows no contamination: %s%s is not written.",
                    "".join(f"{name} has no effect, and " for name in sorted(given)),
                    path,
                )
            path.unlink(missing_ok=True)
            return
        least = self.options.values.get("least_usable", 0.0)
        usable = {
            name: known for name, known in result.contamination.items() if known.usable >= least
        }
        run = PickRun(self.folder / ENGINE_FOLDER)
        wanted = usable if self.options.values.get("masks") else {}
        masks = {name: run.mask_path(name) for name in wanted}
        write_micrographs(self.options.micrographs, usable, masks, path)
        log.info("%s lists %d of %d micrographs.", path, len(usable), len(result.contamination))

    def _view(self, result: PickResult, diameter: float) -> Optional[forms.PicksView]:
        """Describe how RELION's window is to show the picks: circles (Å) coloured by score.

        None if the file of no micrograph is there any more.
        """
        there = (m for m in self.micrographs if m.name in result.picks and m.path.is_file())
        micrograph = next(there, None)
        if micrograph is None:
            return None
        scores = np.concatenate([coordinates.score for coordinates in result.picks.values()])
        high = np.quantile(scores, BEST_COLOUR) if len(scores) else result.threshold
        return forms.PicksView(
            diameter=diameter,
            pixel_size=require_pixel_size(micrograph),
            longest_side=max(image_shape(micrograph.path)),
            scores=(result.threshold, max(float(high), result.threshold + LEAST_SCORE_RANGE)),
        )

    def _report(self, report: Report) -> None:
        """Write logfile.pdf, which the job can do without."""
        try:
            write_report(report, self.micrographs, self.folder / LOGFILE)
        except UNFORESEEN as error:
            log.warning("There is no %s: %s", LOGFILE, str(error) or repr(error))


def pick_settings(options: Options) -> PickSettings:
    """Turn a job's parameters into the engine's settings.

    A model that was just trained has its diameter and how many particles to expect.
    """
    of_training = {"diameter": None, "particles_per_micrograph": None}
    known = {} if options.job == PICK else of_training
    return make_settings(PickSettings, {**options.values, **known})


def _is_same(stored: Mapping[str, Any], request: Mapping[str, Any]) -> bool:
    """Whether a record describes the same training; versions differ in what was not given."""
    first, second = (
        {**record, "parameters": {k: v for k, v in record["parameters"].items() if v is not None}}
        for record in ({"parameters": {}, **stored}, request)
    )
    return first == second


def _asks_for_the_same(stored: Mapping[str, Any], request: Mapping[str, Any]) -> bool:
    """Whether files of coordinates are the same; those of RELION 4 and 5 are of one form."""
    first, second = (
        {**record, "version": record.get("version") == versions.V3} for record in (stored, request)
    )
    return bool(stored) and first == second


def _say_edited(files: Sequence[Path], replaced: bool) -> None:
    """Say which files of coordinates were changed by people, and what has become of them."""
    if not files:
        return
    if replaced:
        fate = f"they are replaced, and kept under the same name with {written.ASIDE} behind it"
    else:
        fate = "they stay, though their micrographs were picked again"
    text = "%d files of coordinates, such as %s, were changed since they were written: %s."
    log.warning(text, len(files), files[0], fate)


def _is_older(file: Path, source: Path) -> bool:
    """Whether a file is not there, or was written before the one that it is made from."""
    return not file.is_file() or file.stat().st_mtime_ns < source.stat().st_mtime_ns


def _digest(picks: Picks) -> str:
    parts = [[name, c.x.tolist(), c.y.tolist()] for name, c in sorted(picks.items())]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _training_facts(about: Mapping[str, Any]) -> Dict[str, str]:
    """Say in a few lines what a model was trained on."""
    training = TrainingRecord.from_dict(about["training"])
    precision = training.held_out_average_precision
    return {
        "labels": f"{training.labels} in {training.micrographs} micrographs",
        "particles a micrograph": f"{training.particles_per_micrograph:g}"
        + (" (estimated)" if training.particles_estimated else ""),
        "best epoch": f"{training.best_epoch} of {training.epochs}",
        "held-out average precision": "none" if precision is None else f"{precision:.3f}",
        "threshold": f"{about['threshold']:.2f}",
    }
