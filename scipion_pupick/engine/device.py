# SPDX-License-Identifier: GPL-3.0-or-later
"""Which processor to compute on, and with how many threads."""

from __future__ import annotations

import logging
import os
import re
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

import torch

from .errors import PupickError, UsageError

log = logging.getLogger(__name__)

CPU_INFO = Path("/proc/cpuinfo")


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


def use_device(name: str, threads: int) -> torch.device:
    """Choose a device and set the number of threads; see `choose_device` and `set_threads`.

    Raises:
        UsageError: there is no such device, or the number is negative.
    """
    set_threads(threads)
    return choose_device(name)


def describe_device(device: torch.device) -> str:
    """Name a device for people."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"the CPU ({torch.get_num_threads()} threads)"


def set_threads(threads: int) -> int:
    """Set the number of threads that PyTorch uses; 0 means all cores this process may use.

    Returns:
        The number set.

    Raises:
        UsageError: a negative number.
    """
    if threads < 0:
        raise UsageError(
            f"{threads} threads were asked for: give 1 or more, or 0 for all cores.", "threads"
        )
    count = threads or usable_cores()
    torch.set_num_threads(count)
    return count


def usable_cores() -> int:
    """Number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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


def _cpu_flags() -> set[str]:
    if not CPU_INFO.exists():
        return set()
    flags = re.search(r"^flags\s*:(.*)$", CPU_INFO.read_text(encoding="utf-8"), re.MULTILINE)
    return set(flags.group(1).split()) if flags else set()
