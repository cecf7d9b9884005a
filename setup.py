# SPDX-License-Identifier: GPL-3.0-or-later
"""Metadata of the distribution `scipion-em-pupick`."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(
    r'__version__ = "(.+)"', (HERE / "scipion_pupick" / "__init__.py").read_text(encoding="utf-8")
)

PLOT = ["matplotlib>=3.5"]
TIFF = ["tifffile>=2021.1"]

setup(
    name="scipion-em-pupick",
    version=VERSION.group(1),
    description="Particle picking for cryo-EM from a few picks: positive-unlabeled learning "
    "inside Scipion and RELION, and on the command line.",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="GPL-3.0-or-later",
    author="The pupick developers",
    python_requires=">=3.9",
    packages=find_packages(include=["scipion_pupick*", "relion_external*"]),
    include_package_data=True,
    install_requires=[
        "numpy>=1.22",
        "scipy>=1.8",
        "torch>=2.0",
        "mrcfile>=1.4.3",
        "starfile>=0.5.12",
        "safetensors>=0.4",
        "tqdm>=4.60",
    ],
    extras_require={
        "ccpem": ["ccpem-pipeliner>=1.6"],
        "scipion": ["scipion-em>=3.11"],
        "tiff": TIFF,
        "plot": PLOT,
        "dev": [*PLOT, *TIFF, "hypothesis", "mypy", "pytest", "ruff", "scikit-learn"],
    },
    entry_points={
        "console_scripts": [
            "pupick = scipion_pupick.engine.cli:main",
            "pupick-topaz = relion_external.topaz_command.cli:main",
            "relion_external_pupick = relion_external.supervisor:train_and_pick",
            "relion_external_pupick_pick = relion_external.supervisor:pick",
            "relion_external_pupick_train = relion_external.supervisor:train",
        ],
        "ccpem_pipeliner.jobs": [
            "pupick.autopick.pick = relion_external.ccpem:PupickPick",
            "pupick.autopick.train = relion_external.ccpem:PupickTrain",
        ],
    },
    classifiers=[
        "License :: OSI Approved :: GNU General Public License v3 or later (GPLv3+)",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Image Processing",
    ],
)
