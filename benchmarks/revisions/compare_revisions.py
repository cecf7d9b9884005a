# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether two revisions of pupick write the same files, bit for bit, from the same commands.

    python benchmarks/revisions/compare_revisions.py --work FOLDER BEFORE AFTER [--only pick]

BEFORE and AFTER are source trees. Each runs every command with one thread, in a fresh folder of the
same absolute path (FOLDER/run, called FOLDER/before and FOLDER/after in the end), on copies of the
example micrographs with their times. Then every file is compared, weights tensor by tensor. Allowed
to differ are wall seconds, pupick's version and what is declared (--renamed, --ignored,
--renamed-file); the exit code is 1 if anything else does. See benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, FrozenSet, List, Mapping, Optional, Sequence, Tuple

import numpy as np
from safetensors import safe_open

# a script sees only its own folder
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.common.machine import ROOT, describe_machine, describe_side
from benchmarks.common.measure import THREAD_VARIABLES

EXAMPLES = ROOT / "examples" / "empiar10017"
SIDES = ("before", "after")
DATA = "empiar10017"
MICROGRAPHS = f"{DATA}/micrographs"
LABELS = f"{DATA}/picks_100.star"
REFERENCE = f"{DATA}/reference.star"
LOGS = "logs"
CPU = ("--device", "cpu", "--threads", "1")
FORMATS = {"star": ".star", "topaz": ".txt", "box": ".box", "cbox": ".cbox", "csv": ".csv"}
ONE_MICROGRAPH = ("box", "cbox")

# keys of JSON objects that hold wall seconds, whatever the revisions
SECONDS = frozenset({"seconds"})
# in logs and reports: "in 12.3 s", "12.34 s"
_SECONDS = re.compile(r"\b\d+\.\d+ s\b")
# in logs, every ten seconds: "particles simulated: 21 of 42"
_UNDER_WAY = re.compile(r"^[a-z ]+: (\d+) of (?!\1$)\d+\n", re.MULTILINE)
_ABSENT = object()


@dataclass(frozen=True)
class Command:
    """One command of the comparison.

    Attributes:
        name: of its log; the first words choose it with --only.
        arguments: of `python -m scipion_pupick.engine`, in the folder of the run.
    """

    name: str
    arguments: Tuple[str, ...]

    def is_needed_by(self, other: Command) -> bool:
        """Whether the other command is given the folder that this one fills, or a file in it."""
        if "--output" not in self.arguments or self.name.endswith("-again"):
            return False
        output = Path(self.arguments[self.arguments.index("--output") + 1])
        paths = [Path(argument) for argument in other.arguments]
        return any(output == path or output in path.parents for path in paths)


@dataclass(frozen=True)
class Allowed:
    """Differences that are no fault.

    Attributes:
        renamed: new name by old name, of keys in JSON and columns in tables.
        ignored: keys of JSON objects whose values may differ.
        versions: of pupick on the two sides; both are read as the same.
    """

    renamed: Mapping[str, str] = field(default_factory=dict)
    ignored: FrozenSet[str] = frozenset()
    versions: Tuple[str, ...] = ()

    def text(self, text: str) -> str:
        """Put marks in the place of wall seconds and versions of pupick, and new names of keys.

        Lines that tell every ten seconds how far a command has come are left out.
        """
        text = _SECONDS.sub("(seconds) s", _UNDER_WAY.sub("", text))
        for version in self.versions:
            text = text.replace(f'"pupick": "{version}"', '"pupick": "(version)"')
        for old, new in self.renamed.items():
            text = text.replace(f'"{old}":', f'"{new}":')
        return text

    def table(self, text: str) -> str:
        """As `text`, with the columns of a table under their new names."""
        head, newline, rest = text.partition("\n")
        cells = [self.renamed.get(cell, cell) for cell in head.split("\t")]
        return self.text("\t".join(cells) + newline + rest)

    def json(self, value: Any) -> Any:
        """A JSON value under its new names, without what may differ."""
        if isinstance(value, dict):
            kept = {
                self.renamed.get(name, name): self.json(each)
                for name, each in value.items()
                if name not in self.ignored and name not in SECONDS
            }
            if "torch" in kept and kept.get("pupick") in self.versions:
                kept["pupick"] = "(version)"
            return kept
        if isinstance(value, list):
            return [self.json(each) for each in value]
        return self.text(value) if isinstance(value, str) else value


