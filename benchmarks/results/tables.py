# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of docs/results.md and docs/loop.md, made from the raw cells in benchmarks/results.

    python benchmarks/results/tables.py            # rewrite the tables
    python benchmarks/results/tables.py --check    # exit with 1 if a table is not what it should be

A table stands between `<!-- table: NAME -->` and `<!-- end -->`; the text round it stays. Only the
standard library is needed.
"""

from __future__ import annotations

import argparse
import csv
import re
import sys
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from statistics import fmean
from types import MappingProxyType
from typing import Callable, Dict, List, Mapping, Optional, Sequence

RESULTS = Path(__file__).resolve().parent
DOCUMENT = RESULTS.parents[1] / "docs" / "results.md"
LOOP = DOCUMENT.with_name("loop.md")
PLACE = re.compile(r"(<!-- table: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)

SETS = ("EMPIAR-10017", "apoferritin", "beta-galactosidase", "GroEL", "proteasome")
LABELS = ("0", "10", "100", "1000")
PACKAGED = ("resnet8_u32", "resnet16_u64")
TRAINED = "resnet8, 150 steps"

HARD_SETS = (
    ("empiar10059", "EMPIAR-10059, crowded, last two"),
    ("empiar10059-swapped", "the same, first two"),
    ("empiar10947", "EMPIAR-10947, faint"),
    ("empiar10017", "EMPIAR-10017"),
    ("apoferritin-crowded", "apoferritin, crowded"),
    ("bgal-crowded", "beta-galactosidase, crowded"),
    ("groel-dirty", "GroEL, dirty"),
    ("proteasome-dirty", "proteasome, dirty"),
    ("apoferritin", "apoferritin"),
    ("bgal", "beta-galactosidase"),
    ("groel", "GroEL"),
    ("proteasome", "proteasome"),
)

Cell = Dict[str, str]


class ResultsError(Exception):
    """The cells or the document do not hold what a table needs."""


@dataclass(frozen=True)
class Cells:
    """The rows of one file of results.

    Attributes:
        rows: each a value by the name of its column.
    """

    rows: List[Cell]

    @classmethod
    def read(cls, path: Path) -> Cells:
        """Read the CSV file `path`."""
        with path.open(encoding="utf-8", newline="") as file:
            return cls(list(csv.DictReader(file)))

    def value(self, **wanted: str) -> str:
        """The value of the one cell whose columns are as wanted, as it is written.

        Raises:
            ResultsError: there is none, or more than one.
        """
        matches = [
            row for row in self.rows if all(row[name] == value for name, value in wanted.items())
        ]
        if len(matches) != 1:
            raise ResultsError(f"{len(matches)} cells are {wanted}: there must be one.")
        return matches[0]["value"]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def accuracy() -> str:
    """Average precision beside Topaz, by set and number of labels."""
    cells = Cells.read(RESULTS / "accuracy.csv")
    head = ["set", "no label", "10 labels", "100", "1000"]
    rows = [[on, *(pair(cells, on, labels) for labels in LABELS)] for on in SETS]
    return table(head, rows)


def pair(cells: Cells, on: str, labels: str) -> str:
    """Average precision of pupick and of Topaz, the better one bold."""
    return better_bold(pupick_value(cells, on, labels), topaz_value(cells, on, labels))


def better_bold(pupick: str, topaz: str) -> str:
    """Both values, the higher one bold."""
    if float(pupick) > float(topaz):
        return f"**{pupick}**/{topaz}"
    if float(topaz) > float(pupick):
        return f"{pupick}/**{topaz}**"
    return f"{pupick}/{topaz}"


def pupick_value(
    cells: Cells, on: str, labels: str, kind: str = "random", diameter: str = "1"
) -> str:
    """Average precision of pupick, with the number of particles known only where labels are."""
    return cells.value(
        set=on,
        program="pupick",
        labels=labels,
        label_kind=kind if labels != "0" else "",
        diameter_given_to_true=diameter,
        particle_number_given="yes" if labels != "0" else "no",
        measure="average_precision",
    )


def topaz_value(cells: Cells, on: str, labels: str) -> str:
    """Average precision of Topaz; without labels that of the better of its packaged models."""
    models = PACKAGED if labels == "0" else (TRAINED,)
    values = [
        cells.value(
            set=on, program="topaz", model=model, labels=labels, measure="average_precision"
        )
        for model in models
    ]
    return max(values, key=float)


def hard() -> str:
    """Average precision and F1 of the general model of now, by set and number of labels."""
    rows = [row for row in Cells.read(RESULTS / "hard_sets.csv").rows if row["peaks"] == "now"]
    head = ["set", "no label", "told the number", "10 labels", "100", "1000"]
    columns = (("0", "no"), ("0", "yes"), ("10", "yes"), ("100", "yes"), ("1000", "yes"))
    lines = [
        [words, *(hard_value(rows, on, *column) for column in columns)] for on, words in HARD_SETS
    ]
    return table(head, lines)


def hard_beside_topaz() -> str:
    """Average precision of both programs on the hard real sets, by number of labels."""
    cells = Cells.read(RESULTS / "hard_sets.csv")
    head = ["set", "no label", "10 labels", "100", "1000"]
    real = [(on, words) for on, words in HARD_SETS if on.startswith("empiar")]
    lines = [[words, *(hard_pair(cells, on, labels) for labels in LABELS)] for on, words in real]
    return table(head, lines)


def hard_pair(cells: Cells, on: str, labels: str) -> str:
    """Average precision of pupick, told the number only where labels are, and of Topaz.

    A dash for what was not measured.
    """
    number_given = "no" if labels == "0" else "yes"
    values = {
        row["peaks"]: row["value"]
        for row in cells.rows
        if (row["set"], row["labels"], row["particle_number_given"], row["measure"])
        == (on, labels, number_given, "average_precision")
    }
    if not {"now", "topaz"} <= values.keys():
        return f"{values.get('now', '–')}/{values.get('topaz', '–')}"
    return better_bold(values["now"], values["topaz"])


def hard_choices() -> str:
    """Average precision by choices of labels: their mean, the least and the most."""
    rows = Cells.read(RESULTS / "hard_choices.csv").rows
    head = ["set", "10 labels", "100", "1000"]
    real = [(on, words) for on, words in HARD_SETS if on.startswith("empiar")]
    lines = [[words, *(spread(rows, on, labels) for labels in LABELS[1:])] for on, words in real]
    return table(head, lines)


def spread(rows: Sequence[Cell], on: str, labels: str) -> str:
    """Mean of the average precision over choices of labels (least to most of them)."""
    found = [
        float(row["average_precision"])
        for row in rows
        if (row["set"], row["labels"]) == (on, labels)
    ]
    return f"{fmean(found):.3f} ({min(found):.3f} to {max(found):.3f})" if found else "–"


def hard_value(rows: Sequence[Cell], on: str, labels: str, number_given: str) -> str:
    """Average precision; F1 at the own threshold (and the best). A dash for what was not measured.

    Raises:
        ResultsError: a part of the figures is missing.
    """
    found = {
        row["measure"]: row["value"]
        for row in rows
        if (row["set"], row["labels"], row["particle_number_given"]) == (on, labels, number_given)
    }
    if not found:
        return "–"
    try:
        precision, own, best = (
            f"{float(found[name]):.3f}"
            for name in ("average_precision", "f1_at_own_threshold", "best_f1")
        )
    except KeyError as error:
        raise ResultsError(f"{on}, {labels} labels: there is no {error}.") from error
    return f"{precision}; {own} ({best})"


def circumstances() -> str:
    """Average precision with a wrong diameter, and with labels as people make them."""
    cells = Cells.read(RESULTS / "accuracy.csv")
    head = [
        "set",
        "0.8 × diameter",
        "right",
        "1.25 ×",
        "100 random",
        "clearest",
        "few micrographs",
    ]
    rows = [
        [
            on,
            *(pupick_value(cells, on, "0", diameter=ratio) for ratio in ("0.8", "1", "1.25")),
            *(
                pupick_value(cells, on, "100", kind=kind)
                for kind in ("random", "clearest", "few micrographs")
            ),
        ]
        for on in SETS
    ]
    return table(head, rows)


def speed() -> str:
    """How many times less CPU and memory pupick takes."""
    cells = Cells.read(RESULTS / "speed_factors.csv")
    further, whole = "per further micrograph", "whole commands"
    head = ["Topaz / pupick", "downsampled by 4", "by 6"]
    rows = [
        [words, *(factor(cells, step, measure, of, scale) for scale in scales)]
        for words, step, measure, of, scales in (
            ("preprocess, CPU a micrograph", "preprocess", "cpu", further, ("4", "6")),
            ("pick, CPU a further micrograph", "pick", "cpu", further, ("4", "6")),
            ("pick, CPU for ten micrographs", "pick", "cpu", whole, ("4", "6")),
            ("pick, memory", "pick", "memory", whole, ("4", "6")),
            ("train, CPU a region", "train", "cpu_per_scored_region", whole, ("",)),
        )
    ]
    return table(head, [row + ["–"] * (len(head) - len(row)) for row in rows])


def factor(cells: Cells, step: str, measure: str, of: str, scale: str) -> str:
    """One factor between Topaz and pupick, as measured on the machine of all tables."""
    value = cells.value(
        step=step,
        measure=measure,
        of=of,
        topaz_downsampling=scale,
        program="topaz / pupick",
        machine="amd-epyc-25-avx512",
    )
    return f"{value}×"


PAPER_METHODS = (
    *("pn", "nnpu", "upu", "ge-kl", "ge-binomial", "ge-binomial-kl"),
    *("dog", "template"),
)
PAPER_SETS = {"empiar10017": "EMPIAR-10017", "rod": "rod"}
NOT_YET = "*Not measured yet.*"


def paper() -> str:
    """Average precision over regions by objective, labels and set, without autoencoder."""
    path = RESULTS / "paper_summary.csv"
    if not path.exists():
        return NOT_YET
    rows = [row for row in Cells.read(path).rows if row["measure"] == "region_ap"]
    rows = [row for row in rows if float(row["gamma"]) == 0 and float(row["pi_factor"]) == 1]
    places = [(on, labels) for on in PAPER_SETS for labels in LABELS[1:]]
    head = ["method", *(f"{PAPER_SETS[on]}, {labels}" for on, labels in places)]
    lines = []
    for method in PAPER_METHODS:
        found = [paper_value(rows, method, on, labels) for on, labels in places]
        if any(value != "–" for value in found):
            lines.append([f"`{method}`", *found])
    return table(head, lines)


def paper_value(rows: Sequence[Cell], method: str, on: str, labels: str) -> str:
    """Mean ± standard deviation (choices of labels); a dash where nothing was measured.

    A method that needs no labels has the same value for all numbers of them.
    """
    for row in rows:
        if (row["method"], row["set"]) == (method, on) and row["labels"] in (labels, "0"):
            deviation = f" ± {row['deviation']}" if row["deviation"] else ""
            choices = f" ({row['choices_of_labels']})" if row["labels"] != "0" else ""
            return f"{row['value']}{deviation}{choices}"
    return "–"


def paper_tests() -> str:
    """Each claim of the paper, with its paired t-test."""
    path = RESULTS / "paper_tests.csv"
    if not path.exists():
        return NOT_YET
    head = ["claim", "set", "labels", "compared", "choices", "means", "p", "first is"]
    return table(
        head,
        [
            [
                row["claim"],
                PAPER_SETS.get(row["set"], row["set"]),
                row["labels"],
                f"{row['first']}; {row['second']}",
                row["choices_of_labels"],
                f"{row['mean_of_first']}; {row['mean_of_second']}",
                row["p"],
                row["first_is"],
            ]
            for row in Cells.read(path).rows
        ],
    )


PAPER_FIGURES = {
    "paper_objectives.png": "Objectives by number of labels, as in the paper's figure 5a. A star: "
    "GE-binomial is above GE-KL with p < 0.05; a dagger: below.",
    "paper_autoencoder.png": "The autoencoder, as in figure 5b.",
    "paper_pi.png": "A π that is wrong, as in supplementary figure 3.",
    "paper_learning.png": "Average precision over regions by updates of training.",
}


def paper_figures() -> str:
    """The figures that there are, each with its caption."""
    folder = DOCUMENT.parent
    shown = [
        f"![{text.split('.')[0]}]({name})\n\n*{text}*"
        for name, text in PAPER_FIGURES.items()
        if (folder / name).exists()
    ]
    return "\n\n".join(shown) or NOT_YET


LOOP_SETS = {
    "groel-dirty": "GroEL, dirty",
    "proteasome-dirty": "proteasome, dirty",
    "groel-junk": "GroEL",
    "proteasome-junk": "proteasome",
    "bgal-junk": "beta-galactosidase",
    "empiar10017": "EMPIAR-10017",
    "empiar10947": "EMPIAR-10947",
}
LOOP_WAYS = {
    "general": "general model",
    "random labels": "random labels",
    "2D classes": "2D classes",
    "2D classes, clearly good and clear": "2D classes that are clearly good, and those that are "
    "clearly bad",
    "2D classes, clearly good, 250": "2D classes that are clearly good, 250 of the selected alone",
    "2D classes, sure": "2D classes, the selected with a score of 0 or more",
    "2D classes, sure and clear": "2D classes, the selected with a score of 0 or more, and those "
    "that are clearly bad",
    "2D classes, sure, 250 of each": "2D classes, the selected with a score of 0 or more, 250 of "
    "each side",
    "2D classes, sure and clear, 250 of each": "2D classes, the selected with a score of 0 or "
    "more, and those that are clearly bad, 250 of each side",
    "2D classes, 200 of each": "2D classes, 200 of each side",
    "2D classes, selected": "2D classes, the selected with a score of 0 or more",
    "selected and rejected": "the truth for classes",
    "selected": "the truth for classes, the selected alone",
}


def classes() -> str:
    """2D classes by threshold, as in the paper's figure 4."""
    names = {
        "threshold": "threshold",
        "particles": "particles",
        "good_classes": "good classes, of ten",
        "share_in_good_classes": "share of particles in good classes",
        "share_on_known_particles": "share that are right",
    }
    rows = Cells.read(RESULTS / "classes_by_threshold.csv").rows
    return table([*names.values()], [[row[name] for name in names] for row in rows])


