# SPDX-License-Identifier: GPL-3.0-or-later
"""On what and with which versions the figures were measured (Linux)."""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
from pathlib import Path
from typing import Any, Dict

ROOT = Path(__file__).resolve().parents[2]
# What decides how fast a network runs on a CPU.
FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "amx_tile")
PACKAGES = {
    "mrcfile", "numpy", "pandas", "safetensors", "scikit-learn", "scipion-em-pupick", "scipy",
    "topaz-em", "torch", "torchvision",
}  # fmt: skip


def describe_machine() -> Dict[str, Any]:
    """CPU, cores (of the machine and usable), memory, system and date."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    cpu = dict(line.split(":", 1) for line in lines if ":" in line)
    fields = {name.strip(): value.strip() for name, value in cpu.items()}
    flags = fields.get("flags", "").split()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "date": datetime.date.today().isoformat(),
        "cpu": f"{fields.get('model name')} (family {fields.get('cpu family')})",
        "flags": {flag: flag in flags for flag in FLAGS},
        "cores": os.cpu_count(),
        "cores_used": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory, 1),
        "system": f"{platform.system()} {platform.release().split('-')[0]}, "
        + " ".join(platform.libc_ver()),
    }


def describe_side(python: Path, root: Path) -> Dict[str, Any]:
    """Versions in the environment of `python`, and the git revision of the repository `root`."""
    listed = json.loads(output(str(python), "-m", "pip", "list", "--format", "json"))
    versions = {row["name"]: row["version"] for row in listed if row["name"] in PACKAGES}
    return {
        "python": output(str(python), "--version").split()[-1],
        "packages": versions,
        "revision": output("git", "-C", str(root), "describe", "--always", "--dirty"),
    }


def output(*command: str) -> str:
    """What `command` prints.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()