@dataclass(frozen=True)
class Verdict:
    """What came of one file: `allowed` or not, and in which way the sides differ if they do."""

    file: str
    allowed: bool
    why: str = ""

    def line(self) -> str:
        """One row of the table."""
        kind = "same" if not self.why else "allowed" if self.allowed else "DIFFERS"
        return f"{kind:8} {self.file}" + (f"  ({self.why})" if self.why else "")


def parse(arguments: Optional[List[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("before", type=Path, help="source tree of the one revision")
    parser.add_argument("after", type=Path, help="source tree of the other")
    parser.add_argument("--work", type=Path, required=True, help="folder for all that is written")
    parser.add_argument("--examples", type=Path, default=EXAMPLES, help="micrographs and picks")
    parser.add_argument("--python", type=Path, default=Path(sys.executable), help="runs both")
    parser.add_argument(
        "--only", default="", help="first words of commands, with commas; what they need runs too"
    )
    parser.add_argument(
        "--renamed",
        nargs="+",
        default=[],
        metavar="OLD=NEW",
        help="keys of JSON and columns of tables, such as edge=border",
    )
    parser.add_argument(
        "--renamed-file", nargs="+", default=[], metavar="OLD=NEW", help="names of files or folders"
    )
    parser.add_argument(
        "--ignored", nargs="+", default=[], metavar="KEY", help="keys of JSON that may differ"
    )
    options = parser.parse_args(arguments)
    for name in ("renamed", "renamed_file"):
        pairs = [text.partition("=") for text in getattr(options, name)]
        if not all(old and new for old, _, new in pairs):
            parser.error(f"--{name.replace('_', '-')}: give OLD=NEW")
        setattr(options, name, {old: new for old, _, new in pairs})
    return options


def commands() -> List[Command]:
    """All commands, in the order in which they must run; options are those that keep names."""
    micrographs = ("--micrographs", MICROGRAPHS)
    training = ("train", *micrographs, "--picks", LABELS, "--diameter", "180", *CPU)
    scratch = (
        *("--from-scratch", "--network", "conv3", "--objective", "ge-kl"),
        *("--normalisation", "joint", "--held-out", "0.3"),
    )
    general = ("--model", "general", "--diameter", "180")
    trained = ("--model", "train-general/model.safetensors")
    picks = "pick-trained/picks.star"
    train_general = (
        *(*training, "--epochs", "2", "--steps", "5", "--seed", "3"),
        *("--output", "train-general"),
    )
    listed: Dict[str, Tuple[str, ...]] = {
        "pick-general": ("pick", *micrographs, *general, *CPU, "--output", "pick-general"),
        "pick-number": ("pick", *micrographs, *general, *CPU, "--output", "pick-number")
        + ("--particles-per-micrograph", "400", "--no-report"),
        "train-general": train_general,
        "train-general-again": train_general,
        "train-scratch": (*training, *scratch, "--epochs", "2", "--steps", "4", "--seed", "4")
        + ("--output", "train-scratch"),
        "pick-trained": ("pick", *micrographs, *trained, *CPU, "--output", "pick-trained"),
        "pick-scratch": ("pick", *micrographs, "--model", "train-scratch/model.safetensors")
        + (*CPU, "--output", "pick-scratch"),
        "pick-trained-lower": ("pick", *micrographs, *trained, *CPU, "--threshold", "-3")
        + ("--output", "pick-trained-lower"),
        "pick-trained-lower-again": ("pick", *micrographs, *trained, *CPU, "--threshold", "-1")
        + ("--output", "pick-trained-lower"),
        "report": ("report", "pick-trained", "--reference", REFERENCE, *CPU)
        + ("--output", "report/with_reference.html"),
        "threshold-score": ("threshold", "pick-trained", "--threshold", "1")
        + ("--output", "threshold/score"),
        "threshold-precision": ("threshold", "pick-trained", "--precision", "0.8")
        + ("--output", "threshold/precision"),
        "threshold-number": ("threshold", "pick-general", "--per-micrograph", "50")
        + ("--output", "threshold/number"),
        "evaluate": ("evaluate", "--picks", picks, "--reference", REFERENCE, "--tolerance", "10")
        + (*micrographs, "--border", "32", *trained, *CPU, "--table", "evaluate/curve.tsv")
        + ("--summary", "evaluate/summary.json", "--plot", "evaluate/curve.png"),
        "model-show-general": ("model", "show", "general"),
        "model-show-trained": ("model", "show", "train-general/model.safetensors"),
        "simulate": ("simulate", "--output", "simulate", "--count", "2", "--size", "384", "320")
        + ("--seed", "5"),
        "pretrain": ("pretrain", "--output", "pretrain", "--particles", "2", "--epochs", "1", *CPU),
    }
    for normalisation in ("micrograph", "joint", "affine"):
        listed[f"preprocess-{normalisation}"] = (
            *("preprocess", *micrographs, "--diameter", "180", "--normalisation", normalisation),
            *("--threads", "1", "--output", f"preprocess/{normalisation}"),
        )
    for name, extension in FORMATS.items():
        to = ("--to", name, "--box-size", "26")
        listed[f"convert-{name}-each"] = (
            *("convert", picks, *to, "--per-micrograph", "--output", f"convert/{name}"),
        )
        if name not in ONE_MICROGRAPH:
            output = ("--output", f"convert/all{extension}")
            listed[f"convert-{name}"] = ("convert", picks, *to, "--scale", "2", *output)
        back = ("--from", name, "--output", f"convert/from_{name}.star")
        listed[f"convert-{name}-back"] = ("convert", f"convert/{name}", *back)
    return [Command(name, arguments) for name, arguments in listed.items()]


def chosen_commands(only: str) -> List[Command]:
    """The commands whose names begin with one of the words, and those whose files they need."""
    words = tuple(word for word in only.split(",") if word)
    every = commands()
    chosen = [command for command in every if not words or command.name.startswith(words)]
    if not chosen:
        raise SystemExit(f"--only {only}: the commands are {', '.join(c.name for c in every)}")
    for command in reversed(every):
        if command not in chosen and any(command.is_needed_by(other) for other in chosen):
            chosen.append(command)
    return [command for command in every if command in chosen]


def environment_of(tree: Path) -> Dict[str, str]:
    """The environment in which a tree's commands run: this one, one thread, no GPU."""
    fixed = {name: "1" for name in THREAD_VARIABLES}
    fixed.update({"CUDA_VISIBLE_DEVICES": "", "PYTHONHASHSEED": "0", "COLUMNS": "100"})
    return {**os.environ, **fixed, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}


def imported_from(python: Path, tree: Path, folder: Path) -> str:
    """Version of pupick that `python` imports from the tree, when run in `folder`.

    Raises:
        SystemExit: it imports another pupick.
    """
    code = "import scipion_pupick as p; print(p.__file__); print(p.__version__)"
    done = subprocess.run(
        [str(python), "-c", code],
        cwd=folder,
        env=environment_of(tree),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    file, version = done.stdout.split("\n")[:2]
    if tree not in Path(file).resolve().parents:
        raise SystemExit(f"{python} imports {file}, not what lies in {tree}.")
    return version


def run_side(side: str, tree: Path, options: argparse.Namespace, todo: Sequence[Command]) -> str:
    """Run the commands with the pupick of a tree; their files go to the folder of the side.

    Returns:
        Version of that pupick.
    """
    folder, kept = options.work / "run", options.work / side
    for old in (folder, kept):
        if old.exists():
            shutil.rmtree(old)
    # with the times by which runs know files
    shutil.copytree(options.examples, folder / DATA)
    (folder / LOGS).mkdir()
    for name in ("report", "evaluate", "convert"):
        (folder / name).mkdir()
    version = imported_from(options.python, tree, folder)
    for command in todo:
        line = [str(options.python), "-m", "scipion_pupick.engine", *command.arguments]
        started = time.perf_counter()
        done = subprocess.run(
            line,
            cwd=folder,
            env=environment_of(tree),
            check=False,
            capture_output=True,
            text=True,
        )
        seconds = time.perf_counter() - started
        print(f"{side}: {command.name}: exit code {done.returncode}, {seconds:.1f} s", flush=True)
        text = f"exit code {done.returncode}\n{done.stdout}{done.stderr}"
        (folder / LOGS / f"{command.name}.txt").write_text(text, encoding="utf-8")
    shutil.rmtree(folder / DATA)
    folder.rename(kept)
    return version


def failed_commands(folder: Path, todo: Sequence[Command]) -> List[str]:
    """Names of the commands that did not end with exit code 0."""
    logs = {command.name: folder / LOGS / f"{command.name}.txt" for command in todo}
    return [n for n, log in logs.items() if not log.read_text("utf-8").startswith("exit code 0\n")]


def compare_folders(
    before: Path, after: Path, allowed: Allowed, renamed_files: Mapping[str, str]
) -> List[Verdict]:
    """Compare all files of two folders.

    Args:
        before: the one folder.
        after: the other.
        allowed: differences that are no fault.
        renamed_files: new name by old name of files and folders, without their folders.
    """
    files = {
        "/".join(renamed_files.get(part, part) for part in path.relative_to(before).parts): path
        for path in before.rglob("*")
        if path.is_file()
    }
    others = {p.relative_to(after).as_posix(): p for p in after.rglob("*") if p.is_file()}
    verdicts = []
    for name in sorted(files.keys() | others.keys()):
        if name not in others:
            verdicts.append(Verdict(name, False, "only before"))
        elif name not in files:
            verdicts.append(Verdict(name, False, "only after"))
        else:
            verdicts.append(compare_files(name, files[name], others[name], allowed))
    return verdicts


def compare_files(name: str, before: Path, after: Path, allowed: Allowed) -> Verdict:
    """Compare two files as their kind asks for, unless their bytes are the same."""
    if before.read_bytes() == after.read_bytes():
        return Verdict(name, True)
    compare = _COMPARE.get(after.suffix, _compare_bytes)
    why = compare(before, after, allowed)
    if why:
        return Verdict(name, False, why)
    return Verdict(name, True, "but for seconds, versions or what was declared")


def _compare_bytes(before: Path, after: Path, allowed: Allowed) -> str:
    first, second = before.read_bytes(), after.read_bytes()
    if len(first) != len(second):
        return f"{len(first)} and {len(second)} bytes"
    differing = np.frombuffer(first, np.uint8) != np.frombuffer(second, np.uint8)
    where = int(np.argmax(differing))
    return f"{np.count_nonzero(differing)} of {len(first)} bytes, the first at {where}"


def _compare_text(before: Path, after: Path, allowed: Allowed) -> str:
    texts = [allowed.text(path.read_text(encoding="utf-8")) for path in (before, after)]
    return _first_line(*texts)


def _compare_tables(before: Path, after: Path, allowed: Allowed) -> str:
    texts = [allowed.table(path.read_text(encoding="utf-8")) for path in (before, after)]
    return _first_line(*texts)


def _first_line(before: str, after: str) -> str:
    """Say where two texts differ first; nothing where they do not."""
    first, second = before.splitlines(), after.splitlines()
    pairs = enumerate(zip(first, second), 1)
    number = next((n for n, (one, other) in pairs if one != other), 0)
    if number:
        one, other = first[number - 1], second[number - 1]
        start = max(0, len(os.path.commonprefix([one, other])) - 10)
        return f"line {number}: {one[start : start + 60]!r}, {other[start : start + 60]!r}"
    if len(first) != len(second):
        return f"{len(first)} and {len(second)} lines"
    return ""


def _compare_json(before: Path, after: Path, allowed: Allowed) -> str:
    values = [json.loads(path.read_text(encoding="utf-8")) for path in (before, after)]
    return _first_value(allowed.json(values[0]), allowed.json(values[1]))


def _first_value(before: Any, after: Any, place: str = "") -> str:
    """Say in which place two JSON values differ first; nothing where they do not."""
    if isinstance(before, dict) and isinstance(after, dict):
        found = (
            _first_value(before.get(key, _ABSENT), after.get(key, _ABSENT), f"{place}/{key}")
            for key in sorted(before.keys() | after.keys())
        )
        return next((why for why in found if why), "")
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        found = (
            _first_value(*pair, f"{place}/{index}") for index, pair in enumerate(zip(before, after))
        )
        return next((why for why in found if why), "")
    # repr, since NaN is not NaN
    if repr(before) == repr(after):
        return ""
    one, other = ("nothing" if v is _ABSENT else repr(v)[:60] for v in (before, after))
    return f"{place}: {one}, {other}"


def _compare_weights(before: Path, after: Path, allowed: Allowed) -> str:
    """Compare two safetensors files: tensors bit for bit, metadata as JSON."""
    (first, facts), (second, others) = read_tensors(before), read_tensors(after)
    if first.keys() != second.keys():
        return f"tensors: {', '.join(sorted(first.keys() ^ second.keys())[:4])}"
    different = [name for name, value in first.items() if not _same_bits(value, second[name])]
    if different:
        worst = max(different, key=lambda name: _largest(first[name], second[name]))
        largest = _largest(first[worst], second[worst])
        shapes = f"of shape {first[worst].shape} and {second[worst].shape}"
        how = f"by up to {largest:.3g}" if np.isfinite(largest) else shapes
        return f"{len(different)} of {len(first)} tensors, {worst} {how}"
    return _first_value(allowed.json(facts), allowed.json(others), "metadata")


def read_tensors(path: Path) -> Tuple[Dict[str, np.ndarray], Dict[str, Any]]:
    """Tensors of a safetensors file, and its metadata, what is JSON in them as what it means."""
    with safe_open(path, framework="np") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata() or {}
    return tensors, {name: _meaning(text) for name, text in metadata.items()}


def _meaning(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _same_bits(first: np.ndarray, second: np.ndarray) -> bool:
    same = (first.dtype, first.shape) == (second.dtype, second.shape)
    return same and first.tobytes() == second.tobytes()


def _largest(first: np.ndarray, second: np.ndarray) -> float:
    """Largest difference; infinite where the shapes differ."""
    if first.shape != second.shape:
        return float("inf")
    return float(np.abs(first.astype(float) - second.astype(float)).max(initial=0.0))


_COMPARE: Mapping[str, Callable[[Path, Path, Allowed], str]] = {
    ".json": _compare_json,
    ".safetensors": _compare_weights,
    ".tsv": _compare_tables,
    ".txt": _compare_text,
    ".html": _compare_text,
    ".star": _compare_text,
}


def main(arguments: Optional[List[str]] = None) -> int:
    options = parse(arguments)
    options.work.mkdir(parents=True, exist_ok=True)
    options.work = options.work.resolve()
    trees = {"before": options.before.resolve(), "after": options.after.resolve()}
    todo = chosen_commands(options.only)
    print(json.dumps({"machine": describe_machine()}, indent=1))
    for side, tree in trees.items():
        print(side, tree, json.dumps(describe_side(options.python, tree)), flush=True)
    for command in todo:
        print(f"{command.name}: pupick {' '.join(command.arguments)}")
    versions = tuple(run_side(side, trees[side], options, todo) for side in SIDES)
    allowed = Allowed(options.renamed, frozenset(options.ignored), versions)
    folders = [options.work / side for side in SIDES]
    verdicts = compare_folders(folders[0], folders[1], allowed, options.renamed_file)
    print("\n".join(verdict.line() for verdict in verdicts))
    failed = [f"{s}: {n}" for s, f in zip(SIDES, folders) for n in failed_commands(f, todo)]
    if failed:
        print(f"failed commands: {', '.join(failed)}")
    wrong = sum(not verdict.allowed for verdict in verdicts)
    alike = sum(not verdict.why for verdict in verdicts)
    print(
        f"{len(verdicts)} files: {alike} the same byte for byte, {len(verdicts) - alike - wrong} "
        f"but for what may differ, {wrong} different"
    )
    return 1 if wrong or failed else 0


if __name__ == "__main__":
    sys.exit(main())
