# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of options in docs/command_line.md, made from the settings of the engine.

    python docs/settings_tables.py            # rewrite the tables
    python docs/settings_tables.py --check    # exit with 1 if a table is not what it should be

A table stands between `<!-- settings: COMMAND -->` and `<!-- end -->`; the text round it stays.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from types import MappingProxyType
from typing import Mapping, Optional, Sequence

ROOT = Path(__file__).resolve().parents[1]
# the checkout that holds this file is what it documents, whatever is installed
sys.path.insert(0, str(ROOT))

from scipion_pupick.engine.cli.options import option_of  # noqa: E402
from scipion_pupick.engine.settings import (  # noqa: E402
    EvaluateSettings,
    PickSettings,
    PicksSettings,
    PreprocessSettings,
    Setting,
    TrainSettings,
    WatchSettings,
    offered_settings,
)

DOCUMENT = ROOT / "docs" / "command_line.md"
PLACE = re.compile(r"(<!-- settings: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
COMMANDS: Mapping[str, type] = MappingProxyType(
    {
        "convert": PicksSettings,
        "evaluate": EvaluateSettings,
        "pick": PickSettings,
        "preprocess": PreprocessSettings,
        "train": TrainSettings,
        "watch": WatchSettings,
    }
)


def settings_table(kind: type) -> str:
    """Return the Markdown table of the settings of a dataclass."""
    rows = ["| option | unit | default | |", "| --- | --- | --- | --- |"]
    return "\n".join([*rows, *map(_row, offered_settings(kind))]) + "\n"


def _row(setting: Setting) -> str:
    default = f"`{setting.usual}`" if setting.choices else setting.usual
    meanings = [f"`{name}`: {meaning}" for name, meaning in setting.choices.items()]
    text = "; ".join([setting.help, *meanings])
    more = f". {setting.more.rstrip('.')}" if setting.more else ""
    cells = [f"`{option_of(setting.name)}`", setting.unit, default, f"{text}{more}"]
    return f"| {' | '.join(cells)} |".replace("|  |", "| |")


def with_tables(text: str) -> str:
    """Return the text of a document with its tables made anew.

    Raises:
        KeyError: there are no settings of a command that it names.
    """

    def table(place: re.Match[str]) -> str:
        return f"{place[1]}\n{settings_table(COMMANDS[place[2]])}\n{place[3]}"

    return PLACE.sub(table, text)


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Rewrite the tables, or check them.

    Returns:
        Exit code: 1 if a check found a table that is not what it should be.
    """
    parser = argparse.ArgumentParser(description="Tables of the settings in docs/command_line.md.")
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args(arguments).check
    text = DOCUMENT.read_text(encoding="utf-8")
    new = with_tables(text)
    if check and new != text:
        sys.stderr.write(f"{DOCUMENT}: run {Path(__file__).name} to renew its tables.\n")
        return 1
    if not check:
        DOCUMENT.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
