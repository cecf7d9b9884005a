# SPDX-License-Identifier: GPL-3.0-or-later
"""What pyproject.toml cannot say of the distribution `scipion-em-pupick`."""

import re
from pathlib import Path

from setuptools import setup
from setuptools.command.egg_info import egg_info

README = Path(__file__).parent / "README.md"


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


def long_description() -> str:
    """Return the README for a package index, which has none of the files that it links to."""
    text = README.read_text(encoding="utf-8")
    # pictures, with the captions below them
    text = re.sub(r"!\[[^]]*\]\((?!https?:)[^)]*\)\n+(?:\*[^*]+\*\n+)?", "", text)
    return re.sub(r"\[([^]]*)\]\((?!https?:)[^)]*\)", r"\1", text)


setup(
    cmdclass={"egg_info": PluginFirst},
    long_description=long_description(),
    long_description_content_type="text/markdown",
)
