# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast is picking on these GPUs, or with these processes on the CPU? Ten minutes at most.

Example::

    python benchmarks/speed/devices.py --work bench --device all
    python benchmarks/speed/devices.py --work bench --device cpu --workers 1,2 --copies 8

It prints two tables in Markdown: the stages of one micrograph of 4096 x 4096 px on the first
device, and whole calls of `pupick pick` on many, by processes. Of each call there is a short and a
long one: the rate is that between them, without the start. All must give the same scores.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, List, Tuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np  # noqa: E402
import torch  # noqa: E402

from benchmarks.common.machine import ROOT, describe_machine, describe_side  # noqa: E402
from benchmarks.speed.simulate import DIAMETER, write_set  # noqa: E402
from scipion_pupick.engine import PickSettings, find_micrographs, fit, load_model  # noqa: E402
from scipion_pupick.engine.device import choose_devices  # noqa: E402
from scipion_pupick.engine.micrographs import image_of, require_pixel_size  # noqa: E402
from scipion_pupick.engine.networks.scoring import make_picking_scorer  # noqa: E402
from scipion_pupick.engine.picker import Picker  # noqa: E402
from scipion_pupick.engine.preprocessing.fourier_crop import downsample  # noqa: E402
from scipion_pupick.engine.preprocessing.fourier_crop_torch import downsample_on  # noqa: E402
from scipion_pupick.engine.preprocessing.working_image import (  # noqa: E402
    normalise_working_image,
)
from scipion_pupick.engine.runs.score_micrographs import GPU_BATCH  # noqa: E402

REPEATS = 3
IMAGES = 4


def seconds(act: Callable[[], Any], device: torch.device) -> float:
    """Least time of some repeats, after one that is not counted."""
    times = []
    for _ in range(REPEATS + 1):
        begun = time.perf_counter()
        act()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - begun)
    return min(times[1:])


def stages(images: Path, model: Path, device: torch.device) -> List[Tuple[str, float]]:
    """Seconds of each stage of one micrograph, one after the other, on one device."""
    micrograph = find_micrographs([str(images)])[0]
    loaded = load_model(model)
    picker = Picker.of_model(loaded, PickSettings(), device)
    pixels = np.array(image_of(micrograph))
    shape = picker.scale.shape(pixels.shape, require_pixel_size(micrograph))
    working = replace(picker.prepare(micrograph), image=downsample(pixels, shape))
    batch = np.repeat(picker.prepare(micrograph).image[None], GPU_BATCH, axis=0)
    scorer = make_picking_scorer(loaded.network, device)
    peaks = picker.find_peaks([picker.prepare(micrograph)])
    found = len(peaks[0].coordinates)
    return [
        ("read from the page cache", seconds(lambda: np.array(image_of(micrograph)), device)),
        ("downsample, NumPy on one core", seconds(lambda: downsample(pixels, shape), device)),
        (f"downsample on {device}", seconds(lambda: downsample_on(device)(pixels, shape), device)),
        ("normalise", seconds(lambda: normalise_working_image(working, "gmm"), device)),
        ("score, one alone", seconds(lambda: scorer(batch[:1]), device)),
        (f"score, of {GPU_BATCH}", seconds(lambda: scorer(batch), device) / GPU_BATCH),
        (
            f"score and find {found} peaks",
            seconds(lambda: picker.find_peaks([replace(working, image=batch[0])]), device),
        ),
    ]


def copies(images: Path, folder: Path, count: int) -> Path:
    """Make a folder with so many names of some images."""
    folder.mkdir(parents=True, exist_ok=True)
    sources = sorted(images.glob("*.mrc"))
    for index in range(count):
        name = folder / f"m{index:05d}.mrc"
        if not name.exists():
            os.link(sources[index % len(sources)], name)
    return folder


def call(micrographs: Path, model: Path, output: Path, *options: str) -> Tuple[float, float]:
    """Pick, and return the wall and the CPU seconds of that."""
    command = [sys.executable, "-m", "scipion_pupick.engine", "pick", "--no-report"]
    command += ["--micrographs", str(micrographs), "--model", str(model), "--output", str(output)]
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run([*command, *options], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    wall, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def digest(folder: Path) -> str:
    """Digest of all scores of a run."""
    total = hashlib.sha256()
    for path in sorted((folder / "scores").rglob("*.safetensors")):
        total.update(path.name.encode() + path.read_bytes())
    return total.hexdigest()[:8]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--work", type=Path, required=True, help="empty folder for all runs")
    parser.add_argument("--device", default="all", help="as of pupick pick; default: %(default)s")
    parser.add_argument("--workers", default="", help="numbers, such as 1,2; default: the devices'")
    parser.add_argument("--copies", type=int, default=400, help="micrographs of a long call")
    options = parser.parse_args()
    work = options.work.absolute()
    devices = choose_devices(options.device)
    print(json.dumps({**describe_machine(), **describe_side(Path(sys.executable), ROOT)}))
    print(", ".join(map(str, devices)))
    if not (work / "images" / "sim_00.mrc").exists():
        write_set(work / "images", IMAGES, 1)
    images = find_micrographs([str(work / "images" / "*.mrc")])
    settings = PickSettings(diameter=DIAMETER)
    model = fit(images, work / "fitted", settings, device=str(devices[0]))
    print("\n| stage | ms |\n| --- | --- |")
    for name, took in stages(work / "images" / "sim_00.mrc", model, devices[0]):
        print(f"| {name} | {1000 * took:.1f} |", flush=True)
    print("\n| workers | micrographs | wall, s | CPU, s | a second | CPU, s, each | scores |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    numbers = map(int, options.workers.split(",")) if options.workers else sorted(
        {1, len(devices), 2 * len(devices)}
    )  # fmt: skip
    for workers in numbers:
        # as many devices as there are workers
        names = ",".join(map(str, devices[:workers]))
        more = ("--device", names, "--workers", str(workers))
        short, long = options.copies // 4, options.copies
        costs = []
        for count in (short, long):
            folder = copies(work / "images", work / f"many{count}", count)
            output = work / f"out_{workers}_{count}"
            costs.append(call(folder, model, output, *more))
        (wall, cpu), (least_wall, least_cpu) = costs[1], costs[0]
        rate = (long - short) / (wall - least_wall)
        print(
            f"| {workers} on {names} | {long} | {wall:.1f} | {cpu:.1f} | {rate:.2f} | "
            f"{(cpu - least_cpu) / (long - short):.2f} | {digest(output)} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
