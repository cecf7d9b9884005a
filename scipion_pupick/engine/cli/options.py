# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that commands share, and options made from settings."""

from __future__ import annotations

import argparse
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Union

from scipion_pupick import engine

from ..errors import PupickError
from ..files.json_files import write_json
from ..runs.lists import write_failures
from ..settings import ADVANCED, PicksSettings, Setting, make_settings, offered_settings
from .argument_types import text_file

SUCCESS, FAILURE, USAGE = 0, 1, 2

log = logging.getLogger("pupick")

Run = Callable[[argparse.Namespace], int]


def add_command(commands: Any, name: str, summary: str, run: Run) -> argparse.ArgumentParser:
    """Add a command that `run` carries out; it returns the exit code."""
    parser: argparse.ArgumentParser = commands.add_parser(name, help=summary, description=summary)
    parser.set_defaults(run=run, renamed=(), given=())
    # for wrappers, which have other names for settings
    parser.add_argument("--error-file", type=text_file, help=argparse.SUPPRESS)
    return parser


def note_error(error: PupickError, path: Optional[str]) -> None:
    """Write the text of an error and the names of its settings to a JSON file, if one is asked for.

    The text does not name options, so that a wrapper can say what its form calls the settings.
    """
    if path is not None:
        write_json(path, {"text": str(error), "settings": list(error.settings)})


def option_of(name: str) -> str:
    """Return the option by which a setting is given: --min-distance for min_distance."""
    return f"--{name.replace('_', '-')}"


def add_settings(
    parser: Any,
    kind: type,
    names: Optional[Sequence[str]] = None,
    optional: Sequence[str] = (),
) -> None:
    """Add an option for each setting that users are offered, advanced ones in their own group.

    Args:
        parser: of a command, or a group of it.
        kind: dataclass of settings.
        names: of its settings; None for all.
        optional: names of settings without a default that may be left out all the same.
    """
    offered = [s for s in offered_settings(kind) if names is None or s.name in names]
    settings = [replace(s, required=s.required and s.name not in optional) for s in offered]
    advanced = [setting for setting in settings if setting.level == ADVANCED]
    for setting in settings:
        if setting not in advanced:
            _add_setting(parser, setting)
    if advanced:
        group = parser.add_argument_group("advanced")
        for setting in advanced:
            _add_setting(group, setting)


def _add_setting(group: Any, setting: Setting) -> None:
    placeholder = setting.placeholder or setting.unit.upper()
    choices = f"{', '.join(setting.choices)}: " if setting.choices else ""
    group.add_argument(
        option_of(setting.name),
        type=setting.kind,
        action=_Given,
        required=setting.required,
        default=setting.default,
        metavar=placeholder or ("NAME" if setting.kind is str else "N"),
        help=f"{choices}{setting.sentence}".replace("%", "%%"),
    )
    if setting.old_name:
        group.add_argument(
            option_of(setting.old_name),
            type=setting.kind,
            action=_Renamed,
            dest=setting.name,
            help=argparse.SUPPRESS,
        )


def given_settings(options: argparse.Namespace) -> Dict[str, Any]:
    """Return the values of the settings that were given, by name."""
    return {name: getattr(options, name) for name in options.given}


class _Given(argparse.Action):
    """Take an option, and note in `given` that its setting was given."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Union[str, Sequence[Any], None],
        option_string: Optional[str] = None,
    ) -> None:
        """Store the value."""
        setattr(namespace, self.dest, values)
        namespace.given = (*getattr(namespace, "given", ()), self.dest)


class _Renamed(_Given):
    """Take an option under its old name, and note in `renamed` what it is called now."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Union[str, Sequence[Any], None],
        option_string: Optional[str] = None,
    ) -> None:
        """Store the value."""
        super().__call__(parser, namespace, values, option_string)
        namespace.renamed = (*namespace.renamed, (self.option_strings[0], option_of(self.dest)))


