# SPDX-License-Identifier: GPL-3.0-or-later
"""Metadata of the distribution `scipion-em-pupick`."""

import re
from pathlib import Path

from setuptools import find_namespace_packages, find_packages, setup
from setuptools.command.egg_info import egg_info

HERE = Path(__file__).parent
VERSION = re.search(
    r'__version__ = "(.+)"', (HERE / "scipion_pupick" / "__init__.py").read_text(encoding="utf-8")
)


class PluginFirst(egg_info):
    """Name Scipion's plugin as the first package.

    Scipion's plugin manager takes the first package with an __init__.py (of an installation) or the
    first name in top_level.txt (of a source folder) for the plugin. So `relion_external`, which
    sorts before it, has no __init__.py and comes second here.
    """

    def run(self) -> None:
        """Write the metadata, and then the names again."""
        super().run()
        path = Path(self.egg_info) / "top_level.txt"
        path.write_text("scipion_pupick\nrelion_external\n", encoding="utf-8")


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
    packages=[
        *find_packages(include=["scipion_pupick*"]),
        *find_namespace_packages(include=["relion_external*"]),
    ],
    cmdclass={"egg_info": PluginFirst},
    include_package_data=True,
    package_data={
        "scipion_pupick": ["protocols.conf", "*.png", "templates/*.json.template"],
        "scipion_pupick.engine.networks": ["general.safetensors"],
        "scipion_pupick.engine.reporting": ["*.html", "*.css", "*.js"],
    },
    install_requires=[
        "numpy>=1.22",
        "scipy>=1.8",
        "torch>=2.0",
        "mrcfile>=1.4.3",
        "starfile>=0.5.12",
        "jinja2>=2.11",
        "safetensors>=0.4",
        "tqdm>=4.60",
    ],
    extras_require={
        "ccpem": ["ccpem-pipeliner>=1.6"],
        "scipion": ["scipion-em>=3.11", "scipion-app>=3.8"],
        "tiff": TIFF,
        "plot": PLOT,
        "dev": [
            *PLOT,
            *TIFF,
            "hypothesis",
            "mypy",
            "pytest",
            "ruff",
            "scikit-learn",
            "selenium",
        ],
    },
    entry_points={
        "console_scripts": [
            "pupick = scipion_pupick.engine.cli.main:main",
            "pupick-topaz = relion_external.topaz_command.cli:main",
            "relion_external_pupick = relion_external.supervisor:train_and_pick",
            "relion_external_pupick_pick = relion_external.supervisor:pick",
            "relion_external_pupick_train = relion_external.supervisor:train",
        ],
        "ccpem_pipeliner.jobs": [
            "pupick.autopick.pick = relion_external.ccpem:PupickPick",
            "pupick.autopick.train = relion_external.ccpem:PupickTrain",
        ],
        "pyworkflow.plugin": ["scipion_pupick = scipion_pupick"],
    },
    classifiers=[
        "License :: OSI Approved :: GNU General Public License v3 or later (GPLv3+)",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Image Processing",
    ],
)
