# SPDX-License-Identifier: GPL-3.0-or-later
"""What version 0.1 has written (fixtures/v0.1), laid out as it lay when 0.1 had run."""

from __future__ import annotations

import hashlib
import json
import lzma
import os
import shutil
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save

import scipion_pupick

FIXTURES = Path(__file__).parents[1] / "fixtures" / "v0.1"
MADE_WITH = json.loads((FIXTURES / "made_with.json").read_text(encoding="utf-8"))
COMMANDS, EXPECTED = MADE_WITH["commands"], MADE_WITH["expected"]
OPTIONS = json.loads((FIXTURES / "options.json").read_text(encoding="utf-8"))
NAMES = json.loads((FIXTURES / "public_names.json").read_text(encoding="utf-8"))
GENERAL = next(Path(scipion_pupick.__file__).parent.rglob("general-0.1.safetensors"))
NOT_PART = ("make.py", "README.md", "made_with.json", "options.json", "public_names.json")


def lay_out(folder):
    """Make `folder` what 0.1's working folder was: commands run there, with relative paths.

    Packed files are unpacked, the micrographs get the times by which runs know them, and the
    absolute paths in `micrographs.tsv` and `pick.json` become those in `folder`.
    """
    shutil.copytree(FIXTURES, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*NOT_PART))
    for path in folder.rglob("*.xz"):
        path.with_suffix("").write_bytes(lzma.decompress(path.read_bytes()))
        path.unlink()
    for path in folder.rglob("adapted.difference.safetensors"):
        path.with_name("adapted.safetensors").write_bytes(_whole(path))
        path.unlink()
    for path in [*folder.rglob("micrographs.tsv"), *folder.rglob("pick.json")]:
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace(MADE_WITH["folder"], str(folder)), encoding="utf-8")
    for name, time in MADE_WITH["mtime_ns"].items():
        os.utime(folder / name, ns=(time, time))


def _whole(difference):
    """The adapted model: the general model's weights but for those kept in the fixture."""
    with safe_open(difference, framework="pt") as file:
        metadata = file.metadata()
    content = save({**load_file(GENERAL), **load_file(difference)}, metadata)
    assert hashlib.sha256(content).hexdigest() == EXPECTED["pick-general"]["adapted"]["file_sha256"]
    return content


def weights_digest(path):
    """Digest of the tensors of a safetensors file, as `make.py` takes it."""
    digest = hashlib.sha256()
    for name, value in sorted(load_file(path).items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)} ".encode())
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()


def same_numbers():
    """Whether this machine rounds as the one did that the fixtures were made on."""
    kept = [MADE_WITH["versions"]["torch"], MADE_WITH["cpu"], MADE_WITH["cpu_model"]]
    return kept == [torch.__version__, torch.backends.cpu.get_cpu_capability(), cpu_model()]


def cpu_model():
    """Vendor, family, model and name of the processor; empty where Linux does not say."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    fields = dict(map(str.strip, line.split(":", 1)) for line in reversed(lines) if ":" in line)
    return [fields.get(n, "") for n in ("vendor_id", "cpu family", "model", "model name")]
