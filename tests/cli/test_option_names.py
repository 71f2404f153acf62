"""Errors of a command name its options, never the arguments of Python. Oracle: the parameters of the commands."""

import ast
import re
from pathlib import Path

import pytest
import typer

import passerby as package
from conftest import SIMPLE
from passerby.cli.common import Command
from passerby.cli.main import app
from passerby.errors import argument, name_arguments

SOURCE = Path(package.__file__).parent
PURE = ("ranking", "evaluation", "openset", "plots", "losses", "training", "model")
"""Packages whose functions a command does not call with its own options, apart from those that use `argument`."""


def commands(command, words=()):
    """Every command with its words, such as ("gallery", "stats")."""
    if not hasattr(command, "commands"):
        yield words, command
    for name, child in getattr(command, "commands", {}).items():
        yield from commands(child, (*words, name))


COMMANDS = dict(commands(typer.main.get_command(app)))
NAMES = {parameter.name for command in COMMANDS.values() for parameter in command.params}

WRONG = {
    ("threshold", "--far"): ("threshold", "RUN", "--far", "2"),
    ("threshold", "--gallery-size"): ("threshold", "RUN", "--far", "0.1", "--gallery-size", "0"),
    ("calibrate", "--method"): ("calibrate", "RUN", "--method", "x"),
    ("evaluate", "--protocol"): ("evaluate", "RUN", "--protocol", "x"),
    ("evaluate", "--ap"): ("evaluate", "RUN", "--ap", "x"),
    ("evaluate", "--rerank"): ("evaluate", "RUN", "--rerank", "x"),
    ("evaluate", "--k1"): ("evaluate", "RUN", "--rerank", "k-reciprocal", "--k1", "0"),
    ("evaluate", "--k2"): ("evaluate", "RUN", "--rerank", "k-reciprocal", "--k2", "0"),
    ("evaluate", "--lambda"): ("evaluate", "RUN", "--rerank", "k-reciprocal", "--lambda", "2"),
    ("evaluate", "--expand"): ("evaluate", "RUN", "--expand", "x"),
    ("evaluate", "--sets"): ("evaluate", "RUN", "--sets", "x"),
    ("evaluate", "--fuse-by"): ("evaluate", "RUN", "--fuse", "RUN", "--fuse-by", "x"),
    ("evaluate", "--data"): ("evaluate", "RUN", "--data", "x"),
    ("train", "--data"): ("train", "--recipe", "demo", "--data", "x", "--out", "new"),
    ("train", "--set"): ("train", "--recipe", "demo", "--data", SIMPLE, "--out", "new", "--set", "x"),
    ("model info", "--set"): ("model", "info", "demo", "--set", "x"),
    ("report", "--queries"): ("report", "RUN", "--queries", "0"),
    ("report", "--out"): ("report", "RUN", "--out", "x.txt"),
    ("report", "--data"): ("report", "RUN", "--data", "x"),
    ("ablate", "--axes"): ("ablate", "--recipe", "demo", "--data", SIMPLE, "--axes", "", "--out", "new"),
    ("ablate", "--seeds"): (
        *("ablate", "--recipe", "demo", "--data", SIMPLE, "--axes", "attention", "--out", "new"),
        *("--seeds", "0"),
    ),
    ("compare", "--methods"): ("compare", "--data", SIMPLE, "--methods", "", "--out", "new", "--epochs", "1"),
    ("compare", "--epochs"): ("compare", "--data", SIMPLE, "--methods", "demo", "--out", "new"),
    ("compare", "--minutes"): (*("compare", "--data", SIMPLE, "--methods", "demo", "--out", "new", "--minutes", "0"),),
    ("compare", "--seeds"): (
        *("compare", "--data", SIMPLE, "--methods", "demo", "--out", "new", "--epochs", "1", "--seeds", "0"),
    ),
    ("enroll", "--split"): ("enroll", "GALLERY", "--data", SIMPLE, "--split", "x"),
    ("enroll", "--folders"): ("enroll", "GALLERY", "--images", "RUN", "--folders", "x"),
    ("enroll", "--keep"): ("enroll", "new", "--data", SIMPLE, "--keep", "x"),
    ("enroll", "--retention"): ("enroll", "new", "--data", SIMPLE, "--retention", "-1"),
    ("enroll", "--time"): ("enroll", "GALLERY", "--images", "RUN", "--time", "x"),
    ("enroll", "--data"): ("enroll", "GALLERY", "--data", "x"),
    ("identify", "--unknown"): ("identify", "GALLERY", "--image", "IMAGE", "--unknown", "1"),
    ("identify", "--at-least"): ("identify", "GALLERY", "--image", "IMAGE", "--at-least", "2"),
    ("identify", "--seen-by"): ("identify", "GALLERY", "--image", "IMAGE", "--seen-by", "x"),
    ("search", "--seen-by"): ("search", "GALLERY", "--image", "IMAGE", "--seen-by", "x"),
    ("search", "--since"): ("search", "GALLERY", "--image", "IMAGE", "--since", "x"),
    ("search", "--open"): ("search", "GALLERY", "--image", "IMAGE", "--open", "x.bmp"),
    ("cluster", "--threshold"): ("cluster", "GALLERY", "--threshold", "9"),
    ("cluster", "--prior"): ("cluster", "GALLERY", "--prior", "1"),
    ("gallery expire", "--days"): ("gallery", "expire", "GALLERY", "--days", "-1", "--yes"),
    ("gallery retention", "--days"): ("gallery", "retention", "GALLERY", "--days", "-1"),
    ("gallery forget", "--label"): ("gallery", "forget", "GALLERY", "--label", "x", "--id", "y", "--yes"),
    ("data show", "--out"): ("data", "show", SIMPLE, "--out", "x.bmp"),
    **{
        ("synth", f"--{name}"): ("synth", "--out", "new", f"--{name}", "-2")
        for name in ("identities", "cameras", "images", "seed", "views", "test", "lookalikes", "height")
    },
}
"""Words that give one option a value that is refused; RUN, GALLERY and IMAGE are those of the fixtures."""


