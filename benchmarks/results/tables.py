# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of docs/results.md, made from the raw cells in benchmarks/results.

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
from pathlib import Path
from types import MappingProxyType
from typing import Callable, Dict, List, Mapping, Optional, Sequence

RESULTS = Path(__file__).resolve().parent
DOCUMENT = RESULTS.parents[1] / "docs" / "results.md"
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
    pupick, topaz = pupick_value(cells, on, labels), topaz_value(cells, on, labels)
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
        machine="intel-xeon",
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


TABLES: Mapping[str, Callable[[], str]] = MappingProxyType(
    {
        "hard": hard,
        "accuracy": accuracy,
        "circumstances": circumstances,
        "speed": speed,
        "paper": paper,
        "paper-tests": paper_tests,
        "paper-figures": paper_figures,
    }
)


def with_tables(text: str) -> str:
    """The document with every table made anew.

    Raises:
        ResultsError: it has a place for a table that there is not, or lacks one for a table.
    """
    places = [name for _, name, _ in PLACE.findall(text)]
    if sorted(places) != sorted(TABLES):
        raise ResultsError(f"The document has places for {places}, not for {list(TABLES)}.")
    return PLACE.sub(lambda place: f"{place[1]}\n{TABLES[place[2]]()}\n\n{place[3]}", text)


def parse(arguments: Optional[List[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--document", type=Path, default=DOCUMENT, help="default: docs/results.md")
    parser.add_argument("--check", action="store_true", help="change nothing, only compare")
    return parser.parse_args(arguments)


def main(arguments: Optional[List[str]] = None) -> int:
    options = parse(arguments)
    text = options.document.read_text(encoding="utf-8")
    made = with_tables(text)
    if options.check:
        if made != text:
            print(f"{options.document}: its tables are not those of {RESULTS}", file=sys.stderr)
        return int(made != text)
    options.document.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
