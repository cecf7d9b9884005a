# SPDX-License-Identifier: GPL-3.0-or-later
"""The report's script: modules that are joined into one."""

import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from scipion_pupick.engine.reporting import script
from scipion_pupick.engine.reporting.script import (
    CORRECTING,
    CORRECTING_MODULES,
    MODULES,
    SHARED_MODULES,
    join_modules,
    read_module,
)

ROOM = Path(script.__file__).parent
FROM = re.compile(r'^import \{([^}]*)\} from "(\./|\.\./\.\./js/)(\w+)\.js";$', re.MULTILINE)
PAGES = {"report": MODULES, "correcting": CORRECTING_MODULES}
EVERY = sorted({(page, name) for page, modules in PAGES.items() for name in modules})
DECLARED = re.compile(
    r"^(export )?(?:async )?(?:function\*?|const|let|class) (\w+)", flags=re.MULTILINE
)


def imports(name):
    """Names that a module imports, by the module that they come from."""
    own = f"{CORRECTING}/" if name.startswith(CORRECTING) else ""
    lines = FROM.findall(read_module(name))
    return {
        (own if folder == "./" else "") + module: re.findall(r"\w+", names)
        for names, folder, module in lines
    }


def declared(name, only_exported=False):
    """Names at the top of a module."""
    lines = DECLARED.findall(read_module(name))
    return [declared_name for export, declared_name in lines if export or not only_exported]


def test_every_file_is_a_part_of_a_script():
    own = [name.split("/")[1] for name in CORRECTING_MODULES if name not in SHARED_MODULES]
    for folder, names in ((ROOM / "js", MODULES), (ROOM / CORRECTING / "js", own)):
        assert sorted(path.stem for path in folder.glob("*.js")) == sorted(names)
        assert {path.suffix for path in folder.iterdir()} == {".js"}


@pytest.mark.parametrize(("page", "name"), EVERY)
def test_a_module_imports_only_what_modules_before_it_export(page, name):
    text, modules = read_module(name), PAGES[page]
    assert len(re.findall(r"^import ", text, re.MULTILINE)) == len(FROM.findall(text))
    for module, names in imports(name).items():
        assert module in modules[: modules.index(name)]
        assert set(names) <= set(declared(module, only_exported=True))


def test_what_is_exported_is_used():
    names = {name for modules in PAGES.values() for name in modules}
    exported = {(name, item) for name in names for item in declared(name, only_exported=True)}
    used = {
        (module, item)
        for name in names
        for module, items in imports(name).items()
        for item in items
    }
    assert exported == used


@pytest.mark.parametrize("page", PAGES)
def test_no_name_is_declared_in_two_modules(page):
    names = Counter(name for module in PAGES[page] for name in declared(module))
    assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.parametrize("page", PAGES)
def test_the_joined_script_holds_all_code_and_no_module_syntax(page):
    modules = PAGES[page]
    text = join_modules(modules)
    assert not re.search(r"^(import|export)\b", text, re.MULTILINE)
    assert "</script" not in text
    lines = [line for name in modules for line in read_module(name).splitlines()]
    code = {line.replace("export ", "") for line in lines if not line.startswith("import")}
    assert code <= {*text.splitlines()} | imported_lines(modules)


def imported_lines(modules):
    """Lines of imports that go on over several."""
    texts = [match.group() for name in modules for match in FROM.finditer(read_module(name))]
    return {line for text in texts for line in text.splitlines()}


@pytest.mark.skipif(not shutil.which("node"), reason="needs Node")
@pytest.mark.parametrize("page", PAGES)
def test_the_joined_script_has_no_syntax_error(page, tmp_path):
    path = tmp_path / "page.js"
    path.write_text(join_modules(PAGES[page]), encoding="utf-8")
    done = subprocess.run(["node", "--check", path], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
