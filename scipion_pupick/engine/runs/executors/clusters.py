# SPDX-License-Identifier: GPL-3.0-or-later
"""Clusters: jobs of a queueing system that Dask starts, or a scheduler that runs already."""

from __future__ import annotations

import logging
import shutil
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Dict, Mapping

from ...errors import UsageError
from ...files.atomic import PathLike
from .dask_workers import DaskWorkers

log = logging.getLogger(__name__)

# by the names of their sections in dask-jobqueue's configuration
CLUSTERS = {
    "slurm": "SLURMCluster",
    "pbs": "PBSCluster",
    "lsf": "LSFCluster",
    "sge": "SGECluster",
    "oar": "OARCluster",
    "moab": "MoabCluster",
    "htcondor": "HTCondorCluster",
}
WORKERS = 4
_SECONDS_TO_CONNECT = 30


def start_cluster(configuration: PathLike, workers: int = 0, device: str = "auto") -> DaskWorkers:
    """Start jobs of a queueing system as workers, as many as asked for as long as there is work.

    Args:
        configuration: YAML file of dask-jobqueue, with one queueing system below `jobqueue`.
        workers: number of workers; 0 for four.
        device: of each; see `device.choose_device`.

    Raises:
        UsageError: Dask is missing, the configuration makes no sense, or there is no such queueing
            system on this computer.
    """
    if workers < 0:
        raise UsageError(f"{workers} workers were asked for: give 1 or more.", "workers")
    dask_jobqueue = _dask("dask_jobqueue")
    kind, settings = _read_configuration(Path(configuration))
    make = getattr(dask_jobqueue, CLUSTERS[kind])
    program = make.job_cls.submit_command.split()[0]
    if shutil.which(program) is None:
        raise UsageError(
            f"{configuration} asks for {kind.upper()}, but there is no {program} on this computer.",
            setting="cluster",
        )
    try:
        cluster = make(**settings)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{configuration}: {error}", setting="cluster") from error
    count = workers or WORKERS
    # jobs that end before the work does are replaced
    cluster.adapt(minimum=count, maximum=count)
    log.info("%d workers are asked of %s.", count, kind.upper())
    return DaskWorkers(_dask("distributed").Client(cluster), device, cluster)


def connect(address: str, device: str = "auto") -> DaskWorkers:
    """Use the workers of a Dask scheduler.

    Args:
        address: of the scheduler, such as tcp://node1:8786, or the path of its scheduler file.
        device: of each worker; see `device.choose_device`.

    Raises:
        UsageError: Dask is missing, or nobody answers there.
    """
    distributed = _dask("distributed")
    where = {"scheduler_file": address} if Path(address).is_file() else {"address": address}
    try:
        return DaskWorkers(distributed.Client(**where, timeout=_SECONDS_TO_CONNECT), device)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"No Dask scheduler answers at {address}: {error}", setting="scheduler"
        ) from error


def _dask(name: str) -> ModuleType:
    try:
        module = import_module(name)
    except ImportError as error:
        raise UsageError(
            "Clusters need Dask: pip install 'scipion-em-pupick[cluster]', on all computers."
        ) from error
    # of every job and connection that begins or ends
    logging.getLogger("distributed").setLevel(logging.WARNING)
    return module


def _read_configuration(path: Path) -> tuple[str, Dict[str, Any]]:
    """Return the queueing system, and its settings by the names of dask-jobqueue.

    Raises:
        UsageError: the file cannot be read, or does not name one queueing system.
    """
    yaml = _dask("yaml")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UsageError(f"{path}: this is no YAML file: {error}", setting="cluster") from error
    sections = content.get("jobqueue") if isinstance(content, Mapping) else None
    if not isinstance(sections, Mapping) or len(sections) != 1 or {*sections} - {*CLUSTERS}:
        raise UsageError(
            f"{path} must have one of the sections {', '.join(CLUSTERS)} below jobqueue:, as "
            "dask-jobqueue's documentation describes them.",
            setting="cluster",
        )
    ((kind, settings),) = sections.items()
    # dask-jobqueue writes - in files for _ in arguments
    return kind, {str(name).replace("-", "_"): value for name, value in (settings or {}).items()}
