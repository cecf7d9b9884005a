# SPDX-License-Identifier: GPL-3.0-or-later
"""Micrographs with known particles, and the files that RELION hands to Topaz with them."""

from __future__ import annotations

import mrcfile
import numpy as np

SIDE = 220
DIAMETER = 24.0
PARTICLES = 20
PIXEL_SIZE = 14.16
DOWNSAMPLING = 4


def place(random):
    """Random centres (n, 2) of (x, y), px, apart from each other and from the edge."""
    xy = np.empty((0, 2))
    while len(xy) < PARTICLES:
        point = random.uniform([DIAMETER] * 2, [SIDE - 1 - DIAMETER] * 2)
        if np.linalg.norm(xy - point, axis=1).min(initial=np.inf) >= 1.2 * DIAMETER:
            xy = np.vstack([xy, point])
    return xy


def write_micrograph(path, seed, pixel_size=PIXEL_SIZE):
    """Write dark discs in noise, and return their centres (n, 2), px."""
    random = np.random.default_rng(seed)
    xy = place(random)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    image = random.standard_normal((SIDE, SIDE))
    for x, y in xy:
        distance = np.hypot(columns - x, rows - y)
        image -= 2 / (1 + np.exp((distance - 0.45 * DIAMETER) / (0.05 * DIAMETER)))
    write_mrc(path, image, pixel_size)
    return xy


def write_mrc(path, image, pixel_size=PIXEL_SIZE):
    """Write an image (float32), in a folder that is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with mrcfile.new(path, overwrite=True) as file:
        file.set_data(np.asarray(image, np.float32))
        file.voxel_size = pixel_size


def write_tables(folder, name, particles):
    """Write the list of images and the picks, rounded to whole px, as RELION does."""
    images = [f"{path.stem}\t{path}\n" for path in particles]
    (folder / f"image_list_{name}.txt").write_text("image_name\tpath\n" + "".join(images))
    rows = [
        f"{path.stem}\t{round(x)}\t{round(y)}\n" for path, xy in particles.items() for x, y in xy
    ]
    header = "image_name\tx_coord\ty_coord\n"
    (folder / f"coordinates_{name}.txt").write_text(header + "".join(rows))


def write_job_star(folder, diameter, version=50001):
    """Write what tells of the particle in the job.star of RELION's Auto-picking."""
    (folder / "job.star").write_text(
        f"\n# version {version}\n\ndata_job\n\n_rlnJobTypeLabel relion.autopick.topaz.train\n\n"
        "data_joboptions_values\n\nloop_\n_rlnJobOptionVariable #1\n_rlnJobOptionValue #2\n"
        f"topaz_nr_particles         -1\ntopaz_particle_diameter        {diameter:g}\n\n"
    )
