# SPDX-License-Identifier: GPL-3.0-or-later
"""Which processor to compute on, and with how many threads."""

from __future__ import annotations

import logging
import math
import os
import re
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, List

import torch

from .errors import PupickError, UsageError

log = logging.getLogger(__name__)

CPU_INFO = Path("/proc/cpuinfo")
OWN_GROUPS = Path("/proc/self/cgroup")
GROUPS = Path("/sys/fs/cgroup")


def choose_device(name: str = "auto") -> torch.device:
    """Turn 'auto', 'cpu', 'cuda' or 'cuda:N' into a device that is there; 'auto' says its choice.

    Raises:
        UsageError: another name, or a GPU that is not there.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:[1-9]?[0-9])?", name):
        raise UsageError(
            f"There is no device {name!r}: choose auto, cpu, cuda or cuda:N.", "device"
        )
    if name == "cpu":
        return torch.device("cpu")
    if name == "auto":
        device = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
        log.info("Computing on %s.", describe_device(device))
        return device
    device = torch.device(name)
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if (device.index or 0) >= count:
        raise UsageError(
            f"Device {name!r} was asked for, but PyTorch {torch.__version__} sees {count} GPUs: "
            "compute on the CPU, or install a PyTorch build that fits the GPU's driver.",
            setting="device",
        )
    return device


def choose_devices(names: str = "auto") -> List[torch.device]:
    """Turn the name of a device, or of several with commas between, into devices that are there.

    'all' means all GPUs, or the CPU where there is none.

    Raises:
        UsageError: one has another name or is not there, one is named twice, or the CPU is one of
            several.
    """
    if names == "all":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        names = ",".join(f"cuda:{number}" for number in range(count)) or "auto"
    devices = [choose_device(name.strip()) for name in names.split(",")]
    numbers = [(device.type, device.index or 0) for device in devices]
    if len({*numbers}) < len(numbers) or (len(numbers) > 1 and ("cpu", 0) in numbers):
        raise UsageError(
            f"The devices {names!r} do not go together: name each GPU once, and the CPU alone.",
            setting="device",
        )
    return devices


def use_device(name: str, threads: int) -> torch.device:
    """Choose a device and set the number of threads; see `choose_device` and `set_threads`.

    Raises:
        UsageError: there is no such device, or the number is negative.
    """
    set_threads(threads)
    return choose_device(name)


def use_devices(names: str, threads: int) -> List[torch.device]:
    """Choose devices and set the number of threads; see `choose_devices` and `set_threads`.

    Raises:
        UsageError: there is no such device, or the number is negative.
    """
    set_threads(threads)
    return choose_devices(names)


def describe_device(device: torch.device) -> str:
    """Name a device for people."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"the CPU ({torch.get_num_threads()} threads)"


def set_threads(threads: int) -> int:
    """Set the number of threads that PyTorch uses; 0 means all that `usable_cores` counts.

    Returns:
        The number set.

    Raises:
        UsageError: a negative number.
    """
    count = count_threads(threads)
    torch.set_num_threads(count)
    return count


def count_threads(threads: int) -> int:
    """Return how many threads were asked for; 0 means all that `usable_cores` counts.

    Raises:
        UsageError: a negative number.
    """
    if threads < 0:
        raise UsageError(
            f"{threads} threads were asked for: give 1 or more, or 0 for all cores.", "threads"
        )
    return threads or usable_cores()


def usable_cores() -> int:
    """Number of cores that this process may use.

    What a queue, a container or the user allows counts: the cores that it is bound to, the share
    of its control group (cpu.max) and OMP_NUM_THREADS.
    """
    bound = hasattr(os, "sched_getaffinity")
    allowed = [len(os.sched_getaffinity(0)) if bound else os.cpu_count() or 1]
    # OpenMP takes a list, a number for each level of nested threads
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if asked.isascii() and asked.isdigit() and int(asked):
        allowed.append(int(asked))
    return min([*allowed, *_group_shares()])


def _group_shares() -> List[int]:
    """Cores, at least one, that the control group of this process and those above it may use."""
    try:
        lines = OWN_GROUPS.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return []
    shares = []
    for line in (line for line in lines if line.count(":") >= 2):
        _, controllers, name = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = GROUPS / controllers if controllers else GROUPS
        group = root / name.lstrip("/")
        for folder in (group, *group.parents):
            if folder == GROUPS.parent:
                break
            shares.append(_share(folder))
    return [share for share in shares if share]


def _share(folder: Path) -> int:
    """Cores that one control group may use, of version 2 or 1; 0 where it says no limit."""
    try:
        if (folder / "cpu.max").is_file():
            quota, period = (folder / "cpu.max").read_text(encoding="utf-8").split()
        else:
            files = (folder / f"cpu.cfs_{name}_us" for name in ("quota", "period"))
            quota, period = (file.read_text(encoding="utf-8") for file in files)
        return max(0, math.ceil(int(quota) / int(period)))
    except (OSError, ValueError, ArithmeticError):
        return 0


@contextmanager
def memory_errors_explained() -> Iterator[None]:
    """Say what to do where the memory of the GPU or of the computer runs out.

    Raises:
        PupickError: it did.
    """
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        raise PupickError(
            "The GPU has too little free memory: end other programs that use it (nvidia-smi lists "
            "them), choose another GPU, or compute on the CPU.",
            setting="device",
        ) from error
    except (MemoryError, RuntimeError, OSError) as error:
        # PyTorch on the CPU, and the system, have no class of their own for this
        if not isinstance(error, MemoryError) and "allocate memory" not in str(error):
            raise
        raise PupickError(
            "The computer has too little free memory: end other programs, give the job more, or "
            "split the micrographs into several calls."
        ) from error


def fast_dtype(device: torch.device) -> torch.dtype:
    """Return bfloat16 where the hardware multiplies it quickly, else float32."""
    if device.type == "cuda":
        # torch.cuda.is_bf16_supported says yes to cards that only emulate it
        capable = torch.cuda.get_device_capability(device) >= (8, 0)
        quick = capable or torch.version.hip is not None
    else:
        quick = bool({"amx_bf16", "avx512_bf16"} & _cpu_flags())
    return torch.bfloat16 if quick else torch.float32


def fast_in_eight_bits(device: torch.device) -> bool:
    """Whether the hardware multiplies whole numbers of eight bits several times faster."""
    return device.type == "cpu" and "avx2" in _cpu_flags()


def _cpu_flags() -> set[str]:
    if not CPU_INFO.exists():
        return set()
    flags = re.search(r"^flags\s*:(.*)$", CPU_INFO.read_text(encoding="utf-8"), re.MULTILINE)
    return set(flags.group(1).split()) if flags else set()
