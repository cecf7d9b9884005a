# SPDX-License-Identifier: GPL-3.0-or-later
"""The results as Markdown: cost of every command, comparison with the targets, conditions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Optional

from benchmarks.common.markdown import conditions, shown, table
from benchmarks.speed.steps import RECOMMENDED_SCALE, SAME_SCALE, SCALES, SIMULATED, SIMULATED_MANY

Results = Dict[str, Dict[str, Any]]

COMPARED = ["whole commands", "minus start-up", "per further micrograph"]

SCALE_WORDS = {
    RECOMMENDED_SCALE: f"Topaz's recommended scale {RECOMMENDED_SCALE}",
    SAME_SCALE: f"pupick's scale {SAME_SCALE}",
}


@dataclass(frozen=True)
class Total:
    """Cost of one or more commands run one after the other (medians).

    Attributes:
        cpu: CPU seconds of the whole commands.
        net_cpu: the same without the start-up of each.
        wall: seconds.
        net_wall: the same without the start-up of each.
        peak: MiB, the largest.
        micrographs: gone through.
        regions: scored in training.
    """

    cpu: float
    net_cpu: float
    wall: float
    net_wall: float
    peak: float
    micrographs: int
    regions: int


def total(results: Results, *names: str) -> Optional[Total]:
    """The commands `names` of one program together; None where one is not measured yet."""
    start = f"{names[0].split('/')[0]}/start"
    if not all(name in results for name in (start, *names)):
        return None
    entries = [results[name] for name in names]
    medians = [entry["median"] for entry in entries]
    cpu = sum(median["cpu_s"] for median in medians)
    wall = sum(median["wall_s"] for median in medians)
    return Total(
        cpu,
        cpu - len(names) * results[start]["median"]["cpu_s"],
        wall,
        wall - len(names) * results[start]["median"]["wall_s"],
        max(median["peak_mb"] for median in medians),
        entries[0]["micrographs"],
        sum(entry["regions"] for entry in entries),
    )


def comparison(results: Results) -> List[List[str]]:
    """Rows (what, target, and the columns of COMPARED) of all that can be compared yet."""
    rows = [row for scale in SCALES for row in preprocessing(results, scale)]
    rows += [row for scale in SCALES for row in picking(results, scale)]
    return rows + throughput(results) + training(results)


def preprocessing(results: Results, scale: int) -> List[List[str]]:
    """CPU from the micrographs on disk to the small normalised ones."""
    topaz = total(results, f"topaz/preprocess/scale {scale}, threads 1")
    words = f"preprocess, CPU, {SCALE_WORDS[scale]}"
    return cpu_row(results, words, 10, topaz, "pupick/preprocess")


def picking(results: Results, scale: int) -> List[List[str]]:
    """CPU and memory from the micrographs on disk to the picks: two commands of Topaz's."""
    variant = f"scale {scale}, threads 1"
    topaz = total(results, f"topaz/preprocess/{variant}", f"topaz/extract/{variant}")
    rows = cpu_row(results, f"pick, CPU, {SCALE_WORDS[scale]}", 40, topaz, "pupick/pick")
    pupick = total(results, f"pupick/pick/{SIMULATED}, threads 1")
    if topaz and pupick:
        memory = f"{topaz.peak / pupick.peak:.1f}x"
        rows.append([f"pick, memory, {SCALE_WORDS[scale]}", "≥ 3x less", memory, "", ""])
    return rows


def cpu_row(
    results: Results, what: str, target: int, topaz: Optional[Total], command: str
) -> List[List[str]]:
    """Topaz's CPU over that of pupick's `command`; no row where one is not measured yet."""
    few = total(results, f"{command}/{SIMULATED}, threads 1")
    many = total(results, f"{command}/{SIMULATED_MANY}, threads 1")
    if not (topaz and few and many):
        return []
    further = (many.cpu - few.cpu) / (many.micrographs - few.micrographs)
    factors = [
        topaz.cpu / few.cpu,
        topaz.net_cpu / few.net_cpu,
        topaz.net_cpu / topaz.micrographs / further,
    ]
    return [[what, f"≥ {target}x less", *(f"{factor:.1f}x" for factor in factors)]]


def throughput(results: Results) -> List[List[str]]:
    """Micrographs per second on two cores, of both where measured."""
    variant = f"scale {RECOMMENDED_SCALE}, threads 2"
    topaz = total(results, f"topaz/preprocess/{variant}", f"topaz/extract/{variant}")
    pupick = total(results, f"pupick/pick/{SIMULATED_MANY}, threads 2")
    rows: List[List[str]] = []
    for side, target, cost in (("pupick", "≥ 3", pupick), ("Topaz", "", topaz)):
        if cost:
            speeds = [f"{cost.micrographs / wall:.2f}" for wall in (cost.wall, cost.net_wall)]
            words = f"pick, micrographs per second on two cores, {side}"
            rows.append([words, target, *speeds, ""])
    return rows


def training(results: Results) -> List[List[str]]:
    """CPU per scored region, and the time of a whole training."""
    rows: List[List[str]] = []
    topaz = total(results, "topaz/train/threads 1")
    pupick = total(results, "pupick/train/threads 1")
    if topaz and pupick:
        share = topaz.regions / pupick.regions
        factors = [topaz.cpu / pupick.cpu / share, topaz.net_cpu / pupick.net_cpu / share]
        words = [f"{factor:.1f}x" for factor in factors]
        rows.append(["train, CPU per scored region", "≥ 15x less", *words, ""])
    seconds = total(results, "pupick/train/threads 2")
    if seconds:
        words = [f"{seconds.wall:.0f} s", f"{seconds.net_wall:.0f} s"]
        rows.append(["train, 100 labels, time on two cores, pupick", "< 180 s", *words, ""])
    return rows


def costs(results: Results) -> List[List[str]]:
    """One row for each measured command."""
    rows: List[List[str]] = []
    for name, entry in results.items():
        cost = total(results, name)
        if cost is None:
            continue
        spread = [run["cpu_s"] for run in entry["runs"]]
        rows.append(
            [
                name,
                f"{cost.cpu:.2f} ({min(spread):.2f}-{max(spread):.2f})",
                "" if name.endswith("/start") else f"{cost.net_cpu:.2f}",
                per_unit(cost),
                f"{cost.wall:.1f}",
                f"{cost.peak:.0f}",
            ]
        )
    return rows


def per_unit(cost: Total) -> str:
    """CPU without start-up for one micrograph, or for one region in training."""
    if cost.micrographs:
        return f"{cost.net_cpu / cost.micrographs:.3f} s/micrograph"
    if cost.regions:
        return f"{1000 * cost.net_cpu / cost.regions:.3f} ms/region"
    return ""


def markdown(results: Results) -> str:
    """All results that there are, of one side or of both."""
    parts = ["## Comparison (Topaz / pupick)", "Of the two scales, the smaller factor counts."]
    parts.append(table(["what", "target", *COMPARED], comparison(results)))
    parts.append("## Cost of every command (median; smallest and largest CPU in brackets)")
    head = ["command", "CPU s", "minus start-up", "per unit", "wall s", "peak MiB"]
    parts.append(table(head, costs(results)))
    parts.append("## Conditions")
    by_line: Dict[str, List[str]] = {}
    for name, entry in results.items():
        by_line.setdefault(f"{conditions(entry)}; seed {entry['seed']}", []).append(name)
    parts += [f"- {', '.join(names)}: {line}" for line, names in by_line.items()]
    parts.append("## Commands")
    parts += [f"- {name}: `{shown(entry['command'])}`" for name, entry in results.items()]
    return "\n\n".join(parts) + "\n"