def loop_classes() -> str:
    """One round through 2D classes beside the general model and 100 random labels."""
    rows = [row for row in loop_rows() if not row["set"].startswith("empiar")]
    head = [
        "set",
        "trained on",
        "clicks",
        "labels, of these wrong",
        "negatives, of these particles",
    ]
    head += ["trainings", "AP", "precision at 90 % recall", "F1 at its own threshold"]
    alike = ("set", "what", "wrong", "threshold")
    groups = groupby(rows, key=lambda row: [row[name] for name in alike])
    return table(head, [loop_line(list(group)) for _, group in groups])


def loop_rows() -> List[Cell]:
    """All rows of the loop's results, by set and way."""
    sets, ways = list(LOOP_SETS), list(LOOP_WAYS)
    rows = [row for row in Cells.read(RESULTS / "loop.csv").rows if row["what"] in ways]
    order = ("wrong", "threshold")
    return sorted(
        rows,
        key=lambda row: (sets.index(row["set"]), ways.index(row["what"]), *map(row.get, order)),
    )


def loop_line(rows: Sequence[Cell]) -> List[str]:
    """A line of the table of 2D classes: the means of trainings on the same."""
    row = rows[0]
    wrong = round(100 * float(row["wrong"] or 0))
    return [
        LOOP_SETS[row["set"]],
        LOOP_WAYS[row["what"]]
        + (f", {wrong} % of each side wrong" if wrong else "")
        + (f", picks from {float(row['threshold']):g} on" if row["threshold"] else ""),
        "–" if row["wrong"] else row["clicks"],
        share_of(row["wrong_labels"], row["labels"]),
        share_of(row["wrong_negatives"], row["negatives"]),
        str(len(rows)) if int(row["labels"]) else "–",
        *(mean_of(rows, name) for name in ("ap", "precision_90", "own_f1")),
    ]


