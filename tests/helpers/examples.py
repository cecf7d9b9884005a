# SPDX-License-Identifier: GPL-3.0-or-later
"""The real micrographs that come with the source, and quarters of them for what takes long."""

from pathlib import Path

from scipion_pupick.engine.micrographs import read_image, write_image

EXAMPLES = Path(__file__).parents[2] / "examples" / "empiar10017"
PIXEL_SIZE = 7.08  # Å


def write_corner(name, folder):
    """Write the upper left quarter of an example, 512 x 512 px, under its own name."""
    image = read_image(EXAMPLES / "micrographs" / name)
    write_image(folder / name, image[:512, :512], PIXEL_SIZE)
