# SPDX-License-Identifier: GPL-3.0-or-later
"""Small RELION projects for tests: micrographs, their STAR files, picks, models and programs."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

import mrcfile
import numpy as np
import torch

from scipion_pupick.engine.networks.architectures import make_network
from scipion_pupick.engine.networks.model import Model, save_model
from scipion_pupick.engine.preprocessing.scale import WorkingScale

EXAMPLES = Path(__file__).parents[2] / "examples" / "empiar10017"
EXIT_FILES = ("RELION_JOB_EXIT_SUCCESS", "RELION_JOB_EXIT_FAILURE", "RELION_JOB_EXIT_ABORTED")

# as RELION writes them, from runs of 3.1.3, 4.0.1 and 5.0.1
JOB_STAR = {
    "3.1": "\n# version 30001\n\ndata_job\n\n_rlnJobType                            99\n",
    "4.0": "\n# version 30001\n\ndata_job\n\n_rlnJobTypeLabel             relion.external\n",
    "5.0": "\n# version 50001\n\ndata_job\n\n_rlnJobTypeLabel             relion.external\n",
}
OPTICS = """
# version 30001

data_optics

loop_
_rlnOpticsGroupName #1
_rlnOpticsGroup #2
_rlnMicrographOriginalPixelSize #3
_rlnVoltage #4
_rlnSphericalAberration #5
_rlnAmplitudeContrast #6
_rlnMicrographPixelSize #7
opticsGroup1 1 1.77 300 2.0 0.1 7.08
"""


def program(job: str) -> str:
    """Return the path of an installed program of ours."""
    suffix = "" if job == "both" else f"_{job}"
    return str(Path(sys.executable).with_name(f"relion_external_pupick{suffix}"))


def write_micrographs_star(path: Path, names: Sequence[str], optics: str = OPTICS) -> Path:
    """Write a STAR file of micrographs, as of RELION 3.0 where `optics` is empty."""
    path.parent.mkdir(parents=True, exist_ok=True)
    group = bool(optics)
    columns = "_rlnMicrographName #1\n" + ("_rlnOpticsGroup #2\n" if group else "")
    rows = "".join(f"{name}{' 1' * group}\n" for name in names)
    text = f"{optics}\n\n# version 30001\n\ndata_micrographs\n\nloop_\n{columns}{rows}\n"
    path.write_text(text, encoding="utf-8")
    return path


def write_micrograph(
    path: Path, seed: int = 0, shape: Tuple[int, int] = (192, 256), pixel_size: float = 7.08
) -> None:
    """Write noise with dark discs of 180 Å."""
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    image = random.normal(size=shape).astype(np.float32)
    y, x = np.indices(shape)
    for cx, cy in disc_centres(seed, shape):
        image[(x - cx) ** 2 + (y - cy) ** 2 < (90 / 7.08) ** 2] -= 2
    with mrcfile.new(path, overwrite=True) as file:
        file.set_data(image)
        file.voxel_size = pixel_size


def disc_centres(seed: int, shape: Tuple[int, int]) -> np.ndarray:
    """Return the centres (6, 2), px, of the discs that `write_micrograph` draws."""
    random = np.random.default_rng(seed + 1000)
    return random.uniform((20, 20), (shape[1] - 20, shape[0] - 20), size=(6, 2)).round()


def make_project(folder: Path, names: Sequence[str], version: str = "3.1") -> Path:
    """Make a project with micrographs, their STAR file and an External job's folder."""
    for i, name in enumerate(names):
        write_micrograph(folder / name, i)
    write_micrographs_star(folder / "CtfFind/job003/micrographs_ctf.star", names)
    (folder / "External/job005").mkdir(parents=True)
    (folder / "External/job005/job.star").write_text(JOB_STAR[version], encoding="utf-8")
    (folder / "default_pipeline.star").touch()
    return folder


def write_coordinates(path: Path, xy: np.ndarray) -> None:
    """Write a file of hand picks as RELION 3.1's manual picking does."""
    columns = ["CoordinateX", "CoordinateY", "ClassNumber", "AnglePsi", "AutopickFigureOfMerit"]
    head = "".join(f"_rln{name} #{i}\n" for i, name in enumerate(columns, 1))
    rows = "".join(f"{x:11.6f} {y:11.6f} 2 -999.00000 -999.00000\n" for x, y in xy)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"\n# version 30001\n\ndata_\n\nloop_\n{head}{rows}\n", encoding="utf-8")


def write_model(path: Path, threshold: float = -8.0) -> Path:
    """Write a model with random weights, which picks something everywhere."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    network = make_network("conv3").eval()
    save_model(Model(network, "conv3", WorkingScale(180.0, 24.0), threshold), path)
    return path


def read_table(path: Path) -> Tuple[List[str], List[List[str]]]:
    """Read the columns and the rows of a STAR file with one table."""
    lines = path.read_text(encoding="utf-8").splitlines()
    columns = [line.split()[0][1:] for line in lines if line.startswith("_")]
    heads = ("_", "#", "data_", "loop_")
    rows = [line.split() for line in lines if line.strip() and not line.startswith(heads)]
    return columns, rows


def exit_files(folder: Path) -> List[str]:
    """Return which of RELION's exit files a job has."""
    return [name for name in EXIT_FILES if (folder / name).exists()]


def run_program(
    job: str,
    arguments: Sequence[str],
    project: Path,
    environment: Optional[Mapping[str, str]] = None,
    executable: Optional[Sequence[str]] = None,
) -> "subprocess.CompletedProcess[str]":
    """Run one of our programs in a project's folder, as RELION would."""
    variables: Dict[str, str] = {**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})}
    return subprocess.run(
        [*(executable or [program(job)]), *arguments],
        cwd=project,
        env=variables,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