def share_of(part: str, number: str) -> str:
    """A number, and how much of it something is; a dash for none."""
    return f"{number}, {100 * int(part) / int(number):.0f} %" if int(number) else "–"


def loop_corrections() -> str:
    """Mean AP and own F1 by clicks: of corrections, of suggested areas, and of random labels."""
    cells = Cells.read(RESULTS / "loop.csv").rows
    real = [row for row in cells if row["set"].startswith("empiar")]
    ways = ("corrected", "suggested", "random labels")
    columns = ("corrections", "suggested", "random labels")
    head = ["set", "clicks", "added and confirmed", "removed"]
    head += [f"{figure}, {column}" for figure in ("AP", "own F1") for column in columns]
    lines = []
    for on, clicks in sorted({(row["set"], int(row["clicks"])) for row in real}):
        asked = ways if clicks else ("general",) * len(ways)
        rows = [
            [r for r in real if (r["set"], r["what"], int(r["clicks"])) == (on, way, clicks)]
            for way in asked
        ]
        numbers = [rows[0][0][name] if rows[0] else "–" for name in ("labels", "negatives")]
        values = [mean_of(same, name) for name in ("ap", "own_f1") for same in rows]
        lines.append([LOOP_SETS[on], str(clicks), *numbers, *values])
    return table(head, lines)


