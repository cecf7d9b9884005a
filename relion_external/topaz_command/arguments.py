# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: Topaz's options, and which of them mean something here."""

from __future__ import annotations

import argparse
from typing import Any, List, Optional, Sequence, Union

import scipion_pupick
from scipion_pupick.engine.cli.argument_types import single_file, text_file
from scipion_pupick.engine.settings import MOST_CONTAMINATION

DEFAULT_METHOD = "PU"
OBJECTIVES = {"PN": "pn", "PU": "nnpu", "GE-KL": "ge-kl", "GE-binomial": "ge-binomial"}
EXTRACT_FORMATS = ("coord", "csv", "star", "json", "box")
IMAGE_FORMATS = ("mrc", "tiff", "tif", "png")


class Ignored(argparse.Action):
    """Take an option that has no meaning here, and note its name in `ignored`."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Union[str, Sequence[Any], None],
        option_string: Optional[str] = None,
    ) -> None:
        """Note the option."""
        namespace.ignored = [*namespace.ignored, option_string]


def make_parser() -> argparse.ArgumentParser:
    """Describe the command line; `@file` stands for the arguments in a file, one a line."""
    parser = argparse.ArgumentParser(
        prog="pupick-topaz",
        description="pupick, called as Topaz is: give it as the Topaz executable.",
        fromfile_prefix_chars="@",
    )
    parser.add_argument("--version", action="version", version=scipion_pupick.__version__)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_train(commands)
    _add_extract(commands)
    for name in ("preprocess", "normalize"):
        _add_preprocess(commands, name)
    return parser


def _add_command(commands: Any, name: str, summary: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=summary, description=summary, fromfile_prefix_chars="@"
    )
    parser.set_defaults(ignored=[])
    parser.add_argument(
        "-j",
        "--num-threads",
        type=int,
        default=0,
        metavar="N",
        help="CPU threads for PyTorch, which small work is picked without; default: all",
    )
    return parser


def _add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-d",
        "--device",
        type=gpu_number,
        default=0,
        metavar="N",
        help="number of the GPU, below 0 for the CPU; of several as RELION spells them, 0:1 or "
        "0,1, the first; default: %(default)s, if there is one",
    )


def gpu_number(text: str) -> int:
    """Read the number of a GPU, or the first of several.

    RELION starts a process for each micrograph, and spreads these over its GPUs itself.
    """
    numbers = [int(number) for number in text.replace(":", ",").split(",")]
    return numbers[0]


def image_formats(text: str) -> List[str]:
    """Read names of image formats with commas between.

    Raises:
        argparse.ArgumentTypeError: images are not written in one of them.
    """
    names = text.split(",")
    for name in names:
        if name not in IMAGE_FORMATS:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(IMAGE_FORMATS)}")
    return names


def _add_ignored(parser: argparse.ArgumentParser, valued: str, flags: str = "") -> None:
    """Add options without a meaning here: names, short and long, with commas between options."""
    for names in valued.split(","):
        parser.add_argument(
            *names.split(), action=Ignored, dest=argparse.SUPPRESS, help=argparse.SUPPRESS
        )
    for names in filter(None, flags.split(",")):
        parser.add_argument(
            *names.split(), action=Ignored, nargs=0, dest=argparse.SUPPRESS, help=argparse.SUPPRESS
        )


def _add_train(commands: Any) -> None:
    parser = _add_command(commands, "train", "Train a model on images and picks.")
    for name, text in (
        ("train", "to train on"),
        ("test", "to measure the trained model with; never trained on"),
    ):
        parser.add_argument(
            f"--{name}-images",
            metavar="TABLE",
            help=f"table with the columns image_name and path, or folder; {text}",
        )
        parser.add_argument(
            f"--{name}-targets",
            metavar="FILE",
            help="picks: table with the columns image_name, x_coord and y_coord, or STAR file",
        )
    parser.add_argument(
        "--save-prefix",
        metavar="PREFIX",
        help="the model is written to PREFIX_epochNN.sav, and more about it to PREFIX_training/; "
        "default: nowhere",
    )
    parser.add_argument("--describe", action="store_true", help="print the network, and end")
    parser.add_argument(
        "-o", "--output", metavar="FILE", type=single_file, help="training curve; default: stdout"
    )
    _add_training(parser)
    _add_device(parser)
    _add_ignored(
        parser,
        "--format, --image-ext, -k --k-fold, --fold, --cross-validation-seed, --autoencoder, "
        "--l2, --learning-rate, --minibatch-size, --minibatch-balance, --epoch-size, "
        "--preload, --units, --dropout, --bn, --pooling, --unit-scaling, --ngf, -s "
        "--patch-size, -p --patch-padding, --test-batch-size, --num-workers",
        "--natural",
    )


def _add_training(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-n",
        "--num-particles",
        type=float,
        default=-1.0,
        metavar="N",
        help="about how many an image holds, picked or not; default: estimated",
    )
    parser.add_argument(
        "--pi", type=float, metavar="SHARE", help="of all pixels, within the radius of a particle"
    )
    parser.add_argument(
        "-r",
        "--radius",
        type=float,
        default=3.0,
        metavar="PX",
        help="an eighth of the particle's diameter, px of the images; default: %(default)g",
    )
    parser.add_argument(
        "--diameter",
        type=float,
        metavar="PX",
        help="of the particle, px of the images; default: 8 times the radius (not in Topaz)",
    )
    parser.add_argument(
        "--method",
        choices=OBJECTIVES,
        default=DEFAULT_METHOD,
        help="objective; default: %(default)s, which does best here (Topaz's: GE-binomial)",
    )
    parser.add_argument(
        "--slack", type=float, default=-1.0, metavar="λ", help="default: the objective's own"
    )
    parser.add_argument(
        "--num-epochs",
        type=int,
        default=10,
        metavar="N",
        help="rows of the curve and number of the model file; training is as long with any number",
    )
    parser.add_argument(
        "-m",
        "--model",
        default="resnet8",
        metavar="NAME",
        help="network (resnet8, resnet16 or conv31), or model file to start from; "
        "default: %(default)s",
    )
    parser.add_argument(
        "--pretrained",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="start from the general model, if it has that network",
    )


def _add_extract(commands: Any) -> None:
    parser = _add_command(commands, "extract", "Pick with the general or a trained model.")
    parser.add_argument("paths", nargs="*", metavar="IMAGE", help="default: a line of stdin each")
    parser.add_argument(
        "-m",
        "--model",
        default="resnet16",
        metavar="FILE",
        help="written by pupick-topaz train; default: the general model",
    )
    parser.add_argument(
        "--diameter",
        type=float,
        metavar="PX",
        help="of the particle, px of the images; default: the model's, or for the general model "
        "twice the radius (not in Topaz)",
    )
    for short, name, default, unit, text in (
        ("", "contamination", MOST_CONTAMINATION, "SHARE", "picks that are likelier than "
         "this to lie on ice, carbon or dirt are dropped; 1 keeps all (not in Topaz)"),
        ("-r", "radius", None, "PX", "least distance of two picks, and of a pick from the edge, px "
         "of the images; default: half the diameter"),
        ("-t", "threshold", -6.0, "SCORE", "log-odds from which on a peak is picked"),
        ("-s", "down-scale", 1.0, "S", "divide coordinates"),
        ("-x", "up-scale", 1.0, "X", "multiply coordinates"),
    ):  # fmt: skip
        shown = "" if default is None else f"; default: {default:g}"
        parser.add_argument(
            *filter(None, (short, f"--{name}")),
            type=float,
            default=default,
            metavar=unit,
            help=text + shown,
        )
    parser.add_argument(
        "-o",
        "--output",
        metavar="PATH",
        type=text_file,
        help="table, or folder; default: stdout",
    )
    parser.add_argument(
        "--per-micrograph",
        action="store_true",
        help="write a file for each image to the folder -o, or beside the image",
    )
    parser.add_argument("--suffix", default="", help="of these files' names")
    parser.add_argument("--format", choices=EXTRACT_FORMATS, default="coord", help="of these files")
    parser.add_argument("-v", "--verbose", action="store_true", help="say what is done")
    # of RELION's own Topaz
    parser.add_argument("-f", "--filaments", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("-fp", "--filaments_plot", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("-fl", "--filaments_length", help=argparse.SUPPRESS)
    _add_device(parser)
    _add_ignored(
        parser,
        "-p --patch-size, --batch-size, --assignment-radius, --min-radius, --max-radius, "
        "--step-radius, --targets, --num-workers, --dims",
        "--only-validate",
    )


def _add_preprocess(commands: Any, name: str) -> None:
    parser = _add_command(commands, name, "Downsample and normalise images.")
    parser.add_argument("files", nargs="+", metavar="IMAGE")
    parser.add_argument(
        "-s", "--scale", type=int, default=1, help="downsample by this; default: %(default)s"
    )
    parser.add_argument(
        "--affine", action="store_true", help="by mean and deviation, not by Gaussian mixture"
    )
    parser.add_argument("-o", "--destdir", required=True, metavar="FOLDER", help="to write to")
    parser.add_argument(
        "--format",
        type=image_formats,
        default="mrc",
        metavar="NAMES",
        help="of the written images: mrc, tiff or png, with commas between; default: %(default)s",
    )
    parser.add_argument(
        "--metadata",
        action="store_true",
        help="write the grey values of each to NAME.metadata.json",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="say what is done")
    _add_ignored(
        parser,
        "--sample, --niters, -a --alpha, -b --beta, -d --device, -t --num-workers",
    )