@pytest.mark.parametrize(("option", "words"), WRONG.items(), ids=" ".join)
def test_a_refused_value_is_told_by_its_option(passerby, tiny_run, small_gallery, tmp_path, monkeypatch, option, words):
    monkeypatch.chdir(tmp_path)
    gallery, image = small_gallery
    places = {"RUN": tiny_run, "GALLERY": gallery, "IMAGE": image}
    error = passerby(*(places.get(word, word) for word in words)).error
    name = option[1]
    assert re.search(rf"{name}(?![a-z-])", error), error
    arguments = NAMES & set(re.findall(r"(?<![\w/-])[a-z]+(?:_[a-z]*)+(?![\w/])", error))
    assert not arguments, error


@pytest.fixture(scope="module")
def small_gallery(tiny_run, tmp_path_factory):
    where = tmp_path_factory.mktemp("gallery") / "people"
    crops = package.list_data_crops(SIMPLE)
    with package.Gallery(where, model=tiny_run) as gallery:
        gallery.enroll(crops)
    return where, crops[0].image.path


def test_every_command_names_its_options():
    assert all(isinstance(command, Command) for command in COMMANDS.values())


def texts(tree):
    """The literal parts of the messages of every error and warning in a module, and the line of each."""
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call):
            continue
        name = getattr(call.func, "id", getattr(call.func, "attr", ""))
        if name.endswith("Error") or name == "warning":
            yield from ((call.lineno, text) for value in call.args for text in literals(value))


def literals(value):
    """The texts of an expression; what an f-string inserts is {}."""
    if isinstance(value, ast.JoinedStr):
        yield "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in value.values)
    elif isinstance(value, ast.Constant) and isinstance(value.value, str):
        yield value.value
    else:
        for part in ast.iter_child_nodes(value):
            yield from literals(part)


def test_no_message_spells_an_argument_or_an_option_by_hand():
    """An argument of several words is written by `argument`; an option only inside a whole command in backticks."""
    several = "|".join(name for name in NAMES if "_" in name)
    wrong = []
    for path in SOURCE.rglob("*.py"):
        place = path.relative_to(SOURCE)
        if place.parts[0] == "cli":
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for line, text in texts(tree):
            outside = re.sub(r"`[^`]*`?|torchrun --nproc-per-node", "", text)
            if re.search(rf"\b({several})\b[ :=]|(?<!\w)--[a-z]", outside):
                wrong.append(f"{place}:{line} {text}")
    assert not wrong


def test_every_marked_argument_is_one_of_a_command():
    for path in SOURCE.rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "argument":
                value = call.args[0]
                assert not isinstance(value, ast.Constant) or value.value in NAMES, f"{path}:{call.lineno}"


def test_arguments_are_named_as_in_python_without_a_front_end():
    assert (argument("far"), argument("keep", "crops")) == ("far", "keep='crops'")
    with name_arguments({"far": "--far", "keep": "--keep"}):
        assert (argument("far"), argument("keep", "crops"), argument("k")) == ("--far", "--keep crops", "k")
    assert argument("far") == "far"
    with name_arguments({"live": "--live"}):
        assert argument("live", True) == "--live"