def mean_of(rows: Sequence[Cell], name: str) -> str:
    """Mean of a figure over trainings that are alike; a dash for none."""
    return f"{fmean(float(row[name]) for row in rows):.3f}" if rows else "–"


TABLES: Mapping[str, Callable[[], str]] = MappingProxyType(
    {
        "hard": hard,
        "hard-topaz": hard_beside_topaz,
        "hard-choices": hard_choices,
        "accuracy": accuracy,
        "circumstances": circumstances,
        "speed": speed,
        "paper": paper,
        "paper-tests": paper_tests,
        "paper-figures": paper_figures,
        "classes": classes,
    }
)

LOOP_TABLES: Mapping[str, Callable[[], str]] = MappingProxyType(
    {"loop-classes": loop_classes, "loop-corrections": loop_corrections}
)


def with_tables(text: str, tables: Mapping[str, Callable[[], str]]) -> str:
    """A document with every table made anew.

    Raises:
        ResultsError: it has a place for a table that there is not, or lacks one for a table.
    """
    places = [name for _, name, _ in PLACE.findall(text)]
    if sorted(places) != sorted(tables):
        raise ResultsError(f"The document has places for {places}, not for {list(tables)}.")
    return PLACE.sub(lambda place: f"{place[1]}\n{tables[place[2]]()}\n\n{place[3]}", text)


def parse(arguments: Optional[List[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--document", type=Path, nargs="+", default=[DOCUMENT, LOOP], help="results.md or loop.md"
    )
    parser.add_argument("--check", action="store_true", help="change nothing, only compare")
    return parser.parse_args(arguments)


def main(arguments: Optional[List[str]] = None) -> int:
    options = parse(arguments)
    differ = [rewrite(document, options.check) for document in options.document]
    return int(options.check and any(differ))


def rewrite(document: Path, only_compare: bool) -> bool:
    """Make the tables of a document anew, and tell whether they were others."""
    text = document.read_text(encoding="utf-8")
    made = with_tables(text, LOOP_TABLES if document.name == LOOP.name else TABLES)
    if made != text and only_compare:
        print(f"{document}: its tables are not those of {RESULTS}", file=sys.stderr)
    elif made != text:
        document.write_text(made, encoding="utf-8")
    return made != text


if __name__ == "__main__":
    sys.exit(main())
