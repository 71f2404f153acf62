"""Examples run: docstrings of public functions and Python blocks of the documents. Oracle: their printed results.

Examples run in the folder that the fixture `workspace` describes.
"""

import doctest
import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest

import passerby

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def modules():
    """Names of all modules but the entry point, which runs the command line when it is imported."""
    for module in pkgutil.walk_packages(passerby.__path__, "passerby."):
        if not module.name.endswith("__main__"):
            yield module.name


def examples():
    """(module, test) of every docstring with an example."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    for name in modules():
        source = Path(importlib.util.find_spec(name).origin).read_text(encoding="utf-8")
        if ">>>" in source:
            module = importlib.import_module(name)
            for test in finder.find(module, name, globs={**vars(module), "passerby": passerby, "Path": Path}):
                if test.examples:
                    yield pytest.param(test, id=test.name)


def blocks(page):
    """The Python blocks of a page, in order."""
    return re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.mark.parametrize("test", list(examples()))
def test_the_example_of_a_docstring_runs(test, workspace):
    report = []
    runner = doctest.DocTestRunner(optionflags=OPTIONS)
    outcome = runner.run(test, out=report.append, clear_globs=False)
    assert outcome.attempted > 0
    assert outcome.failed == 0, "".join(report)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.name)
def test_the_python_blocks_of_a_page_run(page, workspace):
    """The blocks of one page share their names, as in one session of a reader."""
    namespace = {"__name__": "__main__"}
    for number, block in enumerate(blocks(page), start=1):
        exec(compile(block, f"{page.name}, block {number}", "exec"), namespace)


def test_every_public_function_and_class_has_an_example():
    public = {name: getattr(passerby, name) for name in passerby.__all__ if name != "__version__"}
    assert [name for name, value in public.items() if ">>>" not in (inspect.getdoc(value) or "")] == []
