# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs for CCP-EM's pipeliner, and so for Doppio: the same programs, with real forms and displays.

The pipeliner finds the classes by the entry points `ccpem_pipeliner.jobs` of this distribution.
"""

from __future__ import annotations

from pathlib import Path
from typing import List, Sequence

from pipeliner.display_tools import create_results_display_object, make_particle_coords_thumb
from pipeliner.external_program_utils import ExternalProgram
from pipeliner.job_options import (
    FileDescription,
    FloatJobOption,
    InputNodeJobOption,
    JobOptionValidationResult,
    StringJobOption,
)
from pipeliner.nodes import (
    NODE_LOGFILE,
    NODE_MICROGRAPHCOORDSGROUP,
    NODE_MICROGRAPHGROUPMETADATA,
    NODE_PARAMSDATA,
    NODE_PARTICLEGROUPMETADATA,
)
from pipeliner.pipeliner_job import PipelinerCommand, PipelinerJob
from pipeliner.results_display_objects import ResultsDisplayObject

from scipion_pupick.engine import read_picks, read_training_log
from scipion_pupick.engine.files.star import read_blocks
from scipion_pupick.engine.runs.layout import MODEL, TRAINING_LOG

from .parameters import PICK, PROGRAMS, SUMMARIES, TRAIN, USED_INPUTS, parameters_of
from .versions import V5

MODEL_KEYWORDS = ["pupick", "model"]
STAR = FileDescription("STAR file", [".star"])


class _PupickJob(PipelinerJob):
    """What both jobs share.

    `JOB` is the job of `parameters`, `NUMBERS` are the names of its numbers that the form has.
    """

    OUT_DIR = "AutoPick"
    CATEGORY_LABEL = "Automated Particle Picking"
    JOB = ""
    NUMBERS: Sequence[str] = ()

    def __init__(self) -> None:
        super().__init__()
        self.jobinfo.display_name = f"pupick: {self.JOB}"
        self.jobinfo.short_desc = SUMMARIES[self.JOB]
        self.jobinfo.programs = [ExternalProgram(PROGRAMS[self.JOB])]
        self.joboptions["in_mics"] = InputNodeJobOption(
            label="Input micrographs:",
            default_value="",
            node_type=NODE_MICROGRAPHGROUPMETADATA,
            node_kwds=["relion"],
            pattern=STAR,
            help_text="STAR file of micrographs, preferably with CTF information.",
            is_required=True,
        )
        self.add_inputs()
        for name in self.NUMBERS:
            parameter = parameters_of(self.JOB)[name]
            self.joboptions[name] = FloatJobOption(
                label=f"{parameter.label}:",
                default_value=None,
                help_text=parameter.text,
                is_required=parameter.required,
                in_continue=True,
            )
        self.joboptions["gpu"] = StringJobOption(
            label="GPU:",
            default_value="auto",
            help_text="auto, none, all or numbers such as 0,1",
            in_continue=True,
        )
        self.get_runtab_options(threads=True, addtl_args=True)

    def add_inputs(self) -> None:
        """Add the inputs that only this job has."""

    def passed_on(self) -> Sequence[str]:
        """Name the options of the form that are arguments of the program."""
        return (*USED_INPUTS[self.JOB], "model", "gpu", *self.NUMBERS)

    def get_commands(self) -> List[PipelinerCommand]:
        """Return the command line of the program."""
        command = [PROGRAMS[self.JOB], "--o", self.output_dir, "--relion_version", V5]
        for name, option in self.joboptions.items():
            value = option.get_string() if name in self.passed_on() else ""
            command += [f"--{name}", value] if value else []
        command += ["--j", self.joboptions["nr_threads"].get_string()]
        return [PipelinerCommand([*command, *self.parse_additional_args()])]


class PupickTrain(_PupickJob):
    """Train a model."""

    PROCESS_NAME = "pupick.autopick.train"
    JOB = TRAIN
    NUMBERS = ("diameter", "particles_per_micrograph")

    def add_inputs(self) -> None:
        """Add coordinates and particles, of which one is needed."""
        self.joboptions["in_coords"] = InputNodeJobOption(
            label="Input coordinates:",
            default_value="",
            node_type=NODE_MICROGRAPHCOORDSGROUP,
            node_kwds=["relion"],
            pattern=STAR,
            help_text="Particles picked by hand: 10 to 100 are enough.",
        )
        self.joboptions["in_parts"] = InputNodeJobOption(
            label="Input particles:",
            default_value="",
            node_type=NODE_PARTICLEGROUPMETADATA,
            node_kwds=["relion"],
            pattern=STAR,
            help_text="Extracted or refined particles, instead of coordinates or beside them.",
        )

    def additional_joboption_validation(self) -> List[JobOptionValidationResult]:
        """Refuse a form with neither coordinates nor particles."""
        sources = [self.joboptions[name] for name in ("in_coords", "in_parts")]
        if any(source.get_string() for source in sources):
            return []
        text = "Training needs particles picked by hand: give coordinates, particles, or both."
        return [JobOptionValidationResult("error", sources, text)]

    def create_output_nodes(self) -> None:
        """Name the files that later jobs use."""
        self.add_output_node(MODEL, NODE_PARAMSDATA, MODEL_KEYWORDS)
        self.add_output_node("logfile.pdf", NODE_LOGFILE, ["pupick", "autopick"])

    def create_results_display(self) -> Sequence[ResultsDisplayObject]:
        """Show the training curve."""
        table = Path(self.output_dir) / TRAINING_LOG
        history = read_training_log(table)
        graph = create_results_display_object(
            "graph",
            title="Training",
            xvalues=[history["epoch"].tolist()],
            yvalues=[history["loss"].tolist()],
            xaxis_label="epoch",
            yaxis_label="loss",
            data_series_labels=["loss"],
            associated_data=[str(table)],
        )
        return [graph]


class PupickPick(_PupickJob):
    """Pick with a trained model, or the general one."""

    PROCESS_NAME = "pupick.autopick.pick"
    JOB = PICK
    NUMBERS = ("diameter", "particles_per_micrograph", "threshold", "border", "min_distance")

    def __init__(self) -> None:
        super().__init__()
        self.always_continue_in_schedule = True

    def add_inputs(self) -> None:
        """Add the model."""
        self.joboptions["model"] = InputNodeJobOption(
            label="Model:",
            default_value="",
            node_type=NODE_PARAMSDATA,
            node_kwds=MODEL_KEYWORDS,
            pattern=FileDescription("pupick model", [".safetensors"]),
            help_text="Written by a training job of pupick. Empty: the general model, which needs "
            "no training but the diameter.",
        )

    def additional_joboption_validation(self) -> List[JobOptionValidationResult]:
        """Refuse a form from which the diameter cannot be known."""
        sources = [self.joboptions[name] for name in ("model", "diameter")]
        if any(source.get_string() for source in sources):
            return []
        text = "The general model needs the particle's diameter: give that, or a trained model."
        return [JobOptionValidationResult("error", sources, text)]

    def create_output_nodes(self) -> None:
        """Name the files that later jobs use."""
        self.add_output_node("autopick.star", NODE_MICROGRAPHCOORDSGROUP, ["relion", "autopick"])
        self.add_output_node("logfile.pdf", NODE_LOGFILE, ["pupick", "autopick"])

    def create_results_display(self) -> Sequence[ResultsDisplayObject]:
        """Show how many particles the micrographs have, and those of the first."""
        listed = Path(self.output_dir) / "autopick.star"
        table = read_blocks(listed)["coordinate_files"]
        micrograph = table.texts("rlnMicrographName")[0]
        file = table.texts("rlnMicrographCoordinates")[0]
        counts = [len(coordinates) for coordinates in read_picks(listed).values()]
        histogram = create_results_display_object(
            "histogram",
            title=f"{sum(counts)} picked particles",
            data_to_bin=counts,
            xlabel="Number of particles",
            ylabel="Micrographs",
            associated_data=[str(listed)],
        )
        return [make_particle_coords_thumb(micrograph, file, self.output_dir), histogram]
