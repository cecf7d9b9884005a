# SPDX-License-Identifier: GPL-3.0-or-later
"""The report's script: modules that are joined into one."""

import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from scipion_pupick.engine.reporting import script
from scipion_pupick.engine.reporting.script import MODULES, join_modules, read_module

FOLDER = Path(script.__file__).parent / "js"
FROM = re.compile(r'^import \{([^}]*)\} from "\./(\w+)\.js";$', re.MULTILINE)
DECLARED = re.compile(
    r"^(export )?(?:async )?(?:function\*?|const|let|class) (\w+)", flags=re.MULTILINE
)


def imports(name):
    """Names that a module imports, by the module that they come from."""
    lines = FROM.findall(read_module(name))
    return {module: re.findall(r"\w+", names) for names, module in lines}


def declared(name, only_exported=False):
    """Names at the top of a module."""
    lines = DECLARED.findall(read_module(name))
    return [declared_name for export, declared_name in lines if export or not only_exported]


def test_every_file_is_a_part_of_the_script():
    assert sorted(path.stem for path in FOLDER.glob("*.js")) == sorted(MODULES)
    assert {path.suffix for path in FOLDER.iterdir()} == {".js"}


@pytest.mark.parametrize("name", MODULES)
def test_a_module_imports_only_what_modules_before_it_export(name):
    text = read_module(name)
    assert len(re.findall(r"^import ", text, re.MULTILINE)) == len(FROM.findall(text))
    for module, names in imports(name).items():
        assert module in MODULES[: MODULES.index(name)]
        assert set(names) <= set(declared(module, only_exported=True))


def test_what_is_exported_is_used():
    exported = {(name, item) for name in MODULES for item in declared(name, only_exported=True)}
    used = {
        (module, item)
        for name in MODULES
        for module, items in imports(name).items()
        for item in items
    }
    assert exported == used


def test_no_name_is_declared_in_two_modules():
    names = Counter(name for module in MODULES for name in declared(module))
    assert [name for name, count in names.items() if count > 1] == []


def test_the_joined_script_holds_all_code_and_no_module_syntax():
    text = join_modules()
    assert not re.search(r"^(import|export)\b", text, re.MULTILINE)
    assert "</script" not in text
    lines = [line for name in MODULES for line in read_module(name).splitlines()]
    code = {line.replace("export ", "") for line in lines if not line.startswith("import")}
    assert code <= {*text.splitlines()} | imported_lines()


def imported_lines():
    """Lines of imports that go on over several."""
    texts = [match.group() for name in MODULES for match in FROM.finditer(read_module(name))]
    return {line for text in texts for line in text.splitlines()}


@pytest.mark.skipif(not shutil.which("node"), reason="needs Node")
def test_the_joined_script_has_no_syntax_error(tmp_path):
    path = tmp_path / "report.js"
    path.write_text(join_modules(), encoding="utf-8")
    done = subprocess.run(["node", "--check", path], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