def add_micrographs(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """Add the options that say which micrographs to read, for `find`."""
    parser.add_argument(
        "--micrographs",
        nargs="+",
        required=required,
        metavar="SOURCE",
        help="files, patterns in quotes, folders, a RELION STAR file, cryoSPARC's exposures (.cs) "
        "or a list (MRC or TIFF)",
    )
    parser.add_argument(
        "--pixel-size",
        type=float,
        metavar="Å/px",
        help="of the micrographs, Å/px; default: from the STAR file or the MRC header",
    )


def find(options: argparse.Namespace) -> List[engine.Micrograph]:
    """Find the micrographs of `add_micrographs`."""
    return engine.find_micrographs(options.micrographs, options.pixel_size)


def add_pixel_size(parser: argparse.ArgumentParser) -> None:
    """Add the pixel size by which particles are read."""
    parser.add_argument(
        "--pixel-size",
        type=float,
        metavar="Å/px",
        help="of the micrographs, Å/px, by which refined origins in Å become px; default: from the "
        "particles' STAR file",
    )


def add_box_size(parser: argparse.ArgumentParser) -> None:
    """Add what formats of boxes need to know."""
    parser.add_argument(
        "--box-size", type=float, metavar="PX", help="side of the boxes in px, for formats of boxes"
    )


def add_files_of_picks(parser: argparse.ArgumentParser) -> None:
    """Into how many files picks are written, and what some formats need to know."""
    parser.add_argument("--per-micrograph", action="store_true", help="write one file a micrograph")
    parser.add_argument(
        "--micrographs",
        nargs="+",
        default=(),
        metavar="SOURCE",
        help="of the picks, whose sizes cs needs: images, or cryoSPARC's .cs file of exposures",
    )


def add_picks_settings(parser: argparse.ArgumentParser) -> None:
    """Add how files of picks are read, for `read_picks`."""
    add_settings(parser, PicksSettings)


def read_picks(
    options: argparse.Namespace, sources: Sequence[str], format: str = "auto"
) -> engine.Picks:
    """Read picks as `add_picks_settings` and the pixel size say."""
    settings = make_settings(PicksSettings, vars(options))
    return engine.read_picks(sources, format, options.pixel_size, settings)


def read_unfiltered(options: argparse.Namespace, sources: Sequence[str]) -> engine.Picks:
    """Read places without a particle, or corrected picks, as `read_picks`, whatever their score."""
    settings = make_settings(PicksSettings, vars(options)).of_negatives
    return engine.read_picks(sources, pixel_size=options.pixel_size, settings=settings)


def add_output(parser: argparse.ArgumentParser, what: str) -> None:
    """Add the folder or file to write to."""
    parser.add_argument("--output", required=True, metavar="PATH", help=what)


def add_computer(parser: argparse.ArgumentParser, several: bool = False) -> None:
    """Add what to compute on; `several`: of a command that can use more than one device."""
    group = parser.add_argument_group("computer")
    more = ", several such as cuda:0,cuda:1, or all of them" if several else ""
    group.add_argument(
        "--device",
        default="auto",
        help=f"auto, cpu, cuda or cuda:N{more}; default: %(default)s, a GPU if there is one",
    )
    if several:
        group.add_argument(
            "--workers",
            type=int,
            default=0,
            metavar="N",
            help="processes, which share the devices and threads; default: one on each device",
        )
    add_threads(group)


def add_threads(group: Any) -> None:
    """Add the number of threads to a parser or a group of it."""
    group.add_argument(
        "--threads", type=int, default=0, metavar="N", help="CPU threads; default: all cores"
    )


def add_failures(parser: argparse.ArgumentParser) -> None:
    """Add the file for `report_failures`."""
    parser.add_argument(
        "--failures",
        metavar="FILE",
        type=text_file,
        help="also list the micrographs that failed here (TSV)",
    )


def report_failures(
    failures: Mapping[str, str], total: int, listed_in: Optional[str] = None
) -> int:
    """Say how many micrographs failed, and list them in a file if one is given.

    Returns:
        The exit code.
    """
    if listed_in is not None:
        write_failures(failures, Path(listed_in))
    if failures:
        log.error("%d of %d micrographs failed; the reasons stand above.", len(failures), total)
        return FAILURE
    return SUCCESS
