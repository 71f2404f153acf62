"""Commands with all extras hidden, as after `pip install passerby`. Oracles: exit codes and the extra that is named."""

import json
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from passerby.extras import EXTRAS as EXTRA_MODULES

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = sorted(PROJECT["optional-dependencies"].keys() - {"dev", "all"})
BASE = {"jinja2"}
"""Distributions of extras that the base installation also has: torch requires jinja2."""
RUN = """
import json, sys
from importlib.machinery import PathFinder
hidden, commands = map(json.loads, sys.argv[1:])

class Finder(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in hidden else super().find_spec(name, path, target)

sys.meta_path = [Finder if finder is PathFinder else finder for finder in sys.meta_path]
from passerby.cli.main import main
for command in commands:
    sys.argv = ["passerby", *command]
    try:
        main()
    except SystemExit as end:
        if end.code:
            raise
"""


def modules_of(*extras, base=BASE):
    """Importable names of the distributions that extras install."""
    requirements = [line for extra in extras for line in PROJECT["optional-dependencies"][extra]]
    wanted = {re.split(r"[\[<>=~; ]", line)[0].lower().replace("_", "-") for line in requirements} - base - {"passerby"}
    return sorted(
        module
        for module, distributions in packages_distributions().items()
        if wanted & {name.lower().replace("_", "-") for name in distributions}
    )


def run(*commands, hide):
    """Run commands in one new interpreter, until one fails."""
    words = [sys.executable, "-c", RUN, json.dumps(modules_of(*hide)), json.dumps(commands)]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=250)


@pytest.mark.parametrize("extra", EXTRAS)
def test_the_table_of_extras_agrees_with_the_project(extra):
    if installed := {*modules_of(extra, base=set())} - {"mpl_toolkits", "pylab"}:
        assert installed == {*EXTRA_MODULES[extra]}


def test_extras_are_hidden():
    assert {"numba", "scipy", "matplotlib", "pyarrow"} <= set(modules_of(*EXTRAS))
    assert not {"torch", "numpy", "faiss", "PIL"} & set(modules_of(*EXTRAS))


def test_people_are_enrolled_searched_and_identified_without_extras(workspace):
    done = run(
        ("enroll", "gallery", "--images", "crops", "--folders", "camera"),
        ("search", "gallery", "--image", "a.jpg"),
        ("identify", "gallery", "--image", "a.jpg"),
        ("gallery", "stats", "gallery"),
        ("data", "check", "market1501:people"),
        ("model", "info", "demo"),
        hide=EXTRAS,
    )
    assert done.returncode == 0, done.stderr
    assert "multiply-adds" in done.stdout  # of the last command


@pytest.mark.parametrize(
    ("words", "extra"),
    [
        (("evaluate", "runs/m"), "eval"),
        (("synth", "--out", "rendered", "--identities", "6"), "eval"),
        (("train", "--recipe", "demo", "--data", "market1501:people", "--out", "runs/new"), "train"),
        (("report", "runs/m", "--out", "page.html"), "report"),
    ],
)
def test_a_missing_extra_is_named(words, extra, workspace):
    done = run(words, hide=[extra])
    assert done.returncode == 1, done.stderr
    assert f'pip install "passerby[{extra}]"' in done.stderr, done.stderr
