# SPDX-License-Identifier: GPL-3.0-or-later
"""Results as Markdown: tables, commands, and under what they were measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Sequence


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def shown(command: List[str]) -> str:
    """`command` with bare program names and each list of micrographs as one pattern."""
    words = [Path(word).name if Path(word).is_absolute() else word for word in command]
    patterns = [f"{Path(word).parent}/*.mrc" if word.endswith(".mrc") else word for word in words]
    return " ".join(
        word for word, before in zip(patterns, ["", *patterns]) if word != before or "*" not in word
    )


def conditions(entry: Dict[str, Any]) -> str:
    """One line on machine, versions and seed of a result."""
    flags = ", ".join(f"{'' if there else 'no '}{flag}" for flag, there in entry["flags"].items())
    packages = ", ".join(f"{name} {version}" for name, version in entry["packages"].items())
    return (
        f"{entry['date']}; {entry['cpu']}, {entry['cores_used']} of {entry['cores']} cores, "
        f"{entry['memory_gib']} GiB; {flags}; {entry['system']}; Python {entry['python']}; "
        f"{packages}; revision {entry['revision']}"
    )
