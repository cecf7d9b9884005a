# SPDX-License-Identifier: GPL-3.0-or-later
"""The real micrographs that come with the source, and quarters of them for what takes long."""

from pathlib import Path

import starfile

from scipion_pupick.engine.micrographs import read_image, write_image

EXAMPLES = Path(__file__).parents[2] / "examples" / "empiar10017"
PIXEL_SIZE = 7.08  # Å
CORNER = 512  # px along each side


def write_corner(name, folder):
    """Write the upper left quarter of an example, 512 x 512 px, under its own name."""
    image = read_image(EXAMPLES / "micrographs" / name)
    write_image(folder / name, image[:CORNER, :CORNER], PIXEL_SIZE)


def write_corner_picks(name, path):
    """Write those picks of an example's file that lie in the upper left quarters."""
    table = starfile.read(EXAMPLES / name)
    inside = (table["rlnCoordinateX"] < CORNER) & (table["rlnCoordinateY"] < CORNER)
    starfile.write(table[inside], path)
