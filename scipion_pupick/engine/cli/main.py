# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line `pupick`: arguments in, one engine function, a summary out."""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import signal
import sys
from dataclasses import fields, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, NoReturn, Optional, Sequence, Tuple

import scipion_pupick
from scipion_pupick import engine

from ..errors import PupickError, UsageError
from ..files.json_files import write_json
from ..runs.lists import write_failures
from ..settings import (
    GENERAL,
    NETWORKS,
    NORMALISATIONS,
    OBJECTIVES,
    OptimizerSettings,
    PickSettings,
    PretrainSettings,
    TrainSettings,
)
from .argument_types import text_file

if TYPE_CHECKING:
    from ..evaluation.evaluate import Evaluation

SUCCESS, FAILURE, USAGE = 0, 1, 2
OLD = {"border": ("edge",), "min_distance": ("separation",)}

log = logging.getLogger("pupick")


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run `pupick`.

    Args:
        arguments: of the command line, without the program's name; None for the process's own.

    Returns:
        Exit code: 0, 1 (something failed) or 2 (it was called wrongly).
    """
    # threads that spin while they wait cost more than they save where cores are shared
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    options = make_parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return int(options.run(options))
    except UsageError as error:
        log.error("pupick %s: %s", options.command, error)
        return USAGE
    except (PupickError, OSError) as error:
        log.error("pupick %s: %s", options.command, error)
        return FAILURE
    except KeyboardInterrupt:
        log.error("pupick %s: stopped; call it again to continue.", options.command)
        return FAILURE


def _interrupt(number: int, frame: Optional[FrameType]) -> NoReturn:
    raise KeyboardInterrupt


def make_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="pupick",
        description="Find particles in cryo-EM micrographs, having learned from a few picks.",
    )
    parser.add_argument("--version", action="version", version=scipion_pupick.__version__)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_preprocess(commands)
    _add_train(commands)
    _add_pick(commands)
    _add_threshold(commands)
    _add_report(commands)
    _add_evaluate(commands)
    _add_convert(commands)
    _add_model(commands)
    _add_simulate(commands)
    _add_pretrain(commands)
    _add_demo(commands)
    return parser


def _add_command(commands: Any, name: str, summary: str, run: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=summary, description=summary)
    parser.set_defaults(run=run)
    return parser


def _add_micrographs(parser: argparse.ArgumentParser, required: bool = True) -> None:
    parser.add_argument(
        "--micrographs",
        nargs="+",
        required=required,
        metavar="SOURCE",
        help="files, patterns in quotes, folders, or a RELION STAR file (MRC or TIFF images)",
    )
    parser.add_argument(
        "--pixel-size",
        type=float,
        metavar="Å/px",
        help="of the micrographs, Å/px; default: from the STAR file or the MRC header",
    )


def _add_output(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("--output", required=True, metavar="PATH", help=what)


def _add_computer(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("computer")
    group.add_argument(
        "--device",
        default="auto",
        help="auto, cpu, cuda or cuda:N; default: %(default)s, a GPU if there is one",
    )
    _add_threads(group)


def _add_threads(group: Any) -> None:
    group.add_argument(
        "--threads", type=int, default=0, metavar="N", help="CPU threads; default: all cores"
    )


def _add_normalisation(group: Any) -> None:
    group.add_argument(
        "--normalisation",
        choices=NORMALISATIONS,
        default=NORMALISATIONS[0],
        help="Gaussian mixture for each micrograph, one mixture for the set, or mean and "
        "deviation; default: %(default)s",
    )


def _add_pixel_size(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--pixel-size",
        type=float,
        metavar="Å/px",
        help="of the micrographs, Å/px, by which refined origins in Å become px; default: from the "
        "particles' STAR file",
    )


def _find(options: argparse.Namespace) -> List[engine.Micrograph]:
    return engine.find_micrographs(options.micrographs, options.pixel_size)


def _add_failures(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--failures",
        metavar="FILE",
        type=text_file,
        help="also list the micrographs that failed here (TSV)",
    )


def _report_failures(
    failures: Mapping[str, str], total: int, listed_in: Optional[str] = None
) -> int:
    if listed_in is not None:
        write_failures(failures, Path(listed_in))
    if failures:
        log.error("%d of %d micrographs failed; the reasons stand above.", len(failures), total)
        return FAILURE
    return SUCCESS


def _add_preprocess(commands: Any) -> None:
    parser = _add_command(
        commands, "preprocess", "Write micrographs downsampled and normalised.", _preprocess
    )
    _add_micrographs(parser)
    parser.add_argument(
        "--diameter", type=float, required=True, metavar="Å", help="of the particle, Å"
    )
    parser.add_argument(
        "--diameter-px",
        type=float,
        default=24.0,
        metavar="PX",
        help="width of the particle in the written images, px; default: %(default)g",
    )
    _add_normalisation(parser)
    _add_threads(parser)
    _add_output(parser, "folder to write to")
    _add_failures(parser)


def _preprocess(options: argparse.Namespace) -> int:
    micrographs = _find(options)
    result = engine.preprocess(
        micrographs,
        options.diameter,
        options.output,
        options.diameter_px,
        options.normalisation,
        options.threads,
    )
    print(f"{len(result.written)} micrographs written to {options.output}")
    return _report_failures(result.failures, len(micrographs), options.failures)


def _add_train(commands: Any) -> None:
    parser = _add_command(commands, "train", "Train a model on micrographs and picks.", _train)
    _add_micrographs(parser)
    parser.add_argument(
        "--picks",
        nargs="+",
        required=True,
        metavar="FILE",
        help="hand picks: STAR, Topaz table, .box, .cbox or CSV files, or a folder of them",
    )
    parser.add_argument(
        "--diameter", type=float, required=True, metavar="Å", help="of the particle, Å"
    )
    parser.add_argument(
        "--particles-per-micrograph",
        type=float,
        metavar="N",
        help="about how many a micrograph holds, picked or not; default: estimated",
    )
    _add_output(parser, "folder for the model, its log and checkpoint; a stopped run continues")
    _add_failures(parser)
    parser.add_argument(
        "--overwrite", action="store_true", help="forget another training in the same folder"
    )
    parser.add_argument(
        "--negatives", nargs="+", metavar="FILE", help="places that hold no particle, as --picks"
    )
    start = parser.add_mutually_exclusive_group()
    start.add_argument(
        "--start",
        metavar="MODEL",
        default=GENERAL,
        help="model to start from; default: the general one that comes with pupick",
    )
    start.add_argument(
        "--from-scratch",
        action="store_const",
        dest="start",
        const=None,
        help="start from random weights, as the paper does",
    )
    _add_advanced_training(parser.add_argument_group("advanced"))
    _add_computer(parser)


def _add_advanced_training(group: Any) -> None:
    _add_normalisation(group)
    known = OptimizerSettings()
    for name, kind, unit, text in (
        ("network", str, "NAME", f"{', '.join(NETWORKS)}; conv3 is the paper's"),
        ("objective", str, "NAME", ", ".join(OBJECTIVES)),
        ("slack", float, "λ", "weight of the expectation; default: 10 for ge-kl, else 1"),
        (
            "autoencoder",
            float,
            "γ",
            "of the autoencoder; default: 10 / labels, up to 250 from scratch",
        ),
        (
            "distillation",
            float,
            "WEIGHT",
            "of what the model to start from knows; default: 5 / labels, up to 250",
        ),
        ("training_radius", float, "PX", "positive round a pick, px where the diameter is 24 px"),
        ("epochs", int, "N", "epochs"),
        (
            "steps",
            int,
            "N",
            "batches an epoch; default: 50, or 25 for few labels and a trained start",
        ),
        ("learning_rate", float, "RATE", "at its highest"),
        ("seed", int, "N", "of every random choice"),
    ):
        default = getattr(known, name)
        shown = "" if default is None else f"; default: {default}"
        group.add_argument(
            f"--{name.replace('_', '-')}",
            type=kind,
            default=default,
            metavar=unit,
            help=text + shown,
        )
    group.add_argument(
        "--held-out",
        type=float,
        metavar="SHARE",
        help="of the labels, to choose the best weights by; default: 0.2 of 500 or more",
    )


def _train(options: argparse.Namespace) -> int:
    names = {column.name for column in fields(OptimizerSettings)}
    training = OptimizerSettings(**{k: v for k, v in vars(options).items() if k in names})
    settings = TrainSettings(
        diameter=options.diameter,
        particles_per_micrograph=options.particles_per_micrograph,
        normalisation=options.normalisation,
        held_out=options.held_out,
        training=training,
    )
    micrographs = _find(options)
    negatives = None
    if options.negatives:
        negatives = engine.read_picks(options.negatives, pixel_size=options.pixel_size)
    model = engine.train(
        micrographs,
        engine.read_picks(options.picks, pixel_size=options.pixel_size),
        options.output,
        settings,
        negatives=negatives,
        start=options.start,
        overwrite=options.overwrite,
        device=options.device,
        threads=options.threads,
    )
    print(f"Model written to {Path(options.output) / 'model.safetensors'}")
    failures = model.training["failed_micrographs"]
    return _report_failures(failures, len(micrographs), options.failures)


def _add_pick(commands: Any) -> None:
    parser = _add_command(commands, "pick", "Pick particles with a trained model.", _pick)
    _add_micrographs(parser)
    parser.add_argument(
        "--model",
        required=True,
        metavar="FILE",
        help="written by pupick train, or `general`, which needs no training but --diameter",
    )
    _add_output(parser, "folder for picks.star, a STAR file a micrograph, and all scores")
    _add_failures(parser)
    for name, unit, text in (
        ("threshold", "SCORE", "log-odds from which on a peak is picked; default: the model's"),
        ("border", "Å", "drop picks nearer to the edge, Å; default: half the diameter"),
        ("min_distance", "Å", "least distance of two picks, Å; default: 0.4 diameters"),
        ("diameter", "Å", "of the particle, Å; default: the model's"),
        ("particles_per_micrograph", "N", "about how many, for the general model's threshold"),
    ):
        options = [f"--{name.replace('_', '-')}", *(f"--{old}" for old in OLD.get(name, ()))]
        parser.add_argument(*options, type=float, metavar=unit, help=text)
    parser.add_argument(
        "--no-report", action="store_true", help="do not write report.html at the end"
    )
    _add_computer(parser)


def _pick(options: argparse.Namespace) -> int:
    names = {column.name for column in fields(PickSettings)}
    settings = PickSettings(**{k: v for k, v in vars(options).items() if k in names})
    micrographs = _find(options)
    result = engine.pick(
        micrographs,
        options.model,
        options.output,
        settings,
        options.device,
        options.threads,
        report=not options.no_report,
    )
    print(result.summary())
    return _report_failures(result.failures, len(micrographs), options.failures)


def _add_threshold(commands: Any) -> None:
    parser = _add_command(
        commands, "threshold", "Apply another threshold to finished picks.", _threshold
    )
    parser.add_argument("folder", metavar="RUN_FOLDER", help="that pupick pick has written to")
    choice = parser.add_mutually_exclusive_group(required=True)
    for name, unit, text in (
        ("threshold", "SCORE", "log-odds from which on a peak is picked"),
        ("precision", "SHARE", "estimated share of particles among the picks, such as 0.9"),
        ("per-micrograph", "N", "picks a micrograph, on average over all"),
    ):
        choice.add_argument(f"--{name}", type=float, metavar=unit, help=text)
    _add_output(parser, "folder for picks.star and a STAR file a micrograph; may be RUN_FOLDER")


def _threshold(options: argparse.Namespace) -> int:
    result = engine.threshold(
        options.folder, options.output, options.threshold, options.precision, options.per_micrograph
    )
    print(result.summary())
    return SUCCESS


def _add_report(commands: Any) -> None:
    parser = _add_command(
        commands, "report", "Write an HTML file to look at picks and a training.", _report
    )
    parser.add_argument(
        "folder", metavar="RUN_FOLDER", help="that pupick pick or pupick train has written to"
    )
    parser.add_argument(
        "--reference",
        nargs="+",
        metavar="FILE",
        help="known particles to show; default: the labels that the model was trained on",
    )
    _add_pixel_size(parser)
    parser.add_argument(
        "--output",
        metavar="FILE",
        type=text_file,
        help="HTML file; default: report.html in the folder",
    )
    _add_computer(parser)


def _report(options: argparse.Namespace) -> int:
    reference = None
    if options.reference:
        reference = engine.read_picks(options.reference, pixel_size=options.pixel_size)
    path = engine.report(options.folder, options.output, reference, options.device, options.threads)
    print(f"Report written to {path}")
    return SUCCESS


def _add_evaluate(commands: Any) -> None:
    parser = _add_command(
        commands, "evaluate", "Compare picks with reference particles.", _evaluate
    )
    parser.add_argument("--picks", nargs="+", required=True, metavar="FILE", help="scored picks")
    parser.add_argument(
        "--reference", nargs="+", required=True, metavar="FILE", help="particles that are there"
    )
    parser.add_argument(
        "--tolerance",
        type=float,
        required=True,
        metavar="PX",
        help="largest distance of a pick from its particle, px of the micrograph; 0.4 diameters "
        "are usual",
    )
    parser.add_argument(
        "--border",
        type=float,
        default=0.0,
        metavar="PX",
        help="leave out what is nearer to the edge, px; needs --micrographs; default: %(default)g",
    )
    _add_micrographs(parser, required=False)
    parser.add_argument(
        "--table", metavar="FILE", type=text_file, help="write precision and recall by threshold"
    )
    parser.add_argument(
        "--summary", metavar="FILE", type=text_file, help="write the numbers as JSON"
    )
    parser.add_argument("--plot", metavar="FILE", help="draw the curve (.png, .svg, .pdf)")
    parser.add_argument(
        "--model",
        metavar="FILE",
        help="also score all regions with this model and give the average precision over regions; "
        "needs --micrographs",
    )
    _add_computer(parser)


def _evaluate(options: argparse.Namespace) -> int:
    if options.model and not options.micrographs:
        raise UsageError("Regions are scored in micrographs: give them (--micrographs).")
    micrographs = _find(options) if options.micrographs else None
    reference = engine.read_picks(options.reference, pixel_size=options.pixel_size)
    evaluation = engine.evaluate(
        engine.read_picks(options.picks, pixel_size=options.pixel_size),
        reference,
        options.tolerance,
        options.border,
        micrographs,
        options.table,
        options.plot,
    )
    regions = ""
    if options.model and micrographs:
        value = engine.evaluate_regions(
            options.model,
            reference,
            micrographs,
            border=options.border,
            device=options.device,
            threads=options.threads,
        )
        regions = f"\naverage precision over regions {value:.3f}"
    print(_describe(evaluation) + regions)
    if options.summary:
        write_json(options.summary, evaluation.summary())
    return SUCCESS


def _describe(evaluation: Evaluation) -> str:
    curve = evaluation.curve
    precision, recall, f1 = curve.of_all
    at_recall = curve.precision_at(0.9)
    return (
        f"{evaluation.picks} picks, {evaluation.reference} reference particles: "
        f"F1 {f1:.3f} (precision {precision:.3f}, recall {recall:.3f})\n"
        f"ranking: average precision {curve.average_precision:.3f}; best possible F1 "
        f"{curve.best_f1:.3f}, at score {curve.best_threshold:.2f}; precision at 90 % recall "
        f"{'not reached' if math.isnan(at_recall) else f'{at_recall:.3f}'}\n"
        f"mean distance of the hits {evaluation.localisation_error:.2f} px"
    )


def _add_convert(commands: Any) -> None:
    parser = _add_command(commands, "convert", "Convert picks between formats.", _convert)
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help="files, patterns or folders")
    parser.add_argument(
        "--output",
        required=True,
        metavar="PATH",
        type=text_file,
        help="file to write, or folder with --per-micrograph",
    )
    formats = "star, topaz, box, cbox or csv"
    parser.add_argument("--to", metavar="FORMAT", help=f"{formats}; default: by the file's name")
    parser.add_argument(
        "--from",
        dest="from_",
        default="auto",
        metavar="FORMAT",
        help=f"{formats}; default: %(default)s, by the file's content",
    )
    parser.add_argument(
        "--box-size", type=float, metavar="PX", help="side of the boxes in px, for box and cbox"
    )
    parser.add_argument("--per-micrograph", action="store_true", help="write one file a micrograph")
    parser.add_argument(
        "--scale",
        type=float,
        default=1.0,
        metavar="FACTOR",
        help="multiply coordinates, as from binned to unbinned micrographs; default: %(default)g",
    )
    _add_pixel_size(parser)


def _convert(options: argparse.Namespace) -> int:
    picks = engine.convert(
        options.sources,
        options.output,
        options.to,
        options.from_,
        options.box_size,
        options.per_micrograph,
        options.scale,
        options.pixel_size,
    )
    count = sum(len(coordinates) for coordinates in picks.values())
    print(f"{count} picks in {len(picks)} micrographs written to {options.output}")
    return SUCCESS


def _add_model(commands: Any) -> None:
    parser = _add_command(commands, "model", "Look at a model file.", _model)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    show = actions.add_parser("show", help="print what a model file says of itself, as JSON")
    show.add_argument("file", metavar="FILE")


def _model(options: argparse.Namespace) -> int:
    print(json.dumps(engine.show_model(options.file), indent=2))
    return SUCCESS


def _add_simulate(commands: Any) -> None:
    parser = _add_command(
        commands, "simulate", "Simulate micrographs whose particles are known.", _simulate
    )
    _add_output(parser, "folder for the micrographs and particles.star; a stopped run continues")
    parser.add_argument(
        "--maps",
        nargs="+",
        default=(),
        metavar="MRC",
        help="density maps, taken in turn; default: another random phantom in each micrograph",
    )
    parser.add_argument(
        "--count", type=int, default=10, metavar="N", help="micrographs; default: %(default)d"
    )
    parser.add_argument(
        "--size",
        type=int,
        nargs=2,
        default=(512, 512),
        metavar=("NX", "NY"),
        help="of each, px; default: 512 512",
    )
    parser.add_argument(
        "--pixel-size", type=float, metavar="Å/px", help="default: a particle 24 px wide"
    )
    parser.add_argument(
        "--diameter", type=float, metavar="Å", help="of the particle, Å; default: the map's"
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of every random choice; default: 0"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="remove another simulation in the same folder"
    )
    parser.add_argument(
        "--set",
        nargs="+",
        default=(),
        type=_assignment,
        metavar="NAME=VALUE",
        help="fix what is drawn at random for each micrograph, such as defocus=15000 (Å), dose=40 "
        "(electrons/Å²), snr=0.2, b_factor=100 (Å²), ice.thickness=400 (Å), crowding.coverage=0.1, "
        "contamination.carbon=0.3, microscope.voltage=300 (kV); a wrong name lists all",
    )


def _assignment(text: str) -> Tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a name, = and a number") from None


def _once(assignments: Sequence[Tuple[str, float]]) -> Dict[str, float]:
    fixed = dict(assignments)
    if len(fixed) < len(assignments):
        raise UsageError("--set gives a name twice: give each once.")
    return fixed


def _simulate(options: argparse.Namespace) -> int:
    result = engine.simulate(
        options.output,
        options.maps,
        options.count,
        (options.size[1], options.size[0]),
        options.pixel_size,
        options.diameter,
        options.seed,
        fixed=_once(options.set),
        overwrite=options.overwrite,
    )
    count = sum(len(coordinates) for coordinates in result.particles.values())
    print(f"{count} particles in {len(result.files)} micrographs written to {options.output}")
    return SUCCESS


def _add_pretrain(commands: Any) -> None:
    parser = _add_command(
        commands,
        "pretrain",
        "Make the general model from simulated micrographs of random particles.",
        _pretrain,
    )
    _add_output(parser, "folder for micrographs, log and model; a stopped run continues")
    known = PretrainSettings()
    for name, default, text in (
        ("particles", known.particles, "random particles, two micrographs of each"),
        ("epochs", known.training.epochs, "epochs of 100 batches"),
        ("seed", known.training.seed, "of every random choice"),
    ):
        parser.add_argument(
            f"--{name}", type=int, default=default, metavar="N", help=f"{text}; default: {default}"
        )
    _add_computer(parser)


def _pretrain(options: argparse.Namespace) -> int:
    known = PretrainSettings()
    training = replace(known.training, epochs=options.epochs, seed=options.seed)
    settings = replace(known, particles=options.particles, training=training)
    engine.make_general_model(options.output, settings, options.device, options.threads)
    print(f"Model written to {Path(options.output) / 'general.safetensors'}")
    return SUCCESS


def _add_demo(commands: Any) -> None:
    parser = _add_command(
        commands, "demo", "Train on real micrographs, pick others, say how good it is.", _demo
    )
    parser.add_argument(
        "--examples",
        default="examples/empiar10017",
        metavar="FOLDER",
        help="example micrographs and picks; default: %(default)s",
    )
    parser.add_argument("--output", default="demo", metavar="FOLDER", help="default: %(default)s")
    _add_computer(parser)


def _demo(options: argparse.Namespace) -> int:
    result = engine.demo(options.examples, options.output, options.device, options.threads)
    print(result.picked.summary())
    precision, recall, f1 = result.at_threshold.curve.of_all
    ranking = result.evaluation.curve
    print(f"Compared with an expert's {result.evaluation.reference} labels:")
    print(f"  picks at the model's threshold: F1 {f1:.3f}", end=" ")
    print(f"(precision {precision:.3f}, recall {recall:.3f})")
    print(f"  ranking of all peaks: average precision {ranking.average_precision:.3f}", end=" ")
    print(f"(best possible F1 {ranking.best_f1:.3f})")
    print(f"Coordinates: {Path(options.output) / 'pick' / 'picks.star'}")
    print(f"Picture of the picks: {result.picture}")
    print(f"Report, to be opened in a browser: {result.report}")
    return SUCCESS
